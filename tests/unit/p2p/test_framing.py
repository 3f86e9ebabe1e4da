import pytest
from hypothesis import given
from hypothesis import strategies as st

from dst.p2p.framing import MAX_FRAME_BYTES, FrameError, FrameReader, encode_frame

bodies = st.lists(st.binary(min_size=1, max_size=300), max_size=8)


@given(bodies, st.lists(st.integers(1, 50), max_size=40))
def test_frames_survive_any_slicing(sent: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(map(encode_frame, sent))
    reader, received = FrameReader(), []
    for size in [*cuts, max(len(stream), 1)]:
        received += reader.feed(stream[:size])
        stream = stream[size:]
    reader.finish()
    assert received == sent


@given(st.binary(max_size=200))
def test_garbage_yields_frames_or_one_clear_error(garbage: bytes) -> None:
    reader = FrameReader()
    try:
        frames = reader.feed(garbage)
    except FrameError:
        return
    assert all(0 < len(body) <= MAX_FRAME_BYTES for body in frames)


@given(st.binary(min_size=1, max_size=50), st.data())
def test_truncated_stream_is_named(body: bytes, data: st.DataObject) -> None:
    frame = encode_frame(body)
    cut = data.draw(st.integers(1, len(frame) - 1))
    reader = FrameReader()
    assert reader.feed(frame[:cut]) == []
    with pytest.raises(FrameError, match="ended within a frame"):
        reader.finish()


@pytest.mark.parametrize("length", [0, MAX_FRAME_BYTES + 1, 2**32 - 1])
def test_bad_length_is_refused_before_its_body_is_awaited(length: int) -> None:
    reader = FrameReader()
    with pytest.raises(FrameError, match=str(length)):
        reader.feed(length.to_bytes(4, "big"))
    with pytest.raises(FrameError):
        reader.feed(encode_frame(b"fine"))  # the stream cannot be trusted again


def test_largest_frame_passes_and_larger_is_refused_by_the_sender() -> None:
    reader = FrameReader()
    assert reader.feed(encode_frame(bytes(MAX_FRAME_BYTES))) == [bytes(MAX_FRAME_BYTES)]
    with pytest.raises(FrameError, match="exceeds"):
        encode_frame(bytes(MAX_FRAME_BYTES + 1))
    with pytest.raises(FrameError, match="empty"):
        encode_frame(b"")
