"""Nodes notice what they have to: damage to what they keep, blocks of L1 that became others, that
they are to hand over.

Without it a fault of these kinds is not proven, and whose doing that is has to be told apart: the
harness had done all that is its own, and the node, which answered, went on as if nothing had been.
Unless this machine stood still for long enough to be why.
"""

from typing import Final

from devnet.checkers.base import judge
from devnet.checkers.recovery import waited_in_vain
from devnet.checkers.sound_machine import excused
from devnet.model.history import FaultReceipt, History
from devnet.model.verdict import Verdict, Violation

NAME: Final = "nodes notice what they have to"


def check(history: History) -> Verdict:
    """Vacuous without faults. That one was noticed, where it had to be, is part of its proof."""
    unmoved = [fault for fault in history.faults if fault.unmoved]
    blamed = [fault for fault in unmoved if not waited_in_vain(history, fault)] or unmoved
    found = [_violation(fault, node) for fault in blamed for node in fault.unmoved]
    verdict = judge(NAME, found, looked_at=len(history.faults), what="fault{s}")
    late = max((waited_in_vain(history, fault) for fault in blamed), default=0.0)
    return excused(verdict, late) if late else verdict


def _violation(fault: FaultReceipt, node: str) -> Violation:
    summary = f"{node} did not notice the fault {fault.id}: {fault.error}"
    return Violation(checker=NAME, summary=summary, monotonic=fault.given_up, witness=(fault,))
