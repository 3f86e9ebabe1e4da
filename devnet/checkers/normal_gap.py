"""L1 normal gap: while nothing disturbs it, the chain seals its next block within a block time and
three quarters.

Half a block time is what a round takes before it is given up: so one round too many, which a busy
machine may cost, is forgiven here, and a slot without a block is not. Links add next to nothing
where nobody slows them. After a heal the chain has the time of L4 first.
"""

from itertools import pairwise
from typing import Final

from devnet.checkers.base import amount, counted
from devnet.checkers.recovery import MARGIN_SECONDS
from devnet.checkers.sound_machine import Measured, judge_in_time
from devnet.model.history import Event, History
from devnet.model.timeline import calm_spans, first_sealed
from devnet.model.verdict import Verdict, Violation

NAME: Final = "L1 normal gap"
SLOTS: Final = 1.75


def check(history: History) -> Verdict:
    slot = history.setup.slot_seconds
    sealed, calm = first_sealed(history), calm_spans(history, slot + MARGIN_SECONDS)
    found = [
        Measured(
            after.monotonic - before.monotonic,
            _violation(before, after),
            (before.monotonic, after.monotonic),
        )
        for start, end in calm
        for before, after in pairwise(sealed)
        if start <= before.monotonic and after.monotonic <= end
    ]
    note = counted(len(found), "gap{s} in calm")
    return judge_in_time(NAME, history, found, bound=SLOTS * slot, note=note)


def _violation(before: Event, after: Event) -> Violation:
    seconds = amount(after.monotonic - before.monotonic, "s")
    return Violation(
        checker=NAME,
        summary=f"with nothing done to the network, before height {after.height} was sealed: "
        + seconds,
        monotonic=after.monotonic,
        height=after.height,
        witness=(before, after),
    )
