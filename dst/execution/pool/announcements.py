"""What happened in the pool, for nodes that ask: hashes that came in, and what left with its fate.

A ring of numbered events. Who asks says what it has seen (the epoch, a number drawn at each start,
and a cursor) and waits for more; who has seen too little for the ring is given all hashes that
wait.
"""

import asyncio
import secrets
import time
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import Final

from dst.execution.pool.service import TransactionPool
from dst.mempool.departures import Departure
from dst.spec.errors import Unavailable
from dst.spec.primitives import Hash32
from dst.transactions.transaction import Transaction

MAX_EVENTS: Final = 16_384
"""Twice the pool: a node that was away for longer is told everything anyway."""
MAX_WAITING: Final = 64
"""Followers are a handful; each asks one question at a time."""
GAP_S: Final = 0.08
"""Between two answers to one node: a lone event is told at once, a flood costs a dozen answers a
second, not one a transaction."""
SAME_MOMENT_S: Final = 0.005
"""Several nodes that wait are told of one event together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    epoch: str
    cursor: int
    """To ask with next time."""
    is_whole: bool
    """`added` is everything that waits, not only what is new."""
    added: tuple[Hash32, ...]
    departed: tuple[tuple[Hash32, Departure], ...]


class Announcements:
    def __init__(self, pool: TransactionPool) -> None:
        self._pool = pool
        self._epoch = secrets.token_hex(8)
        self._events: deque[tuple[Hash32, Departure | None]] = deque(maxlen=MAX_EVENTS)
        self._count = 0
        """Events so far, those that fell out of the ring too."""
        self._waiting = 0
        self._told_at = 0.0
        self._more = asyncio.Event()
        pool.on_added.append(self._added)
        pool.on_departed.append(self._note)

    async def since(self, epoch: str, cursor: int, *, wait_s: float) -> Changes:
        """What is new after `cursor`; waits for the first event. Raises: Unavailable when too many
        wait already."""
        if epoch == self._epoch and cursor == self._count:
            await self._wait(wait_s)
        return self._after(epoch, cursor)

    async def _wait(self, wait_s: float) -> None:
        if self._waiting >= MAX_WAITING:
            raise Unavailable(f"busy: {MAX_WAITING} nodes wait for news of the pool")
        self._waiting += 1
        try:
            async with asyncio.timeout(wait_s):
                await self._more.wait()
            await self._keep_gap()
        except TimeoutError:
            return
        finally:
            self._waiting -= 1

    async def _keep_gap(self) -> None:
        now = time.monotonic()
        since = now - self._told_at
        if SAME_MOMENT_S < since < GAP_S:
            await asyncio.sleep(GAP_S - since)
            now = time.monotonic()
        if now - self._told_at > SAME_MOMENT_S:
            self._told_at = now

    def _after(self, epoch: str, cursor: int) -> Changes:
        missed = self._count - cursor
        if epoch != self._epoch or not 0 <= missed <= len(self._events):
            return Changes(
                epoch=self._epoch,
                cursor=self._count,
                is_whole=True,
                added=tuple(self._pool.hashes()),
                departed=(),
            )
        events = list(islice(self._events, len(self._events) - missed, None))
        return Changes(
            epoch=self._epoch,
            cursor=self._count,
            is_whole=False,
            added=tuple(each for each, departure in events if departure is None),
            departed=tuple((each, gone) for each, gone in events if gone is not None),
        )

    def _added(self, transaction: Transaction) -> None:
        self._note(transaction.hash, None)

    def _note(self, transaction_hash: Hash32, departure: Departure | None) -> None:
        self._events.append((transaction_hash, departure))
        self._count += 1
        self._more.set()
        self._more = asyncio.Event()
