"""The transactions waiting for a block: nonce order per sender, replacement by price, bounds with
eviction.

A mutable store without I/O: same calls, same content. The caller has checked validity
(`dst.transactions.validity`) and tells the pool each new head's nonces; the pool drops what was
included and nothing else, so a transaction of a proposal that lost is still here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from dst.spec.primitives import Address, Hash32
from dst.transactions.transaction import InvalidTransaction, Reason, Transaction

MAX_TRANSACTION_BYTES: Final = 131_072
"""128 KiB as in geth; four of them fill a block's 512 KiB."""
MAX_PER_SENDER: Final = 1_024
"""Also the largest nonce gap accepted: what lies further ahead cannot become executable soon."""
MAX_TRANSACTIONS: Final = 8_192
"""About 17 full blocks of plain transfers (10 M gas / 21 k = 476)."""
MAX_POOL_BYTES: Final = 64 * 2**20
REPLACEMENT_BUMP_PERCENT: Final = 10
"""Both fees must rise by this much, or a flood of one-wei replacements would be free."""


Waiting: TypeAlias = tuple[tuple[Transaction, ...], tuple[Transaction, ...]]
"""(executable, behind a nonce gap)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    replaced: Hash32 | None = None
    evicted: tuple[Hash32, ...] = ()


@dataclass(slots=True)
class _Queue:
    """One sender's transactions by nonce; `next_nonce` is the account's at the head."""

    next_nonce: int
    by_nonce: dict[int, Transaction] = field(default_factory=dict)
    cost: int = 0

    def put(self, transaction: Transaction) -> None:
        self.by_nonce[transaction.nonce] = transaction
        self.cost += transaction.max_cost

    def drop(self, nonce: int) -> Transaction:
        transaction = self.by_nonce.pop(nonce)
        self.cost -= transaction.max_cost
        return transaction

    def executable_end(self) -> int:
        """The first nonce missing, counted from the account's."""
        nonce = self.next_nonce
        while nonce in self.by_nonce:
            nonce += 1
        return nonce

    def tail(self) -> Transaction:
        return self.by_nonce[max(self.by_nonce)]


