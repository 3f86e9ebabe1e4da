"""The pool's ties to disk and to other nodes, put together: journal, forwarder, announcements,
subscriber."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from dst.execution.chain import Chain
from dst.execution.pool.announcements import Announcements
from dst.execution.pool.forwarder import Forwarder
from dst.execution.pool.journal import Journal
from dst.execution.pool.service import Source, TransactionPool
from dst.execution.pool.subscriber import Subscriber
from dst.execution.turns import Turns
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics

JOURNAL_FILE: Final = "pool.journal"
REPLAYED_AT_ONCE: Final = 1_024
"""Room is left for what clients send meanwhile."""

log = Logger("pool")


class PoolExchange:
    def __init__(
        self,
        chain: Chain,
        metrics: Metrics,
        turns: Turns,
        *,
        data_dir: Path,
        forward_to: Sequence[str],
        subscribe_to: Sequence[str],
        faulty: int,
        secret: bytes | None = None,
    ) -> None:
        """faulty: f, how many operators may lie. secret: what operators know each other by."""
        self.journal = Journal(data_dir / JOURNAL_FILE, metrics)
        # A thread of its own: what clients read must not hold up what others send, nor what a
        # reorganisation gives back. The head waits for neither.
        self._examining = ThreadPoolExecutor(1, "pool")
        self.pool = TransactionPool(chain, metrics, executor=self._examining, journal=self.journal)
        self.announcements = Announcements(self.pool)
        self._forwarder = Forwarder(forward_to, metrics, secret)
        self._subscriber = Subscriber(
            subscribe_to, self.pool, metrics, faulty=faulty, secret=secret
        )
        self.pool.on_accepted.append(self._forwarder.offer)

    async def run(self) -> None:
        """Take back what waited before the restart, then keep disk and neighbours told; until
        cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._forwarder.run())
            group.create_task(self._subscriber.run())
            await self._replay()
            group.create_task(self.journal.run())

    def close(self) -> None:
        self.pool.close()
        self._examining.shutdown(wait=True, cancel_futures=True)
        self.journal.close()

    async def _replay(self) -> None:
        found, self.journal.found = self.journal.found, ()
        taken = 0
        for start in range(0, len(found), REPLAYED_AT_ONCE):
            part = found[start : start + REPLAYED_AT_ONCE]
            outcomes = await self.pool.submit_all(part, Source.JOURNAL)
            taken += sum(isinstance(each, bytes) for each in outcomes)
        if found:
            log.info("journal_replayed", found=len(found), waiting=taken)
        self.journal.follow(self.pool.transactions)
