"""State, configuration and transition of the sealing core: values, no behaviour.

Invariant: a height at or below `head` that is not in `open` needs nothing more from this node (it
    is sealed).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from dst.sealing.effects import Effect
from dst.sealing.messages import PartialSignature
from dst.spec.primitives import BLSSignature, Height, OperatorIndex, Root, Term

RETRANSMIT_MS: Final = 500
"""As the cap of the reconnect back-off: a lost partial costs at most half a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Constants and the three pure functions of threshold BLS.

    combine: partials by operator (exactly a threshold of them) -> group signature; may raise
        InvalidInput.
    verify_group, verify_partial: over the signing root; False for anything malformed.
    """

    term: Term
    n: int
    self_index: OperatorIndex
    combine: Callable[[Mapping[OperatorIndex, BLSSignature]], BLSSignature]
    verify_group: Callable[[Root, BLSSignature], bool]
    verify_partial: Callable[[OperatorIndex, Root, BLSSignature], bool]
    retransmit_ms: int = RETRANSMIT_MS


class Open(msgspec.Struct, frozen=True, kw_only=True):
    """A decided height without group signature.

    own: our partial, owed to the others until the height is sealed.
    partials: one per operator, our own included, unverified until a combination fails.
    excluded: operators whose partial was proven bad at this height.
    """

    root: Root
    own: PartialSignature | None = None
    partials: Mapping[OperatorIndex, BLSSignature] = {}
    excluded: frozenset[OperatorIndex] = frozenset()


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What is owed.

    head: highest decided height.
    early: partials of heights not decided here yet (bounded).
    signed: own partials above head, when the log of decisions was lost: sign-once still holds.
    ticking: the timer runs.
    suspects: who sent a partial or group signature that does not verify, since the start. Their
        partials are verified before they are combined, where they are needed; their group
        signatures are not looked at: each look is a pairing.
    """

    head: Height
    open: Mapping[Height, Open] = {}
    early: Mapping[Height, Mapping[OperatorIndex, PartialSignature]] = {}
    signed: Mapping[Height, PartialSignature] = {}
    ticking: bool = False
    suspects: frozenset[OperatorIndex] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    state: State
    effects: tuple[Effect, ...]
