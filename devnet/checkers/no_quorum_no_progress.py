"""S14 no progress without quorum: while no component holds a quorum, no new height is decided.

Of all faults that certainly stand at a time together (`checkers.quorum`). A height counts as new
when nobody had reported it decided before.
"""

from typing import Final

from devnet.checkers.base import inconclusive, judge
from devnet.checkers.quorum import has_quorum, spans_without_quorum, standing_at
from devnet.model.history import Event, EventKind, FaultReceipt, History, Record, Setup
from devnet.model.verdict import Verdict, Violation

NAME: Final = "S14 no progress without quorum"


class LiveNoQuorumNoProgress:
    """Knows the faults fed so far; an event is judged when it is fed, so feed receipts promptly."""

    def __init__(self, operators: tuple[str, ...] = ()) -> None:
        self._operators = operators
        self._faults: dict[str, FaultReceipt] = {}
        self._decided: set[int] = set()

    def feed(self, record: Record) -> list[Violation]:
        match record:
            case Setup():
                self._operators = record.operators
            case FaultReceipt():
                self._faults[record.id] = record
            case Event(kind=EventKind.DECIDED) if record.height not in self._decided:
                self._decided.add(record.height)
                return self._judge(record)
            case _:
                pass
        return []

    def _judge(self, event: Event) -> list[Violation]:
        standing = standing_at(self._faults.values(), event.monotonic)
        if not standing or has_quorum(standing, self._operators):
            return []
        return [_violation(event, standing)]


def check(history: History) -> Verdict:
    operators, faults = history.setup.operators, history.faults
    if any(fault.verified is None and not has_quorum([fault], operators) for fault in faults):
        return inconclusive(NAME, "a cut below quorum was not verified")
    spans = spans_without_quorum(faults, operators)
    first: dict[int, Event] = {}
    for event in history.events:
        if event.kind is EventKind.DECIDED:
            first.setdefault(event.height, event)
    found = [
        _violation(event, standing_at(faults, event.monotonic))
        for event in first.values()
        if any(start < event.monotonic < end for start, end in spans)
    ]
    return judge(NAME, found, looked_at=len(spans), what="span{s} without a quorum")


def _violation(event: Event, standing: tuple[FaultReceipt, ...]) -> Violation:
    since = event.monotonic - max(fault.verified or 0.0 for fault in standing)
    which = " with ".join(fault.id for fault in standing)
    summary = f"height {event.height} was decided {since:.2f} s after the verified cut {which}"
    return Violation(
        checker=NAME,
        summary=summary,
        monotonic=event.monotonic,
        height=event.height,
        witness=(*standing, event),
    )
