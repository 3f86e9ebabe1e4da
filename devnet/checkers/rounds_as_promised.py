"""Round changes required (else vacuous) or forbidden while the faults stand.

After each fault that hits, and not after the first or the last alone, a round may still change at
some heights. What stands around all of them, to the end, is the surroundings: links that it slows
are promised nothing before the first of the others.
"""

from typing import Final

from devnet.checkers.base import counted, inconclusive, judge
from devnet.checkers.sound_machine import STALL_CAUSES_S, excused, stalls
from devnet.model.expect import Expect, RoundChanges
from devnet.model.history import Event, EventKind, History
from devnet.model.timeline import Span, first_sealed, tested_span
from devnet.model.verdict import Outcome, Verdict, Violation
from dst.spec.primitives import Height, Round, leader_of

NAME: Final = "rounds as promised"


def check(history: History, expect: Expect) -> Verdict:
    span = tested_span(history)
    if span is None:
        return inconclusive(NAME, "no fault was proven, no hostile transaction sent")
    changes = [
        event
        for event in history.events
        if event.kind is EventKind.ROUND_CHANGE and span[0] <= event.monotonic <= span[1]
    ]
    if expect.round_changes is RoundChanges.REQUIRED:
        note = counted(len(changes), "round change{s}")
        outcome = Outcome.PASS if changes else Outcome.VACUOUS
        return Verdict(checker=NAME, outcome=outcome, note=note)
    forgiven = expect.settle_in.for_operators(len(history.setup.operators))
    judged = [event for event in changes if _is_judged(event, history, forgiven)]
    if expect.round_changes is RoundChanges.FORBIDDEN_FOR_OTHERS:
        judged = [event for event in judged if not _led_by_target(event, history)]
    verdict = judge(
        NAME, map(_violation, judged), looked_at=_judged(history, span, forgiven), what="height{s}"
    )
    late = [_lateness_before(event, history) for event in judged]
    return excused(verdict, sum(late)) if late and all(late) else verdict


def _lateness_before(event: Event, history: History) -> float:
    """Of stalls so shortly before a round change that they may be its cause."""
    return sum(
        seen.late
        for seen in stalls(history)
        if 0.0 <= event.monotonic - seen.monotonic + seen.late <= STALL_CAUSES_S
    )


def _is_judged(event: Event, history: History, forgiven: int) -> bool:
    """Not of so many heights from the one on that the latest fault until then had hit: links and
    timers were in motion."""
    hit = max((f.height or 0 for f in history.faults if f.requested <= event.monotonic), default=0)
    return event.height >= hit + forgiven + (1 if forgiven else 0)


def _judged(history: History, span: Span, forgiven: int) -> int:
    """Heights sealed in the span at which a round must not have changed."""
    sealed = (each for each in first_sealed(history) if span[0] <= each.monotonic <= span[1])
    return sum(_is_judged(each, history, forgiven) for each in sealed)


def _led_by_target(event: Event, history: History) -> bool:
    names = history.setup.operators
    leader = names[leader_of(Height(event.height), Round(0), len(names))]
    return any(leader in fault.targets for fault in history.faults)


def _violation(event: Event) -> Violation:
    summary = f"{event.node} entered round {event.round} of height {event.height}"
    return Violation(
        checker=NAME, summary=summary, monotonic=event.monotonic, height=event.height,
        witness=(event,),
    )  # fmt: skip
