"""Where in the protocol a fault landed: read from what the event streams had said by then. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from devnet.model.history import Event, EventKind


class Phase(StrEnum):
    """How far a height had come when a fault hit: the last thing any event stream said of it by
    then."""

    IDLE = "idle"
    """Nothing yet: the slot had not begun, or the leader was still building."""
    PROPOSAL = "proposal"
    PREPARED = "prepared"
    DECIDED = "decided"
    """Decided, its group signature still owed."""
    ROUND_CHANGE = "round_change"


_STEPS: Final = {
    EventKind.PROPOSAL: Phase.PROPOSAL,
    EventKind.PREPARED: Phase.PREPARED,
    EventKind.ROUND_CHANGE: Phase.ROUND_CHANGE,
}
_ORDER: Final = (Phase.IDLE, Phase.ROUND_CHANGE, Phase.PROPOSAL, Phase.PREPARED)
"""Within one round: entering it comes first, then its proposal, then the lock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    height: int
    round: int
    phase: Phase


def hit_at(events: Iterable[Event], moment: float) -> Hit:
    """Height, round and phase of consensus at `moment` (CLOCK_MONOTONIC).

    The newest decided height counts as the current one until anybody reports it sealed; then the
    next one does.
    """
    known = [event for event in events if event.monotonic <= moment]
    decided = [event for event in known if event.kind is EventKind.DECIDED]
    newest = max((event.height for event in decided), default=0)
    sealed = max((e.height for e in known if e.kind is EventKind.SEALED), default=0)
    if newest > sealed:
        rounds = [event.round or 0 for event in decided if event.height == newest]
        return Hit(height=newest, round=max(rounds, default=0), phase=Phase.DECIDED)
    height = max(newest, sealed) + 1
    steps = [event for event in known if event.height == height and event.kind in _STEPS]
    round_ = max((event.round or 0 for event in steps), default=0)
    phases = {_STEPS[event.kind] for event in steps if (event.round or 0) == round_}
    phase = max(phases | {Phase.IDLE}, key=_ORDER.index)
    return Hit(height=height, round=round_, phase=phase)
