"""Values of the rejoin core: phases, what is known, inputs, effects."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias

import msgspec

from dst.spec.primitives import Height, OperatorIndex


class Phase(StrEnum):
    GATHERING = "gathering"
    """A store that was created just now: it begins with the others."""
    ASKING = "asking"
    """Votes may be missing here: how far may this operator have voted?"""
    WAITING = "waiting"
    """It votes once it holds the certificate of `vote_above`."""
    VOTING = "voting"


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the others, and what follows for this operator.

    claims: the highest decided height that each peer reports of itself.
    proven: claims whose certificate the peer has shown since the start.
    ready: peers that vote, or will as soon as they begin.
    heard_enough_at: monotonic seconds at which a gathering store had heard a quorum.
    vote_above: set while WAITING.
    """

    n: int
    phase: Phase
    claims: Mapping[OperatorIndex, Height] = {}
    proven: Mapping[OperatorIndex, Height] = {}
    ready: frozenset[OperatorIndex] = frozenset()
    heard_enough_at: float | None = None
    vote_above: Height | None = None


class PeerClaims(msgspec.Struct, frozen=True, kw_only=True):
    """A peer says how far it has decided. Claims never fall. ready: whether it votes, or will as
    soon as it begins; None: it did not say."""

    peer: OperatorIndex
    height: Height
    ready: bool | None = None


class PeerProves(msgspec.Struct, frozen=True, kw_only=True):
    """A peer has shown the certificate of a height that it claimed."""

    peer: OperatorIndex
    height: Height


class VoteForgotten(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate holds a COMMIT of this operator that its log does not hold."""


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """Looked at now and then. now: monotonic seconds; decided: the highest height held here; ready:
    whether this operator could vote, if it began."""

    now: float
    decided: Height
    ready: bool = True


Input: TypeAlias = PeerClaims | PeerProves | VoteForgotten | Tick


class Began(msgspec.Struct, frozen=True, kw_only=True):
    """The store is not new any more: from now on it votes at once after a start."""


class Rejoin(msgspec.Struct, frozen=True, kw_only=True):
    """Persist: no vote at or below `vote_above`, which is None until it is known."""

    vote_above: Height | None


class Rejoined(msgspec.Struct, frozen=True, kw_only=True):
    """Persist: votes are given again, and slots up to the head's are never signed."""


Effect: TypeAlias = Began | Rejoin | Rejoined


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    state: State
    effects: tuple[Effect, ...] = ()
