"""Where a transaction stands: the answer of `dst_transactionStatus` but for those in a block.

The states are a closed set; each names what a sender can do about it.
"""

from dataclasses import dataclass
from enum import StrEnum

from dst.execution.pool.service import TransactionPool
from dst.mempool.departures import Departure
from dst.spec.primitives import Hash32
from dst.transactions.transaction import Transaction


class State(StrEnum):
    UNKNOWN = "unknown"
    """Never seen here, or so long ago that it is forgotten: send it again."""
    PENDING = "pending"
    """Executable; it waits for a block."""
    QUEUED = "queued"
    """Waits for a transaction of its sender with the missing nonce."""
    UNDERPRICED = "underpriced"
    """Its fee cap is below the base fee: waits until that falls, or for a replacement."""
    REPLACED = "replaced"
    EVICTED = "evicted"
    DROPPED = "dropped"
    TOO_HEAVY = "too_heavy"
    INCLUDED = "included"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Fields that do not belong to the state are None."""

    state: State
    missing_nonce: int | None = None
    waits_behind: Hash32 | None = None
    """Pending, but an earlier one of its sender cannot be in a block now."""
    max_fee_per_gas: int | None = None
    base_fee_per_gas: int | None = None
    tried_seconds: float | None = None
    """Pending and known to be heavy: so much CPU time was not enough; it is tried alone."""
    tries_alone: int | None = None
    departure: Departure | None = None


def status_of(pool: TransactionPool, transaction_hash: Hash32, base_fee_per_gas: int) -> Status:
    """On the event loop. `base_fee_per_gas`: the next block's."""
    waiting = pool.get(transaction_hash)
    if waiting is not None:
        return _status_of_waiting(pool, waiting, base_fee_per_gas)
    departure = pool.departure(transaction_hash)
    if departure is not None:
        return Status(state=State(departure.fate), departure=departure)
    return Status(state=State.UNKNOWN)


def _status_of_waiting(pool: TransactionPool, waiting: Transaction, base_fee: int) -> Status:
    missing = pool.missing_nonce(waiting)
    if missing is not None:
        return Status(state=State.QUEUED, missing_nonce=missing)
    if waiting.max_fee_per_gas < base_fee:
        return Status(
            state=State.UNDERPRICED,
            max_fee_per_gas=waiting.max_fee_per_gas,
            base_fee_per_gas=base_fee,
        )
    attempts = pool.book.attempts(waiting.hash)
    blocker = next(
        (
            each.hash
            for each in pool.before(waiting)
            if each.max_fee_per_gas < base_fee or pool.book.attempts(each.hash) is not None
        ),
        None,
    )
    return Status(
        state=State.PENDING,
        waits_behind=blocker,
        tried_seconds=None if attempts is None else attempts.seconds,
        tries_alone=None if attempts is None else attempts.alone,
    )
