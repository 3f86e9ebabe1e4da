"""Was the machine itself well? Where it stood still, nothing can be said about time: what broke a
bound may have been the host. What broke safety broke it all the same.

A stall is a timer of the harness that came this late; with a hundred programs on two cores one of a
few tens of milliseconds is ordinary. The kernel's pressure is recorded for whoever reads a run, and
excuses nothing: it says that somebody waits, not for how long. On two cores it was between 13 and
100 percent in runs that passed, 85 in the middle, without one timer that came late.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from devnet.checkers.base import amount, judge_each_within
from devnet.model.history import History, MachineSeen
from devnet.model.timeline import Span, disturbed_span
from devnet.model.verdict import Outcome, Verdict, Violation

NAME: Final = "this machine was well"
LATE_SECONDS: Final = 0.3
CONSEQUENCES: Final = 4.0
"""A stall of a third of a second costs a round, and that more than the stall."""
STALL_CAUSES_S: Final = 3.0
"""A stall may be the cause of what begins within this after it."""
FULL_BYTES: Final = 64 * 2**20


def stalls(history: History) -> list[MachineSeen]:
    """From the first fault to the end."""
    span = disturbed_span(history)
    start = span[0] if span is not None else float("-inf")
    return [seen for seen in history.machine if seen.late > LATE_SECONDS and seen.monotonic > start]


def check(history: History) -> Verdict:
    """Never a fail: it says what the others can be trusted with."""
    if not history.machine:
        return Verdict(checker=NAME, outcome=Outcome.VACUOUS, note="nobody looked at it")
    latest = max(seen.late for seen in history.machine)
    steal = max((seen.steal or 0.0 for seen in history.machine), default=0.0)
    note = f"latest timer {amount(latest, 's')}, most stolen {100 * steal:.0f} %"
    least = min((s.free_bytes for s in history.machine if s.free_bytes is not None), default=None)
    if least is not None and least < FULL_BYTES:
        note += f", only {least // 2**20} MiB of disk left"
        return Verdict(checker=NAME, outcome=Outcome.INCONCLUSIVE, note=note)
    return Verdict(checker=NAME, outcome=Outcome.PASS, note=note)


@dataclass(frozen=True, slots=True)
class Measured:
    """An amount, with the violation that it is where it is above its bound (whose summary ends with
    what was measured), and when it came about: no stall at another time has to do with it."""

    amount: float
    violation: Violation
    span: Span


def judge_in_time(
    checker: str,
    history: History,
    found: Iterable[Measured],
    *,
    bound: float,
    note: str = "",
    unit: str = "s",
    unit_seconds: float = 1.0,
) -> Verdict:
    """As `judge_each_within`, and accuses nobody of what the machine may have done: an amount that
    is no longer above its bound than the stalls of its own time explain. What they do not explain
    is blamed beside what they do. unit_seconds: what one of the unit takes."""
    every = list(found)
    amounts = [(each.amount, each.violation) for each in every]
    verdict = judge_each_within(checker, amounts, bound=bound, note=note, unit=unit)
    if not history.machine:
        return verdict
    broken = [
        (each, (each.span[0] - STALL_CAUSES_S, each.span[1]))
        for each in every
        if each.amount > bound
    ]
    blamed = [
        (each.amount, each.violation)
        for each, span in broken
        if (each.amount - bound) * unit_seconds > CONSEQUENCES * lateness_in(history, [span])
    ]
    if broken and not blamed:
        return excused(verdict, lateness_in(history, [span for _, span in broken]))
    kept = judge_each_within(checker, blamed, bound=bound, unit=unit).violations
    return msgspec.structs.replace(verdict, violations=kept)


def lateness_in(history: History, spans: Iterable[Span]) -> float:
    """Seconds of stalls within any of these, or just before."""
    times = list(spans)
    return sum(
        seen.late
        for seen in history.machine
        if seen.late > LATE_SECONDS
        and any(start - seen.late <= seen.monotonic <= end + seen.late for start, end in times)
    )


def may_explain(history: History, span: Span, short_of: float | None = None) -> float:
    """Seconds of stalls within the span in which something did not come, if they may be why; else
    0. short_of: how many seconds they have to explain; where nobody knows, all of the span."""
    late = lateness_in(history, [span])
    length = span[1] - span[0]
    needed = length if short_of is None else min(short_of, length)
    return late if CONSEQUENCES * late >= needed else 0.0


def excused(verdict: Verdict, late: float) -> Verdict:
    note = (
        f"this machine was short of CPU ({amount(late, 's')} late in all):"
        f" {verdict.violations[0].summary}"
    )
    return msgspec.structs.replace(verdict, outcome=Outcome.INCONCLUSIVE, note=note, violations=())
