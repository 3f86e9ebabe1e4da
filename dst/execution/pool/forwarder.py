"""A transaction that a client gave to one operator goes once to each of the others, so that a
killed operator loses nothing that it forwarded. A follower forwards to the operators alike.

One bounded queue and one sender task a target. A forwarded transaction carries a header and is not
forwarded again.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import aiohttp
import msgspec

from dst.runtime.backoff import Backoff
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec.primitives import to_hex
from dst.transactions.transaction import Transaction

FORWARDED_HEADER: Final = "X-DST-Forwarded"
MAX_QUEUED: Final = 4_096
"""A target that is down for long loses what is beyond; half the pool of the receiver."""
MAX_BATCH: Final = 100
RETRY_FOR_S: Final = 15.0
"""A transaction older than this is not sent to a target that comes back: by then it is in a block,
or its sender has sent it again."""
CALL_TIMEOUT_S: Final = 3.0

log = Logger("forwarder")


class Forwarder:
    """`offer` never waits; `run` sends until cancelled."""

    def __init__(self, targets: Sequence[str], metrics: Metrics) -> None:
        self._targets = [_Target(url, metrics) for url in targets]

    def offer(self, transaction: Transaction) -> None:
        now = time.monotonic()
        for target in self._targets:
            target.offer(transaction.raw, now)

    async def run(self) -> None:
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=CALL_TIMEOUT_S)
        ) as session:
            async with asyncio.TaskGroup() as group:
                for target in self._targets:
                    group.create_task(target.run(session))


class _Target:
    def __init__(self, url: str, metrics: Metrics) -> None:
        self._url, self._metrics = url, metrics
        self._queue: asyncio.Queue[tuple[bytes, float]] = asyncio.Queue(MAX_QUEUED)
        self._is_up = True

    def offer(self, raw: bytes, now: float) -> None:
        try:
            self._queue.put_nowait((raw, now))
        except asyncio.QueueFull:
            self._metrics.inc("forward_dropped_total", target=self._url, reason="queue_full")

    async def run(self, session: aiohttp.ClientSession) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < MAX_BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._deliver(session, batch)

    async def _deliver(
        self, session: aiohttp.ClientSession, batch: list[tuple[bytes, float]]
    ) -> None:
        backoff = Backoff()
        while batch:
            if await self._post(session, [raw for raw, _ in batch]):
                self._metrics.inc("forward_sent_total", len(batch), target=self._url)
                return
            await asyncio.sleep(backoff.next_delay())
            oldest = time.monotonic() - RETRY_FOR_S
            fresh = [each for each in batch if each[1] > oldest]
            if len(fresh) < len(batch):
                lost = len(batch) - len(fresh)
                self._metrics.inc("forward_dropped_total", lost, target=self._url, reason="stale")
            batch = fresh

    async def _post(self, session: aiohttp.ClientSession, raws: list[bytes]) -> bool:
        """True when the target has answered: what it refuses, it has or must not have."""
        calls = [
            {
                "jsonrpc": "2.0",
                "id": index,
                "method": "eth_sendRawTransaction",
                "params": [to_hex(raw)],
            }
            for index, raw in enumerate(raws)
        ]
        headers = {FORWARDED_HEADER: "1", "Content-Type": "application/json"}
        try:
            async with session.post(
                self._url, data=msgspec.json.encode(calls), headers=headers
            ) as response:
                await response.read()
                up = response.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError):
            up = False
        if up != self._is_up:
            self._is_up = up
            log.info("target_up" if up else "target_down", target=self._url)
        return up
