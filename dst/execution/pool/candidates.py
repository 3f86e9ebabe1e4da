"""What a build is offered: the pool's executable transactions by price, and apart from them the one
that must be tried alone."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from dst.mempool.heavy import HeavyBook
from dst.mempool.ordering import by_price
from dst.spec.primitives import Address
from dst.transactions.gas import GAS_TRANSACTION
from dst.transactions.transaction import Transaction

CANDIDATES_FACTOR: Final = 2
"""Candidates offered to the builder, as a multiple of what a block can hold of the smallest: spares
for those that fail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    light: tuple[Transaction, ...] = ()
    """Best first, each sender's in nonce order; none that is known to be heavy, nor what waits
    behind one."""
    heavy: Transaction | None = None
    """The best of those known to be heavy."""

    def small_first(self, gas: int) -> tuple[Transaction, ...]:
        """The light ones, those of `gas` and more last, with what waits behind them: they may turn
        out heavy, and then have used up the time."""
        small: list[Transaction] = []
        large: list[Transaction] = []
        held: set[Address] = set()
        for transaction in self.light:
            if transaction.gas >= gas:
                held.add(transaction.sender)
            (large if transaction.sender in held else small).append(transaction)
        return (*small, *large)


def choose(
    queues: Iterable[list[tuple[Transaction, int]]],
    base_fee_per_gas: int,
    gas_limit: int,
    book: HeavyBook,
) -> Candidates:
    limit = CANDIDATES_FACTOR * (gas_limit // GAS_TRANSACTION)
    light: list[Transaction] = []
    heavy: Transaction | None = None
    held: set[Address] = set()
    for transaction in by_price(queues, base_fee_per_gas):
        if transaction.sender in held:
            continue
        if book.attempts(transaction.hash) is not None:
            held.add(transaction.sender)
            heavy = heavy or transaction
            continue
        light.append(transaction)
        if len(light) >= limit:
            break
    return Candidates(light=tuple(light), heavy=heavy)
