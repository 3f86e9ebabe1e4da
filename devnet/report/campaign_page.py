"""The page of a campaign: self-contained HTML with inline SVG, no script, no outside asset."""

from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import Final, Protocol

from devnet.checkers.base import counted
from devnet.model.verdict import Outcome
from devnet.report.against import TESTS, change_told, not_compared
from devnet.report.campaign import CampaignReport, notes_of
from devnet.report.cells import FIGURES_HEAD, CellFigures, RunFigures, amount_of, figures_row
from devnet.report.comparison import ABOUT, compares, comparison_rows
from devnet.report.comparison import HEAD as HEAD_OF_COMPARISON
from devnet.report.drawing import OUTCOME_COLOUR, STYLE, badge, round_ticks, table
from devnet.report.levels import Said, level_note
from devnet.report.measures import MEANS, NAMES
from devnet.report.statistics import CONFIDENCE, Statistics

WIDE: Final = 960
NAMES_WIDE: Final = 250
RIGHT: Final = 20
ROW: Final = 26
HEAD: Final = 8
FOOT: Final = 24
_SAID_COLOUR: Final = {Said.MET: "#1a7f37", Said.MISSED: "#cf222e", Said.TOO_FEW: "#9a6700"}
_DOT: Final = "#4269d0"


def render_campaign_page(report: CampaignReport) -> str:
    runs = [run for cell in report.cells for run in cell.runs]
    parts = [f"<h1>{escape(report.name)}</h1>", _header(report, runs)]
    if report.levels:
        parts += [f"<h2>Service levels: {escape(report.slo)}</h2>", _levels(report)]
    if report.against:
        parts += [f"<h2>Against {escape(report.against)}</h2>", _changes(report)]
    if compares(report.cells):
        rows = [tuple(map(escape, row)) for row in comparison_rows(report.cells)]
        parts += ["<h2>What it costs, what it buys</h2>", f"<p class=soft>{escape(ABOUT)}</p>"]
        parts.append(table(HEAD_OF_COMPARISON, rows))
    parts += ["<h2>How the runs ended</h2>", _outcomes(report.cells)]
    parts.append(_legend())
    for name in NAMES:
        if cells := [cell for cell in report.cells if name in cell.statistics]:
            parts += [f"<h2>{name.capitalize()}</h2>", f"<p class=soft>{MEANS[name]}</p>"]
            parts += [_strips(cells, name), _figures(cells, name)]
    parts += _coverage(runs)
    parts += _failures(report)
    if notes := notes_of(report):
        items = "".join(f"<li>{escape(note)}</li>" for note in notes)
        parts += ["<h2>What the figures do not say</h2>", f"<ul>{items}</ul>"]
    title = escape(report.name)
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    body = "\n".join(parts)
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _header(report: CampaignReport, runs: Sequence[RunFigures]) -> str:
    missing = f", {report.missing} missing" if report.missing else ""
    return (
        f"<p>{escape(report.about)}</p><p class=soft>{counted(len(runs), 'run{s}')}{missing} on "
        f"{escape(report.backend)}, {counted(len(report.cells), 'place{s}')} of the matrix"
        f"{f'; product {escape(report.product)}' if report.product else ''}</p>"
    )


def _legend() -> str:
    return (
        "<p class=soft>Each dot is a run (hollow: it failed). The bar is the "
        f"{100 * CONFIDENCE:g} % interval of the median by order statistics, the tall tick the "
        "median, the short one p95. An interval that is open (-) has too few runs for that end. "
        "Runs that showed nothing are in no figure. Censored ones, in which no end was seen, are "
        "dots at what was seen, and rank above all others.</p>"
    )


def _pill(text: str, colour: str) -> str:
    return f'<span class="badge" style="background:{colour}">{escape(text)}</span>'


def _levels(report: CampaignReport) -> str:
    rows = [
        (
            escape(level.name),
            _pill(level.said.value, _SAID_COLOUR[level.said]),
            escape(level.objective),
            f"{level.beyond} of {level.runs}",
            escape(level_note(level)),
        )
        for level in report.levels
    ]
    return table(("level", "verdict", "objective", "runs beyond", ""), rows)


def _changes(report: CampaignReport) -> str:
    found = report.comparison
    looks = counted(len(found.changes), "comparison{s}")
    items = "".join(f"<li>{escape(change_told(change))}</li>" for change in found.worse)
    notes = "".join(f"<p>{escape(note)}.</p>" for note in not_compared(found))
    return (
        f"<p>{len(found.worse)} of {looks} worse beyond noise.</p><ul>{items}</ul>{notes}"
        f"<p class=soft>{escape(TESTS)}.</p>"
    )


def _outcomes(cells: Sequence[CellFigures]) -> str:
    def share(cell: CellFigures) -> str:
        x, parts = 0.0, []
        for outcome in Outcome:
            wide = 220 * cell.count(outcome) / max(1, len(cell.runs))
            colour = OUTCOME_COLOUR[outcome]
            parts.append(f'<rect x="{x:.1f}" width="{wide:.1f}" height="12" fill="{colour}"/>')
            x += wide
        label = f"{cell.count(Outcome.PASS)} of {len(cell.runs)} passed"
        return (
            f'<svg viewBox="0 0 220 12" style="width:220px" role="img" aria-label="{label}">'
            f"{''.join(parts)}</svg>"
        )

    rows = [
        (
            escape(cell.told()),
            str(len(cell.runs)),
            share(cell),
            *(str(cell.count(outcome)) for outcome in Outcome),
        )
        for cell in cells
    ]
    return table(("place", "runs", "", *(outcome.value for outcome in Outcome)), rows)


