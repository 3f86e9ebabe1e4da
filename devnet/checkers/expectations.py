"""What one scenario promises beyond the standing invariants, as checkers: `Scenario -> (History ->
Verdict, ...)`.

All spans come from the fault receipts (verified to revert requested, and to healed), never from the
plan.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from devnet.checkers import known_fate
from devnet.checkers.base import Checker, amount, counted, judge, judge_within
from devnet.checkers.no_quorum_no_progress import GRACE_SECONDS, breaks_quorum
from devnet.model.fault import FaultKind
from devnet.model.history import Event, EventKind, Fate, FaultReceipt, History
from devnet.model.scenario import Duration, Expect, RoundChanges, Scenario
from devnet.model.verdict import Outcome, Verdict, Violation
from dst.spec.primitives import Height, Round, leader_of

ROUNDS: Final = "rounds as promised"
PROGRESS: Final = "L9 progress under fault"
GAP: Final = "L2 gap between sealed blocks"
REJOIN: Final = "L5 caught up and voting again"
CRASHES: Final = "S17 no program ends on its own"
READABLE: Final = "every node serves at the end"
STANDSTILL: Final = "standstill was looked at"

VOTES: Final = frozenset({EventKind.PREPARED, EventKind.SIGNED})
"""What only an operator that votes again reports."""


def checkers_for(scenario: Scenario, operators: int) -> tuple[Checker, ...]:
    """The scenario's own checkers, for a cluster of this size."""
    expect = scenario.expect
    found: list[Checker] = []
    if expect.round_changes is not RoundChanges.ANY:
        found.append(lambda history: check_rounds(history, expect, operators))
    if expect.progress.for_operators(operators):
        wanted = expect.progress.for_operators(operators)
        found.append(lambda history: check_progress(history, wanted))
    if expect.gap is not None:
        gap = expect.gap
        found.append(lambda history: check_gap(history, gap))
    if expect.rejoin is not None:
        rejoin = expect.rejoin
        found.append(lambda history: check_rejoin(history, rejoin))
    if expect.no_progress:
        found.append(check_standstill)
    if scenario.hostile is not None:
        found.append(known_fate.check)
    return tuple(found)


def disturbed_span(history: History) -> tuple[float, float] | None:
    """From the first request to the last proven heal (or revert), and from the first hostile
    transaction to the fate of the last: where gaps are the scenario's doing."""
    if any(fault.verified is None for fault in history.faults):
        return None
    sent = [item for item in history.hostile if item.fate is not Fate.UNSENT]
    starts = [fault.requested for fault in history.faults] + [item.sent for item in sent]
    ends = [fault.healed or fault.reverted for fault in history.faults]
    known = [end for end in ends if end is not None] + [item.settled for item in sent]
    return (min(starts), max(known)) if starts and known else None


def _inconclusive(checker: str, note: str) -> Verdict:
    return Verdict(checker=checker, outcome=Outcome.INCONCLUSIVE, note=note)


def check_rounds(history: History, expect: Expect, operators: int) -> Verdict:
    """Round changes required (else vacuous) or forbidden while the faults stand."""
    span = disturbed_span(history)
    if span is None:
        return _inconclusive(ROUNDS, "no fault was proven, no hostile transaction sent")
    changes = [
        event
        for event in history.events
        if event.kind is EventKind.ROUND_CHANGE and span[0] <= event.monotonic <= span[1]
    ]
    if expect.round_changes is RoundChanges.REQUIRED:
        note = counted(len(changes), "round change{s}")
        outcome = Outcome.PASS if changes else Outcome.VACUOUS
        return Verdict(checker=ROUNDS, outcome=outcome, note=note)
    first = _first_judged(history, expect.settle_in.for_operators(operators))
    judged = [event for event in changes if event.height >= first]
    if expect.round_changes is RoundChanges.FORBIDDEN_FOR_OTHERS:
        judged = [event for event in judged if not _led_by_target(event, history)]
    heights = _sealed_heights(history, span)
    looked_at = len([height for height in heights if height >= first])
    return judge(ROUNDS, map(_round_violation, judged), looked_at=looked_at, what="height{s}")


