"""What happened in the pool, for nodes that ask: hashes that came in, and what left with its fate.

A ring of numbered events. Who asks says what it has seen (the epoch, a number drawn at each start,
and a cursor) and waits for more; who has seen too little for the ring is given all hashes that
wait.
"""

import asyncio
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Final

from dst.apis.caller import CALLER
from dst.execution.pool.service import TransactionPool
from dst.mempool.departures import Departure
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Hash32
from dst.transactions.transaction import Transaction

MAX_EVENTS: Final = 16_384
"""Twice the pool: a node that was away for longer is told everything anyway."""
MAX_WAITING: Final = 64
"""Followers are a handful; each asks one question at a time. One more ends the oldest wait: its
client is told that there is no news yet, and asks again."""
MAX_WAITING_OF_ONE: Final = 8
"""Of one client; on loopback a client is a connection."""
GAP_S: Final = 0.08
"""Between two answers to one node: a lone event is told at once, a flood costs a dozen answers a
second, not one a transaction."""
SAME_MOMENT_S: Final = 0.005
"""Several nodes that wait are told of one event together."""


class TooManyWaits(InvalidInput):
    """One client has more questions open than its share."""


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
        self._waiting: OrderedDict[asyncio.Event, str] = OrderedDict()
        """Who waits, oldest first."""
        self._told_at = 0.0
        pool.on_added.append(self._added)
        pool.on_departed.append(self._note)

    async def since(self, epoch: str, cursor: int, *, wait_s: float) -> Changes:
        """What is new after `cursor`; waits for the first event, less when many others wait.

        Raises: TooManyWaits when this client waits too often already.
        """
        if epoch == self._epoch and cursor == self._count:
            await self._wait(wait_s)
        return self._after(epoch, cursor)

    async def _wait(self, wait_s: float) -> None:
        before = self._count
        try:
            async with asyncio.timeout(wait_s):
                with self._waiting_place() as woken:
                    await woken.wait()
        except TimeoutError:
            return
        if self._count == before:  # others need the place: no reason to ask again faster
            await asyncio.sleep(GAP_S)
        else:
            await self._keep_gap()

    @contextmanager
    def _waiting_place(self) -> Iterator[asyncio.Event]:
        """An event that is set when there is news or others need the place. Raises:
        TooManyWaits."""
        client, woken = CALLER.get(), asyncio.Event()
        if sum(each == client for each in self._waiting.values()) >= MAX_WAITING_OF_ONE:
            raise TooManyWaits(f"at most {MAX_WAITING_OF_ONE} questions of one client wait")
        while len(self._waiting) >= MAX_WAITING:
            self._waiting.popitem(last=False)[0].set()
        self._waiting[woken] = client
        try:
            yield woken
        finally:
            self._waiting.pop(woken, None)

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
        while self._waiting:
            self._waiting.popitem()[0].set()
