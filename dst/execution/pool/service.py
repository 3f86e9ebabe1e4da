"""The pool as a service: admits what clients send, follows the head, tells the forwarder. Lives on
the event loop; account reads happen on the reading thread before a transaction comes here."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from dst.execution.chain import Chain, decode_once
from dst.mempool.ordering import by_price
from dst.mempool.pool import Pool, Waiting
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec.primitives import Address, Hash32
from dst.transactions.gas import GAS_TRANSACTION
from dst.transactions.transaction import InvalidTransaction, Reason, Transaction
from dst.transactions.validity import check_account, check_stateless

CANDIDATES_FACTOR: Final = 2
"""Candidates offered to the builder, as a multiple of what a block can hold of the smallest: spares
for those that fail."""

log = Logger("pool")


@dataclass(frozen=True, slots=True, kw_only=True)
class Admissible:
    """A transaction that passed every check of its bytes and its sender's account at the head."""

    transaction: Transaction
    head: Hash32
    """The head it was examined at."""
    nonce: int
    balance: int


class TransactionPool:
    def __init__(self, chain: Chain, metrics: Metrics) -> None:
        self._chain, self._metrics = chain, metrics
        self._pool = Pool()
        self.on_added: list[Callable[[Transaction], None]] = []
        metrics.function("pool_transactions", lambda: float(len(self._pool)))

    def examine(self, raw: bytes) -> Admissible:
        """Decode and check against the head's state. Any thread. Raises: InvalidTransaction."""
        transaction = decode_once(raw)
        heads = self._chain.heads
        head = heads.head
        check_stateless(transaction, self._chain.chain_id)
        if transaction.gas > head.gas_limit:
            raise InvalidTransaction(
                Reason.BLOCK_GAS,
                f"exceeds block gas limit: tx gas {transaction.gas}, limit {head.gas_limit}",
            )
        reader = self._chain.reader(head.state_root)
        check_account(transaction, reader, allow_gap=True)
        return Admissible(
            transaction=transaction,
            head=heads.head_hash,
            nonce=reader.get_nonce(transaction.sender),
            balance=reader.get_balance(transaction.sender),
        )

    def admit(self, admissible: Admissible) -> Hash32:
        """Raises: InvalidTransaction (already known, underpriced, limits).

        The head may have moved since the examination; then it is repeated, or the queue would
        start from a nonce that is spent.
        """
        if admissible.head != self._chain.heads.head_hash:
            admissible = self.examine(admissible.transaction.raw)
        transaction = admissible.transaction
        try:
            added = self._pool.add(transaction, nonce=admissible.nonce, balance=admissible.balance)
        except InvalidTransaction as error:
            self._metrics.inc("pool_refused_total", reason=error.reason)
            raise
        self._metrics.inc("pool_added_total")
        for listener in self.on_added:
            listener(transaction)
        self._metrics.inc("pool_evicted_total", len(added.evicted))
        return transaction.hash

    def on_head(self, nonces: Mapping[Address, int], orphans: Iterable[bytes]) -> None:
        """A new head: drop what it includes, take back what a removed block held."""
        self._pool.advance(nonces)
        for raw in orphans:
            try:
                self.admit(self.examine(raw))
            except InvalidTransaction as error:
                log.debug("orphan_dropped", reason=error.reason)

    def best(self, base_fee_per_gas: int, gas_limit: int) -> tuple[Transaction, ...]:
        """Candidates for a block, best first."""
        limit = CANDIDATES_FACTOR * (gas_limit // GAS_TRANSACTION)
        return by_price(self._pool.executable(), base_fee_per_gas, limit)

    def evict(self, hashes: Iterable[Hash32]) -> None:
        for each in hashes:
            if self._pool.remove(each):
                self._metrics.inc("pool_evicted_total")
                log.info("transaction_evicted", hash=each, reason="invalid or too slow for a block")

    def get(self, transaction_hash: Hash32) -> Transaction | None:
        return self._pool.get(transaction_hash)

    def by_nonce(self, sender: Address, nonce: int) -> Transaction | None:
        return self._pool.by_nonce(sender, nonce)

    def content(self) -> dict[Address, Waiting]:
        """Everything that waits, by sender."""
        return {sender: self.waiting(sender) for sender in self._pool.senders()}

    def waiting(self, sender: Address) -> Waiting:
        """One sender's (executable, behind a nonce gap), each in nonce order."""
        return self._pool.waiting(sender)

    def pending_nonce(self, sender: Address, nonce: int) -> int:
        return self._pool.pending_nonce(sender, nonce)

    def counts(self) -> tuple[int, int]:
        return self._pool.counts()
