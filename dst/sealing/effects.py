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
    """Why an input was refused. A closed set: logs, metrics and tests name it."""

    WRONG_TERM = "wrong_term"
    NOT_A_MEMBER = "not_a_member"
    WRONG_SENDER = "wrong_sender"
    TOO_FAR_AHEAD = "too_far_ahead"
    TOO_MANY_OPEN = "too_many_open"
    WRONG_ROOT = "wrong_root"
    CONFLICTING_PARTIAL = "conflicting_partial"
    BAD_PARTIAL = "bad_partial"
    BAD_GROUP_SIGNATURE = "bad_group_signature"
    SUSPECT = "suspect"
    NOT_DECIDED = "not_decided"
    ALREADY_SIGNED = "already_signed"


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
