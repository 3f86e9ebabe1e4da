"""The page of one run: self-contained HTML with inline SVG, no script, no outside asset.

Top to bottom: verdict and how to run it again; heights over time with the fault bands; gaps between
sealed blocks; verdicts; fault receipts. Everything is computed from the history and the verdicts
alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Final

from devnet.checkers.base import counted
from devnet.model.history import (
    EventKind,
    FaultReceipt,
    History,
    HostileFate,
    Record,
    encode_record,
)
from devnet.model.timeline import first_sealed, is_sealed_there
from devnet.model.verdict import Outcome, Verdict, Violation
from devnet.report.summary import RunSummary, aimed_of, hit_of, rehearsal_of, target_of
from devnet.report.table import figure_of, seconds_text

WIDTH: Final = 960
LEFT: Final = 56
RIGHT: Final = 16
HEIGHTS_TALL: Final = 320
GAPS_TALL: Final = 150
OPERATOR_COLOURS: Final = (
    "#4269d0", "#e09f00", "#2ca25f", "#a463f2", "#d6336c", "#00a3b4", "#9c6b4e", "#7a8f1e",
    "#97bbf5", "#ff8ab7",
)  # fmt: skip
FOLLOWER_COLOURS: Final = ("#7d8590", "#b08d57", "#5f8a8b", "#a58aa8")
"""Followers are dashed and thinner besides: they repeat what an operator's line shows."""
FAULT_COLOUR: Final = "#ff725c"
"""No node has it."""
TICKS: Final = 6
"""About so many on an upright axis."""
TIME_TICKS: Final = 12
WITNESS_CHARACTERS: Final = 2000
"""Of one record on the page; the whole one is in `verdicts.json`."""
OUTCOME_COLOUR: Final = {
    Outcome.PASS: "#1a7f37",
    Outcome.FAIL: "#cf222e",
    Outcome.INCONCLUSIVE: "#9a6700",
    Outcome.VACUOUS: "#6e7781",
}

STYLE: Final = """ :root{color-scheme:light
dark;--fg:#1f2328;--bg:#fff;--line:#d0d7de;--soft:#59636e}
@media(prefers-color-scheme:dark){:root{--fg:#e6edf3;--bg:#0d1117;--line:#30363d;--soft:#9198a1}}
body{font:15px/1.5
system-ui,sans-serif;color:var(--fg);background:var(--bg);max-width:1000px;margin:2rem
auto;padding:0 1rem} table{border-collapse:collapse;width:100%;margin:.5rem 0
1.5rem}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid
var(--line);vertical-align:top}
th{color:var(--soft);font-weight:600}code{font-size:90%}svg{width:100%;height:auto}svg
text{font:11px system-ui,sans-serif;fill:var(--soft)} .badge{display:inline-block;padding:.1rem
.6rem;border-radius:1rem;color:#fff;font-weight:600}.soft{color:var(--soft)}
tr.fail td{color:#cf222e;font-weight:600}tr.fail details{color:var(--fg);font-weight:400}
pre{font-size:80%;white-space:pre-wrap;overflow-wrap:anywhere;margin:.3rem 0}"""


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
            "<h2>Sealed height of each node over time</h2>",
            _legend(),
            _heights_svg(history),
            "<h2>Gap before each sealed block</h2>",
            _gaps_svg(history),
            "<h2>Verdicts</h2>",
            _verdict_table(verdicts),
            *_disturbances(history),
        )
    )
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _disturbances(history: History) -> list[str]:
    """What was done to the network: a table for each kind of thing."""
    parts = []
    if history.faults or not history.hostile:
        parts += ["<h2>Faults</h2>", _fault_table(history)]
    if history.hostile:
        parts += ["<h2>Hostile transactions</h2>", _hostile_table(history)]
    return parts


def badge(outcome: Outcome) -> str:
    return (
        f'<span class="badge" style="background:{OUTCOME_COLOUR[outcome]}">{outcome.value}</span>'
    )


def _header(summary: RunSummary, replay: str) -> str:
    reason = f" {escape(summary.reason)}" if summary.reason else ""
    facts = (
        f"gap {seconds_text(summary.gap)} · recovery {seconds_text(summary.recovery)} · "
        f"{counted(summary.tx_ok, 'transaction{s}')} accepted, {summary.tx_lost} lost · "
        f"took {summary.seconds:.0f} s"
    )
    rehearsal = rehearsal_of(summary)
    simulated = f"<br>In the simulator: <code>{escape(rehearsal)}</code>" if rehearsal else ""
    return (
        f"<p>{badge(summary.outcome)}{reason}</p><p class=soft>{facts}</p>"
        f"<p>Run it again: <code>{escape(replay)}</code>{simulated}</p>"
    )


