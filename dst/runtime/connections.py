"""Connections of a listener that end when their client does nothing, or when others need the place
more: neither silence nor an unread answer holds a place or memory for long.

On every listener and for plain answers, event streams and WebSockets alike: how many connections
and whose (`dst.runtime.places`), how long one may say nothing or take for one request, how much
of answers may wait to be read, by each for how long and by all together, and how much the
requests under way may take all together, bodies and answers.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, TypeAlias

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from dst.runtime.log import Logger, Ration
from dst.runtime.places import Place, PlaceLimits, Places, State, address_key

SILENT_S: Final = 10.0
"""A connection that has not sent a whole request head by then is closed."""
BODY_S: Final = 30.0
"""So long may the rest of a request take: 4 MiB at 140 kB a second."""
IDLE_S: Final = 75.0
"""A connection without a request for so long is closed: more than clients keep theirs."""
UNREAD_S: Final = 60.0
"""An answer that fills the kernel's buffers and is not read by then ends its connection."""
MAX_UNREAD_BYTES: Final = 128 * 2**20
"""Of one listener. Beyond it the connection with the most unread bytes is ended."""
MAX_HELD_BYTES: Final = 128 * 2**20
"""Of one listener: bodies of requests under way, and what there is of their answers. Beyond
it the connection that holds the most is ended, one that is vouched for last: whoever holds much
does not shut out who asks little."""

log = Logger("http")

Vouches: TypeAlias = Callable[[Mapping[str, str]], bool]
"""Whether the headers of a request show that it comes from somebody known."""
Grows: TypeAlias = Callable[[int], None]
"""Told of so many bytes more."""
_Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Connections:
    """One listener's."""

    def __init__(
        self,
        runner: web.AppRunner,
        *,
        limits: PlaceLimits | None = None,
        vouches: Vouches | None = None,
        on_end: Callable[[str], None] = lambda why: None,
        silent_s: float = SILENT_S,
        body_s: float = BODY_S,
        unread_s: float = UNREAD_S,
        max_unread_bytes: int = MAX_UNREAD_BYTES,
        max_held_bytes: int = MAX_HELD_BYTES,
    ) -> None:
        """on_end: told why a connection was ended from here."""
        server = runner.server
        assert server is not None, "the runner is set up"
        self._server = server
        self.silent_s, self.body_s, self.unread_s = silent_s, body_s, unread_s
        self.vouches, self.on_end = vouches, on_end
        self._max_unread_bytes = max_unread_bytes
        self._unread: set[_Connection] = set()
        self._max_held_bytes, self._held_bytes = max_held_bytes, 0
        self._held: dict[_Connection, int] = {}
        self._places = Places(limits or PlaceLimits())
        self._holders: dict[Place, _Connection] = {}
        self.failures = Ration()

    def __len__(self) -> int:
        return len(self._places)

    def protocol(self) -> asyncio.Protocol:
        """For the next connection."""
        server = self._server
        return _Connection(self, server, loop=server._loop, **server._kwargs)

    # places

    def enter(self, connection: "_Connection", peer: object, now: float) -> Place | None:
        """None when there is no place for it."""
        admission = self._places.enter(address_key(peer), now)
        self._make_go(admission.evicted)
        if admission.place is None:
            self.on_end("full")
            return None
        self._holders[admission.place] = connection
        return admission.place

    def settle(self, place: Place, headers: Mapping[str, str], now: float) -> bool:
        """A request came. False when its connection cannot stay."""
        if self.vouches is not None and not place.is_vouched and self.vouches(headers):
            self._make_go(self._places.vouch(place))
        admission = self._places.settle(place, now)
        self._make_go(admission.evicted)
        if admission.place is None:
            self.on_end("full")
        return admission.place is not None

    def leave(self, place: Place) -> None:
        self._places.leave(place)
        self._holders.pop(place, None)

    def _make_go(self, place: Place | None) -> None:
        if place is not None:
            self._holders[place].end("others need the place")

    # unread answers

    def waits(self, connection: "_Connection") -> None:
        """Its client does not read."""
        self._unread.add(connection)
        if sum(each.unread_bytes for each in self._unread) > self._max_unread_bytes:
            max(self._unread, key=lambda each: each.unread_bytes).end("too much is unread")

    def goes_on(self, connection: "_Connection") -> None:
        self._unread.discard(connection)

    # requests under way

    def holds(self, connection: "_Connection", count: int) -> None:
        """So many bytes are kept for it now."""
        self._held_bytes += count - self._held.pop(connection, 0)
        if count:
            self._held[connection] = count
        if self._held_bytes > self._max_held_bytes:
            most = max(self._held, key=lambda each: (not each.is_vouched, self._held[each]))
            self.holds(most, 0)
            most.end("too much is held for it")


