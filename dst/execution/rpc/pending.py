"""What the pool would offer to a block built now: the pending block's transactions."""

from dst.execution.header import Header
from dst.execution.pool.service import TransactionPool
from dst.transactions.transaction import Transaction


def pending_transactions(pool: TransactionPool, header: Header) -> list[Transaction]:
    """The pool's executable transactions by price, as far as their gas limits fit the block.

    A builder may take more (most use less gas than their limit) or fewer (time is short): nobody
    has run them.
    """
    taken: list[Transaction] = []
    gas_left = header.gas_limit
    skipped: set[bytes] = set()
    for transaction in pool.best(header.base_fee_per_gas, header.gas_limit):
        if transaction.gas > gas_left or transaction.sender in skipped:
            skipped.add(transaction.sender)
            continue
        taken.append(transaction)
        gas_left -= transaction.gas
    return taken
