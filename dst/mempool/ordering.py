"""What a block takes next: the best tip first across senders, nonce order within each."""

import heapq
from collections.abc import Iterable, Iterator

from dst.transactions.transaction import Transaction


def by_price(
    queues: Iterable[list[tuple[Transaction, int]]], base_fee_per_gas: int
) -> Iterator[Transaction]:
    """Transactions in the order a builder should try them.

    queues: per sender, nonce-ordered (transaction, arrival number); arrival breaks ties of tip.
    A sender is cut at its first transaction whose fee cap is below the base fee: the later ones
    cannot run before it.
    """
    heads: list[tuple[int, int, int, Transaction, list[tuple[Transaction, int]]]] = []
    for queue in queues:
        _append(heads, queue, 0, base_fee_per_gas)
    heapq.heapify(heads)
    while heads:
        _, _, position, transaction, queue = heads[0]
        yield transaction
        after: list[tuple[int, int, int, Transaction, list[tuple[Transaction, int]]]] = []
        _append(after, queue, position + 1, base_fee_per_gas)
        if after:
            heapq.heapreplace(heads, after[0])
        else:
            heapq.heappop(heads)


def _append(
    heads: list[tuple[int, int, int, Transaction, list[tuple[Transaction, int]]]],
    queue: list[tuple[Transaction, int]],
    position: int,
    base_fee_per_gas: int,
) -> None:
    if position >= len(queue):
        return
    transaction, arrival = queue[position]
    tip = transaction.effective_tip(base_fee_per_gas)
    if tip >= 0:
        heads.append((-tip, arrival, position, transaction, queue))
