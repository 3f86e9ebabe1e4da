"""Did the run test anything? Not an invariant of the system but of the experiment.

Inconclusive: a fault without a positive probe. Vacuous: nothing was decided while a fault that
leaves a quorum held, a leader was hit and no round changed, or load was wanted and none accepted.
On a baseline, which has neither rounds nor a quorum, only what concerns the whole run is asked.
"""

from typing import Final

from devnet.checkers.base import counted
from devnet.checkers.quorum import has_quorum, spans_without_quorum
from devnet.model.history import Answer, EventKind, FaultReceipt, History
from devnet.model.verdict import Outcome, Verdict

NAME: Final = "the faults happened"


def check(history: History) -> Verdict:
    unproven = [_doubt(fault) for fault in history.faults if _doubt(fault)]
    if unproven:
        return Verdict(checker=NAME, outcome=Outcome.INCONCLUSIVE, note="; ".join(unproven))
    faults = () if history.setup.cluster.is_baseline else history.faults
    empty = [note for fault in faults if (note := _emptiness(history, fault))]
    if history.setup.load and history.run_ended and not history.transactions:
        empty.append("no transaction was sent")
    if history.transactions and all(tx.answer is not Answer.OK for tx in history.transactions):
        empty.append("no transaction was accepted")
    if not any(event.kind is EventKind.DECIDED for event in history.events):
        empty.append("nothing was decided")
    if empty:
        return Verdict(checker=NAME, outcome=Outcome.VACUOUS, note="; ".join(empty))
    proven = counted(len(history.faults), "fault{s} proven")
    return Verdict(checker=NAME, outcome=Outcome.PASS, note=proven)


def _doubt(fault: FaultReceipt) -> str:
    if fault.error:
        return f"{fault.id}: {fault.error}"
    if fault.verified is None:
        return f"{fault.id}: not verified"
    if fault.repeats and not fault.cycles:
        return f"{fault.id}: it did not repeat"
    if fault.lapsed is not None:
        return f"{fault.id}: it did not stand to its end"
    return ""


def _emptiness(history: History, fault: FaultReceipt) -> str:
    assert fault.verified is not None, "doubtful faults are sorted out first"
    until = fault.healed if fault.healed is not None else float("inf")
    during = [e for e in history.events if fault.requested <= e.monotonic <= until]
    if _others_left_no_quorum(history, fault, until):
        return ""
    if fault.hits_leader and not any(_answers(e.kind, e.height, fault) for e in during):
        return f"{fault.id}: the leader of height {aimed_at(fault)} was hit and no round changed"
    if not has_quorum([fault], history.setup.operators):
        return ""
    if not any(event.kind is EventKind.DECIDED for event in during):
        return f"{fault.id}: nothing was decided while it held"
    return ""


def _others_left_no_quorum(history: History, fault: FaultReceipt, until: float) -> bool:
    """By themselves, or with it, at some time while it stood."""
    operators = history.setup.operators
    if not has_quorum([fault], operators) or len(history.faults) == 1:
        return False
    spans = spans_without_quorum(history.faults, operators)
    return any(start < until and fault.requested < end for start, end in spans)


def aimed_at(fault: FaultReceipt) -> int | None:
    """The height whose leader was hit: a fault can fall while the height before it is still
    sealed."""
    return fault.height if fault.aimed_height is None else fault.aimed_height


def _answers(kind: EventKind, height: int, fault: FaultReceipt) -> bool:
    known = [h for h in (fault.height, fault.aimed_height) if h is not None]
    return kind is EventKind.ROUND_CHANGE and (not known or height >= max(known))
