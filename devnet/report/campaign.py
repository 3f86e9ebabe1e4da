"""What a campaign says: figures of each place of its matrix, a verdict for each service level, and
what became worse than in an earlier one. Pure: from runs' own figures.

Runs that showed nothing (inconclusive, vacuous) are counted and left out of every figure. A run
that failed without a figure counts as beyond any limit.
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from devnet.checkers.base import counted
from devnet.model.cluster import CellKey, ClusterKind, sequencers_told
from devnet.model.command import Exit
from devnet.model.verdict import Outcome
from devnet.report.measures import NAMES, Measures
from devnet.report.statistics import (
    Quantile,
    Statistics,
    holm,
    more_often,
    runs_needed,
    seldom_enough,
    statistics_of,
    too_often,
    worse,
)
from devnet.report.table import render_columns
from devnet.scenarios.slo import PASSES, Objective, ServiceLevels
from dst.spec.errors import BadConfig

VERSION: Final = 1
SHOWN: Final = (Outcome.PASS, Outcome.FAIL)
SIGNIFICANCE: Final = 0.05
"""Of all comparisons together."""
NOTICED: Final = 0.05
"""A median that moved by less is no news, however sure it is."""
LEAST_RUNS: Final = 5
"""On either side of a comparison."""
TIMES: Final = ("gap", "detection", "recovery", "inclusion")
COUNTS: Final = ("rounds", "lost")


class RunFigures(msgspec.Struct, frozen=True, kw_only=True):
    seed: int
    outcome: Outcome
    reason: str = ""
    unsafe: bool = False
    """A safety invariant broke, which no service level excuses; also where only the checkers of the
    day said so."""
    judged_anew: str = ""
    """What the checkers of today say otherwise than those of the run."""
    folder: str
    measures: Measures


class BrokenRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that showed nothing, because the harness failed or its record was cut off. unsafe: what
    there is of it breaks safety."""

    scenario: str
    seed: int
    reason: str
    folder: str
    unsafe: bool = False

    def told(self) -> str:
        breach = "; a safety invariant broke before that" if self.unsafe else ""
        return f"{self.scenario}, seed {self.seed}: {self.reason}{breach} ({self.folder})"


class CellFigures(msgspec.Struct, frozen=True, kw_only=True):
    scenario: str
    operators: int
    regions: str
    slot_seconds: int
    cluster: ClusterKind = ClusterKind.DST
    runs: tuple[RunFigures, ...]
    statistics: dict[str, Statistics] = {}

    @property
    def key(self) -> CellKey:
        return (self.scenario, self.operators, self.regions, self.slot_seconds, self.cluster)

    @property
    def shown(self) -> list[RunFigures]:
        return [run for run in self.runs if run.outcome in SHOWN]

    def values(self, measure: str) -> list[float]:
        found = (getattr(run.measures, measure) for run in self.shown)
        return [value for value in found if value is not None]

    def count(self, outcome: Outcome) -> int:
        return sum(run.outcome is outcome for run in self.runs)

    def told(self) -> str:
        regions = "" if self.regions == "none" else f", {self.regions}"
        return f"{self.scenario}, {self.sequenced_by}{regions}, {self.slot_seconds} s"

    @property
    def sequenced_by(self) -> str:
        """`n = 4`, `single`."""
        return sequencers_told(self.cluster, self.operators)


class Said(StrEnum):
    MET = "met"
    MISSED = "missed"
    TOO_FEW = "not enough runs to say"


class LevelVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """beyond: of `runs`, how many did not keep it. silent: runs it was about that showed
    nothing."""

    name: str
    objective: str
    said: Said
    beyond: int
    runs: int
    silent: int
    note: str = ""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """chance: of a difference like this if nothing had changed, corrected for the number of
    comparisons. before, after: medians; of `passes`, shares of runs that passed."""

    cell: str
    measure: str
    before: float
    after: float
    chance: float
    worse: bool


class CampaignReport(msgspec.Struct, frozen=True, kw_only=True):
    """`campaign.json`."""

    version: int = VERSION
    name: str
    about: str
    backend: str
    cells: tuple[CellFigures, ...]
    missing: int
    """Runs that it asks for and that are not there."""
    broken: tuple[BrokenRun, ...] = ()
    """Also those that a second try made up for."""
    product: str = ""
    """Digest of what was tested."""
    others: int = 0
    """Runs in the folder that do not count: of another scenario, network or product."""
    slo: str = ""
    levels: tuple[LevelVerdict, ...] = ()
    against: str = ""
    changes: tuple[Change, ...] = ()
    too_few_to_compare: tuple[str, ...] = ()


