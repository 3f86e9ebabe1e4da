"""What a campaign says: figures of each place of its matrix, a verdict for each service level, and
what became worse than in an earlier one. Pure: from runs' own figures.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from devnet.checkers.base import counted
from devnet.model.cluster import ClusterKind
from devnet.model.command import Exit
from devnet.model.verdict import Outcome
from devnet.report.against import TESTS, Comparison, change_told, not_compared
from devnet.report.cells import FIGURES_HEAD, CellFigures, figures_row
from devnet.report.levels import LevelVerdict, Said, level_note
from devnet.report.table import render_columns
from dst.spec.errors import BadConfig

VERSION: Final = 2


class BrokenRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that showed nothing, because the harness failed or its record was cut off. unsafe: what
    there is of it breaks safety."""

    scenario: str
    cluster: ClusterKind = ClusterKind.DST
    seed: int
    reason: str
    folder: str
    unsafe: bool = False

    def told(self) -> str:
        breach = "; a safety invariant broke before that" if self.unsafe else ""
        return f"{self.scenario}, seed {self.seed}: {self.reason}{breach} ({self.folder})"


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
    comparison: Comparison = Comparison()


def exit_of(report: CampaignReport) -> Exit:
    """What was promised is broken (1), not shown (2), or not even run (3). Without service levels a
    run that failed is what is broken; with them, only one that was unsafe. What baselines do is no
    promise."""
    ours = [cell for cell in report.cells if not cell.cluster.is_baseline]
    runs = [run for cell in ours for run in cell.runs]
    said = [level.said for level in report.levels]
    compared = report.comparison.of({cell.told() for cell in ours})
    unsafe = any(run.unsafe for run in runs) or any(
        run.unsafe for run in report.broken if not run.cluster.is_baseline
    )
    broken = unsafe or bool(compared.worse)
    if not report.levels:
        broken = broken or any(run.outcome is Outcome.FAIL for run in runs)
    if broken or Said.MISSED in said:
        return Exit.FAILED
    if report.missing:
        return Exit.HARNESS
    unclear = Said.TOO_FEW in said if said else any(not run.shown for run in runs)
    in_vain = bool(report.against) and not report.comparison.changes
    unclear = unclear or compared.is_unclear or in_vain
    return Exit.NOTHING_SHOWN if unclear else Exit.OK


class _Versioned(msgspec.Struct):
    version: int


def read_report(data: bytes, what: str) -> CampaignReport:
    """Raises: BadConfig."""
    try:
        version = msgspec.json.decode(data, type=_Versioned).version
        if version != VERSION:
            raise BadConfig(
                f"{what}: figures of version {version}, and this program knows {VERSION}: report "
                "on that campaign again, with --no-runs"
            )
        return msgspec.json.decode(data, type=CampaignReport)
    except msgspec.MsgspecError as error:
        raise BadConfig(f"{what}: no report of a campaign that can be read: {error}") from error


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
    place, *rest = FIGURES_HEAD
    rows = []
    for cell in report.cells:
        for name in cell.statistics:
            told, *figures = figures_row(cell, name)
            rows.append((told, name, *figures))
    return [(place, "measure", *rest), *rows]


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


def _change_lines(report: CampaignReport) -> Iterator[str]:
    found = report.comparison
    looks = counted(len(found.changes), "comparison{s}")
    yield f"against {report.against}: {len(found.worse)} of {looks} worse beyond noise ({TESTS})"
    for change in found.worse:
        yield f"WORSE {change_told(change)}"
    yield from not_compared(found)
