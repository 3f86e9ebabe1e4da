"""The transactions waiting for a block: nonce order per sender, replacement by price, bounds with
eviction.

A mutable store without I/O: same calls, same content. The caller has checked validity
(`dst.transactions.validity`) and tells the pool each new head's accounts; the pool drops what was
included or can no longer be paid and nothing else, so a transaction of a proposal that lost is
still here. What leaves is named with its reason; who remembers it is the caller.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from dst.mempool.queue import Entry, SenderQueue, Waiting, rank_of
from dst.mempool.tails import Tails
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


class SenderState(NamedTuple):
    """A sender's account at the head."""

    nonce: int
    balance: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    replaced: Hash32 | None = None
    evicted: tuple[Hash32, ...] = ()


class Dropped(NamedTuple):
    """Left at a new head. NONCE_TOO_LOW: included, or another one took its nonce."""

    transaction: Transaction
    reason: Reason


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
        self._queues: dict[Address, SenderQueue] = {}
        self._by_hash: dict[Hash32, Entry] = {}
        self._tails = Tails(self._queues)
        self._arrivals = 0
        self._bytes = 0
        self._ready = 0

    def __len__(self) -> int:
        return len(self._by_hash)

    def __contains__(self, transaction_hash: object) -> bool:
        return transaction_hash in self._by_hash

    @property
    def bytes(self) -> int:
        """Of all raw transactions together."""
        return self._bytes

    def get(self, transaction_hash: Hash32) -> Transaction | None:
        entry = self._by_hash.get(transaction_hash)
        return None if entry is None else entry.transaction

    def by_nonce(self, sender: Address, nonce: int) -> Transaction | None:
        queue = self._queues.get(sender)
        return None if queue is None else queue.get(nonce)

    def add(self, transaction: Transaction, *, nonce: int, balance: int) -> Added:
        """Take a valid transaction in; `nonce` and `balance` are its sender's at the head.

        Raises: InvalidTransaction (already known, underpriced replacement, limits, funds for all
        waiting transactions together).
        """
        self._check_admissible(transaction, nonce)
        queue = self._queues.get(transaction.sender)
        old = None if queue is None else queue.get(transaction.nonce)
        if old is not None:
            _check_replacement(old, transaction)
        elif queue is not None and len(queue) >= self._max_per_sender:
            raise InvalidTransaction(
                Reason.SENDER_LIMIT, f"account limit exceeded: {self._max_per_sender} waiting"
            )
        _check_funds(transaction, old, 0 if queue is None else queue.cost, balance)
        evicted = () if old else self._make_room(transaction, nonce)
        if old is not None:
            self._take_out(old)
        self._put(transaction, nonce)
        return Added(replaced=old.hash if old else None, evicted=evicted)

    def remove(self, transaction_hash: Hash32) -> bool:
        """Drop one transaction, such as one that exceeds the builder's share."""
        transaction = self.get(transaction_hash)
        if transaction is None:
            return False
        self._take_out(transaction)
        return True

    def advance(self, accounts: Mapping[Address, SenderState]) -> tuple[Dropped, ...]:
        """Learn the accounts of senders at a new head; drop what can no longer be included: nonces
        that are spent, and from the end what the balance no longer pays together with the rest."""
        dropped: list[Dropped] = []
        for sender, account in accounts.items():
            queue = self._queues.get(sender)
            if queue is not None:
                dropped += self._advance_one(sender, queue, account)
        return tuple(dropped)

    def pending_nonce(self, sender: Address, nonce: int) -> int:
        """The nonce a new transaction of `sender` should carry; `nonce` is its account's at the
        head."""
        queue = self._queues.get(sender)
        return nonce if queue is None else queue.first_missing(nonce)

    def missing_nonce(self, transaction: Transaction) -> int | None:
        """The nonce that a waiting transaction waits for; None when it is executable."""
        queue = self._queues[transaction.sender]
        return queue.ready_end if transaction.nonce >= queue.ready_end else None

    def senders(self) -> frozenset[Address]:
        return frozenset(self._queues)

    def executable(self) -> Iterator[list[tuple[Transaction, int]]]:
        """Each sender's executable transactions in nonce order, with their arrival numbers."""
        for queue in self._queues.values():
            if queue.ready:
                yield queue.executable()

    def waiting(self, sender: Address) -> Waiting:
        queue = self._queues.get(sender)
        return ((), ()) if queue is None else queue.split()

    def transactions(self) -> Iterator[Transaction]:
        """All, oldest arrival first."""
        return (each.transaction for each in self._by_hash.values())

    def counts(self) -> tuple[int, int]:
        """(executable, waiting behind a nonce gap)."""
        return self._ready, len(self._by_hash) - self._ready

    # --- rules of admission ---

    def _check_admissible(self, transaction: Transaction, nonce: int) -> None:
        if transaction.hash in self._by_hash:
            raise InvalidTransaction(Reason.ALREADY_KNOWN, "already known")
        check_size(transaction.raw)
        if transaction.nonce >= nonce + self._max_per_sender:
            raise InvalidTransaction(
                Reason.NONCE_TOO_HIGH,
                f"nonce too high: tx: {transaction.nonce} state: {nonce}, "
                f"at most {self._max_per_sender} ahead",
            )

    def _make_room(self, transaction: Transaction, nonce: int) -> tuple[Hash32, ...]:
        """Evict the cheapest tails until `transaction` fits. Only a sender's last one may go: an
        earlier one would strand the rest.

        Raises: InvalidTransaction when it is itself the cheapest, or would push out what it waits
        for; then nothing has changed.
        """
        if not self._is_over(transaction, 0, 0):
            return ()
        gapped = transaction.nonce > self.pending_nonce(transaction.sender, nonce)
        victims = self._victims(transaction, rank_of(transaction, gapped=gapped))
        for victim in victims:
            self._take_out(victim)
        return tuple(each.hash for each in victims)

    def _victims(self, newcomer: Transaction, rank: tuple[bool, int, int]) -> list[Transaction]:
        """Raises: InvalidTransaction, with everything back in its place."""
        taken: list[tuple[Transaction, SenderQueue]] = []
        freed = 0
        try:
            while self._is_over(newcomer, len(taken), freed):
                queue = self._tails.cheapest()
                victim = queue.tail()
                if victim.transaction.sender == newcomer.sender or rank <= queue.tail_rank()[:3]:
                    raise InvalidTransaction(Reason.POOL_FULL, "txpool is full")
                freed += len(victim.transaction.raw)
                taken.append((victim.transaction, queue))
                self._hide_tail(queue)
        finally:
            for victim_transaction, queue in reversed(taken):
                self._show_again(queue, victim_transaction)
        return [each for each, _ in taken]

    def _is_over(self, newcomer: Transaction, fewer: int, freed: int) -> bool:
        return (
            len(self._by_hash) - fewer >= self._max_transactions
            or self._bytes - freed + len(newcomer.raw) > self._max_bytes
        )

    def _hide_tail(self, queue: SenderQueue) -> None:
        queue.drop(queue.tail().transaction.nonce)
        self._tails.note(queue)

    def _show_again(self, queue: SenderQueue, transaction: Transaction) -> None:
        queue.put(self._by_hash[transaction.hash])
        self._tails.note(queue)

    # --- the two changes everything is made of ---

    def _put(self, transaction: Transaction, nonce: int) -> None:
        queue = self._queues.get(transaction.sender)
        if queue is None:
            queue = self._queues[transaction.sender] = SenderQueue(transaction.sender, nonce)
        ready = queue.ready
        if queue.next_nonce != nonce:
            queue.set_next_nonce(nonce)
        self._arrivals += 1
        entry = Entry(transaction, self._arrivals)
        queue.put(entry)
        self._by_hash[transaction.hash] = entry
        self._bytes += len(transaction.raw)
        self._changed(queue, ready)

    def _take_out(self, transaction: Transaction) -> None:
        queue = self._queues[transaction.sender]
        ready = queue.ready
        queue.drop(transaction.nonce)
        del self._by_hash[transaction.hash]
        self._bytes -= len(transaction.raw)
        self._changed(queue, ready)

    def _changed(self, queue: SenderQueue, ready_before: int) -> None:
        self._ready += queue.ready - ready_before
        if not len(queue):
            del self._queues[queue.sender]
        self._tails.note(queue)

    def _advance_one(
        self, sender: Address, queue: SenderQueue, account: SenderState
    ) -> list[Dropped]:
        dropped = [Dropped(each, Reason.NONCE_TOO_LOW) for each in queue.below(account.nonce)]
        for each, _ in dropped:
            self._take_out(each)
        if sender not in self._queues:
            return dropped
        ready = queue.ready
        queue.set_next_nonce(account.nonce)
        self._changed(queue, ready)
        while len(queue) and queue.cost > account.balance:
            tail = queue.tail().transaction
            self._take_out(tail)
            dropped.append(Dropped(tail, Reason.INSUFFICIENT_FUNDS))
        return dropped


def check_size(raw: bytes) -> None:
    """Raises: InvalidTransaction."""
    if len(raw) > MAX_TRANSACTION_BYTES:
        raise InvalidTransaction(
            Reason.OVERSIZED,
            f"oversized data: transaction size {len(raw)}, limit {MAX_TRANSACTION_BYTES}",
        )


def _check_funds(
    transaction: Transaction, old: Transaction | None, cost: int, balance: int
) -> None:
    owed = cost + transaction.max_cost - (old.max_cost if old else 0)
    if owed > balance:
        raise InvalidTransaction(
            Reason.INSUFFICIENT_FUNDS,
            f"insufficient funds for gas * price + value: balance {balance}, "
            f"queued cost {owed}, overshot {owed - balance}",
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
