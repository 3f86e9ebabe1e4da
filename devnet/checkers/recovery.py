"""L4 heal bound: after a verified heal the next sealed block comes within block time + 5 s.

Who does not come back in the time that its fault has, once that was taken back, has not healed.

The bound does not depend on how long the fault lasted (rule 33). *Next* is the
first height above all that were sealed before the heal, at whichever node reports it first. While
other faults disturb more than f operators nothing is owed: the longest time without them counts.
"""

from typing import Final

from devnet.checkers.base import amount, counted, judge
from devnet.checkers.sound_machine import Measured, excused, judge_in_time, may_explain
from devnet.model.history import EventKind, FaultReceipt, History
from devnet.model.timeline import able_spans
from devnet.model.verdict import Outcome, Verdict, Violation

NAME: Final = "L4 recovery after heal"
MARGIN_SECONDS: Final = 5.0


def check(history: History) -> Verdict:
    if away := unreturned(history, NAME):
        return away
    bound = history.setup.slot_seconds + MARGIN_SECONDS
    healed = [fault for fault in history.faults if fault.applied is not None]
    missing = [fault.id for fault in healed if fault.healed is None]
    if missing:
        note = f"heal not verified: {', '.join(missing)}"
        return Verdict(checker=NAME, outcome=Outcome.INCONCLUSIVE, note=note, bound=bound)
    waits = [wait for fault in healed if (wait := _wait(history, fault, bound)) is not None]
    note = counted(len(waits), "heal{s}")
    return judge_in_time(NAME, history, waits, bound=bound, note=note)


def unreturned(history: History, checker: str) -> Verdict | None:
    """On those that a fault was taken back from and that did not come back, or that it stopped,
    started and waited for in vain; None when there are none. Where this machine stood still for
    long enough to be why, they are not blamed."""
    lost = [fault for fault in history.faults if fault.unreturned]
    blamed = [fault for fault in lost if not waited_in_vain(history, fault)] or lost
    found = [_lost(fault, node, checker) for fault in blamed for node in fault.unreturned]
    if not found:
        return None
    verdict = judge(checker, found, looked_at=len(found), what="node{s}")
    late = max(waited_in_vain(history, fault) for fault in blamed)
    return excused(verdict, late) if late else verdict


def waited_in_vain(history: History, fault: FaultReceipt) -> float:
    """Seconds of stalls that may be why whom it waited for did nothing in time; else 0."""
    if fault.given_up is None:
        return 0.0
    back = fault.revert_requested
    began = back if back is not None and back < fault.given_up else fault.requested
    return may_explain(history, (began, fault.given_up))


def _lost(fault: FaultReceipt, node: str, checker: str) -> Violation:
    summary = f"{node} did not come back from the fault {fault.id}: {fault.error}"
    return Violation(checker=checker, summary=summary, monotonic=fault.given_up, witness=(fault,))


def _wait(history: History, fault: FaultReceipt, bound: float) -> Measured | None:
    """Seconds from the heal to the next sealed block; None when the run ended before it was due, or
    other faults did not let it come."""
    assert fault.healed is not None, "caller sorted out unverified heals"
    sealed = [event for event in history.events if event.kind is EventKind.SEALED]
    before = max((e.height for e in sealed if e.monotonic <= fault.healed), default=0)
    after = [e for e in sealed if e.monotonic > fault.healed and e.height > before]
    if after:
        first = min(after, key=lambda event: event.monotonic)
        waited = _able(history, fault.healed, first.monotonic)
        if waited is None:
            return None
        summary = f"after the heal of {fault.id}, height {first.height} took {amount(waited, 's')}"
        violation = _violation(summary, first.monotonic, fault)
        return Measured(waited, violation, (fault.healed, first.monotonic))
    end = _end(history)
    observed = _able(history, fault.healed, end)
    if observed is None or observed <= bound:
        return None
    summary = f"after the heal of {fault.id}, nothing was sealed for {amount(observed, 's')}"
    return Measured(observed, _violation(summary, None, fault), (fault.healed, end))


def _able(history: History, healed: float, end: float) -> float | None:
    spans = able_spans(history, (healed, end)) if healed < end else []
    return max((last - first for first, last in spans), default=None)


def _end(history: History) -> float:
    """The last moment at which anybody was seen alive."""
    moments = [event.monotonic for event in history.events]
    moments += [receipt.monotonic for receipt in history.receipts]
    return max(moments, default=float("-inf"))


def _violation(summary: str, monotonic: float | None, fault: FaultReceipt) -> Violation:
    return Violation(checker=NAME, summary=summary, monotonic=monotonic, witness=(fault,))
