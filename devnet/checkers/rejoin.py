"""L5 caught up and voting again: whoever a fault silenced catches up, and operators vote again,
within the limit from the proven heal. Who does not come back once its fault was taken back, or is
waited for in vain by one that itself stops and starts it, has not.

While other faults disturb more than f operators nobody can: the longest time without them counts.
"""

from typing import Final

from devnet.checkers.base import amount, counted, inconclusive
from devnet.checkers.recovery import unreturned
from devnet.checkers.sound_machine import Measured, judge_in_time
from devnet.model.history import FaultReceipt, History
from devnet.model.terms import Duration
from devnet.model.timeline import able_spans, rejoined_at
from devnet.model.verdict import Verdict, Violation

NAME: Final = "L5 caught up and voting again"


def check(history: History, limit: Duration) -> Verdict:
    bound = limit.in_seconds(history.setup.slot_seconds)
    if away := unreturned(history, NAME):
        return away
    healed = [fault for fault in history.faults if fault.healed is not None]
    if len(healed) < len(history.faults):
        return inconclusive(NAME, "a heal was not proven")
    waits = [
        wait
        for fault in healed
        for node in fault.returning
        if (wait := _wait(history, fault, node, bound)) is not None
    ]
    note = counted(len(waits), "node{s}")
    return judge_in_time(NAME, history, waits, bound=bound, note=note)


def _wait(history: History, fault: FaultReceipt, node: str, bound: float) -> Measured | None:
    """None where it never could."""
    assert fault.healed is not None, "caller checked"
    moment = rejoined_at(history, fault, node)
    last_seen = max((event.monotonic for event in history.events), default=0.0)
    until = max(fault.healed, last_seen if moment is None else moment)
    able = able_spans(history, (fault.healed, until))
    waited = max((last - first for first, last in able), default=0.0)
    if moment is not None:
        summary = f"{node} was back after the heal of {fault.id}: {amount(waited, 's')}"
    elif until > fault.healed and not able:
        return None
    else:
        # Never seen back: worse than any bound, whatever the run's length.
        waited = max(bound, waited) + 1.0
        summary = f"{node} was not seen voting again after the heal of {fault.id}, to the end"
    violation = Violation(checker=NAME, summary=summary, monotonic=moment, witness=(fault,))
    return Measured(waited, violation, (fault.healed, until))
