"""Everything the sealing core can ask of its shell, performed strictly in order (`Persist` returns
when on disk)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from dst.sealing.messages import Message
from dst.sealing.records import Record
from dst.spec.primitives import BLSSignature, Height, OperatorIndex, Root


@dataclass(frozen=True, slots=True, kw_only=True)
class Persist:
    record: Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Broadcast:
    """Send to every other operator."""

    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    to: OperatorIndex
    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class SendStored:
    """Send `to` the GroupSignature of the SealRecord stored for `height`.

    Nothing if the store has none (any more).
    """

    to: OperatorIndex
    height: Height


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTimer:
    """Deliver RetransmitDue after delay_ms.

    There is one timer; setting it replaces a running one.
    """

    delay_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """The block decided at `height` has its group signature, verified.

    Its SealRecord was persisted before.
    """

    height: Height
    root: Root
    signature: BLSSignature


class Reason(StrEnum):
    """Why an input was refused. A closed set: logs, metrics and tests name it, and
    `docs/refusals.md` is made from it. First sentence: when; then what it says of the sender."""

    WRONG_TERM = "wrong_term"
    """The message belongs to another term.
    Nothing bad: one of the two has not gone through the last L1 reset."""
    NOT_A_MEMBER = "not_a_member"
    """A partial of an operator that the cluster does not have.
    The peer that brought it made it up."""
    WRONG_SENDER = "wrong_sender"
    """A partial of another operator than the one at the other end of the link.
    Partials are not passed on: the peer lies."""
    TOO_FAR_AHEAD = "too_far_ahead"
    """A partial more than 64 heights above the decided head.
    Either a liar, or this operator is behind; it is sent again later."""
    TOO_MANY_OPEN = "too_many_open"
    """A partial of a height below the newest 64 unsealed ones.
    Nothing: this operator collects it once newer heights are sealed."""
    WRONG_ROOT = "wrong_root"
    """Another signing root than that of the block decided at this height.
    A partial: its sender signed what was not decided; kept as evidence. A group signature: the peer
    brought rubbish. From our own validator: it signed another block; nothing is sent."""
    CONFLICTING_PARTIAL = "conflicting_partial"
    """A second, different partial for the same root.
    The sender is faulty: a share has one signature over a root; kept as evidence."""
    BAD_PARTIAL = "bad_partial"
    """A combination failed, and this partial is why.
    The sender lied; kept as evidence, left out at this height, combined last from then on."""
    BAD_GROUP_SIGNATURE = "bad_group_signature"
    """A group signature that does not verify.
    An honest peer verified it itself: this one is not looked at again until a restart."""
    SUSPECT = "suspect"
    """A group signature from a peer whose signature failed before.
    Nothing new; it is not looked at."""
    NOT_DECIDED = "not_decided"
    """A group signature, or our own validator's partial, of a height not decided here.
    Nothing bad: this operator is behind, and asks again."""
    ALREADY_SIGNED = "already_signed"
    """Our own validator's partial over a second root at a height.
    Our own validator is faulty; nothing is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Input refused. `culprit` is the operator whose signature is at fault, when known; `offence`
    is its message, which need not be the input at hand."""

    reason: Reason
    link_peer: OperatorIndex | None
    culprit: OperatorIndex | None
    detail: str
    offence: Message | None = None


Effect: TypeAlias = Persist | Broadcast | Send | SendStored | SetTimer | Sealed | Refused
