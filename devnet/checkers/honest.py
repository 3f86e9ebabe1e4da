"""What a history says once the word of liars is left out.

From the moment at which an operator is asked to lie until it is proven honest again, what it
reports of itself is no evidence, for or against: neither its decisions nor its signatures, nor whom
it accuses, nor what its log holds, which is the liar's. What can be checked without believing it
stays: a group signature verifies or does not, and what its execution layer serves at the end was
read when it was honest again.
"""

from collections.abc import Iterable

import msgspec

from devnet.checkers.base import LiveChecker
from devnet.model.history import (
    Event,
    ExceptionLogged,
    FaultReceipt,
    History,
    Record,
    VoteSeen,
)
from devnet.model.verdict import Violation


def is_believed(record: Event | VoteSeen | ExceptionLogged, faults: Iterable[FaultReceipt]) -> bool:
    return not any(
        record.node in fault.lying
        and fault.requested <= record.monotonic
        and (fault.healed is None or record.monotonic < fault.healed)
        for fault in faults
    )


def believed(history: History) -> History:
    """The history without what liars reported of themselves."""
    faults = [fault for fault in history.faults if fault.lying]
    if not faults:
        return history
    return msgspec.structs.replace(
        history,
        events=tuple(each for each in history.events if is_believed(each, faults)),
        votes=tuple(each for each in history.votes if is_believed(each, faults)),
        exceptions=tuple(each for each in history.exceptions if is_believed(each, faults)),
    )


class Believed:
    """A live checker that is not told what liars report of themselves."""

    def __init__(self, checker: LiveChecker) -> None:
        self._checker = checker
        self._faults: dict[str, FaultReceipt] = {}

    def feed(self, record: Record) -> list[Violation]:
        if isinstance(record, FaultReceipt) and record.lying:
            self._faults[record.id] = record
        if isinstance(record, Event | VoteSeen | ExceptionLogged):
            if not is_believed(record, self._faults.values()):
                return []
        return self._checker.feed(record)
