"""The page of one run: self-contained HTML with inline SVG, no script, no outside asset.

Top to bottom: verdict and how to run it again; heights over time with the fault bands; gaps between
sealed blocks; verdicts; fault receipts. Everything is computed from the history and the verdicts
alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Final

from devnet.checkers.expectations import first_sealed, is_sealed_there
from devnet.model.history import EventKind, FaultReceipt, History
from devnet.model.verdict import Outcome, Verdict
from devnet.report.summary import RunSummary, hit_of, target_of
from devnet.report.table import seconds_text

WIDTH: Final = 960
LEFT: Final = 56
RIGHT: Final = 16
HEIGHTS_TALL: Final = 320
GAPS_TALL: Final = 150
PALETTE: Final = (
    "#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5",
    "#9c6b4e", "#9498a0", "#1f77b4",
)  # fmt: skip
"""Told apart by most colour-blind readers too; each line also carries its name at its end."""
OUTCOME_COLOUR: Final = {
    Outcome.PASS: "#1a7f37",
    Outcome.FAIL: "#cf222e",
    Outcome.INCONCLUSIVE: "#9a6700",
    Outcome.VACUOUS: "#6e7781",
}

_STYLE: Final = """ :root{color-scheme:light
dark;--fg:#1f2328;--bg:#fff;--line:#d0d7de;--soft:#59636e}
@media(prefers-color-scheme:dark){:root{--fg:#e6edf3;--bg:#0d1117;--line:#30363d;--soft:#9198a1}}
body{font:15px/1.5
system-ui,sans-serif;color:var(--fg);background:var(--bg);max-width:1000px;margin:2rem
auto;padding:0 1rem} table{border-collapse:collapse;width:100%;margin:.5rem 0
1.5rem}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid
var(--line);vertical-align:top}
th{color:var(--soft);font-weight:600}code{font-size:90%}svg{width:100%;height:auto}svg
text{font:11px system-ui,sans-serif;fill:var(--soft)} .badge{display:inline-block;padding:.1rem
.6rem;border-radius:1rem;color:#fff;font-weight:600}.soft{color:var(--soft)}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axis:
    """Maps run time (seconds) to x, and a value to y, within one drawing."""

    start: float
    end: float
    low: float
    high: float
    tall: int

    def x(self, moment: float) -> float:
        share = (moment - self.start) / max(self.end - self.start, 1e-9)
        return LEFT + min(max(share, 0.0), 1.0) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.low) / max(self.high - self.low, 1e-9)
        return self.tall - 24 - min(max(share, 0.0), 1.0) * (self.tall - 40)


def render_html(
    history: History, verdicts: Sequence[Verdict], summary: RunSummary, replay: str
) -> str:
    """The whole page."""
    title = f"{summary.scenario}, seed {summary.seed}"
    body = "\n".join(
        (
            f"<h1>{escape(title)}</h1>",
            _header(summary, replay),
            "<h2>Height over time</h2>",
            _legend(),
            _heights_svg(history),
            "<h2>Gap before each sealed block</h2>",
            _gaps_svg(history),
            "<h2>Verdicts</h2>",
            _verdict_table(verdicts),
            "<h2>Faults</h2>",
            _fault_table(history),
        )
    )
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _badge(outcome: Outcome) -> str:
    return (
        f'<span class="badge" style="background:{OUTCOME_COLOUR[outcome]}">{outcome.value}</span>'
    )


def _header(summary: RunSummary, replay: str) -> str:
    reason = f" {escape(summary.reason)}" if summary.reason else ""
    facts = (
        f"gap {seconds_text(summary.gap)} · recovery {seconds_text(summary.recovery)} · "
        f"{summary.tx_ok} transactions accepted, {summary.tx_lost} lost · "
        f"took {summary.seconds:.0f} s"
    )
    return (
        f"<p>{_badge(summary.outcome)}{reason}</p><p class=soft>{facts}</p>"
        f"<p>Run it again: <code>{escape(replay)}</code></p>"
    )


def _legend() -> str:
    return (
        "<p class=soft>Solid band: the fault certainly stood (probe to revert). Pale band: it was "
        "being applied or taken back, the network may have been either. Ticks at the foot: round "
        "changes.</p>"
    )


def _span(history: History) -> tuple[float, float]:
    moments = [event.monotonic for event in history.events]
    moments += [fault.requested for fault in history.faults]
    if not moments:
        return 0.0, 1.0
    # Events from before the run (a stream's backlog) would squeeze it into a corner of the picture.
    begin = min((item.sent for item in history.transactions), default=min(moments))
    return max(min(moments), begin - 5.0), max(moments)


def _heights_svg(history: History) -> str:
    start, end = _span(history)
    series = {name: _steps(history, name, start) for name in _nodes(history)}
    values = [height for steps in series.values() for _, height in steps]
    axis = _Axis(
        start=start, end=end, low=min(values, default=0), high=max(values, default=1),
        tall=HEIGHTS_TALL,
    )  # fmt: skip
    parts = [_bands(history, axis), _grid(axis)]
    for index, (name, steps) in enumerate(series.items()):
        parts.append(_step_line(name, steps, axis, PALETTE[index % len(PALETTE)], index))
    parts.append(_round_changes(history, axis))
    return _svg(parts, HEIGHTS_TALL, "height of each node over time")


def _nodes(history: History) -> tuple[str, ...]:
    return (*history.setup.operators, *history.setup.followers)


def _steps(history: History, node: str, start: float) -> list[tuple[float, int]]:
    """(moment, height) each time the node's sealed height grew."""
    steps: list[tuple[float, int]] = []
    for event in history.events:
        if event.node != node or not is_sealed_there(event, history.setup.operators):
            continue
        if event.monotonic >= start and (not steps or event.height > steps[-1][1]):
            steps.append((event.monotonic, event.height))
    return steps


def _step_line(
    name: str, steps: list[tuple[float, int]], axis: _Axis, colour: str, index: int
) -> str:
    if not steps:
        return ""
    # A pixel of offset each, or five nodes in step would show as one line.
    shift = index * 1.2
    path = f"M{axis.x(steps[0][0]):.1f} {axis.y(steps[0][1]) - shift:.1f}"
    for moment, height in steps[1:]:
        path += f"H{axis.x(moment):.1f}V{axis.y(height) - shift:.1f}"
    path += f"H{axis.x(axis.end):.1f}"
    label = (
        f'<text x="{LEFT + 6}" y="{16 + 13 * index}" style="fill:{colour}">{escape(name)}</text>'
    )
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>{label}'


def _bands(history: History, axis: _Axis) -> str:
    return "".join(_band(fault, axis) for fault in history.faults)


def _band(fault: FaultReceipt, axis: _Axis) -> str:
    until = fault.healed or fault.reverted or axis.end
    pale = _rect(fault.requested, until, axis, "#ff725c", 0.12)
    if fault.verified is None:
        return pale
    solid = _rect(fault.verified, fault.revert_requested or axis.end, axis, "#ff725c", 0.22)
    label = f"{fault.kind} {target_of(fault)}"
    x = axis.x(fault.requested) + 3
    return f'{pale}{solid}<text x="{x:.1f}" y="{axis.tall - 30}">{escape(label)}</text>'


def _rect(start: float, end: float, axis: _Axis, colour: str, opacity: float) -> str:
    x, wide = axis.x(start), max(axis.x(end) - axis.x(start), 1.0)
    return (
        f'<rect x="{x:.1f}" y="8" width="{wide:.1f}" height="{axis.tall - 32}" '
        f'fill="{colour}" fill-opacity="{opacity}"/>'
    )


def _grid(axis: _Axis) -> str:
    foot = axis.tall - 24
    lines = [f'<line x1="{LEFT}" y1="{foot}" x2="{WIDTH - RIGHT}" y2="{foot}" stroke="#9498a0"/>']
    for share in (0.0, 0.5, 1.0):
        value = axis.low + (axis.high - axis.low) * share
        lines.append(f'<text x="4" y="{axis.y(value) + 4:.1f}">{value:.5g}</text>')
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        seconds = (axis.end - axis.start) * share
        x = axis.x(axis.start + seconds)
        lines.append(f'<text x="{x - 12:.1f}" y="{axis.tall - 8}">{seconds:.0f} s</text>')
    return "".join(lines)


def _round_changes(history: History, axis: _Axis) -> str:
    foot = axis.tall - 24
    ticks = []
    for event in history.events:
        if event.kind is EventKind.ROUND_CHANGE and event.monotonic >= axis.start:
            x = axis.x(event.monotonic)
            ticks.append(
                f'<line x1="{x:.1f}" y1="{foot - 8}" x2="{x:.1f}" y2="{foot}" stroke="#cf222e"/>'
            )
    return "".join(ticks)


def _gaps_svg(history: History) -> str:
    start, end = _span(history)
    sealed = [event for event in first_sealed(history) if event.monotonic >= start]
    gaps = [
        (after.monotonic, after.monotonic - before.monotonic, after.height)
        for before, after in pairwise(sealed)
    ]
    high = max((gap for _, gap, _ in gaps), default=1.0)
    axis = _Axis(
        start=start, end=end, low=0.0, high=max(high, history.setup.slot_seconds), tall=GAPS_TALL
    )
    parts = [_bands(history, axis), _grid(axis), _slot_line(history, axis)]
    foot = GAPS_TALL - 24
    for moment, gap, height in gaps:
        x, y = axis.x(moment), axis.y(gap)
        tall = max(foot - y, 0.5)
        parts.append(
            f'<rect x="{x - 2:.1f}" y="{y:.1f}" width="4" height="{tall:.1f}" fill="#4269d0">'
            f"<title>height {height}: {gap:.2f} s</title></rect>"
        )
    return _svg(parts, GAPS_TALL, "seconds between sealed blocks")


def _slot_line(history: History, axis: _Axis) -> str:
    y = axis.y(history.setup.slot_seconds)
    return (
        f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" '
        'stroke="#9498a0" stroke-dasharray="4 4"/>'
    )


def _svg(parts: Sequence[str], tall: int, label: str) -> str:
    inner = "".join(parts)
    return f'<svg viewBox="0 0 {WIDTH} {tall}" role="img" aria-label="{label}">{inner}</svg>'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"


def _verdict_table(verdicts: Sequence[Verdict]) -> str:
    rows = []
    for verdict in verdicts:
        said = "<br>".join(escape(violation.summary) for violation in verdict.violations)
        figure = (
            "" if verdict.bound is None else f"{_figure(verdict.measured)} / {verdict.bound:.2f}"
        )
        rows.append(
            (escape(verdict.checker), _badge(verdict.outcome), figure, said or escape(verdict.note))
        )
    return _table(("invariant", "verdict", "measured / bound", "what was looked at"), rows)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _fault_table(history: History) -> str:
    start, _ = _span(history)
    head = (
        "fault",
        "what",
        "hit at",
        "requested",
        "applied",
        "verified",
        "revert",
        "healed",
        "error",
    )
    rows = [_fault_row(fault, start) for fault in history.faults]
    return _table(head, rows)


def _fault_row(fault: FaultReceipt, start: float) -> tuple[str, ...]:
    moments = (fault.requested, fault.applied, fault.verified, fault.revert_requested, fault.healed)
    told = tuple("-" if moment is None else f"{moment - start:.3f} s" for moment in moments)
    return (
        escape(fault.id),
        escape(f"{fault.kind} {target_of(fault)}"),
        escape(hit_of(fault)),
        *told,
        escape(fault.error),
    )
