"""Tail of one node's `GET /dst/v1/events`: every event becomes a record, across restarts, freezes and reconnects.

The stream opens with `hello`, whose `boot` changes when the process does. Same boot: resume after the last id seen.
New boot: read it from its beginning, because everything since the start of that process is news.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import msgspec

from devnet.model.history import Event, EventKind, Record

RECONNECT_SECONDS: Final = 0.1
"""Between attempts: a restarted node's first events should not wait."""
SILENCE_SECONDS: Final = 20.0
"""Without a byte for so long the connection is given up: a node under load speaks every slot."""
MAX_LINE: Final = 64 * 1024
MAX_EVENT_LINES: Final = 64

_KNOWN_KINDS: Final = frozenset(EventKind)
_FIELDS: Final = frozenset(
    {"kind", "operator", "height", "round", "term", "root", "slot", "monotonic", "wall"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One server-sent event, decoded from its lines."""

    event: str
    id: str
    data: str


def parse_message(lines: list[str]) -> Message:
    """Fields of one block of SSE lines (WHATWG HTML §9.2.6); comments and unknown fields are skipped."""
    event, id_, data = "message", "", []
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            event = value
        elif name == "id":
            id_ = value
        elif name == "data":
            data.append(value)
    return Message(event=event, id=id_, data="\n".join(data))


def event_of(node: str, data: dict[str, Any]) -> Event | None:
    """A record from the event's JSON; None for a kind this harness does not know (newer node)."""
    if data.get("kind") not in _KNOWN_KINDS:
        return None
    extras = {
        key: value
        for key, value in data.items()
        if key not in _FIELDS and (value is None or isinstance(value, str | int | float | bool))
    }
    if "operator" in data:
        extras["operator"] = data["operator"]
    return Event(
        kind=EventKind(data["kind"]),
        node=node,
        height=int(data.get("height") or 0),
        round=data.get("round"),
        term=int(data.get("term") or 0),
        root=data.get("root"),
        slot=data.get("slot"),
        monotonic=float(data["monotonic"]),
        wall=float(data["wall"]),
        detail=extras,
    )


async def messages(response: aiohttp.ClientResponse) -> AsyncIterator[Message]:
    """Blocks of the stream, bounded in length."""
    lines: list[str] = []
    async for raw in response.content:
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        if len(line) > MAX_LINE or len(lines) > MAX_EVENT_LINES:
            raise ValueError("an event longer than any of ours")
        if line:
            lines.append(line)
        elif lines:
            yield parse_message(lines)
            lines = []


class EventTail:
    """Feeds `record` until cancelled. `boots` counts the processes seen: 2 after one restart."""

    def __init__(
        self,
        node: str,
        beacon_url: str,
        session: aiohttp.ClientSession,
        record: Callable[[Record], None],
    ) -> None:
        self.node = node
        self.boots = 0
        self.connected = asyncio.Event()
        self.decided_at_hello = 0
        self._url = f"{beacon_url.rstrip('/')}/dst/v1/events"
        self._session = session
        self._record = record
        self._boot: str | None = None
        self._last_id = ""

    async def run(self) -> None:
        while True:
            try:
                await self._follow()
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError):
                # A node that is down, frozen or talking nonsense: the tail outlives it and says so by silence.
                pass
            self.connected.clear()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _follow(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=2.0, sock_read=SILENCE_SECONDS)
        headers = {"Accept": "text/event-stream"}
        if self._boot is not None:
            headers["Last-Event-ID"] = self._last_id or "0"
        async with self._session.get(self._url, timeout=timeout, headers=headers) as response:
            response.raise_for_status()
            async for message in messages(response):
                if not self._take(message):
                    return

    def _take(self, message: Message) -> bool:
        """Record one message; False when the stream must be opened anew."""
        if not message.data:
            return True
        data = msgspec.json.decode(message.data)
        if message.event == "hello":
            return self._greet(data)
        event = event_of(self.node, data)
        if message.id:
            self._last_id = message.id
        if event is not None:
            self._record(event)
        return True

    def _greet(self, hello: dict[str, Any]) -> bool:
        known, self._boot = self._boot, str(hello.get("boot", ""))
        self.decided_at_hello = int(hello.get("decided_height") or 0)
        if known is not None and known != self._boot:
            self._last_id = ""
            self.boots += 1
            # We asked this process for what came after an id of its predecessor: ask again, from its beginning.
            return False
        if known is None:
            self.boots += 1
        self.connected.set()
        return True