def _first_judged(history: History, forgiven: int) -> int:
    """Heights up to here may still change rounds: links and timers were in motion."""
    hit = max((fault.height or 0 for fault in history.faults), default=0)
    return hit + forgiven + (1 if forgiven else 0)


def _led_by_target(event: Event, history: History) -> bool:
    names = history.setup.operators
    leader = names[leader_of(Height(event.height), Round(0), len(names))]
    return any(leader in fault.targets for fault in history.faults)


def _round_violation(event: Event) -> Violation:
    summary = f"{event.node} entered round {event.round} of height {event.height}"
    return Violation(
        checker=ROUNDS, summary=summary, monotonic=event.monotonic, height=event.height,
        witness=(event,),
    )  # fmt: skip


def is_sealed_there(event: Event, operators: Sequence[str]) -> bool:
    """Whether this event says that its node has the block with its group signature.

    An operator imports what is decided and seals it later; a follower imports only what is sealed.
    """
    if event.kind is EventKind.SEALED:
        return True
    return event.kind is EventKind.IMPORTED and event.node not in operators


def first_sealed(history: History) -> list[Event]:
    """The first report of each sealed height, in order of time: when the chain as a whole moved
    on."""
    first: dict[int, Event] = {}
    for event in history.events:
        if event.kind is EventKind.SEALED:
            first.setdefault(event.height, event)
    return sorted(first.values(), key=lambda event: event.monotonic)


def _sealed_heights(history: History, span: tuple[float, float]) -> set[int]:
    return {e.height for e in first_sealed(history) if span[0] <= e.monotonic <= span[1]}


