"""What a campaign says: figures of each place of its matrix, a verdict for each service level, and
what became worse than in an earlier one. Pure: from runs' own figures.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from devnet.checkers.base import counted
from devnet.model.command import Exit
from devnet.model.verdict import Outcome
from devnet.report.cells import FIGURES_HEAD, CellFigures, figures_row
from devnet.report.comparison import TESTS, Comparison, change_told, notes_of
from devnet.report.levels import LevelVerdict, Said, level_note
from devnet.report.table import render_columns
from dst.spec.errors import BadConfig

VERSION: Final = 2


class CampaignReport(msgspec.Struct, frozen=True, kw_only=True):
    """`campaign.json`."""

    version: int = VERSION
    name: str
    about: str
    backend: str
    cells: tuple[CellFigures, ...]
    missing: int
    """Runs that it asks for and that are not there."""
    slo: str = ""
    levels: tuple[LevelVerdict, ...] = ()
    against: str = ""
    comparison: Comparison = Comparison()


def exit_of(report: CampaignReport) -> Exit:
    """What was promised is broken (1), not shown (2), or not even run (3). Without service levels a
    run that failed is what is broken; with them, only one that was unsafe."""
    runs = [run for cell in report.cells for run in cell.runs]
    said = [level.said for level in report.levels]
    broken = any(run.unsafe for run in runs) or bool(report.comparison.worse)
    if not report.levels:
        broken = broken or any(run.outcome is Outcome.FAIL for run in runs)
    if broken or Said.MISSED in said:
        return Exit.FAILED
    if report.missing:
        return Exit.HARNESS
    unclear = Said.TOO_FEW in said if said else any(not run.shown for run in runs)
    compared = report.comparison
    unclear = unclear or compared.is_unclear or bool(report.against and not compared.changes)
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
    if report.missing:
        parts.append(f"{counted(report.missing, 'run{s}')} could not be carried out")
    return "\n".join(parts)


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
    yield from notes_of(found)
