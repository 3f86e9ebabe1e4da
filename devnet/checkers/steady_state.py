"""L8 steady state: of any 30 slots in which nothing disturbs the network, 95 in 100 have a block.

Only runs that leave the network alone for so long can show it; in others L1 speaks of each gap.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from devnet.checkers.base import amount, counted
from devnet.checkers.recovery import MARGIN_SECONDS
from devnet.checkers.sound_machine import Measured, judge_in_time
from devnet.model.history import Event, History
from devnet.model.timeline import Span, calm_spans, first_sealed
from devnet.model.verdict import Verdict, Violation

NAME: Final = "L8 steady state"
WINDOW_SLOTS: Final = 30
ALLOWED_SHARE: Final = 0.05
"""Of a window's slots, without a block."""
SHOWN: Final = 8


@dataclass(frozen=True, slots=True)
class Window:
    """So many slots in a row, from the one of `first` on."""

    first: Event
    missed: tuple[int, ...]


def check(history: History) -> Verdict:
    slot = history.setup.slot_seconds
    calm = calm_spans(history, slot + MARGIN_SECONDS)
    found = [_measured(window, slot) for window in _windows(history, calm)]
    note = counted(len(found), f"window{{s}} of {WINDOW_SLOTS} slots")
    bound = ALLOWED_SHARE * WINDOW_SLOTS * slot
    return judge_in_time(NAME, history, found, bound=bound, note=note)


def _windows(history: History, calm: list[Span]) -> Iterator[Window]:
    """One from each block on that has so many slots of calm after it."""
    sealed = [event for event in first_sealed(history) if event.slot is not None]
    used = {event.slot for event in sealed}
    length = WINDOW_SLOTS * history.setup.slot_seconds
    for start, end in calm:
        for event in sealed:
            if start <= event.monotonic and event.monotonic + length <= end:
                assert event.slot is not None, "sorted out above"
                slots = range(event.slot, event.slot + WINDOW_SLOTS)
                yield Window(event, tuple(slot for slot in slots if slot not in used))


def _measured(window: Window, slot_seconds: float) -> Measured:
    begins = window.first.monotonic
    span = (begins, begins + WINDOW_SLOTS * slot_seconds)
    return Measured(len(window.missed) * slot_seconds, _violation(window, slot_seconds), span)


def _violation(window: Window, slot_seconds: float) -> Violation:
    count = len(window.missed)
    which = f" ({', '.join(map(str, window.missed[:SHOWN]))})" if window.missed else ""
    return Violation(
        checker=NAME,
        summary=f"with nothing done to the network, {count} of the {WINDOW_SLOTS} slots from "
        f"{window.first.slot} on have no block{which}: {amount(count * slot_seconds, 's')}",
        monotonic=window.first.monotonic + WINDOW_SLOTS * slot_seconds,
        height=window.first.height,
        witness=(window.first,),
    )