def _strips(cells: Sequence[CellFigures], name: str) -> str:
    """A row of dots for each place, on one scale from zero."""
    seen = (getattr(run.measures, name) for cell in cells for run in cell.shown)
    highest = max((value for value in seen if value is not None), default=0.0) or 1.0
    ticks = round_ticks(0.0, highest)
    high = max(highest, ticks[-1])
    tall = HEAD + ROW * len(cells) + FOOT
    foot = tall - FOOT

    def x(value: float) -> float:
        return NAMES_WIDE + value / high * (WIDE - NAMES_WIDE - RIGHT)

    parts = [
        f'<line x1="{x(tick):.1f}" y1="{HEAD}" x2="{x(tick):.1f}" y2="{foot}" stroke="#9498a0" '
        f'stroke-opacity="0.25"/><text x="{x(tick):.1f}" y="{tall - 8}" text-anchor="middle">'
        f"{escape(amount_of(name, tick))}</text>"
        for tick in ticks
    ]
    for row, cell in enumerate(cells):
        y = HEAD + ROW * row + ROW / 2
        parts.append(
            f'<text x="{NAMES_WIDE - 10}" y="{y + 4:.1f}" text-anchor="end">'
            f"{escape(cell.told())}</text>"
        )
        parts.append(_mark(cell.statistics[name], x, y, high))
        parts += [_dot(run, name, x, y) for run in cell.shown]
    label = f"{MEANS[name]}, by place"
    return (
        f'<svg viewBox="0 0 {WIDE} {tall}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
    )


def _mark(found: Statistics, x: "_Scale", y: float, high: float) -> str:
    low = x(0.0 if found.p50.low is None else found.p50.low)
    wide = max(1.0, x(high if found.p50.high is None else found.p50.high) - low)
    is_open = None in (found.p50.low, found.p50.high)
    strength = 0.08 if is_open else 0.25
    bar = (
        f'<rect x="{low:.1f}" y="{y - 7:.1f}" width="{wide:.1f}" height="14" fill="{_DOT}" '
        f'fill-opacity="{strength}"/>'
    )
    ticks = (
        f'<line x1="{x(value):.1f}" y1="{y - reach:.1f}" x2="{x(value):.1f}" y2="{y + reach:.1f}" '
        'stroke="currentColor" stroke-width="1.6"/>'
        for value, reach in ((found.p50.value, 10), (found.p95.value, 5))
        if value is not None
    )
    return bar + "".join(ticks)


def _dot(run: RunFigures, name: str, x: "_Scale", y: float) -> str:
    value: float | None = getattr(run.measures, name)
    if value is None:
        return ""
    # Dots of equal value would hide each other: seeds spread them, the same way each time.
    shift = (run.seed * 37 % 11 - 5) * 0.9
    fill = "none" if run.outcome is Outcome.FAIL else _DOT
    colour = OUTCOME_COLOUR[Outcome.FAIL] if run.outcome is Outcome.FAIL else _DOT
    least = "at least " if name in run.measures.censored else ""
    title = f"seed {run.seed}: {least}{amount_of(name, value)}"
    return (
        f'<circle cx="{x(value):.1f}" cy="{y + shift:.1f}" r="2.6" fill="{fill}" '
        f'fill-opacity="0.6" stroke="{colour}"><title>{escape(title)}</title></circle>'
    )


def _figures(cells: Sequence[CellFigures], name: str) -> str:
    rows = [tuple(map(escape, figures_row(cell, name))) for cell in cells]
    return table(FIGURES_HEAD, rows)


PHASES: Final = ("idle", "round_change", "proposal", "prepared", "decided", "")


def _coverage(runs: Sequence[RunFigures]) -> list[str]:
    """How often each kind of fault fell in each phase; one that was not proven is no cover."""
    faults = [fault for run in runs for fault in run.faults]
    if not faults:
        return []
    proven = Counter((fault.kind, fault.phase) for fault in faults if fault.proven)
    rows = []
    for kind in sorted({fault.kind for fault in faults}):
        mine = [fault for fault in faults if fault.kind == kind]
        unproven = sum(not fault.proven for fault in mine)
        rows.append(
            (
                escape(kind),
                str(len(mine) - unproven),
                *(str(proven[kind, phase] or "-") for phase in PHASES),
                str(unproven or "-"),
            )
        )
    head = ("fault", "proven", *(phase or "not seen" for phase in PHASES), "not proven")
    about = (
        "What was injected, proven while it stood and seen to be gone, by where consensus stood "
        "when it fell."
    )
    return ["<h2>What was injected</h2>", f"<p class=soft>{about}</p>", table(head, rows)]


def _failures(report: CampaignReport) -> list[str]:
    rows = [
        (
            escape(cell.told()),
            f'<a href="{escape(run.folder)}/report.html">{run.seed}</a>',
            badge(run.outcome),
            escape(run.reason),
        )
        for cell in report.cells
        for run in cell.runs
        if run.outcome is not Outcome.PASS
    ]
    head = ("place", "seed", "verdict", "why")
    return ["<h2>Runs that did not pass</h2>", table(head, rows)] if rows else []


class _Scale(Protocol):
    """A value's place on the axis."""

    def __call__(self, value: float, /) -> float: ...
