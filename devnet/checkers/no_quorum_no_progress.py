"""S14 no progress without quorum: while no component holds a quorum, no new height is decided.

Judged on what the receipts prove: from 1 s after the verified cut (decisions in flight) until the
heal was requested. A height counts as new when nobody had reported it decided before.
"""

from typing import Final

from devnet.checkers.base import judge
from devnet.model.history import Event, EventKind, FaultReceipt, History, Record, Setup
from devnet.model.verdict import Outcome, Verdict, Violation
from dst.spec.primitives import quorum

NAME: Final = "S14 no progress without quorum"
GRACE_SECONDS: Final = 1.0
"""In-flight votes of before the cut may still complete a certificate."""
LOOK_SECONDS: Final = 3.0
"""Before a fault is seen to have lapsed: a look a second, two that miss it, and their time."""


def breaks_quorum(fault: FaultReceipt, operators: int) -> bool:
    """Whether no connected component of live operators reaches a quorum while this fault holds."""
    largest = max((len(component) for component in fault.components), default=operators)
    return largest < quorum(operators)


class LiveNoQuorumNoProgress:
    """Knows the faults fed so far; an event is judged when it is fed, so feed receipts promptly."""

    def __init__(self, operators: int | None = None) -> None:
        self._operators = operators
        self._faults: dict[str, FaultReceipt] = {}
        self._decided: dict[int, Event] = {}

    def feed(self, record: Record) -> list[Violation]:
        match record:
            case Setup():
                self._operators = len(record.operators)
            case FaultReceipt():
                self._faults[record.id] = record
            case Event(kind=EventKind.DECIDED) if record.height not in self._decided:
                self._decided[record.height] = record
                return self._judge(record)
            case _:
                pass
        return []

    def _judge(self, event: Event) -> list[Violation]:
        if self._operators is None:
            return []
        return [
            _violation(event, fault)
            for fault in self._faults.values()
            if breaks_quorum(fault, self._operators) and _proven_at(fault, event.monotonic)
        ]


def check(history: History) -> Verdict:
    operators = len(history.setup.operators)
    spans = [fault for fault in history.faults if breaks_quorum(fault, operators)]
    if any(fault.verified is None for fault in spans):
        note = "a cut below quorum was not verified"
        return Verdict(checker=NAME, outcome=Outcome.INCONCLUSIVE, note=note)
    first: dict[int, Event] = {}
    for event in history.events:
        if event.kind is EventKind.DECIDED:
            first.setdefault(event.height, event)
    found = [
        _violation(event, fault)
        for fault in spans
        for event in first.values()
        if _proven_at(fault, event.monotonic)
    ]
    return judge(NAME, found, looked_at=len(spans), what="span{s} without a quorum")


def _proven_at(fault: FaultReceipt, moment: float) -> bool:
    """Whether the cut certainly held at `moment`, in-flight grace deducted."""
    if fault.verified is None or moment <= fault.verified + GRACE_SECONDS:
        return False
    if fault.lapsed is not None and moment >= fault.lapsed - LOOK_SECONDS:
        return False
    return fault.revert_requested is None or moment < fault.revert_requested


def _violation(event: Event, fault: FaultReceipt) -> Violation:
    since = event.monotonic - (fault.verified or 0.0)
    summary = f"height {event.height} was decided {since:.2f} s after the verified cut {fault.id}"
    return Violation(
        checker=NAME,
        summary=summary,
        monotonic=event.monotonic,
        height=event.height,
        witness=(fault, event),
    )
