"""Connections of a listener that end when their client does nothing: neither silence nor an unread
answer holds a place or memory for long.

Three bounds, on every listener and for plain answers, event streams and WebSockets alike: how many
connections, how long one may say nothing, and how much of answers may wait to be read, by each for
how long and by all together.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from dst.runtime.log import Logger

MAX_CONNECTIONS: Final = 512
"""Of one listener; one more is closed at once."""
SILENT_S: Final = 10.0
"""A connection that has not sent a whole request head by then is closed."""
UNREAD_S: Final = 60.0
"""An answer that fills the kernel's buffers and is not read by then ends its connection."""
MAX_UNREAD_BYTES: Final = 128 * 2**20
"""Of one listener. Beyond it the connection with the most unread bytes is ended."""

log = Logger("http")


class Connections:
    """One listener's."""

    def __init__(
        self,
        runner: web.AppRunner,
        *,
        silent_s: float = SILENT_S,
        unread_s: float = UNREAD_S,
        max_unread_bytes: int = MAX_UNREAD_BYTES,
    ) -> None:
        server = runner.server
        assert server is not None, "the runner is set up"
        self._server = server
        self.silent_s, self.unread_s = silent_s, unread_s
        self._max_unread_bytes = max_unread_bytes
        self._unread: set[_Connection] = set()

    def protocol(self) -> asyncio.Protocol:
        """For the next connection."""
        if len(self._server.connections) >= MAX_CONNECTIONS:
            return _ClosedAtOnce()
        server = self._server
        return _Connection(self, server, loop=server._loop, **server._kwargs)

    def waits(self, connection: "_Connection") -> None:
        """Its client does not read."""
        self._unread.add(connection)
        if sum(each.unread_bytes for each in self._unread) > self._max_unread_bytes:
            max(self._unread, key=lambda each: each.unread_bytes).end("too much is unread")

    def goes_on(self, connection: "_Connection") -> None:
        self._unread.discard(connection)


class _Connection(RequestHandler):
    __slots__ = ("_all", "_deadline")

    def __init__(self, connections: Connections, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        self._all = connections
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def unread_bytes(self) -> int:
        transport = self.transport
        return transport.get_write_buffer_size() if isinstance(transport, asyncio.Transport) else 0

    def end(self, why: str) -> None:
        if self.transport is not None:
            peer = self.transport.get_extra_info("peername")
            log.debug("connection_ended", peer=peer, why=why)
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._end_in(self._all.silent_s, "no request came")

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._messages or self._current_request is not None:
            self._stop_timer()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._end_in(self._all.unread_s, "its answer is not read")
        self._all.waits(self)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_timer()
        self._all.goes_on(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_timer()
        self._all.goes_on(self)
        super().connection_lost(exc)

    def _end_in(self, seconds: float, why: str) -> None:
        self._stop_timer()
        self._deadline = asyncio.get_running_loop().call_later(seconds, self.end, why)

    def _stop_timer(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _ClosedAtOnce(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def bounded(runner: web.AppRunner) -> Callable[[], asyncio.Protocol]:
    """Makes the protocol of each connection of a listener."""
    return Connections(runner).protocol