def figures_of(place: CellKey, runs: Sequence[RunFigures]) -> CellFigures:
    scenario, operators, regions, slot_seconds, cluster = place
    bare = CellFigures(
        scenario=scenario,
        operators=operators,
        regions=regions,
        slot_seconds=slot_seconds,
        cluster=cluster,
        runs=tuple(runs),
    )
    known = {name: statistics_of(bare.values(name)) for name in NAMES}
    kept = {name: found for name, found in known.items() if found is not None}
    return msgspec.structs.replace(bare, statistics=kept)


def judge_levels(levels: ServiceLevels, cells: Sequence[CellFigures]) -> tuple[LevelVerdict, ...]:
    """A verdict for each, over all runs that it is about, none of them on a baseline. Raises:
    BadConfig for one that is about nothing here."""
    return tuple(_judged(objective, cells) for objective in levels.objectives)


def _judged(objective: Objective, cells: Sequence[CellFigures]) -> LevelVerdict:
    ours = [cell for cell in cells if not cell.cluster.is_baseline]
    mine = [cell for cell in ours if objective.is_about(*cell.key[:4])]
    if not mine:
        raise BadConfig(f"service level {objective.name}: this campaign has no such place")
    kept = [
        found
        for cell in mine
        for run in cell.shown
        if (found := _keeps(objective, run)) is not None
    ]
    beyond, runs = kept.count(False), len(kept)
    share = 1 - objective.share
    if too_often(beyond, runs, share):
        said, note = Said.MISSED, ""
    elif seldom_enough(beyond, runs, share):
        said, note = Said.MET, ""
    else:
        said = Said.TOO_FEW
        note = f"with {beyond} beyond it takes {runs_needed(share, beyond)} runs to be shown"
    return LevelVerdict(
        name=objective.name,
        objective=objective.told(),
        said=said,
        beyond=beyond,
        runs=runs,
        silent=sum(len(cell.runs) - len(cell.shown) for cell in mine),
        note=note,
    )


def _keeps(objective: Objective, run: RunFigures) -> bool | None:
    """None: there was nothing to measure."""
    if objective.measure == PASSES:
        return run.outcome is Outcome.PASS
    value: float | None = getattr(run.measures, objective.measure)
    if value is None:
        return False if run.outcome is Outcome.FAIL else None
    return value <= objective.limit