def _legend() -> str:
    return (
        "<p class=soft>Solid band: the fault certainly stood (probe to revert). Pale band: it was "
        "being applied or taken back, the network may have been either. Red ticks at the foot: "
        "round changes. Dashed lines: followers.</p>"
    )


def _span(history: History) -> tuple[float, float]:
    moments = [event.monotonic for event in history.events]
    moments += [fault.requested for fault in history.faults]
    moments += [item.sent for item in history.hostile]
    if not moments:
        return 0.0, 1.0
    # Events from before the run (a stream's backlog) would squeeze it into a corner of the picture.
    begin = min((item.sent for item in history.transactions), default=min(moments))
    return max(min(moments), begin - 5.0), max(moments)


def _heights_svg(history: History) -> str:
    start, end = _span(history)
    series = {name: _steps(history, name, start) for name in _nodes(history)}
    values = [height for steps in series.values() for _, height in steps]
    low, high = min(values, default=0), max(values, default=0)
    ticks = round_ticks(low, max(high, low + 1), least=1.0)
    axis = _Axis(start=start, end=end, low=low, high=max(high, ticks[-1]), tall=HEIGHTS_TALL)
    parts = [_bands(history, axis), _grid(axis, ticks, "h{:.0f}")]
    for index, (name, steps) in enumerate(series.items()):
        parts.append(_step_line(name, steps, axis, line_style(name, history), index))
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


@dataclass(frozen=True, slots=True)
class LineStyle:
    colour: str
    width: float = 1.8
    dash: str = ""


def line_style(node: str, history: History) -> LineStyle:
    """A colour for each node of the largest network there can be; a follower hides nobody."""
    setup = history.setup
    if node in setup.operators:
        place = setup.operators.index(node)
        return LineStyle(OPERATOR_COLOURS[place % len(OPERATOR_COLOURS)])
    place = setup.followers.index(node)
    return LineStyle(FOLLOWER_COLOURS[place % len(FOLLOWER_COLOURS)], width=1.1, dash="5 4")


