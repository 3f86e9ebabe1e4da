"""L5 caught up and voting again: whoever a fault silenced catches up, and operators vote again,
within the limit from the proven heal. Whom a fault itself stops and starts, and waits for in vain,
has not."""

from typing import Final

from devnet.checkers.base import amount, counted, inconclusive, judge, judge_within
from devnet.checkers.sound_machine import timing
from devnet.model.history import FaultReceipt, History
from devnet.model.terms import Duration
from devnet.model.timeline import rejoined_at
from devnet.model.verdict import Verdict, Violation

NAME: Final = "L5 caught up and voting again"


@timing
def check(history: History, limit: Duration) -> Verdict:
    bound = limit.in_seconds(history.setup.slot_seconds)
    lost = [_lost(fault, node) for fault in history.faults for node in fault.unreturned]
    if lost:
        return judge(NAME, lost, looked_at=len(lost), what="node{s}")
    healed = [fault for fault in history.faults if fault.healed is not None]
    if len(healed) < len(history.faults):
        return inconclusive(NAME, "a heal was not proven")
    waits = [_wait(history, fault, node, bound) for fault in healed for node in fault.returning]
    worst = max(waits, key=lambda wait: wait[0], default=None)
    return judge_within(NAME, worst, bound=bound, note=counted(len(waits), "node{s}"))


def _lost(fault: FaultReceipt, node: str) -> Violation:
    summary = f"{node} did not come back under the fault {fault.id}: {fault.error}"
    return Violation(checker=NAME, summary=summary, witness=(fault,))


def _wait(
    history: History, fault: FaultReceipt, node: str, bound: float
) -> tuple[float, Violation]:
    assert fault.healed is not None, "caller checked"
    moment = rejoined_at(history, fault, node)
    if moment is not None:
        waited = moment - fault.healed
        summary = f"{node} was back after the heal of {fault.id}: {amount(waited, 's')}"
    else:
        # Never seen back: worse than any bound, whatever the run's length.
        last_seen = max((event.monotonic for event in history.events), default=0.0)
        waited = max(bound, last_seen - fault.healed) + 1.0
        summary = f"{node} was not seen voting again after the heal of {fault.id}, to the end"
    return waited, Violation(checker=NAME, summary=summary, monotonic=moment, witness=(fault,))
