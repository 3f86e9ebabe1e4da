"""L6 inclusion: a transaction answered by an operator that stayed up is included within n heights.

Counted from the newest height that was already proposed or decided when the answer came: in the n
heights after it every operator leads once. The first of them may be built without it by then, so an
operator alone has two. Not judged (neither way): transactions whose operator
was disturbed between sending and inclusion, and those whose n heights were not all read at the end.
"""

from typing import Final

from devnet.checkers.base import counted, judge_within
from devnet.model.history import (
    Answer,
    EventKind,
    FaultReceipt,
    History,
    TransactionSubmitted,
)
from devnet.model.verdict import Verdict, Violation

NAME: Final = "L6 inclusion"
STARTED: Final = frozenset({EventKind.PROPOSAL, EventKind.DECIDED})


def check(history: History) -> Verdict:
    bound = _bound(history)
    where = _included(history)
    read_to = max((block.height for block in history.blocks), default=0)
    waits = [
        (float(waited), _violation(transaction, waited, where))
        for transaction in history.transactions
        if (waited := _waited(history, transaction, where, read_to)) is not None
    ]
    worst = max(waits, key=lambda wait: wait[0], default=None)
    note = counted(len(waits), "transaction{s} judged")
    return judge_within(NAME, worst, bound=float(bound), note=note, unit="heights")


def _bound(history: History) -> int:
    return max(2, len(history.setup.operators))


def _included(history: History) -> dict[str, int]:
    """Transaction hash -> height, from the blocks read at the end."""
    return {
        transaction: block.height for block in history.blocks for transaction in block.transactions
    }


def _waited(
    history: History, transaction: TransactionSubmitted, where: dict[str, int], read_to: int
) -> int | None:
    """Heights from answer to inclusion; above n when the chain went on without it."""
    if transaction.answer is not Answer.OK or transaction.answered is None:
        return None
    if transaction.via not in history.setup.operators:
        return None
    base = _started_by(history, transaction.answered)
    n = _bound(history)
    deadline = _first_decided(history, base + n)
    if (
        deadline is None
        or base + n > read_to
        or not _stayed_up(history.faults, transaction, deadline)
    ):
        return None
    included = where.get(transaction.hash)
    return n + 1 if included is None else max(0, included - base)


def _started_by(history: History, moment: float) -> int:
    started = (
        event.height
        for event in history.events
        if event.kind in STARTED and event.monotonic <= moment
    )
    return max(started, default=0)


def _first_decided(history: History, height: int) -> float | None:
    moments = (
        event.monotonic
        for event in history.events
        if event.kind is EventKind.DECIDED and event.height == height
    )
    return min(moments, default=None)


def _stayed_up(
    faults: tuple[FaultReceipt, ...], transaction: TransactionSubmitted, until: float
) -> bool:
    return not any(
        transaction.via in fault.targets
        and fault.requested <= until
        and (fault.healed is None or fault.healed >= transaction.sent)
        for fault in faults
    )


def _violation(transaction: TransactionSubmitted, waited: int, where: dict[str, int]) -> Violation:
    included = transaction.hash in where
    how = f"included after {waited} heights" if included else f"in no block after {waited} heights"
    summary = f"transaction {transaction.hash} via {transaction.via} was {how}"
    return Violation(
        checker=NAME, summary=summary, monotonic=transaction.answered, witness=(transaction,)
    )
