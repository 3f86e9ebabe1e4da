"""Everything that can happen to the core. Each is a value; time appears only as events that name
what they guard."""

from dataclasses import dataclass
from typing import TypeAlias

from dst.qbft.messages import Certificate, Message
from dst.spec.primitives import Height, OperatorIndex, Root, Round


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """First input after `restore`.

    Re-send what the log promised, start timers, announce again the decisions found above the head.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class HeightDue:
    """The slot of `height` has begun and its parent is decided.

    Round 0's timer starts, its leader builds.
    proposal_within_ms: when the proposal of round 0 is here at the latest, as measured over the
        last heights; None: not measured. The configured T0 is its upper bound.
    """

    height: Height
    proposal_within_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageReceived:
    """A decoded message that arrived on the authenticated link of `link_peer` (who may forward
    others' messages)."""

    link_peer: OperatorIndex
    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundExpired:
    """The round timer set for (height, round) ran out. Stale ones are ignored."""

    height: Height
    round: Round


@dataclass(frozen=True, slots=True, kw_only=True)
class RetransmitDue:
    """The retransmit timer of (height, round) ran out.

    Say again, unchanged, what this round said so far.
    """

    height: Height
    round: Round


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockBuilt:
    """Answer to `RequestBlock`. `root` is the hash tree root of `block` (computed by the shell)."""

    height: Height
    round: Round
    root: Root
    block: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockValidated:
    """Answer to `ValidateBlock`.

    INVALID leaves the round to expire; a HOLD is the shell's to repeat, not an answer.
    """

    height: Height
    round: Round
    root: Root
    valid: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockFetched:
    """Answer to `FetchBlock`; the shell has checked that `block` hashes to `root`."""

    height: Height
    root: Root
    block: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateReceived:
    """A certificate with its block, from catch-up or a helping peer.

    The shell has checked that block hashes to root.
    """

    link_peer: OperatorIndex
    certificate: Certificate
    block: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerConnected:
    """A link to `peer` came up (again): it may have missed everything of this round."""

    peer: OperatorIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerLost:
    """Nothing that `peer` says arrives any more: its connections are closed, or silent for longer
    than they have ever been. A judgement of the links, bounded in how often it may come."""

    peer: OperatorIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerHeard:
    """`peer`, which was lost, is heard again."""

    peer: OperatorIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """This operator is about to be stopped, or (False) no longer: from now on it passes on what it
    would lead, as far as rounds may be passed on. It votes as ever."""

    leaving: bool


Input: TypeAlias = (
    Start
    | HeightDue
    | MessageReceived
    | RoundExpired
    | RetransmitDue
    | BlockBuilt
    | BlockValidated
    | BlockFetched
    | CertificateReceived
    | PeerConnected
    | PeerLost
    | PeerHeard
    | Leave
)
