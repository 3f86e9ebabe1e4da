"""Was the machine itself well? Where it stood still, nothing can be said about time: what broke a
bound may have been the host. What broke safety broke it all the same.

A stall is a timer of the harness that came this late; with a hundred programs on two cores one of a
few tens of milliseconds is ordinary. The kernel's pressure is recorded for whoever reads a run, and
excuses nothing: it says that somebody waits, not for how long. On two cores it was between 13 and
100 percent in runs that passed, 85 in the middle, without one timer that came late.
"""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Concatenate, Final, ParamSpec

import msgspec

from devnet.checkers.base import amount
from devnet.model.history import History, MachineSeen
from devnet.model.timeline import Span, disturbed_span
from devnet.model.verdict import Outcome, Verdict

NAME: Final = "this machine was well"
LATE_SECONDS: Final = 0.3
CONSEQUENCES: Final = 4.0
"""A stall of a third of a second costs a round, and that more than the stall."""
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


_P = ParamSpec("_P")


def timing(
    check_timing: Callable[Concatenate[History, _P], Verdict],
) -> Callable[Concatenate[History, _P], Verdict]:
    """A checker of a bound of time, which accuses nobody of what the machine may have done: a wait
    that is no longer above its bound than the stalls explain."""

    @wraps(check_timing)
    def careful(history: History, /, *rest: _P.args, **named: _P.kwargs) -> Verdict:
        verdict = check_timing(history, *rest, **named)
        return careful_of(verdict, sum(seen.late for seen in stalls(history)))

    return careful


def careful_of(verdict: Verdict, late: float) -> Verdict:
    """late: seconds of stalls that may have to do with it."""
    if verdict.outcome is not Outcome.FAIL or verdict.measured is None or verdict.bound is None:
        return verdict
    if verdict.measured - verdict.bound > CONSEQUENCES * late:
        return verdict
    return excused(verdict, late)


def lateness_in(history: History, spans: Iterable[Span]) -> float:
    """Seconds of stalls within these, or just before."""
    return sum(
        seen.late
        for start, end in spans
        for seen in history.machine
        if seen.late > LATE_SECONDS and start - seen.late <= seen.monotonic <= end + seen.late
    )


def may_explain(history: History, span: Span, short_of: float | None = None) -> float:
    """Seconds of stalls within the span in which something did not come, if they may be why; else
    0. short_of: how many seconds more it would have taken; where nobody knows, all of the span."""
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
