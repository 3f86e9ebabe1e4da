"""The page of one run: self-contained HTML with inline SVG, no script, no outside asset.

Top to bottom: verdict and how to run it again; heights over time with the fault bands; what each
node did; gaps between sealed blocks; what users saw; the machine; verdicts; fault receipts.
Everything is computed from the history and the verdicts alone.
"""

from collections.abc import Sequence
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
from devnet.report.drawing import (
    LEFT,
    RED,
    RIGHT,
    STYLE,
    WIDTH,
    Axis,
    LineStyle,
    badge,
    bands,
    grid,
    line_style,
    nodes,
    round_ticks,
    span,
    svg,
    table,
)
from devnet.report.lanes import LEGEND as LANES
from devnet.report.lanes import lanes_svg
from devnet.report.summary import RunSummary, aimed_of, hit_of, rehearsal_of, target_of
from devnet.report.table import figure_of, seconds_text
from devnet.report.users import LEGEND as USERS
from devnet.report.users import machine_svg, users_line, users_svg

HEIGHTS_TALL: Final = 320
GAPS_TALL: Final = 150
WITNESS_CHARACTERS: Final = 2000
"""Of one record on the page; the whole one is in `verdicts.json`."""


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
            "<h2>What each node did</h2>",
            f"<p class=soft>{LANES}</p>",
            lanes_svg(history),
            "<h2>Gap before each sealed block</h2>",
            _gaps_svg(history),
            "<h2>What users saw</h2>",
            f"<p class=soft>{users_line(history)} {USERS}</p>",
            users_svg(history),
            "<h2>CPU of this machine in use</h2>",
            machine_svg(history),
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


def _heights_svg(history: History) -> str:
    start, end = span(history)
    series = {name: _steps(history, name, start) for name in nodes(history)}
    values = [height for steps in series.values() for _, height in steps]
    low, high = min(values, default=0), max(values, default=0)
    ticks = round_ticks(low, max(high, low + 1), least=1.0)
    axis = Axis(start=start, end=end, low=low, high=max(high, ticks[-1]), tall=HEIGHTS_TALL)
    parts = [bands(history, axis), grid(axis, ticks, "h{:.0f}")]
    for index, (name, steps) in enumerate(series.items()):
        parts.append(_step_line(name, steps, axis, line_style(name, history), index))
    parts.append(_round_changes(history, axis))
    return svg(parts, HEIGHTS_TALL, "height of each node over time")


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
    name: str, steps: list[tuple[float, int]], axis: Axis, style: LineStyle, index: int
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


def _round_changes(history: History, axis: Axis) -> str:
    foot = axis.tall - 24
    ticks = []
    for event in history.events:
        if event.kind is EventKind.ROUND_CHANGE and event.monotonic >= axis.start:
            x = axis.x(event.monotonic)
            ticks.append(
                f'<line x1="{x:.1f}" y1="{foot - 8}" x2="{x:.1f}" y2="{foot}" stroke="{RED}"/>'
            )
    return "".join(ticks)


def _gaps_svg(history: History) -> str:
    start, end = span(history)
    sealed = [event for event in first_sealed(history) if event.monotonic >= start]
    gaps = [
        (after.monotonic, after.monotonic - before.monotonic, after.height)
        for before, after in pairwise(sealed)
    ]
    slot = history.setup.slot_seconds
    high = max((gap for _, gap, _ in gaps), default=slot)
    ticks = round_ticks(0.0, max(high, slot))
    axis = Axis(start=start, end=end, low=0.0, high=max(high, slot), tall=GAPS_TALL)
    parts = [bands(history, axis), grid(axis, ticks, "{:g} s"), _slot_line(history, axis)]
    foot = GAPS_TALL - 24
    for moment, gap, height in gaps:
        x, y = axis.x(moment), axis.y(gap)
        tall = max(foot - y, 0.5)
        parts.append(
            f'<rect x="{x - 2:.1f}" y="{y:.1f}" width="4" height="{tall:.1f}" fill="#4269d0">'
            f"<title>height {height}: {gap:.2f} s</title></rect>"
        )
    return svg(parts, GAPS_TALL, "seconds between sealed blocks")


def _slot_line(history: History, axis: Axis) -> str:
    y = axis.y(history.setup.slot_seconds)
    return (
        f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" '
        'stroke="#9498a0" stroke-dasharray="4 4"/>'
    )


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
    start, _ = span(history)
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
    start, _ = span(history)
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
