"""A transaction that a client gave to one node goes once to each operator, so that a killed one
loses nothing that it forwarded. What came from another node goes no further: no copy comes back.

One bounded queue a target. A lone transaction leaves at once; under load they leave together, and
several requests are under way at a time, so that a long round trip costs delay, not throughput.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import aiohttp
import msgspec

from dst.execution.pool.peer import NotServed, Peer, peer_session
from dst.runtime.backoff import Backoff
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec.errors import Unavailable
from dst.spec.primitives import to_hex
from dst.transactions.transaction import Transaction

MAX_QUEUED: Final = 4_096
"""A target that is down for long loses what is beyond; half the pool of the receiver."""
MAX_BATCH: Final = 256
MAX_BATCH_BYTES: Final = 2**20
"""Hex doubles it; a request body is at most 4 MiB."""
MAX_UNDER_WAY: Final = 4
"""At 256 a request, 50 ms away: 20,000 transactions a second."""
GAP_S: Final = 0.08
"""Between two requests to a target. A request costs both sides as much as ten transactions; a
third of the quarter second within which a transaction shall be known everywhere."""
RETRY_FOR_S: Final = 15.0
"""A transaction older than this is not sent to a target that comes back: by then it is in a block,
or its sender has sent it again."""
CALL_TIMEOUT_S: Final = 3.0

log = Logger("forwarder")


class Forwarder:
    """`offer` never waits; `run` sends until cancelled."""

    def __init__(
        self, targets: Sequence[str], metrics: Metrics, secret: bytes | None = None
    ) -> None:
        """secret: what operators know each other by (`Peer`)."""
        self._targets = [_Target(url, metrics, secret) for url in targets]

    def offer(self, transaction: Transaction) -> None:
        now = time.monotonic()
        for target in self._targets:
            target.offer(transaction.raw, now)

    async def run(self) -> None:
        async with peer_session() as session, asyncio.TaskGroup() as group:
            for target in self._targets:
                group.create_task(target.run(session))


class _Target:
    def __init__(self, url: str, metrics: Metrics, secret: bytes | None) -> None:
        self._url, self._metrics, self._secret = url, metrics, secret
        self._queue: deque[tuple[bytes, float]] = deque()
        self._filled = asyncio.Event()
        self._under_way = asyncio.Semaphore(MAX_UNDER_WAY)
        self._is_stock = False

    def offer(self, raw: bytes, now: float) -> None:
        if len(self._queue) >= MAX_QUEUED:
            self._metrics.inc("forward_dropped_total", target=self._url, reason="queue_full")
            return
        self._queue.append((raw, now))
        self._filled.set()

    async def run(self, session: aiohttp.ClientSession) -> None:
        peer = Peer(self._url, session, self._secret)
        peer.count_in(self._metrics)
        async with asyncio.TaskGroup() as group:
            while True:
                await self._filled.wait()
                await self._under_way.acquire()
                group.create_task(self._deliver(peer, self._take()))
                await asyncio.sleep(GAP_S)

    def _take(self) -> list[tuple[bytes, float]]:
        batch: list[tuple[bytes, float]] = []
        size = 0
        while self._queue and len(batch) < MAX_BATCH:
            size += len(self._queue[0][0])
            if batch and size > MAX_BATCH_BYTES:
                break
            batch.append(self._queue.popleft())
        if not self._queue:
            self._filled.clear()
        return batch

    async def _deliver(self, peer: Peer, batch: list[tuple[bytes, float]]) -> None:
        backoff = Backoff()
        try:
            while batch:
                if await self._hand_over(peer, [raw for raw, _ in batch]):
                    self._metrics.inc("forward_sent_total", len(batch), target=self._url)
                    return
                await asyncio.sleep(backoff.next_delay())
                batch = self._fresh(batch)
        finally:
            self._under_way.release()

    def _fresh(self, batch: list[tuple[bytes, float]]) -> list[tuple[bytes, float]]:
        oldest = time.monotonic() - RETRY_FOR_S
        fresh = [each for each in batch if each[1] > oldest]
        if len(fresh) < len(batch):
            lost = len(batch) - len(fresh)
            self._metrics.inc("forward_dropped_total", lost, target=self._url, reason="stale")
        return fresh

    async def _hand_over(self, peer: Peer, raws: list[bytes]) -> bool:
        """True when the target has answered: what it refuses, it has or must not have."""
        shown = [to_hex(raw) for raw in raws]
        try:
            if not self._is_stock:
                await peer.call("dst_forwardTransactions", [shown], list[Any], CALL_TIMEOUT_S)
                return True
        except NotServed:
            self._is_stock = True
        except Unavailable:
            return False
        return await _send_to_stock(peer, shown)


async def _send_to_stock(peer: Peer, raws: list[str]) -> bool:
    """A batch of standard calls, for an execution client of another make."""
    calls = [
        {"jsonrpc": "2.0", "id": index, "method": "eth_sendRawTransaction", "params": [raw]}
        for index, raw in enumerate(raws)
    ]
    try:
        await peer.post(msgspec.json.encode(calls), CALL_TIMEOUT_S)
    except Unavailable:
        return False
    return True