class Pool:
    def __init__(
        self,
        *,
        max_per_sender: int = MAX_PER_SENDER,
        max_transactions: int = MAX_TRANSACTIONS,
        max_bytes: int = MAX_POOL_BYTES,
    ) -> None:
        self._max_per_sender = max_per_sender
        self._max_transactions = max_transactions
        self._max_bytes = max_bytes
        self._queues: dict[Address, _Queue] = {}
        self._by_hash: dict[Hash32, Transaction] = {}
        self._arrival: dict[Hash32, int] = {}
        self._arrivals = 0
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._by_hash)

    def __contains__(self, transaction_hash: object) -> bool:
        return transaction_hash in self._by_hash

    def get(self, transaction_hash: Hash32) -> Transaction | None:
        return self._by_hash.get(transaction_hash)

    def add(self, transaction: Transaction, *, nonce: int, balance: int) -> Added:
        """Take a valid transaction in; `nonce` and `balance` are its sender's at the head.

        Raises: InvalidTransaction (already known, underpriced replacement, limits, funds for all
        waiting transactions together).
        """
        self._check_admissible(transaction, nonce)
        queue = self._queues.get(transaction.sender) or _Queue(nonce)
        queue.next_nonce = nonce
        old = queue.by_nonce.get(transaction.nonce)
        if old is not None:
            _check_replacement(old, transaction)
        elif len(queue.by_nonce) >= self._max_per_sender:
            raise InvalidTransaction(
                Reason.SENDER_LIMIT, f"account limit exceeded: {self._max_per_sender} waiting"
            )
        owed = queue.cost + transaction.max_cost - (old.max_cost if old else 0)
        if owed > balance:
            raise InvalidTransaction(
                Reason.INSUFFICIENT_FUNDS,
                f"insufficient funds for gas * price + value: balance {balance}, "
                f"queued cost {owed}, overshot {owed - balance}",
            )
        evicted = () if old else self._make_room(transaction, nonce)
        if old is not None:
            self._remove(old)
        self._insert(transaction, nonce)
        return Added(replaced=old.hash if old else None, evicted=evicted)

    def remove(self, transaction_hash: Hash32) -> bool:
        """Drop one transaction, such as one that exceeds the builder's share."""
        transaction = self._by_hash.get(transaction_hash)
        if transaction is None:
            return False
        self._remove(transaction)
        return True

    def advance(self, nonces: Mapping[Address, int]) -> tuple[Hash32, ...]:
        """Learn the nonces of senders at a new head; drop what can no longer be included."""
        dropped: list[Hash32] = []
        for sender, nonce in nonces.items():
            queue = self._queues.get(sender)
            if queue is None:
                continue
            queue.next_nonce = nonce
            for stale in sorted(each for each in queue.by_nonce if each < nonce):
                transaction = queue.by_nonce[stale]
                self._remove(transaction)
                dropped.append(transaction.hash)
        return tuple(dropped)

    def pending_nonce(self, sender: Address, nonce: int) -> int:
        """The nonce a new transaction of `sender` should carry; `nonce` is its account's at the
        head."""
        queue = self._queues.get(sender)
        if queue is None:
            return nonce
        while nonce in queue.by_nonce:
            nonce += 1
        return nonce

    def by_nonce(self, sender: Address, nonce: int) -> Transaction | None:
        queue = self._queues.get(sender)
        return None if queue is None else queue.by_nonce.get(nonce)

    def waiting(self, sender: Address) -> Waiting:
        """One sender's (executable, behind a nonce gap), each in nonce order."""
        queue = self._queues.get(sender)
        if queue is None:
            return (), ()
        ordered = [queue.by_nonce[nonce] for nonce in sorted(queue.by_nonce)]
        ready = queue.executable_end() - queue.next_nonce
        return tuple(ordered[:ready]), tuple(ordered[ready:])

    def senders(self) -> tuple[Address, ...]:
        return tuple(self._queues)

    def executable(self) -> Iterable[list[tuple[Transaction, int]]]:
        """Each sender's executable transactions in nonce order, with their arrival numbers."""
        for queue in self._queues.values():
            end = queue.executable_end()
            yield [
                (queue.by_nonce[nonce], self._arrival[queue.by_nonce[nonce].hash])
                for nonce in range(queue.next_nonce, end)
            ]

    def counts(self) -> tuple[int, int]:
        """(executable, waiting behind a nonce gap)."""
        ready = sum(queue.executable_end() - queue.next_nonce for queue in self._queues.values())
        return ready, len(self._by_hash) - ready

    def _check_admissible(self, transaction: Transaction, nonce: int) -> None:
        if transaction.hash in self._by_hash:
            raise InvalidTransaction(Reason.ALREADY_KNOWN, "already known")
        if len(transaction.raw) > MAX_TRANSACTION_BYTES:
            raise InvalidTransaction(
                Reason.OVERSIZED,
                f"oversized data: transaction size {len(transaction.raw)}, "
                f"limit {MAX_TRANSACTION_BYTES}",
            )
        if transaction.nonce >= nonce + self._max_per_sender:
            raise InvalidTransaction(
                Reason.NONCE_TOO_HIGH,
                f"nonce too high: tx: {transaction.nonce} state: {nonce}, "
                f"at most {self._max_per_sender} ahead",
            )

    def _insert(self, transaction: Transaction, nonce: int) -> None:
        queue = self._queues.setdefault(transaction.sender, _Queue(nonce))
        queue.put(transaction)
        self._by_hash[transaction.hash] = transaction
        self._arrivals += 1
        self._arrival[transaction.hash] = self._arrivals
        self._bytes += len(transaction.raw)

    def _remove(self, transaction: Transaction) -> None:
        queue = self._queues[transaction.sender]
        queue.drop(transaction.nonce)
        if not queue.by_nonce:
            del self._queues[transaction.sender]
        del self._by_hash[transaction.hash]
        del self._arrival[transaction.hash]
        self._bytes -= len(transaction.raw)

    def _make_room(self, transaction: Transaction, nonce: int) -> tuple[Hash32, ...]:
        """Evict the cheapest tails until `transaction` fits.

        Raises: InvalidTransaction when it is itself the cheapest, or would push out what it waits
        for.
        """
        evicted: list[Hash32] = []
        gapped = transaction.nonce > self.pending_nonce(transaction.sender, nonce)
        while (
            len(self._by_hash) >= self._max_transactions
            or self._bytes + len(transaction.raw) > self._max_bytes
        ):
            victim = self._cheapest_tail()
            if victim.sender == transaction.sender or _rank(transaction, gapped) <= self._tail_rank(
                victim
            ):
                raise InvalidTransaction(Reason.POOL_FULL, "txpool is full")
            self._remove(victim)
            evicted.append(victim.hash)
        return tuple(evicted)

    def _cheapest_tail(self) -> Transaction:
        """Only a sender's last one may go: evicting an earlier one would strand the rest."""
        return min((queue.tail() for queue in self._queues.values()), key=self._tail_rank)

    def _tail_rank(self, tail: Transaction) -> tuple[bool, int, int, int]:
        queue = self._queues[tail.sender]
        gapped = tail.nonce >= queue.executable_end()
        executable, tip, fee, _ = _rank(tail, gapped)
        return executable, tip, fee, -self._arrival[tail.hash]


def _rank(transaction: Transaction, gapped: bool) -> tuple[bool, int, int, int]:
    """Larger is worth more: executable before gapped, then tip, then fee cap; newest goes first."""
    return (
        not gapped,
        transaction.max_priority_fee_per_gas,
        transaction.max_fee_per_gas,
        -(2**63),
    )


def _check_replacement(old: Transaction, new: Transaction) -> None:
    enough = all(
        100 * fresh >= (100 + REPLACEMENT_BUMP_PERCENT) * stale and fresh > stale
        for fresh, stale in (
            (new.max_fee_per_gas, old.max_fee_per_gas),
            (new.max_priority_fee_per_gas, old.max_priority_fee_per_gas),
        )
    )
    if not enough:
        raise InvalidTransaction(
            Reason.UNDERPRICED_REPLACEMENT,
            "replacement transaction underpriced: both fees must rise by "
            f"{REPLACEMENT_BUMP_PERCENT} %",
        )
