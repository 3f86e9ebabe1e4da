"""HELLO, both ways, before a link counts as up. Sans-I/O.

In TLS 1.3 the dialling side believes the handshake worked before the listener has judged its
certificate, so only an application message from the listener proves the link. It is also where two
operators find out that they run different clusters, chains or timers: the first differing field is
named to both sides, with both values.

    dialler                       listener
      HELLO  ──────────────────▶   judge_hello
      judge_hello  ◀────────────   HELLO, or REFUSED(field, listener's value, dialler's value)
      up, or REFUSED  ─────────▶
"""

from typing import Annotated, Final, TypeAlias

import msgspec

from dst.p2p.framing import FrameError
from dst.spec.errors import UNREADABLE
from dst.spec.primitives import Height, OperatorIndex, Term

PROTOCOL_VERSION: Final = 2
"""Raised when a message changes its meaning; two versions do not talk."""

MAX_HELLO_BYTES: Final = 1024
"""Of a dialler's first frame: ten times what ours takes, for versions to come. Checked when four
bytes are here, so that nobody fills memory before it is known to fit."""

MAX_ANSWER_BYTES: Final = 1024
"""Of each frame that a listener sends: HELLO, PONG, or REFUSED with three texts of `MAX_TEXT`."""

MAX_TEXT: Final = 200
"""Characters of a refusal's texts: enough for a hash and a sentence, too few to flood a log."""

_HELLO_TAG: Final = "hello"

# A peer's numbers go into arithmetic, a store and another HELLO: only what all of them can carry.
_Natural = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Hash = Annotated[bytes, msgspec.Meta(max_length=32)]
_Index = Annotated[OperatorIndex, msgspec.Meta(ge=0, le=255)]
_Term = Annotated[Term, msgspec.Meta(ge=0, le=2**32 - 1)]
_Height = Annotated[Height, msgspec.Meta(ge=0, le=2**53)]


class Hello(
    msgspec.Struct, frozen=True, array_like=True, tag=_HELLO_TAG, forbid_unknown_fields=True
):
    """Who speaks and in which cluster. Everything but index, term and decided height is compared
    (`MUST_MATCH`)."""

    protocol_version: _Natural
    chain_id: _Natural
    lock_hash: _Hash
    round_timeout_ms: _Natural
    round_timeout_cap_ms: _Natural
    seconds_per_slot: _Natural
    index: _Index
    term: _Term
    decided_height: _Height


class HelloRefused(
    msgspec.Struct, frozen=True, array_like=True, tag="refused", forbid_unknown_fields=True
):
    """`field` differs: `ours` is the value of whoever refuses, `theirs` that of whoever is
    refused."""

    field: str
    ours: str
    theirs: str

    def for_log(self) -> str:
        return f"{self.field}: refusing side has {self.ours}, refused side has {self.theirs}"


class Ping(msgspec.Struct, frozen=True, array_like=True, tag="ping", forbid_unknown_fields=True):
    """Sent by the dialler at regular times; the listener answers now and then."""

    number: _Natural


class Pong(msgspec.Struct, frozen=True, array_like=True, tag="pong", forbid_unknown_fields=True):
    """The listener hears the dialler. number: of the last ping that it saw, 0 before the first;
    clock_ms: its wall clock now, Unix milliseconds."""

    number: _Natural
    clock_ms: _Natural


class Data(msgspec.Struct, frozen=True, array_like=True, tag="data", forbid_unknown_fields=True):
    """One message of the layer above, opaque here."""

    body: msgspec.Raw


LinkFrame: TypeAlias = Hello | HelloRefused | Ping | Pong | Data

MUST_MATCH: Final = (
    "protocol_version",
    "chain_id",
    "lock_hash",
    "round_timeout_ms",
    "round_timeout_cap_ms",
    "seconds_per_slot",
)
"""Compared in this order; the first difference is the one named. The term needs no place here: the
lock holds it, so operators of two terms differ in `lock_hash` and do not link. Who was left behind
by an L1 reset takes the new lock first."""


class _AnyHello(msgspec.Struct, frozen=True, array_like=True, tag=_HELLO_TAG):
    """What a HELLO of any version begins with. The rest is passed over and nothing made of it."""

    protocol_version: int


_any_hello_decoder: msgspec.msgpack.Decoder[_AnyHello] = msgspec.msgpack.Decoder(_AnyHello)
_frame_decoder: msgspec.msgpack.Decoder[LinkFrame] = msgspec.msgpack.Decoder(LinkFrame)
_encoder = msgspec.msgpack.Encoder()


def encode_link_frame(frame: LinkFrame) -> bytes:
    return _encoder.encode(frame)


def decode_link_frame(body: bytes) -> LinkFrame:
    """Decode one frame body.

    Raises: FrameError for anything that is not exactly one of the five frames.
    """
    try:
        return _frame_decoder.decode(body)
    except UNREADABLE as error:
        raise FrameError(
            f"undecodable frame of {len(body)} bytes: {str(error)[:MAX_TEXT]}"
        ) from error


def decode_first_frame(body: bytes, ours: Hello) -> Hello | HelloRefused:
    """Decode what must be the first frame of a link: HELLO or, towards a dialler, REFUSED.

    A HELLO of another protocol version may have other fields; it is recognised by tag and version
    alone and yields the refusal that we owe it.
    Raises: FrameError for anything else.
    """
    version = _claimed_version(body)
    if version is not None and version != ours.protocol_version:
        return _difference("protocol_version", ours.protocol_version, version)
    frame = decode_link_frame(body)
    if not isinstance(frame, Hello | HelloRefused):
        raise FrameError(f"first frame of a link is {type(frame).__name__}, expected HELLO")
    return frame


def judge_hello(ours: Hello, theirs: Hello, *, certified: OperatorIndex) -> HelloRefused | None:
    """None when the link may be used, else what differs. `certified` is whose TLS certificate the
    peer presented."""
    for field in MUST_MATCH:
        our_value, their_value = getattr(ours, field), getattr(theirs, field)
        if our_value != their_value:
            return _difference(field, our_value, their_value)
    if theirs.index != certified:
        return _difference("index", f"{certified} (by certificate)", theirs.index)
    return None


def clip_refusal(refused: HelloRefused) -> HelloRefused:
    """A peer's refusal, with its texts cut to what a log line can carry."""
    return HelloRefused(
        refused.field[:MAX_TEXT], refused.ours[:MAX_TEXT], refused.theirs[:MAX_TEXT]
    )


def _difference(field: str, ours: object, theirs: object) -> HelloRefused:
    return HelloRefused(field, _text(ours), _text(theirs))


def _text(value: object) -> str:
    return (value.hex() if isinstance(value, bytes) else str(value))[:MAX_TEXT]


def _claimed_version(body: bytes) -> int | None:
    """The version a HELLO claims, whatever else it holds; None when `body` is no HELLO at all."""
    try:
        return _any_hello_decoder.decode(body).protocol_version
    except UNREADABLE:
        return None
