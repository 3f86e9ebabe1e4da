"""What the pages draw with: axes, bands of faults, colours of nodes, tables. SVG and HTML."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from devnet.model.history import FaultReceipt, History
from devnet.model.verdict import Outcome
from devnet.report.summary import target_of

WIDTH: Final = 960
LEFT: Final = 56
RIGHT: Final = 16
OPERATOR_COLOURS: Final = (
    "#4269d0", "#e09f00", "#2ca25f", "#a463f2", "#d6336c", "#00a3b4", "#9c6b4e", "#7a8f1e",
    "#97bbf5", "#ff8ab7",
)  # fmt: skip
FOLLOWER_COLOURS: Final = ("#7d8590", "#b08d57", "#5f8a8b", "#a58aa8")
"""Followers are dashed and thinner besides: they repeat what an operator's line shows."""
RED: Final = "#cf222e"
FAULT_COLOUR: Final = "#ff725c"
"""No node has it."""
TICKS: Final = 6
"""About so many on an upright axis."""
TIME_TICKS: Final = 12
OUTCOME_COLOUR: Final = {
    Outcome.PASS: "#1a7f37",
    Outcome.FAIL: RED,
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
class Axis:
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


def nodes(history: History) -> tuple[str, ...]:
    return (*history.setup.operators, *history.setup.followers)


def span(history: History) -> tuple[float, float]:
    moments = [event.monotonic for event in history.events]
    moments += [fault.requested for fault in history.faults]
    moments += [item.sent for item in history.hostile]
    if not moments:
        return 0.0, 1.0
    # Events from before the run (a stream's backlog) would squeeze it into a corner of the picture.
    begin = min((item.sent for item in history.transactions), default=min(moments))
    return max(min(moments), begin - 5.0), max(moments)


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


def bands(history: History, axis: Axis) -> str:
    return "".join(_band(fault, axis) for fault in history.faults)


def _band(fault: FaultReceipt, axis: Axis) -> str:
    until = fault.healed or fault.reverted or axis.end
    pale = rect(fault.requested, until, axis, FAULT_COLOUR, 0.12)
    if fault.verified is None:
        return pale
    solid = rect(fault.verified, fault.revert_requested or axis.end, axis, FAULT_COLOUR, 0.22)
    x = axis.x(fault.requested) + 3
    label = escape(fault_label(fault))
    return f'{pale}{solid}<text x="{x:.1f}" y="{axis.tall - 30}">{label}</text>'


def fault_label(fault: FaultReceipt) -> str:
    return f"{fault.kind} {target_of(fault)}"


def rect(
    start: float,
    end: float,
    axis: Axis,
    colour: str,
    opacity: float,
    *,
    top: float = 8,
    tall: float | None = None,
) -> str:
    """tall: of it; None is down to the foot of the axis."""
    x, wide = axis.x(start), max(axis.x(end) - axis.x(start), 1.0)
    height = axis.tall - 24 - top if tall is None else tall
    return (
        f'<rect x="{x:.1f}" y="{top:g}" width="{wide:.1f}" height="{height:g}" '
        f'fill="{colour}" fill-opacity="{opacity}"/>'
    )


def grid(axis: Axis, ticks: Sequence[float], form: str) -> str:
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
    return "".join(lines) + time_scale(axis)


def time_scale(axis: Axis) -> str:
    """Seconds of the run along the foot."""
    foot, lines = axis.tall - 24, []
    for seconds in round_ticks(0.0, axis.end - axis.start, about=TIME_TICKS):
        x = axis.x(axis.start + seconds)
        lines.append(
            f'<line x1="{x:.1f}" y1="{foot}" x2="{x:.1f}" y2="{foot + 4}" stroke="#9498a0"/>'
            f'<text x="{x:.1f}" y="{axis.tall - 8}" text-anchor="middle">{seconds:g} s</text>'
        )
    return "".join(lines)


def svg(parts: Sequence[str], tall: int, label: str) -> str:
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


def badge(outcome: Outcome) -> str:
    return (
        f'<span class="badge" style="background:{OUTCOME_COLOUR[outcome]}">{outcome.value}</span>'
    )
