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
    signed: the certificate holds a COMMIT of this node.
    """

    certificate: Certificate
    block: bytes
    took_part: bool = False
    imported: bool = False
    signed: bool = False


class Reason(StrEnum):
    """Why an input was refused. A closed set: logs, metrics and tests name it, and
    `docs/refusals.md` is made from it. First sentence: when; then what it says of the sender."""

    WRONG_TERM = "wrong_term"
    """The message belongs to another term.
    Nothing bad: one of the two has not gone through the last L1 reset."""
    NOT_A_MEMBER = "not_a_member"
    """It names a signer that the cluster does not have.
    The peer that brought it made it up; nobody is accused."""
    BAD_SIGNATURE = "bad_signature"
    """The signature is not the named signer's over this chain, term, height, round, kind and root.
    The peer that brought it forged or garbled it, or the signer votes on another chain; the named
    signer is not accused."""
    NOT_THE_LEADER = "not_the_leader"
    """A proposal, or the pass, of an operator that does not lead the round.
    Its signer lies; kept as evidence."""
    STALE = "stale"
    """Height 0: genesis is decided by nobody.
    Nothing honest says it; nobody is accused."""
    TOO_FAR_AHEAD = "too_far_ahead"
    """A vote over 64 rounds ahead, a round beyond 32 bits, the pass of a round that none may pass
    on, a certificate above the open height.
    Either a liar, or this operator was away; once it has caught up the vote is repeated."""
    ROOT_MISMATCH = "root_mismatch"
    """The block does not hash to the proposed root, or its link brought two such before.
    The leader's fault when its own link brought it, else that of who passed it on: the signature
    covers the root alone."""
    OVERSIZED_BLOCK = "oversized_block"
    """The block is larger than `max_block_bytes`.
    The leader's fault when its own link brought it, else that of who passed it on."""
    SECOND_PROPOSAL = "second_proposal"
    """The leader signed another proposal for the round.
    Convicted: both signed messages are kept."""
    UNJUSTIFIED_PROPOSAL = "unjustified_proposal"
    """Round-changes and lock do not justify the proposal: missing, too many, doubled, of another
    round.
    The leader's fault when its own link brought it, else that of who passed it on."""
    UNJUSTIFIED_ROUND_CHANGE = "unjustified_round_change"
    """A lock claimed without its prepare quorum, or not older than its round.
    The signer's fault when its own link brought it, else that of who passed it on."""
    INVALID_BLOCK = "invalid_block"
    """This operator's rollup node refused the block, or held it until the round was over.
    Nothing certain: clocks and L1 differ among honest operators."""
    BAD_CERTIFICATE = "bad_certificate"
    """The votes of a certificate are no quorum for what it says.
    The peer that brought it lies. Catch-up looks first, so the core hardly ever sees one."""
    CONFLICTING_VOTE = "conflicting_vote"
    """The signer voted for, or claimed, two things in one round.
    Convicted: both signed messages are kept."""


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
    LEADER_PASSED = "leader_passed"
    """The leader of the round before has passed it on."""
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
