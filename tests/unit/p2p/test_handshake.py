from collections.abc import Callable
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dst.p2p.framing import FrameError
from dst.p2p.handshake import (
    MAX_TEXT,
    PROTOCOL_VERSION,
    Data,
    Hello,
    HelloRefused,
    Ping,
    Pong,
    clip_refusal,
    decode_first_frame,
    decode_link_frame,
    encode_link_frame,
    judge_hello,
)
from dst.spec.primitives import Height, OperatorIndex, Term

MakeHello = Callable[..., Hello]


@pytest.mark.parametrize(
    "frame",
    [
        Ping(1),
        Pong(0, 0),
        HelloRefused("chain_id", "1", "2"),
        Hello(1, 2, b"3", 4, 5, 6, OperatorIndex(0), Term(0), Height(9)),
    ],
)
def test_frames_round_trip(frame: Hello | HelloRefused | Ping | Pong) -> None:
    assert decode_link_frame(encode_link_frame(frame)) == frame


@given(st.recursive(st.none() | st.integers(-9, 2**63) | st.binary() | st.text(), st.lists))
def test_data_round_trips_whatever_it_carries(value: object) -> None:
    body = msgspec.msgpack.encode(value)
    frame = decode_link_frame(encode_link_frame(Data(msgspec.Raw(body))))
    assert isinstance(frame, Data)
    assert bytes(frame.body) == body


@given(st.binary(max_size=300))
def test_garbage_never_crashes(garbage: bytes) -> None:
    ours = Hello(1, 2, b"3", 4, 5, 6, OperatorIndex(0), Term(0), Height(9))
    for decode in (decode_link_frame, lambda body: decode_first_frame(body, ours)):
        with suppress(FrameError):
            decode(garbage)


@given(st.data())
def test_mangled_hello_never_crashes(data: st.DataObject) -> None:
    ours = Hello(1, 2, b"3" * 32, 4, 5, 6, OperatorIndex(0), Term(0), Height(9))
    body = bytearray(encode_link_frame(ours))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        first = decode_first_frame(bytes(body), ours)
    except FrameError:
        return
    if isinstance(first, Hello):
        judge_hello(ours, first, certified=OperatorIndex(0))


def test_deep_nesting_is_refused_not_recursed() -> None:
    with pytest.raises(FrameError):
        decode_link_frame(b"\x91" * 100_000)


def test_equal_hellos_pass_whatever_height_and_term(make_hello: MakeHello) -> None:
    ours = make_hello(0)
    theirs = make_hello(1, decided_height=99, term=1)
    assert judge_hello(ours, theirs, certified=OperatorIndex(1)) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("chain_id", 8),
        ("lock_hash", b"\x22" * 32),
        ("round_timeout_ms", 501),
        ("round_timeout_cap_ms", 8000),
        ("seconds_per_slot", 2),
    ],
)
def test_first_difference_is_named_with_both_values(
    make_hello: MakeHello, field: str, value: object
) -> None:
    ours, theirs = make_hello(0), make_hello(1, **{field: value})
    refused = judge_hello(ours, theirs, certified=OperatorIndex(1))
    assert refused is not None
    assert refused.field == field
    shown = value.hex() if isinstance(value, bytes) else str(value)
    assert refused.theirs == shown
    assert refused.ours != shown


def test_claiming_another_operators_index_is_refused(make_hello: MakeHello) -> None:
    refused = judge_hello(make_hello(0), make_hello(2), certified=OperatorIndex(1))
    assert refused == HelloRefused("index", "1 (by certificate)", "2")


def test_other_protocol_version_is_named_even_with_unknown_fields(make_hello: MakeHello) -> None:
    body = msgspec.msgpack.encode(["hello", 99, {"entirely": "different"}])
    ours = str(PROTOCOL_VERSION)
    assert decode_first_frame(body, make_hello(0)) == HelloRefused("protocol_version", ours, "99")


def test_of_another_versions_hello_nothing_is_made_but_its_number(make_hello: MakeHello) -> None:
    """Its other fields are passed over: no value here could be made of them."""
    no_text = b"\xa1\xff"
    body = b"\x93" + msgspec.msgpack.encode("hello") + b"\x63" + no_text
    ours = str(PROTOCOL_VERSION)
    assert decode_first_frame(body, make_hello(0)) == HelloRefused("protocol_version", ours, "99")


def test_first_frame_must_be_hello(make_hello: MakeHello) -> None:
    with pytest.raises(FrameError, match="Ping, expected HELLO"):
        decode_first_frame(encode_link_frame(Ping(1)), make_hello(0))


def test_a_peers_refusal_cannot_flood_the_log() -> None:
    clipped = clip_refusal(HelloRefused("f" * 9999, "o" * 9999, "t" * 9999))
    assert len(clipped.for_log()) < 4 * MAX_TEXT


@pytest.mark.parametrize(
    "hello",
    [
        Hello(1, 2, b"3", 4, 5, 6, OperatorIndex(0), Term(0), Height(2**64 - 1)),
        Hello(1, 2, b"3", 4, 5, 6, OperatorIndex(0), Term(2**32), Height(9)),
        Hello(1, 2, b"3" * 1000, 4, 5, 6, OperatorIndex(0), Term(0), Height(9)),
    ],
)
def test_numbers_nobody_could_carry_on_are_no_hello(hello: Hello) -> None:
    with pytest.raises(FrameError):
        decode_link_frame(encode_link_frame(hello))
