"""Everything the core can ask of its shell, performed strictly in order.

`Persist` returns when its record is on disk; sends after it in the list depend on it. A crash may
fall between any two.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from dst.qbft.messages import Certificate, Message, Signed
from dst.qbft.records import Record
from dst.spec.primitives import Height, OperatorIndex, Root, Round


@dataclass(frozen=True, slots=True, kw_only=True)
class Persist:
    record: Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Broadcast:
    """Send to every other operator. The core has already handled its own copy."""

    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    to: OperatorIndex
    message: Message


class TimerKind(StrEnum):
    ROUND = "round"
    RETRANSMIT = "retransmit"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTimer:
    """Deliver RoundExpired or RetransmitDue for (height, round) after delay_ms.

    Replaces a running timer of the kind.
    spare_ms: how much longer than this the round lasts once its proposal is here.
    """

    kind: TimerKind
    height: Height
    round: Round
    delay_ms: int
    spare_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestBlock:
    """Build a fresh block for (height, round) on the decided parent.

    Answered by BlockBuilt, or never.
    """

    height: Height
    round: Round


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidateBlock:
    """Validate a proposal; answered by BlockValidated, or never when the round ends first.

    justified: True when a round-change quorum forces this root: deterministic rules only, and
    executed to the end.
    """

    height: Height
    round: Round
    root: Root
    block: bytes
    justified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchBlock:
    """Get the block with `root` from one of `holders`, one after another (bounded).

    Answered by BlockFetched.
    """

    height: Height
    root: Root
    holders: tuple[OperatorIndex, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchDecided:
    """This node is behind.

    Get certificates with blocks from `from_height` on, from `peer`. Rate-limited by the shell.
    """

    peer: OperatorIndex
    from_height: Height


@dataclass(frozen=True, slots=True, kw_only=True)
class HelpLaggard:
    """`peer` still talks about the decided `height`.

    Send it the certificate with its block. Rate-limited by the shell.
    """

    peer: OperatorIndex
    height: Height


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """`block` is final at certificate.height.

    Its DecisionRecord was persisted before this effect.
    took_part: this node was locked at the height: its log holds votes of it.
    imported: a certificate said so, not votes that were heard.
    """

    certificate: Certificate
    block: bytes
    took_part: bool = False
    imported: bool = False


class Reason(StrEnum):
    """Why an input was refused. A closed set: logs, metrics and tests name it."""

    WRONG_TERM = "wrong_term"
    NOT_A_MEMBER = "not_a_member"
    BAD_SIGNATURE = "bad_signature"
    NOT_THE_LEADER = "not_the_leader"
    STALE = "stale"
    TOO_FAR_AHEAD = "too_far_ahead"
    ROOT_MISMATCH = "root_mismatch"
    OVERSIZED_BLOCK = "oversized_block"
    SECOND_PROPOSAL = "second_proposal"
    UNJUSTIFIED_PROPOSAL = "unjustified_proposal"
    UNJUSTIFIED_ROUND_CHANGE = "unjustified_round_change"
    INVALID_BLOCK = "invalid_block"
    BAD_CERTIFICATE = "bad_certificate"
    CONFLICTING_VOTE = "conflicting_vote"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Input refused, state unchanged.

    `culprit` is the operator whose signed message is at fault, when known; `offence` is that
    message (one kept from before the height began may be refused later than it arrived), and
    `contradicts` what the same operator had signed before, when the two convict it together.
    """

    reason: Reason
    link_peer: OperatorIndex | None
    culprit: OperatorIndex | None
    detail: str
    offence: Message | None = None
    contradicts: Signed | None = None


class Cause(StrEnum):
    """Why a round was entered."""

    TIMER = "timer"
    """The round before ran out."""
    LEADER_LOST = "leader_lost"
    """The link to the leader of the round before is down."""
    OTHERS = "others"
    """f+1 operators asked for it, or its leader proposed."""


class Milestone(StrEnum):
    PROPOSAL = "proposal"
    PREPARED = "prepared"
    ROUND_CHANGE = "round_change"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """Something observers care about.

    Proposal accepted (or made), lock taken, round entered (root None, and for what cause).
    """

    milestone: Milestone
    height: Height
    round: Round
    root: Root | None
    cause: Cause | None = None


Effect: TypeAlias = (
    Persist
    | Broadcast
    | Send
    | SetTimer
    | RequestBlock
    | ValidateBlock
    | FetchBlock
    | FetchDecided
    | HelpLaggard
    | Decided
    | Refused
    | Reached
)
