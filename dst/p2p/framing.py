"""Frames on a byte stream: u32 big-endian length, then that many bytes. Sans-I/O; a body is opaque
here.

Whatever bytes arrive, the outcome is whole frames in order or one `FrameError`, after which the
link must be dropped: there is no way to find the next frame boundary in a stream that lied about
one.
"""

from typing import Final

from dst.spec.errors import InvalidInput

MAX_FRAME_BYTES: Final = 1 << 20
"""Twice the largest encoded block (512 KiB): a proposal with its justification
must fit. Checked before anything is allocated, so a length field can never make a peer reserve more
than this."""

LENGTH_BYTES: Final = 4


class FrameError(InvalidInput):
    """The peer's byte stream is not a sequence of frames, or a body of ours is too large to be
    one."""


def encode_frame(body: bytes) -> bytes:
    """Prefix `body` with its length.

    Raises: FrameError when the body is empty or exceeds MAX_FRAME_BYTES.
    """
    if not body:
        raise FrameError("a frame must not be empty")
    if len(body) > MAX_FRAME_BYTES:
        raise FrameError(f"frame of {len(body)} bytes exceeds the limit of {MAX_FRAME_BYTES}")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


class FrameReader:
    """Cuts a stream that arrives in arbitrary pieces into frames; holds at most one incomplete
    frame. `first_limit`: bytes of the first one, from a peer that has not said who it is; `limit`:
    of the others."""

    __slots__ = ("_broken", "_buffer", "_later_limit", "_limit")

    def __init__(self, first_limit: int = MAX_FRAME_BYTES, limit: int = MAX_FRAME_BYTES) -> None:
        self._buffer = bytearray()
        self._limit, self._later_limit = first_limit, limit
        self._broken: str | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes of the stream; return the bodies they complete.

        Raises: FrameError at a zero or oversized length, and at every call after that.
        """
        if self._broken is not None:
            raise FrameError(self._broken)
        self._buffer += data
        bodies: list[bytes] = []
        position = 0
        while (end := self._frame_end(position)) is not None:
            bodies.append(bytes(self._buffer[position + LENGTH_BYTES : end]))
            position, self._limit = end, self._later_limit
        del self._buffer[:position]
        return bodies

    def finish(self) -> None:
        """The stream ended.

        Raises: FrameError when it ended within a frame.
        """
        if self._buffer:
            raise FrameError(
                f"stream ended within a frame ({len(self._buffer)} bytes of it arrived)"
            )

    def _frame_end(self, position: int) -> int | None:
        """Offset just behind the frame that begins at `position`, or None while it is
        incomplete."""
        if len(self._buffer) - position < LENGTH_BYTES:
            return None
        length = int.from_bytes(self._buffer[position : position + LENGTH_BYTES], "big")
        if not 0 < length <= self._limit:
            self._broken = (
                f"peer announced a frame of {length} bytes (1 to {self._limit} are allowed)"
            )
            raise FrameError(self._broken)
        end = position + LENGTH_BYTES + length
        return end if len(self._buffer) >= end else None
