"""Values of the rejoin core: phases, what is known, inputs, effects."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias

import msgspec

from dst.spec.primitives import Height, OperatorIndex


class Phase(StrEnum):
    GATHERING = "gathering"
    """A store that was created just now: is the cluster as new as it is?"""
    ASKING = "asking"
    """Votes may be missing here: how far may this operator have voted?"""
    WAITING = "waiting"
    """It votes once it holds the certificate of `vote_above`."""
    VOTING = "voting"


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the others, and what follows for this operator.

    is_new: created by `--new`, and no decision has shown yet that this was right.
    claims: the highest decided height that each peer reports of itself.
    proven: claims whose certificate the peer has shown since the start.
    ready: peers that vote, or will as soon as they begin.
    heard_enough_at: monotonic seconds at which a gathering store had heard a quorum.
    vote_above: set while WAITING.
    """

    n: int
    phase: Phase
    is_new: bool = False
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


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """This operator holds one more decision.

    took_part: its log holds votes of it. imported: a certificate said so, not votes it heard.
    signed: among its votes is one of this operator.
    """

    height: Height
    took_part: bool
    imported: bool
    signed: bool


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """Looked at now and then. now: monotonic seconds; decided: the highest height held here; ready:
    whether this operator could vote, if it began."""

    now: float
    decided: Height
    ready: bool = True


Input: TypeAlias = PeerClaims | PeerProves | Decided | Tick


class Proven(msgspec.Struct, frozen=True, kw_only=True):
    """Persist: `--new` was no mistake."""


class Rejoin(msgspec.Struct, frozen=True, kw_only=True):
    """Persist: no vote at or below `vote_above`, which is None until it is known."""

    vote_above: Height | None


class Rejoined(msgspec.Struct, frozen=True, kw_only=True):
    """Persist: votes are given again, and slots up to the head's are never signed."""


Effect: TypeAlias = Proven | Rejoin | Rejoined


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    state: State
    effects: tuple[Effect, ...] = ()
