"""What only the middleware sees (proposal, prepared, decided, signed, round_change), handed to the
rollup node, whose stream is then complete.

Stamped here, when it happens; delivery may be late, and under a long outage the oldest are lost:
observation must never hold up consensus.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from dst.apis.dst_v1 import MAX_PUSHED_EVENTS, Emitter, Event
from dst.runtime.backoff import Backoff
from dst.runtime.metrics import Metrics
from dst.spec.errors import DstError
from dst.spec.primitives import Term

MAX_QUEUED: Final = 4096
"""As many as the rollup node's ring buffer holds: more could not be read back anyway."""

COALESCE_S: Final = 0.05
"""Events wait this long for company: one POST a block instead of five, at the moment when the block
itself needs the processor (measured: 40 ms less from payload to sealed everywhere, n = 4)."""


class EventSink(Protocol):
    """`DstClient` satisfies it."""

    async def push_events(self, events: Sequence[Event]) -> None: ...


class EventPusher:
    """A bounded queue of stamped events and the loop that delivers them in order."""

    def __init__(self, sink: EventSink, operator: str, term: Term, metrics: Metrics) -> None:
        self._sink, self._metrics = sink, metrics
        self.emit: Final = Emitter(operator, term, self._put)
        """Stamps and queues; never blocks, drops the oldest when full."""
        self._queue: deque[Event] = deque()
        self._waiting = asyncio.Event()

    def _put(self, event: Event) -> None:
        if len(self._queue) >= MAX_QUEUED:
            self._queue.popleft()
            self._metrics.inc("events_dropped_total")
        self._queue.append(event)
        self._waiting.set()

    async def run(self) -> None:
        """Deliver for ever; a batch leaves the queue when the rollup node has taken it."""
        backoff = Backoff()
        while True:
            await self._waiting.wait()
            await asyncio.sleep(COALESCE_S)
            batch = [self._queue[i] for i in range(min(len(self._queue), MAX_PUSHED_EVENTS))]
            try:
                await self._sink.push_events(batch)
            except DstError:
                await asyncio.sleep(backoff.next_delay())
                continue
            backoff.reset()
            self._forget(batch)

    def _forget(self, batch: list[Event]) -> None:
        """Remove what was delivered; some of it may have been dropped meanwhile."""
        delivered = {id(event) for event in batch}
        while self._queue and id(self._queue[0]) in delivered:
            self._queue.popleft()
        if not self._queue:
            self._waiting.clear()
