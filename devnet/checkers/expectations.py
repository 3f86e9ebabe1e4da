"""What one scenario promises beyond the standing invariants, as checkers."""

from functools import partial

from devnet.checkers import (
    gap,
    known_fate,
    progress_under_fault,
    rejoin,
    rounds_as_promised,
    standstill,
)
from devnet.checkers.base import Checker
from devnet.model.expect import Expect, RoundChanges


def checkers_for(expect: Expect, operators: int, *, hostile: bool) -> tuple[Checker, ...]:
    """The scenario's own checkers, for a cluster of this size. hostile: whether it sends hostile
    transactions."""
    found: list[Checker] = []
    if expect.round_changes is not RoundChanges.ANY:
        found.append(partial(rounds_as_promised.check, expect=expect))
    if wanted := expect.progress.for_operators(operators):
        found.append(partial(progress_under_fault.check, wanted=wanted))
    if expect.gap is not None:
        found.append(partial(gap.check, limit=expect.gap))
    if expect.rejoin is not None:
        found.append(partial(rejoin.check, limit=expect.rejoin))
    if expect.no_progress:
        found.append(standstill.check)
    if hostile:
        found.append(known_fate.check)
    return tuple(found)