class _Connection(RequestHandler):
    __slots__ = ("_all", "_built_bytes", "_deadline", "_payload", "_place")

    def __init__(self, connections: Connections, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        self._all = connections
        self._deadline: asyncio.TimerHandle | None = None
        self._place: Place | None = None
        self._payload: StreamReader | None = None
        """Body of the request that is being handled."""
        self._built_bytes = 0
        """Of answers that are not sent."""

    @property
    def unread_bytes(self) -> int:
        transport = self.transport
        return transport.get_write_buffer_size() if isinstance(transport, asyncio.Transport) else 0

    @property
    def is_vouched(self) -> bool:
        return self._place is not None and self._place.is_vouched

    def end(self, why: str) -> None:
        if self.transport is not None:
            peer = self.transport.get_extra_info("peername")
            log.debug("connection_ended", peer=peer, why=why)
            self._all.on_end(why)
            self.transport.abort()

    def lasts(self) -> None:
        """It is a stream now: it keeps its place until it ends."""
        self._turn(State.STREAMING)

    def builds(self, count: int) -> None:
        """Bytes more of an answer, or less."""
        self._built_bytes += count
        self._count_held()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self._place = self._all.enter(self, peer, self._loop.time())
        if self._place is None:
            assert isinstance(transport, asyncio.Transport)
            transport.close()
            return
        super().connection_made(transport)
        self._end_in(self._all.silent_s, "no request came")

    def data_received(self, data: bytes) -> None:
        if self._place is None:
            return
        super().data_received(data)
        self._count_held()
        if self._place.state is not State.SILENT:
            return  # what comes now does not excuse an answer that is not read
        if self._current_request is not None:
            self._work_when_whole()
        elif self._messages:
            self._stop_timer()  # the request is about to be taken up

    async def _handle_request(
        self, request: web.BaseRequest, start_time: float | None, request_handler: _Handler
    ) -> tuple[web.StreamResponse, bool]:
        """Around each request and the writing of its answer."""
        place = self._place
        assert place is not None, "requests come by connections that have a place"
        if not self._all.settle(place, request.headers, self._loop.time()):
            request_handler = _no_place
        self._payload = request.content
        self._count_held()
        self._turn(State.SILENT)
        self._end_in(self._all.body_s, "its request does not end")
        self._work_when_whole()
        try:
            return await super()._handle_request(request, start_time, request_handler)
        except asyncio.InvalidStateError as error:
            # What a handler raises is an answer. This is aiohttp's own: its shutdown gave the
            # request up, and had not dropped the future that it waited on when this one ended.
            raise asyncio.CancelledError from error
        finally:
            self._stop_timer()
            self._payload, self._built_bytes = None, 0
            self._count_held()
            self._turn(State.IDLE)

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
        if self._place is not None:
            self._all.leave(self._place)
            super().connection_lost(exc)
            self._count_held()

    def log_exception(self, *told: object, **options: object) -> None:
        """aiohttp's word on what it could not read, or what was raised around a request."""
        error = options.get("exc_info")
        if isinstance(error, HttpProcessingError):
            log.debug("request_unreadable", error=error)  # the client was told
        elif self._all.failures.may_say():
            super().log_exception(*told, **options)

    def _work_when_whole(self) -> None:
        assert self._payload is not None, "a request is being handled"
        if self._payload.is_eof():
            self._stop_timer()
            self._turn(State.WORKING)

    def _count_held(self) -> None:
        """For the request that is being handled and those that wait behind it."""
        bodies = sum(payload.total_bytes for _, payload in self._messages)
        if self._payload is not None:
            bodies += self._payload.total_bytes
        self._all.holds(self, bodies + self._built_bytes if self.transport is not None else 0)

    def _turn(self, state: State) -> None:
        if self._place is not None:
            self._place.turn(state, self._loop.time())

    def _end_in(self, seconds: float, why: str) -> None:
        self._stop_timer()
        self._deadline = self._loop.call_later(seconds, self.end, why)

    def _stop_timer(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


async def _no_place(_: web.BaseRequest) -> web.StreamResponse:
    """For who came in through the entrance and found the house full."""
    answer = web.Response(status=503, text="too many connections", headers={"Retry-After": "1"})
    answer.force_close()
    return answer


def lasts(request: web.Request) -> None:
    """The answer to this request is a stream, bounded by whoever serves it."""
    if isinstance(request.protocol, _Connection):
        request.protocol.lasts()


def ending(request: web.Request) -> Callable[[str], None]:
    """Ends the connection of this request at once and counts it under the reason that it is told;
    nothing when it is gone."""
    connection = request.protocol
    if isinstance(connection, _Connection):
        return connection.end
    transport = request.transport
    return lambda _: None if transport is None else transport.abort()


def growing(request: web.Request) -> Grows:
    """What the answer to this request grows by is held for its connection until it is sent."""
    connection = request.protocol
    return connection.builds if isinstance(connection, _Connection) else lambda _: None


@contextmanager
def building(request: web.Request) -> Iterator[Grows]:
    """The same for one answer of several on a WebSocket: until the block ends."""
    built = 0

    def grows(count: int) -> None:
        nonlocal built
        built += count
        growing(request)(count)

    try:
        yield grows
    finally:
        grows(-built)
