"""What users saw: each transaction by when it was sent and how long it took to a sealed block; and
how busy the machine was."""

from html import escape
from typing import Final

from devnet.checkers.base import counted
from devnet.checkers.sound_machine import LATE_SECONDS
from devnet.model.history import Answer, History, TransactionSubmitted
from devnet.model.timeline import first_sealed
from devnet.report.drawing import RED, RIGHT, WIDTH, Axis, bands, grid, round_ticks, span, svg
from devnet.report.summary import last_read, moment_of_height, percentile, transactions_of
from devnet.report.table import seconds_text

TALL: Final = 190
MACHINE_TALL: Final = 90
COLOUR: Final = {
    Answer.OK: "#4269d0",
    Answer.UNKNOWN: "#e09f00",
    Answer.REFUSED: "#6e7781",
}
LEGEND: Final = (
    "Blue: accepted. Yellow: no answer came, and it may have happened. Along the top: in no block "
    "that was read (red: although accepted; hollow: sent when the last one was sealed). Along the "
    "foot, grey: refused."
)


def users_svg(history: History) -> str:
    start, end = span(history)
    waits = inclusion_of(history)
    high = max(waits.values(), default=history.setup.slot_seconds)
    read_to = moment_of_height(history, last_read(history))
    ticks = round_ticks(0.0, high)
    axis = Axis(start=start, end=end, low=0.0, high=max(high, ticks[-1]), tall=TALL)
    parts = [bands(history, axis), grid(axis, ticks, "{:g} s")]
    parts += [_point(item, waits, axis, read_to) for item in history.transactions]
    return svg(parts, TALL, "seconds from sending a transaction to the sealed block with it")


def inclusion_of(history: History) -> dict[str, float]:
    """Hash -> seconds from when it was first sent to the first report of its block as sealed."""
    sealed = {event.height: event.monotonic for event in first_sealed(history)}
    height = {each: block.height for block in history.blocks for each in block.transactions}
    first: dict[str, float] = {}
    for item in history.transactions:
        first[item.hash] = min(item.sent, first.get(item.hash, item.sent))
    return {
        each: sealed[height[each]] - sent
        for each, sent in first.items()
        if each in height and height[each] in sealed
    }


def users_line(history: History) -> str:
    """`512 accepted, 3 refused, 2 without an answer, 0 lost; in a block after p50 0.9 s, ...`."""
    answers = [item.answer for item in history.transactions]
    accepted, lost = transactions_of(history)
    waits = list(inclusion_of(history).values())
    figures = ", ".join(
        f"{name} {seconds_text(percentile(waits, percent))}"
        for name, percent in (("p50", 50), ("p95", 95), ("p99", 99), ("max", 100))
    )
    return (
        f"{counted(len(answers), 'submission{s}')}: {accepted} accepted, "
        f"{answers.count(Answer.REFUSED)} refused, {answers.count(Answer.UNKNOWN)} without an "
        f"answer; {lost} lost. In a sealed block after {figures}."
    )


def _point(item: TransactionSubmitted, waits: dict[str, float], axis: Axis, read_to: float) -> str:
    x, wait = axis.x(item.sent), waits.get(item.hash)
    title = f"{item.hash[:10]} by {item.via}: {item.answer}"
    look = f'fill="{COLOUR[item.answer]}" fill-opacity="0.65"'
    if wait is not None:
        y = axis.y(wait)
        title += f", in a block after {wait:.2f} s"
    elif item.answer is Answer.REFUSED:
        y = axis.tall - 28.0
    elif item.sent > read_to:
        y, look = 10.0, 'fill="none" stroke="#6e7781"'
        title += ", sent after the last block that was read"
    else:
        y = 10.0
        title += ", in no block that was read"
        if item.answer is Answer.OK:
            look = f'fill="{RED}"'
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2" {look}><title>{escape(title)}</title></circle>'
    )


def machine_svg(history: History) -> str:
    """Share of all CPUs in use; red where a timer of the harness came too late to judge times."""
    start, end = span(history)
    axis = Axis(start=start, end=end, low=0.0, high=1.0, tall=MACHINE_TALL)
    looks = [(s.monotonic, s.busy) for s in history.machine if s.busy is not None]
    line = " ".join(
        f"{axis.x(moment):.1f},{axis.y(busy):.1f}" for moment, busy in looks if moment >= start
    )
    parts = [grid(axis, [0.0, 0.5, 1.0], "{:.0%}")]
    if line:
        parts.append(f'<polyline points="{line}" fill="none" stroke="#4269d0"/>')
    for seen in history.machine:
        if seen.late > LATE_SECONDS and seen.monotonic >= start:
            x = axis.x(seen.monotonic - seen.late)
            wide = max(axis.x(seen.monotonic) - x, 1.5)
            parts.append(
                f'<rect x="{min(x, WIDTH - RIGHT - wide):.1f}" y="8" width="{wide:.1f}" '
                f'height="{MACHINE_TALL - 32}" fill="{RED}" fill-opacity="0.5">'
                f"<title>{seen.late:.2f} s late</title></rect>"
            )
    return svg(parts, MACHINE_TALL, "share of this machine's CPU time in use")
