"""Round changes required (else vacuous) or forbidden while the faults stand."""

from typing import Final

from devnet.checkers.base import counted, inconclusive, judge
from devnet.checkers.sound_machine import STALL_CAUSES_S, excused, stalls
from devnet.model.expect import Expect, RoundChanges
from devnet.model.history import Event, EventKind, History
from devnet.model.timeline import disturbed_span, sealed_heights
from devnet.model.verdict import Outcome, Verdict, Violation
from dst.spec.primitives import Height, Round, leader_of

NAME: Final = "rounds as promised"


def check(history: History, expect: Expect) -> Verdict:
    span = disturbed_span(history)
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
    first = _first_judged(history, expect.settle_in.for_operators(len(history.setup.operators)))
    judged = [event for event in changes if event.height >= first]
    if expect.round_changes is RoundChanges.FORBIDDEN_FOR_OTHERS:
        judged = [event for event in judged if not _led_by_target(event, history)]
    looked_at = len([height for height in sealed_heights(history, span) if height >= first])
    verdict = judge(NAME, map(_violation, judged), looked_at=looked_at, what="height{s}")
    late = [_lateness_before(event, history) for event in judged]
    return excused(verdict, sum(late)) if late and all(late) else verdict


def _lateness_before(event: Event, history: History) -> float:
    """Of stalls so shortly before a round change that they may be its cause."""
    return sum(
        seen.late
        for seen in stalls(history)
        if 0.0 <= event.monotonic - seen.monotonic + seen.late <= STALL_CAUSES_S
    )


def _first_judged(history: History, forgiven: int) -> int:
    """Heights up to here may still change rounds: links and timers were in motion."""
    hit = max((fault.height or 0 for fault in history.faults), default=0)
    return hit + forgiven + (1 if forgiven else 0)


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
