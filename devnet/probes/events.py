"""Tail of one node's `GET /dst/v1/events`: every event becomes a record, across restarts, freezes
and reconnects.

The stream opens with `hello`, whose `boot` changes when the process does. Same boot: resume after
the last event seen. New boot: read it from its beginning, because everything since the start of
that process is news.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import aiohttp

from devnet.model.history import Event, EventKind, Record
from dst.apis.dst_v1 import DstClient, Hello, NumberedEvent
from dst.apis.dst_v1 import Event as WireEvent
from dst.spec.errors import DstError
from dst.spec.primitives import to_hex

RECONNECT_SECONDS: Final = 0.1
"""Between attempts: a restarted node's first events should not wait."""


def record_of(node: str, event: WireEvent) -> Event:
    """An event as the history keeps it; `node` is whose stream told it, whatever the event says of
    itself."""
    return Event(
        kind=EventKind(event.kind.value),
        node=node,
        height=event.height or 0,
        round=event.round,
        term=event.term,
        root=None if event.root is None else to_hex(event.root),
        slot=event.slot,
        monotonic=event.monotonic,
        wall=event.wall,
        detail=dict(event.extra),
    )


class EventTail:
    """Feeds `record` until cancelled.

    boots: processes seen behind this address; 2 after one restart. connected: a hello came on the
    present connection.
    """

    def __init__(self, node: str, beacon_url: str, record: Callable[[Record], None]) -> None:
        self.node = node
        self.boots = 0
        self.connected = asyncio.Event()
        self.decided_at_hello = 0
        self._url = beacon_url
        self._record = record
        self._boot: str | None = None
        self._last: int | None = None

    async def run(self) -> None:
        while True:
            try:
                await self._follow()
            except (DstError, aiohttp.ClientError, TimeoutError, OSError):
                # A node that is down, frozen or talking nonsense: the tail outlives it.
                pass
            self.connected.clear()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _follow(self) -> None:
        async with DstClient(self._url) as client:
            async for item in client.events(self._last):
                if isinstance(item, Hello):
                    if not self._greet(item):
                        return
                else:
                    self._take(item)

    def _take(self, numbered: NumberedEvent) -> None:
        self._last = numbered.sequence
        self._record(record_of(self.node, numbered.event))

    def _greet(self, hello: Hello) -> bool:
        """False when the stream must be opened anew."""
        known, self._boot = self._boot, hello.boot
        self.decided_at_hello = hello.decided_height
        if known != hello.boot:
            self.boots += 1
        if known is not None and known != hello.boot:
            # We asked this process for what came after an event of its predecessor: ask again, from
            # its beginning.
            self._last = 0
            return False
        self.connected.set()
        return True
