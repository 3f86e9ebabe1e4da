"""How heavy is it? A transaction that needed more than its share of a block is run again beside the
chain, with all the time that a block ever has, so that no block is spent on what cannot fit.

It runs as a call does: on a call worker, in turns, never while a block is made or checked, one at a
time. What proves too heavy leaves the pool with its reason; what fits gets a block for itself.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final

from dst.apis.jsonrpc import RpcError
from dst.execution.block.body import BlockRun
from dst.execution.call_workers import time_limit
from dst.execution.environment import BlockEnvironment, ExecutionAborted
from dst.execution.pool.service import TransactionPool
from dst.execution.state.reader import StateReader
from dst.runtime.log import Logger
from dst.spec.errors import DstError
from dst.spec.primitives import Hash32
from dst.transactions.transaction import Transaction

MAX_WAITING: Final = 256
"""Beyond it a transaction is tried in a block, as all were without this."""

log = Logger("weigher")


class Weigher:
    """`run` weighs until cancelled what the pool notes as heavy."""

    def __init__(
        self,
        pool: TransactionPool,
        pending: Callable[[], tuple[StateReader, BlockEnvironment]],
        call: Executor,
        seconds: Callable[[], float],
    ) -> None:
        """pending: the head's state and the block that would come next on it; raises DstError.

        seconds: of CPU time that a block with one transaction has, by present measure.
        """
        self._pool, self._pending, self._call, self._seconds = pool, pending, call, seconds
        self._waiting: asyncio.Queue[Hash32] = asyncio.Queue(MAX_WAITING)
        pool.on_heavy.append(self._offer)

    async def run(self) -> None:
        while True:
            transaction = self._pool.get(await self._waiting.get())
            if transaction is not None:
                await self._weigh(transaction)

    def _offer(self, transaction_hash: Hash32) -> None:
        if not self._waiting.full():
            self._waiting.put_nowait(transaction_hash)

    async def _weigh(self, transaction: Transaction) -> None:
        loop = asyncio.get_running_loop()
        try:
            spent = await loop.run_in_executor(self._call, self._try, transaction, self._seconds())
        except (RpcError, DstError) as error:  # many calls wait, or the head's state went away
            log.info("not_weighed", hash=transaction.hash, reason=error)
            return
        except Exception:  # our fault: a block will try it, and this node goes on
            log.exception("weighing_failed", hash=transaction.hash)
            return
        if spent is not None:
            self._pool.note_heavy(transaction.hash, seconds=spent, alone=True, proves=True)

    def _try(self, transaction: Transaction, seconds: float) -> float | None:
        """On a call worker: CPU seconds that were not enough; None when they were, or nobody can
        tell. Raises: DstError."""
        reader, environment = self._pending()
        turn = time_limit()
        started = float("inf")

        def check() -> None:
            turn()
            if time.thread_time() - started > seconds:
                raise ExecutionAborted("needs more time than a block has")

        run = BlockRun(reader, environment, check)
        started = time.thread_time()
        try:
            run.apply(transaction)
        except ExecutionAborted:
            spent = time.thread_time() - started
            return spent if spent > seconds else None
        return None