def round_ticks(low: float, high: float, *, least: float = 0.0, about: int = TICKS) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten within [low, high]: at most about `about`, at
    least `least` apart, never none."""
    wanted = max((high - low) / about, least, 1e-3)
    power = 10.0 ** math.floor(math.log10(wanted))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= wanted * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = max(first, math.floor(high / step + 1e-9))
    return [round(number * step, 6) for number in range(first, last + 1)]


def _step_line(
    name: str, steps: list[tuple[float, int]], axis: _Axis, style: LineStyle, index: int
) -> str:
    if not steps:
        return ""
    # A pixel of offset each, or five nodes in step would show as one line.
    shift = index * 1.2
    path = f"M{axis.x(steps[0][0]):.1f} {axis.y(steps[0][1]) - shift:.1f}"
    for moment, height in steps[1:]:
        path += f"H{axis.x(moment):.1f}V{axis.y(height) - shift:.1f}"
    path += f"H{axis.x(axis.end):.1f}"
    stroke = f'stroke="{style.colour}" stroke-width="{style.width}"'
    stroke += f' stroke-dasharray="{style.dash}"' if style.dash else ""
    y = 16 + 14 * index
    key = f'<path d="M{LEFT + 6} {y - 4}h22" {stroke}/>'
    label = f'<text x="{LEFT + 33}" y="{y}" style="fill:{style.colour}">{escape(name)}</text>'
    return f'<path d="{path}" fill="none" {stroke}/>{key}{label}'


def _bands(history: History, axis: _Axis) -> str:
    return "".join(_band(fault, axis) for fault in history.faults)


def _band(fault: FaultReceipt, axis: _Axis) -> str:
    until = fault.healed or fault.reverted or axis.end
    pale = _rect(fault.requested, until, axis, FAULT_COLOUR, 0.12)
    if fault.verified is None:
        return pale
    solid = _rect(fault.verified, fault.revert_requested or axis.end, axis, FAULT_COLOUR, 0.22)
    label = f"{fault.kind} {target_of(fault)}"
    x = axis.x(fault.requested) + 3
    return f'{pale}{solid}<text x="{x:.1f}" y="{axis.tall - 30}">{escape(label)}</text>'


def _rect(start: float, end: float, axis: _Axis, colour: str, opacity: float) -> str:
    x, wide = axis.x(start), max(axis.x(end) - axis.x(start), 1.0)
    return (
        f'<rect x="{x:.1f}" y="8" width="{wide:.1f}" height="{axis.tall - 32}" '
        f'fill="{colour}" fill-opacity="{opacity}"/>'
    )


def _grid(axis: _Axis, ticks: Sequence[float], form: str) -> str:
    """`form` writes a tick of the upright axis, with its unit."""
    foot = axis.tall - 24
    lines = [f'<line x1="{LEFT}" y1="{foot}" x2="{WIDTH - RIGHT}" y2="{foot}" stroke="#9498a0"/>']
    for value in ticks:
        y = axis.y(value)
        lines.append(
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#9498a0" '
            f'stroke-opacity="0.25"/><text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
            f"{form.format(value)}</text>"
        )
    for seconds in round_ticks(0.0, axis.end - axis.start, about=TIME_TICKS):
        x = axis.x(axis.start + seconds)
        lines.append(
            f'<line x1="{x:.1f}" y1="{foot}" x2="{x:.1f}" y2="{foot + 4}" stroke="#9498a0"/>'
            f'<text x="{x:.1f}" y="{axis.tall - 8}" text-anchor="middle">{seconds:g} s</text>'
        )
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
    slot = history.setup.slot_seconds
    high = max((gap for _, gap, _ in gaps), default=slot)
    ticks = round_ticks(0.0, max(high, slot))
    axis = _Axis(start=start, end=end, low=0.0, high=max(high, slot), tall=GAPS_TALL)
    parts = [_bands(history, axis), _grid(axis, ticks, "{:g} s"), _slot_line(history, axis)]
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


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], classes: Sequence[str] | None = None
) -> str:
    """`classes`: one CSS class a row."""
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        f'<tr class="{name}">{"".join(f"<td>{cell}</td>" for cell in row)}</tr>'
        for name, row in zip(classes or [""] * len(rows), rows, strict=True)
    )
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"


_FIRST: Final = (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.VACUOUS, Outcome.PASS)


def _verdict_table(verdicts: Sequence[Verdict]) -> str:
    """What speaks against a pass comes first."""
    ordered = sorted(verdicts, key=lambda verdict: _FIRST.index(verdict.outcome))
    rows = [
        (
            escape(verdict.checker),
            badge(verdict.outcome),
            figure_of(verdict),
            "<br>".join(map(_violation, verdict.violations)) or escape(verdict.note),
        )
        for verdict in ordered
    ]
    head = ("invariant", "verdict", "measured / allowed", "what was looked at, or what broke it")
    return table(head, rows, [verdict.outcome.value for verdict in ordered])


def _violation(violation: Violation) -> str:
    """The sentence, and folded below it the records that prove it."""
    told = escape(violation.summary)
    if not violation.witness:
        return told
    records = "".join(f"<pre>{escape(_record(record))}</pre>" for record in violation.witness)
    head = counted(len(violation.witness), "witness record{s}")
    return f"{told}<details><summary>{head}</summary>{records}</details>"


def _record(record: Record) -> str:
    line = encode_record(record).decode()
    cut = len(line) > WITNESS_CHARACTERS
    return f"{line[:WITNESS_CHARACTERS]} ... (see verdicts.json)" if cut else line


def _fault_table(history: History) -> str:
    start, _ = _span(history)
    head = (
        "fault",
        "what",
        "aimed at",
        "fell in",
        "requested",
        "applied",
        "verified",
        "seen to stand",
        "revert",
        "healed",
        "error",
    )
    rows = [_fault_row(fault, start) for fault in history.faults]
    return table(head, rows)


def _hostile_table(history: History) -> str:
    head = ("transaction", "via", "sent", "fate", "height", "gas used", "known after", "reason")
    start, _ = _span(history)
    return table(head, [_hostile_row(item, start) for item in history.hostile])


def _hostile_row(item: HostileFate, start: float) -> tuple[str, ...]:
    failed = " (failed)" if item.succeeded is False else ""
    return (
        escape(item.kind),
        escape(item.via or "-"),
        f"{item.sent - start:.3f} s",
        escape(f"{item.fate}{failed}"),
        "-" if item.height is None else f"h{item.height}",
        "-" if item.gas_used is None else str(item.gas_used),
        f"{item.settled - item.sent:.3f} s",
        escape(item.reason),
    )


def _fault_row(fault: FaultReceipt, start: float) -> tuple[str, ...]:
    def told(moment: float | None) -> str:
        return "-" if moment is None else f"{moment - start:.3f} s"

    return (
        escape(fault.id),
        escape(f"{fault.kind} {target_of(fault)}"),
        escape(aimed_of(fault)),
        escape(hit_of(fault)),
        told(fault.requested),
        told(fault.applied),
        told(fault.verified),
        escape(_looks(fault, told(fault.lapsed))),
        told(fault.revert_requested),
        told(fault.healed),
        escape(fault.error),
    )


def _looks(fault: FaultReceipt, lapsed: str) -> str:
    """`12 times`, `30 cycles`, `3 times, not at 7.2 s`; by whose word, where that differs."""
    seen = counted(fault.cycles, "cycle{s}") if fault.repeats else counted(fault.looks, "time{s}")
    stood = seen if fault.lapsed is None else f"{seen}, not at {lapsed}"
    return f"{stood}: {fault.witness}" if fault.witness else stood