def compare(
    before: Sequence[CellFigures], after: Sequence[CellFigures]
) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Every measure of every place that both have, and the places with too few runs to say."""
    earlier = {cell.key: cell for cell in before}
    both = [(earlier[cell.key], cell) for cell in after if cell.key in earlier]
    few = [new.told() for old, new in both if min(len(old.shown), len(new.shown)) < LEAST_RUNS]
    found = [change for old, new in both if new.told() not in few for change in _changes(old, new)]
    corrected = holm([change.chance for change in found])
    told = (
        msgspec.structs.replace(
            change,
            chance=chance,
            worse=chance <= SIGNIFICANCE and _is_noticed(change),
        )
        for change, chance in zip(found, corrected, strict=True)
    )
    return tuple(told), tuple(few)


def _changes(old: CellFigures, new: CellFigures) -> Iterator[Change]:
    for name in NAMES:
        was, now = old.values(name), new.values(name)
        if min(len(was), len(now)) < LEAST_RUNS:
            continue
        yield Change(
            cell=new.told(),
            measure=name,
            before=old.statistics[name].p50.value,
            after=new.statistics[name].p50.value,
            chance=worse(was, now),
            worse=False,
        )
    failed = [(cell.count(Outcome.FAIL), len(cell.shown)) for cell in (old, new)]
    yield Change(
        cell=new.told(),
        measure=PASSES,
        before=1 - failed[0][0] / failed[0][1],
        after=1 - failed[1][0] / failed[1][1],
        chance=more_often(failed[0], failed[1]),
        worse=False,
    )


def _is_noticed(change: Change) -> bool:
    if change.measure == PASSES:
        return change.after < change.before
    return change.after > change.before * (1 + NOTICED)


def exit_of(report: CampaignReport) -> Exit:
    """What was promised is broken (1), not shown (2), or not even run (3). Without service levels a
    run that failed is what is broken; with them, only one that was unsafe. What baselines do is no
    promise."""
    ours = [cell for cell in report.cells if not cell.cluster.is_baseline]
    runs = [run for cell in ours for run in cell.runs]
    said = [level.said for level in report.levels]
    places = {cell.told() for cell in ours}
    worse_here = any(change.worse and change.cell in places for change in report.changes)
    unsafe = any(run.unsafe for run in runs) or any(run.unsafe for run in report.broken)
    broken = unsafe or worse_here
    if not report.levels:
        broken = broken or any(run.outcome is Outcome.FAIL for run in runs)
    if broken or Said.MISSED in said:
        return Exit.FAILED
    if report.missing:
        return Exit.HARNESS
    unclear = Said.TOO_FEW in said if said else any(run.outcome not in SHOWN for run in runs)
    return Exit.NOTHING_SHOWN if unclear else Exit.OK


def read_report(data: bytes, what: str) -> CampaignReport:
    """Raises: BadConfig."""
    try:
        return msgspec.json.decode(data, type=CampaignReport)
    except msgspec.MsgspecError as error:
        raise BadConfig(f"{what}: no report of a campaign that can be read: {error}") from error


def amount_of(measure: str, value: float | None) -> str:
    if value is None:
        return "-"
    if measure in TIMES:
        return f"{value:.2f} s"
    if measure == "cpu_block":
        return f"{1000 * value:.0f} ms"
    return f"{value:g}" if measure in COUNTS else f"{100 * value:.0f} %"


def interval_of(measure: str, quantile: Quantile) -> str:
    """`1.05 s [1.04 s, -]`: open at an end for which there are too few runs."""
    ends = ", ".join(amount_of(measure, end) for end in (quantile.low, quantile.high))
    return f"{amount_of(measure, quantile.value)} [{ends}]"


def render_report(report: CampaignReport) -> str:
    """For a terminal: how the runs ended, the figures, the verdicts, what became worse, what did
    not pass."""
    parts = [render_columns(_outcome_rows(report)), "", render_columns(_figure_rows(report))]
    if report.levels:
        parts += ["", render_columns(_level_rows(report.levels))]
    if report.against:
        parts += ["", *_change_lines(report)]
    for cell in report.cells:
        for run in cell.runs:
            if run.outcome is not Outcome.PASS:
                which = f"{cell.told()}, seed {run.seed}"
                parts.append(f"{which}: {run.outcome.value}: {run.reason} ({run.folder})")
    parts += notes_of(report)
    return "\n".join(parts)


def notes_of(report: CampaignReport) -> list[str]:
    """What the figures do not say: runs judged otherwise than before, broken, missing, or not
    counted."""
    notes = [
        f"{cell.told()}, seed {run.seed}: judged anew: {run.judged_anew} ({run.folder})"
        for cell in report.cells
        for run in cell.runs
        if run.judged_anew
    ]
    notes += [f"nothing shown: {run.told()}" for run in report.broken]
    if report.missing:
        notes.append(f"{counted(report.missing, 'run{s}')} could not be carried out")
    if report.others:
        many = counted(report.others, "run{s}")
        notes.append(f"{many} of another scenario, network or product not counted")
    return notes


def _outcome_rows(report: CampaignReport) -> list[tuple[str, ...]]:
    head = ("place", "runs", *(outcome.value for outcome in Outcome))
    rows = [
        (cell.told(), str(len(cell.runs)), *(str(cell.count(outcome)) for outcome in Outcome))
        for cell in report.cells
    ]
    return [head, *rows]


def _figure_rows(report: CampaignReport) -> list[tuple[str, ...]]:
    head = ("place", "measure", "runs", "p50", "p95", "p99", "max")
    rows = [
        (
            cell.told(),
            name,
            str(found.count),
            *(interval_of(name, each) for each in (found.p50, found.p95, found.p99)),
            amount_of(name, found.max),
        )
        for cell in report.cells
        for name, found in cell.statistics.items()
    ]
    return [head, *rows]


def _level_rows(levels: Iterable[LevelVerdict]) -> list[tuple[str, ...]]:
    head = ("service level", "verdict", "objective", "beyond", "of runs", "")
    rows = [
        (
            level.name,
            level.said.value,
            level.objective,
            str(level.beyond),
            str(level.runs),
            level_note(level),
        )
        for level in levels
    ]
    return [head, *rows]


def level_note(level: LevelVerdict) -> str:
    silent = f"{counted(level.silent, 'run{s}')} showed nothing" if level.silent else ""
    return "; ".join(part for part in (level.note, silent) if part)


def _change_lines(report: CampaignReport) -> Iterator[str]:
    worse_ones = [change for change in report.changes if change.worse]
    looks = counted(len(report.changes), "comparison{s}")
    yield f"against {report.against}: {len(worse_ones)} of {looks} worse beyond noise ({TESTS})"
    for change in worse_ones:
        yield f"WORSE {change_told(change)}"
    if report.too_few_to_compare:
        yield f"too few runs to compare: {'; '.join(report.too_few_to_compare)}"


TESTS: Final = (
    "one-sided rank-sum test by permutation, of passes Fisher's exact test, corrected by Holm "
    f"to {SIGNIFICANCE:g} together; medians more than {100 * NOTICED:g} % apart"
)


def change_told(change: Change) -> str:
    def told(value: float) -> str:
        return (
            f"{100 * value:.0f} %" if change.measure == PASSES else amount_of(change.measure, value)
        )

    return (
        f"{change.cell}: {change.measure} {told(change.before)} -> {told(change.after)} "
        f"(p = {change.chance:.2g})"
    )
