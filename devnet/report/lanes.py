"""Who did what when: a lane for each node, with its turns as leader, its part in each block, its
changes of round and the faults that stood at it."""

from html import escape
from typing import Final

from devnet.model.history import Event, EventKind, FaultReceipt, History
from devnet.report.drawing import (
    FAULT_COLOUR,
    LEFT,
    RED,
    RIGHT,
    WIDTH,
    Axis,
    fault_label,
    line_style,
    nodes,
    rect,
    span,
    svg,
    time_scale,
)

HEAD: Final = 20
"""Above the lanes: what the faults are."""
LANE: Final = 26
FOOT: Final = 24
LEGEND: Final = (
    "Diamond: its proposal was the first to be seen in that round. Tick: it signed the block (a "
    "follower: imported it). Red: it changed round. Bands: a fault stood at this node; letters "
    "tell on which sides of a cut. Cross: a program of it ended on its own."
)


def lanes_svg(history: History) -> str:
    start, end = span(history)
    names = nodes(history)
    tall = HEAD + LANE * len(names) + FOOT
    axis = Axis(start=start, end=end, low=0.0, high=1.0, tall=tall)
    parts, proposals = [_labels(history, axis)], _first_proposals(history)
    for row, node in enumerate(names):
        middle = HEAD + LANE * row + LANE / 2
        colour = line_style(node, history).colour
        parts.append(
            f'<line x1="{LEFT}" y1="{middle}" x2="{WIDTH - RIGHT}" y2="{middle}" stroke="#9498a0" '
            f'stroke-opacity="0.35"/><text x="{LEFT - 6}" y="{middle + 4}" text-anchor="end" '
            f'style="fill:{colour}">{escape(node)}</text>'
        )
        parts += [_band(fault, node, axis, middle) for fault in history.faults]
        parts += _acts(history, node, axis, middle, colour)
        parts += [
            _diamond(
                axis.x(event.monotonic), middle, colour, f"proposed h{event.height} r{event.round}"
            )
            for event in proposals
            if event.node == node and event.monotonic >= axis.start
        ]
    parts.append(time_scale(axis))
    return svg(parts, tall, "what each node did over time")


def _labels(history: History, axis: Axis) -> str:
    """Each in its place, or to the right of the one before."""
    free, parts = 0.0, []
    for fault in sorted(history.faults, key=lambda each: each.requested):
        label = fault_label(fault)
        x = max(axis.x(fault.requested), free)
        free = x + 6.5 * len(label) + 12
        parts.append(f'<text x="{x:.1f}" y="{HEAD - 7}">{escape(label)}</text>')
    return "".join(parts)


def _band(fault: FaultReceipt, node: str, axis: Axis, middle: float) -> str:
    groups = fault.components if len(fault.components) > 1 else ()
    sides = "".join(chr(ord("a") + i) for i, group in enumerate(groups) if node in group)
    if node not in fault.targets and not sides:
        return ""
    until = fault.healed or fault.reverted or axis.end
    place = {"top": middle - LANE / 2 + 1, "tall": LANE - 2}
    drawn = rect(fault.requested, until, axis, FAULT_COLOUR, 0.12, **place)
    if fault.verified is not None:
        end = fault.revert_requested or axis.end
        drawn += rect(fault.verified, end, axis, FAULT_COLOUR, 0.28, **place)
    if sides:
        x = axis.x(fault.verified or fault.requested) + 3
        drawn += f'<text x="{x:.1f}" y="{middle - 2:.1f}">{sides}</text>'
    return drawn


def _acts(history: History, node: str, axis: Axis, middle: float, colour: str) -> list[str]:
    took_part = EventKind.SIGNED if node in history.setup.operators else EventKind.IMPORTED
    mine = [e for e in history.events if e.node == node and axis.start <= e.monotonic]
    parts = [
        _tick(axis.x(event.monotonic), middle - 5, middle + 5, colour, f"h{event.height}")
        for event in mine
        if event.kind is took_part
    ]
    parts += [
        _tick(
            axis.x(event.monotonic), middle + 4, middle + LANE / 2 - 1, RED,
            f"h{event.height}: to round {event.round}",
        )
        for event in mine
        if event.kind is EventKind.ROUND_CHANGE
    ]  # fmt: skip
    parts += [
        f'<path d="M{axis.x(seen.monotonic) - 5:.1f} {middle - 5}l10 10m0 -10l-10 10" '
        f'stroke="{RED}" stroke-width="2"><title>{escape(seen.program)}: {escape(seen.detail)}'
        "</title></path>"
        for seen in history.ended
        if seen.program.partition(".")[0] == node
    ]
    return parts


def _first_proposals(history: History) -> list[Event]:
    """Of each height and round: its leader sees its own proposal before anybody else does."""
    first: dict[tuple[int, int, int | None], Event] = {}
    for event in history.events:
        if event.kind is EventKind.PROPOSAL:
            place = (event.term, event.height, event.round)
            if place not in first or event.monotonic < first[place].monotonic:
                first[place] = event
    return list(first.values())


def _tick(x: float, top: float, foot: float, colour: str, title: str) -> str:
    return (
        f'<line x1="{x:.1f}" y1="{top:.1f}" x2="{x:.1f}" y2="{foot:.1f}" stroke="{colour}" '
        f'stroke-width="1.5"><title>{title}</title></line>'
    )


def _diamond(x: float, y: float, colour: str, title: str) -> str:
    return (
        f'<path d="M{x:.1f} {y - 7:.1f}l5 7l-5 7l-5 -7z" fill="{colour}" fill-opacity="0.85">'
        f"<title>{title}</title></path>"
    )
