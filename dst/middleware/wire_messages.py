"""Everything operators say to each other over their links, as one tagged union.

Consensus and sealing messages are those of the cores. The rest is catch-up: certificates by range,
blocks by root. What is signed or self-verifying stays so when forwarded; what is not (a request, an
answer) says nothing that the receiver would believe without checking.
"""

from typing import Annotated, Final, TypeAlias

import msgspec

from dst.qbft import messages as qbft
from dst.qbft.messages import Certificate
from dst.sealing import messages as sealing
from dst.spec.errors import UNREADABLE, InvalidInput
from dst.spec.primitives import BLSSignature, Height, Root

MAX_RANGE: Final = 64
"""Decided blocks in one answer."""
MAX_RANGE_BYTES: Final = 640 << 10
"""Their encoded size: one largest block (512 KiB) with its certificate, or many small ones; with
room to spare in a frame."""

_Root = Annotated[Root, msgspec.Meta(min_length=32, max_length=32)]
_Signature = Annotated[BLSSignature, msgspec.Meta(min_length=96, max_length=96)]
_Height = Annotated[Height, msgspec.Meta(ge=0, le=2**53)]
_Count = Annotated[int, msgspec.Meta(ge=1, le=MAX_RANGE)]


class GetDecided(
    msgspec.Struct, frozen=True, array_like=True, tag="get_decided", forbid_unknown_fields=True
):
    """The sender lacks heights from `first` on; answered by DecidedBlocks."""

    first: _Height
    count: _Count


class DecidedItem(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A decided block that proves itself; its group signature when the sender has it."""

    certificate: Certificate
    block: bytes
    signature: _Signature | None


class DecidedBlocks(
    msgspec.Struct, frozen=True, array_like=True, tag="decided", forbid_unknown_fields=True
):
    """An unbroken run of heights, ascending. `head` is what the sender has decided in all."""

    head: _Height
    items: Annotated[tuple[DecidedItem, ...], msgspec.Meta(max_length=MAX_RANGE)]


class GetBlock(
    msgspec.Struct, frozen=True, array_like=True, tag="get_block", forbid_unknown_fields=True
):
    """The sender lacks the block that a quorum names; answered by BlockReply."""

    height: _Height
    root: _Root


class BlockReply(
    msgspec.Struct, frozen=True, array_like=True, tag="block", forbid_unknown_fields=True
):
    """The block with `root`, or None: the sender does not have it (any more)."""

    root: _Root
    block: bytes | None


class Status(
    msgspec.Struct, frozen=True, array_like=True, tag="status", forbid_unknown_fields=True
):
    """How far the sender has decided; said once a second, so that whoever fell behind in a quiet
    moment notices. votes: does it take part? For people alone: who stands still knows whom for."""

    decided_height: _Height
    votes: bool = True


CatchUpMessage: TypeAlias = GetDecided | DecidedBlocks | GetBlock | BlockReply | Status
WireMessage: TypeAlias = (
    qbft.ProposalMessage
    | qbft.PrepareMessage
    | qbft.CommitMessage
    | qbft.RoundChangeMessage
    | qbft.PassMessage
    | sealing.PartialSignature
    | sealing.GroupSignature
    | sealing.PartialRequest
    | GetDecided
    | DecidedBlocks
    | GetBlock
    | BlockReply
    | Status
)

_decoder: Final[msgspec.msgpack.Decoder[WireMessage]] = msgspec.msgpack.Decoder(WireMessage)
_encoder: Final = msgspec.msgpack.Encoder()


def encode_message(message: WireMessage) -> bytes:
    return _encoder.encode(message)


def decode_message(body: bytes) -> WireMessage:
    """Raises: InvalidInput for anything that is not exactly one of the messages."""
    try:
        return _decoder.decode(body)
    except UNREADABLE as error:
        raise InvalidInput(f"undecodable message of {len(body)} bytes: {error}") from error


def stale_below(message: WireMessage) -> Height | None:
    """The height that makes a queued message stale once it lies below the decided head; None: never
    (partials are owed until sealed, answers were asked for)."""
    match message:
        case (
            qbft.ProposalMessage()
            | qbft.PrepareMessage()
            | qbft.CommitMessage()
            | qbft.RoundChangeMessage()
            | qbft.PassMessage()
        ):
            return message.signed.payload.height
        case _:
            return None