def check_progress(history: History, wanted: int) -> Verdict:
    """So many heights are sealed between the proof and the heal."""
    span = disturbed_span(history)
    if span is None:
        return _inconclusive(PROGRESS, "no fault was proven")
    sealed = len(_sealed_heights(history, span))
    note = f"{counted(sealed, 'height{s}')} sealed while the faults stood, {wanted} required"
    if sealed >= wanted:
        return Verdict(checker=PROGRESS, outcome=Outcome.PASS, note=note)
    violation = Violation(checker=PROGRESS, summary=note, witness=history.faults)
    return Verdict(checker=PROGRESS, outcome=Outcome.FAIL, violations=(violation,), note=note)


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without a newly sealed block. `where` names it by the block after it, or, when the
    chain stood still to the end, by the last one."""

    seconds: float
    block: Event
    where: str


def worst_gap(history: History) -> Gap | None:
    """The longest one that touches the disturbed span."""
    span = disturbed_span(history)
    sealed = first_sealed(history)
    if span is None or len(sealed) < 2:
        return None
    gaps = [
        Gap(after.monotonic - before.monotonic, after, f"before height {after.height} was sealed")
        for before, after in pairwise(sealed)
        if after.monotonic >= span[0] and before.monotonic <= span[1]
    ]
    last = sealed[-1]
    gaps.append(Gap(span[1] - last.monotonic, last, f"after height {last.height}, the last sealed"))
    return max(gaps, key=lambda gap: gap.seconds)


def check_gap(history: History, limit: Duration) -> Verdict:
    """The chain stalls no longer than this while faults stand."""
    bound = limit.in_seconds(history.setup.slot_seconds)
    found = worst_gap(history)
    if found is None:
        return judge_within(GAP, None, bound=bound, note="fewer than two sealed blocks")
    violation = Violation(
        checker=GAP,
        summary=f"time {found.where}: {amount(found.seconds, 's')}",
        monotonic=found.block.monotonic,
        height=found.block.height,
        witness=(found.block,),
    )
    return judge_within(GAP, (found.seconds, violation), bound=bound, note=found.where)


def rejoined_at(history: History, fault: FaultReceipt, node: str) -> float | None:
    """When `node` had caught up with what was decided at the heal and, if an operator, voted above
    it."""
    assert fault.healed is not None, "asked about healed faults only"
    healed = fault.healed
    head = max((e.height for e in history.events if e.monotonic <= healed), default=0)
    mine = [e for e in history.events if e.node == node and e.monotonic >= healed]
    seals = (EventKind.SEALED, EventKind.IMPORTED)
    caught_up = next((e.monotonic for e in mine if e.kind in seals and e.height >= head), None)
    if node not in history.setup.operators:
        return caught_up
    voted = next((e.monotonic for e in mine if e.kind in VOTES and e.height > head), None)
    return None if caught_up is None or voted is None else max(caught_up, voted)


def hit_nodes(history: History, fault: FaultReceipt) -> tuple[str, ...]:
    """Nodes that have something to catch up with after this fault."""
    return fault.targets if fault.kind != FaultKind.LATENCY else ()


def check_rejoin(history: History, limit: Duration) -> Verdict:
    """Every disturbed node catches up, and operators vote again, within `limit` of the proven
    heal."""
    bound = limit.in_seconds(history.setup.slot_seconds)
    healed = [fault for fault in history.faults if fault.healed is not None]
    if len(healed) < len(history.faults):
        return _inconclusive(REJOIN, "a heal was not proven")
    waits: list[tuple[float, Violation]] = []
    for fault in healed:
        waits += [_rejoin_wait(history, fault, node, bound) for node in hit_nodes(history, fault)]
    worst = max(waits, key=lambda wait: wait[0], default=None)
    return judge_within(REJOIN, worst, bound=bound, note=counted(len(waits), "node{s}"))


def _rejoin_wait(
    history: History, fault: FaultReceipt, node: str, bound: float
) -> tuple[float, Violation]:
    assert fault.healed is not None, "caller checked"
    moment = rejoined_at(history, fault, node)
    if moment is not None:
        waited = moment - fault.healed
        summary = f"{node} was back after the heal of {fault.id}: {amount(waited, 's')}"
    else:
        # Never seen back: worse than any bound, whatever the run's length.
        waited = max(bound, _last_seen(history.events) - fault.healed) + 1.0
        summary = f"{node} was not seen voting again after the heal of {fault.id}, to the end"
    return waited, Violation(checker=REJOIN, summary=summary, monotonic=moment, witness=(fault,))


def _last_seen(events: Iterable[Event]) -> float:
    return max((event.monotonic for event in events), default=0.0)


def check_standstill(history: History) -> Verdict:
    """The cluster was really without a quorum, for longer than the in-flight grace: else S14 proved
    nothing."""
    operators = len(history.setup.operators)
    looked = [
        fault.revert_requested - fault.verified - GRACE_SECONDS
        for fault in history.faults
        if fault.verified is not None
        and fault.revert_requested is not None
        and breaks_quorum(fault, operators)
    ]
    longest = max(looked, default=0.0)
    outcome = Outcome.PASS if longest > 0 else Outcome.VACUOUS
    note = f"{max(longest, 0.0):.2f} s without a quorum beyond the grace of {GRACE_SECONDS:.0f} s"
    return Verdict(checker=STANDSTILL, outcome=outcome, note=note)


def judge_crashes(crashed: list[str]) -> Verdict:
    """Programs die when they are killed, and otherwise not (`crashed` comes from the backend)."""
    violations = [
        Violation(checker=CRASHES, summary=f"{program} ended on its own") for program in crashed
    ]
    # Every network has programs, so there is always something to look at.
    return judge(CRASHES, violations, looked_at=1, what="network{s}")


def judge_readable(unread: Mapping[str, str], nodes: int) -> Verdict:
    """No fault stands any more: a node that still cannot be read has not come back."""
    violations = [
        Violation(checker=READABLE, summary=f"{node} cannot be read: {why}")
        for node, why in unread.items()
    ]
    return judge(READABLE, violations, looked_at=nodes, what="node{s}")
