"""What became worse than in an earlier campaign, place by place and measure by measure, and what
could not be compared. Pure: from runs' own figures.

Runs that shared a network count as one: their median; failed if one of them did.
"""

from collections.abc import Collection, Iterator, Sequence
from statistics import median_low
from typing import Final

import msgspec

from devnet.checkers.base import counted
from devnet.model.verdict import Outcome
from devnet.report.cells import CellFigures, amount_of
from devnet.report.measures import NAMES
from devnet.report.statistics import holm, least_chance, more_often, worse
from devnet.scenarios.slo import PASSES

SIGNIFICANCE: Final = 0.05
"""Of all comparisons together."""
NOTICED: Final = 0.05
"""A median that moved by less is no news, however sure it is."""
LEAST_RUNS: Final = 5
"""On networks of their own, on either side of a comparison."""
TESTS: Final = (
    "one-sided rank-sum test, of passes Fisher's exact test, corrected by Holm "
    f"to {SIGNIFICANCE:g} together; medians more than {100 * NOTICED:g} % apart"
)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """chance: of a difference like this if nothing had changed, corrected for the number of
    comparisons. before, after: medians (None: more than was waited for); of `passes`, shares of
    networks without a run that failed. blind: no difference between so few, among so many
    comparisons, could have been told from noise."""

    cell: str
    measure: str
    before: float | None
    after: float | None
    chance: float
    worse: bool = False
    blind: bool = False


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    changes: tuple[Change, ...] = ()
    too_few: tuple[str, ...] = ()
    """Places, and measures of places, in which one side has too few runs."""
    left_out: tuple[str, ...] = ()
    """Places of one side only, and measures that neither side has enough of."""

    def of(self, places: Collection[str]) -> "Comparison":
        """What was told of these; that of a measure begins with its place."""
        return Comparison(
            changes=tuple(change for change in self.changes if change.cell in places),
            too_few=tuple(told for told in self.too_few if told.partition(": ")[0] in places),
            left_out=tuple(told for told in self.left_out if told.partition(": ")[0] in places),
        )

    @property
    def worse(self) -> list[Change]:
        return [change for change in self.changes if change.worse]

    @property
    def blind(self) -> int:
        return sum(change.blind for change in self.changes)

    @property
    def is_unclear(self) -> bool:
        return bool(self.too_few or self.blind)


def compare(before: Sequence[CellFigures], after: Sequence[CellFigures]) -> Comparison:
    earlier, now = ({cell.key: cell for cell in cells} for cells in (before, after))
    left_out = [f"{cell.told()}: only earlier" for cell in before if cell.key not in now]
    left_out += [f"{cell.told()}: only now" for cell in after if cell.key not in earlier]
    found: list[tuple[Change, float]] = []
    too_few: list[str] = []
    for new in after:
        if (old := earlier.get(new.key)) is None:
            continue
        if min(_networks(old), _networks(new)) < LEAST_RUNS:
            too_few.append(new.told())
            continue
        found.append(_of_passes(old, new))
        for name in NAMES:
            was, is_now = _medians(old, name), _medians(new, name)
            if min(len(was), len(is_now)) >= LEAST_RUNS:
                found.append(_of_measure(new, name, was, is_now))
            elif was or is_now:
                told = f"{new.told()}: {name} ({len(was)} and {len(is_now)})"
                enough = max(len(was), len(is_now)) >= LEAST_RUNS
                (too_few if enough else left_out).append(told)
    changes = tuple(_corrected(found))
    return Comparison(changes=changes, too_few=tuple(too_few), left_out=tuple(left_out))


def _networks(cell: CellFigures) -> int:
    return len({run.alone_on for run in cell.shown})


def _medians(cell: CellFigures, measure: str) -> list[float]:
    """Of each network."""
    return [median_low(values) for values in cell.by_network(measure)]


def _of_measure(
    cell: CellFigures, measure: str, was: list[float], is_now: list[float]
) -> tuple[Change, float]:
    """A comparison, and the least chance that it could have had."""
    before, after = (median_low(values) for values in (was, is_now))
    change = Change(
        cell=cell.told(),
        measure=measure,
        before=None if before == INFINITE else before,
        after=None if after == INFINITE else after,
        chance=worse(was, is_now),
    )
    return change, least_chance(len(was), len(is_now))


INFINITE: Final = float("inf")


def _of_passes(old: CellFigures, new: CellFigures) -> tuple[Change, float]:
    def failed(cell: CellFigures) -> int:
        return len({run.alone_on for run in cell.shown if run.outcome is Outcome.FAIL})

    counts = [(failed(cell), _networks(cell)) for cell in (old, new)]
    change = Change(
        cell=new.told(),
        measure=PASSES,
        before=1 - counts[0][0] / counts[0][1],
        after=1 - counts[1][0] / counts[1][1],
        chance=more_often(counts[0], counts[1]),
    )
    return change, least_chance(counts[0][1], counts[1][1])


def _corrected(found: Sequence[tuple[Change, float]]) -> Iterator[Change]:
    chances = holm([change.chance for change, _ in found])
    for (change, least), chance in zip(found, chances, strict=True):
        yield msgspec.structs.replace(
            change,
            chance=chance,
            worse=chance <= SIGNIFICANCE and _is_noticed(change),
            blind=least * len(found) > SIGNIFICANCE,
        )


def _is_noticed(change: Change) -> bool:
    before, after = (INFINITE if v is None else v for v in (change.before, change.after))
    if change.measure == PASSES:
        return after < before
    return after > before * (1 + NOTICED)


def change_told(change: Change) -> str:
    def told(value: float | None) -> str:
        if value is None:
            return "without end"
        if change.measure == PASSES:
            return f"{100 * value:.0f} %"
        return amount_of(change.measure, value)

    return (
        f"{change.cell}: {change.measure} {told(change.before)} -> {told(change.after)} "
        f"(p = {change.chance:.2g})"
    )


def not_compared(comparison: Comparison) -> Iterator[str]:
    """What was not compared, or in vain."""
    if comparison.blind:
        looks = counted(len(comparison.changes), "comparison{s}")
        yield (
            f"too few runs for so many comparisons: in {comparison.blind} of {looks} no difference "
            "could have been told from noise; give more seeds, or fewer places"
        )
    if comparison.too_few:
        yield f"too few runs to compare: {'; '.join(comparison.too_few)}"
    if comparison.left_out:
        yield f"not compared: {'; '.join(comparison.left_out)}"
