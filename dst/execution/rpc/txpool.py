"""What waits in the pool: `txpool_status`, `txpool_content`, `txpool_contentFrom`,
`txpool_inspect`."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from dst.apis.eth import parse_address, show_transaction
from dst.crypto.checksum import checksum_address
from dst.execution.pool.service import TransactionPool
from dst.execution.rpc.dispatch import Threads, Where, rpc
from dst.execution.rpc.parameters import AddressParam
from dst.mempool.queue import Waiting
from dst.spec.primitives import Address
from dst.transactions.transaction import Transaction

_Show: TypeAlias = Callable[[Transaction], object]


class TxPool:
    """`pending`: would run now, in nonce order; `queued`: waits behind a missing nonce."""

    def __init__(self, pool: TransactionPool, threads: Threads) -> None:
        self._pool, self._threads = pool, threads

    @rpc("txpool_status", where=Where.LOOP)
    async def status(self) -> dict[str, str]:
        """How many transactions are pending and queued."""
        ready, gapped = self._pool.counts()
        return {"pending": hex(ready), "queued": hex(gapped)}

    @rpc("txpool_content", where=Where.LOOP)
    async def content(self) -> dict[str, object]:
        """All transactions, by sender and nonce."""
        return await self._threads.on_read(_by_sender, self._pool.content(), show_transaction)

    @rpc("txpool_contentFrom", where=Where.LOOP)
    async def content_from(self, address: AddressParam) -> dict[str, object]:
        """One sender's transactions, by nonce."""
        ready, gapped = self._pool.waiting(parse_address(address))
        return {
            "pending": _by_nonce(ready, show_transaction),
            "queued": _by_nonce(gapped, show_transaction),
        }

    @rpc("txpool_inspect", where=Where.LOOP)
    async def inspect(self) -> dict[str, object]:
        """All transactions, by sender and nonce, each as one line."""
        return await self._threads.on_read(_by_sender, self._pool.content(), _one_line)


def _by_sender(content: Mapping[Address, Waiting], show: _Show) -> dict[str, object]:
    pending: dict[str, object] = {}
    queued: dict[str, object] = {}
    for sender, (ready, gapped) in sorted(content.items()):
        if ready:
            pending[checksum_address(sender)] = _by_nonce(ready, show)
        if gapped:
            queued[checksum_address(sender)] = _by_nonce(gapped, show)
    return {"pending": pending, "queued": queued}


def _by_nonce(transactions: tuple[Transaction, ...], show: _Show) -> dict[str, object]:
    return {str(each.nonce): show(each) for each in transactions}


def _one_line(transaction: Transaction) -> str:
    to = checksum_address(transaction.to) if transaction.to else "contract creation"
    return (
        f"{to}: {transaction.value} wei + {transaction.gas} gas x {transaction.max_fee_per_gas} wei"
    )
