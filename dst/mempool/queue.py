"""One sender's waiting transactions by nonce, and what the last of them is worth to the pool."""

from bisect import bisect_left, insort
from typing import NamedTuple, TypeAlias

from dst.spec.primitives import Address
from dst.transactions.transaction import Transaction

Rank: TypeAlias = tuple[bool, int, int, int]
"""Larger is worth more: executable before gapped, then tip, then fee cap, then who came first."""
Waiting: TypeAlias = tuple[tuple[Transaction, ...], tuple[Transaction, ...]]
"""(executable, behind a nonce gap), each in nonce order."""


class Entry(NamedTuple):
    transaction: Transaction
    arrival: int
    """Counts admissions; breaks ties of price, first come first served."""


class SenderQueue:
    """`next_nonce` is the account's at the head, `ready_end` the first nonce missing from there."""

    __slots__ = ("_by_nonce", "_nonces", "cost", "next_nonce", "ready_end", "sender", "version")

    def __init__(self, sender: Address, next_nonce: int) -> None:
        self.sender, self.next_nonce, self.ready_end = sender, next_nonce, next_nonce
        self.cost = 0
        """Wei that all of them may take together."""
        self.version = 0
        """Moves with the tail or its rank; tells a stale entry of `Tails`."""
        self._by_nonce: dict[int, Entry] = {}
        self._nonces: list[int] = []

    def __len__(self) -> int:
        return len(self._nonces)

    @property
    def ready(self) -> int:
        """How many are executable one after another."""
        return self.ready_end - self.next_nonce

    def get(self, nonce: int) -> Transaction | None:
        entry = self._by_nonce.get(nonce)
        return None if entry is None else entry.transaction

    def put(self, entry: Entry) -> None:
        nonce = entry.transaction.nonce
        self._by_nonce[nonce] = entry
        insort(self._nonces, nonce)
        self.cost += entry.transaction.max_cost
        self._extend()

    def drop(self, nonce: int) -> None:
        self.cost -= self._by_nonce.pop(nonce).transaction.max_cost
        del self._nonces[bisect_left(self._nonces, nonce)]
        if self.next_nonce <= nonce < self.ready_end:
            self.ready_end = nonce

    def set_next_nonce(self, nonce: int) -> None:
        """The account moved, also back: a reorganisation makes executable ones wait again."""
        if nonce < self.next_nonce or nonce > self.ready_end:
            self.ready_end = nonce
        self.next_nonce = nonce
        self._extend()

    def first_missing(self, nonce: int) -> int:
        if self.next_nonce <= nonce <= self.ready_end:
            return self.ready_end
        while nonce in self._by_nonce:
            nonce += 1
        return nonce

    def below(self, nonce: int) -> list[Transaction]:
        return [self._at(each) for each in self._nonces[: bisect_left(self._nonces, nonce)]]

    def executable(self) -> list[tuple[Transaction, int]]:
        by_nonce = self._by_nonce
        return [by_nonce[nonce] for nonce in range(self.next_nonce, self.ready_end)]

    def split(self) -> Waiting:
        cut = bisect_left(self._nonces, self.ready_end)
        first, rest = self._nonces[:cut], self._nonces[cut:]
        return tuple(map(self._at, first)), tuple(map(self._at, rest))

    def tail(self) -> Entry:
        return self._by_nonce[self._nonces[-1]]

    def tail_rank(self) -> Rank:
        tail = self.tail()
        gapped = tail.transaction.nonce >= self.ready_end
        return *rank_of(tail.transaction, gapped=gapped), -tail.arrival

    def _at(self, nonce: int) -> Transaction:
        return self._by_nonce[nonce].transaction

    def _extend(self) -> None:
        while self.ready_end in self._by_nonce:
            self.ready_end += 1


def rank_of(transaction: Transaction, *, gapped: bool) -> tuple[bool, int, int]:
    return not gapped, transaction.max_priority_fee_per_gas, transaction.max_fee_per_gas
