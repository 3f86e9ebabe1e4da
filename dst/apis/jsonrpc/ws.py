"""JSON-RPC over WebSocket, and the session that a subscription pushes its notifications to.

Everything a client makes us hold is bounded: connections, requests running at once, subscriptions,
and what waits to be sent. A reader too slow for its notifications is disconnected; answers wait for
room instead, and meanwhile nothing more is read. Pings are answered here and not by aiohttp, which
answers all that have arrived in one turn of the event loop: a third of a second for 256 KiB.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Final

import msgspec
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from dst.apis.caller import CALLER, caller_key
from dst.apis.jsonrpc.answering import Method, answer_body
from dst.apis.jsonrpc.errors import REFUSED, RpcError
from dst.runtime.allowance import Allowance
from dst.runtime.connections import Grows, building, ending, lasts
from dst.runtime.http import MAX_BODY_BYTES
from dst.runtime.log import Logger, Ration
from dst.runtime.places import address_key
from dst.runtime.streams import STREAMS_PER_ADDRESS, Stream, Streams

log = Logger("ws")
_ration: Final = Ration()


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSocketLimits:
    connections: int = 128
    per_address: int = STREAMS_PER_ADDRESS
    """Of one remote address."""
    running: int = 8
    """Requests of one connection at a time; more wait unread."""
    subscriptions: int = 128
    """Of one connection."""
    queued: int = 8_192
    """Messages that wait to be sent to one connection."""
    queued_bytes: int = 8 * 2**20
    write_seconds: float = 20.0
    """One message must be off within this time."""
    heartbeat_seconds: float = 20.0
    """A ping this often; no pong within half of it ends the connection."""


DEFAULT_LIMITS: Final = WebSocketLimits()
WRITTEN_AT_A_TIME: Final = 128
"""Messages to one connection before others have their turn on the event loop."""
CONTROLS_AT_ONCE: Final = 16
CONTROL_EVERY_S: Final = 0.1
"""Pings and pongs of one connection: so many, after that one in this time. Clients ping a few times
a minute to learn that a connection lives; more of it buys nothing, and costs a system call each."""
FAREWELL_S: Final = 5.0
"""To take leave of a connection that was dismissed."""
UNREAD_AT_FAREWELL: Final = 1024
"""Messages on the way when it was dismissed, before its own farewell must come."""

current_session: ContextVar["Session | None"] = ContextVar("current_session", default=None)
"""The connection whose request is being answered; None over HTTP."""
_opened: ContextVar[list[str] | None] = ContextVar("opened", default=None)
"""Subscriptions that the request being answered has opened."""


class Session:
    """One connection, as subscriptions see it."""

    def __init__(self, limits: WebSocketLimits, end: Callable[[str], None]) -> None:
        """end: cuts the connection and counts why."""
        self._limits, self._end = limits, end
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._changed = asyncio.Event()
        self._subscriptions: dict[str, Callable[[], None]] = {}
        self._held: dict[str, list[bytes]] = {}
        self.closed = False
        self.farewell: str | None = None
        """Why it was dismissed."""
        self._asked = time.monotonic()

    @property
    def unused_since(self) -> float | None:
        """None while it follows anything."""
        return None if self._subscriptions else self._asked

    # subscriptions

    def open(self, subscription: str, on_end: Callable[[], None]) -> None:
        """Notifications are held back until the answer that names the subscription is queued.

        Raises: RpcError when there are too many, or the connection is gone.
        """
        if self.closed:
            raise RpcError(REFUSED, "the connection is gone")
        if len(self._subscriptions) >= self._limits.subscriptions:
            raise RpcError(
                REFUSED,
                f"too many subscriptions on one connection: at most {self._limits.subscriptions}",
            )
        self._subscriptions[subscription] = on_end
        opened = _opened.get()
        if opened is not None:
            opened.append(subscription)
            self._held[subscription] = []

    def end(self, subscription: str) -> bool:
        """False when there is none of that name here."""
        self._held.pop(subscription, None)
        on_end = self._subscriptions.pop(subscription, None)
        if on_end is not None:
            on_end()
        return on_end is not None

    def notify(self, subscription: str, result: bytes) -> None:
        """Queue one notification; `result` is JSON. Disconnects a reader that is too slow."""
        if self.closed:
            return
        message = _notification(subscription, result)
        held = self._held.get(subscription)
        if held is None:
            self._push(message)
        elif len(held) < self._limits.queued:
            held.append(message)
        else:
            self.drop("a request takes too long to announce a subscription")

    def drop(self, reason: str) -> None:
        """End the connection at once."""
        if not self.closed:
            if _ration.may_say():
                log.info("client_dropped", reason=reason, queued=len(self._queue))
            self.closed = True
            self._end(reason)

    def dismiss(self, reason: str) -> None:
        """End the connection with a reason that its client can read, in place of what waits to be
        sent; its subscriptions end at once."""
        if not self.closed:
            log.info("client_dismissed", reason=reason, queued=len(self._queue))
            self._queue.clear()
            self._queued_bytes = 0
            self.farewell = reason
            self.finish()

    # the connection's side

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Subscriptions opened in the block are let loose at its end."""
        opened: list[str] = []
        self._asked = math.inf  # while it is answered
        tokens = current_session.set(self), _opened.set(opened)
        try:
            yield
        finally:
            current_session.reset(tokens[0])
            _opened.reset(tokens[1])
            self._asked = time.monotonic()
            for subscription in opened:
                for message in self._held.pop(subscription, ()):
                    self._push(message)

    async def answer(self, message: bytes) -> None:
        """Queue an answer when there is room."""
        while self._queued_bytes > self._limits.queued_bytes and not self.closed:
            self._changed.clear()
            await self._changed.wait()
        self._append(message)

    async def next(self) -> bytes | None:
        """What to send; None when there is nothing more than the farewell."""
        while not self._queue:
            if self.farewell is not None:
                return None
            self._changed.clear()
            await self._changed.wait()
        message = self._queue.popleft()
        self._queued_bytes -= len(message)
        self._changed.set()
        return message

    def cut(self, reason: str) -> None:
        """End the connection, whatever waits to be sent."""
        self._end(reason)

    def finish(self) -> None:
        self.closed = True
        self._changed.set()
        for subscription in tuple(self._subscriptions):
            self.end(subscription)

    def _push(self, message: bytes) -> None:
        full = len(self._queue) >= self._limits.queued
        if full or self._queued_bytes + len(message) > self._limits.queued_bytes:
            self.drop("reads too slowly")
        else:
            self._append(message)

    def _append(self, message: bytes) -> None:
        self._queue.append(message)
        self._queued_bytes += len(message)
        self._changed.set()


class WebSockets:
    """The connections of one listener."""

    def __init__(self, limits: WebSocketLimits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._streams = Streams(limits.connections, limits.per_address, ends_oldest=False)

    @property
    def connections(self) -> int:
        return len(self._streams)

    @staticmethod
    def asks_for_one(request: web.Request) -> bool:
        return request.headers.get("Upgrade", "").lower() == "websocket"

    async def serve(
        self, request: web.Request, methods: Mapping[str, Method]
    ) -> web.StreamResponse:
        """Until the client goes."""
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client is gone")
        peer = peer_of(request)
        session = Session(self._limits, ending(request))
        stream = Stream(address_key(peer), transport.abort, lambda: session.unused_since)
        with self._streams.holding(stream) as has_place:
            if not has_place:
                return web.Response(status=503, text="too many WebSocket connections")
            lasts(request)
            CALLER.set(caller_key(peer))  # the requests' tasks begin with this context
            return await self._serve(request, session, methods)

    async def _serve(
        self, request: web.Request, session: Session, methods: Mapping[str, Method]
    ) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            max_msg_size=MAX_BODY_BYTES,
            autoping=False,
            heartbeat=self._limits.heartbeat_seconds,
            compress=False,  # a message is as long as it looks
        )
        try:
            await socket.prepare(request)
            held = partial(building, request)
            await _Connection(socket, session, methods, self._limits, held).run()
        finally:
            session.finish()
        return socket


class _Connection:
    """Reads requests, runs them, writes what is queued."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        session: Session,
        methods: Mapping[str, Method],
        limits: WebSocketLimits,
        held: Callable[[], AbstractContextManager[Grows]],
    ) -> None:
        self._socket, self._session, self._methods = socket, session, methods
        self._limits, self._held = limits, held
        self._slots = asyncio.Semaphore(limits.running)
        self._controls = Allowance(at_once=CONTROLS_AT_ONCE, every_s=CONTROL_EVERY_S)

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._write())
                await self._read(group)
                raise _ClientGone
        except* (_ClientGone, ConnectionError):
            pass
        if self._session.farewell is not None:
            await self._take_leave(self._session.farewell)

    async def _take_leave(self, reason: str) -> None:
        """When nobody reads the socket any more: the reader would swallow the end."""
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(FAREWELL_S):
                code = WSCloseCode.POLICY_VIOLATION.to_bytes(2, "big")
                await self._socket.send_frame(code + reason.encode(), WSMsgType.CLOSE)
                await self._until_answered()
        self._session.cut(reason)

    async def _until_answered(self) -> None:
        """Not by aiohttp, which would read on without a turn for others."""
        for _ in range(UNREAD_AT_FAREWELL):
            if (await self._socket.receive()).type in _ENDS:
                return
            await asyncio.sleep(0)

    async def _read(self, group: asyncio.TaskGroup) -> None:
        async for message in self._socket:
            if message.type in (WSMsgType.PING, WSMsgType.PONG):
                await self._on_control(message)
                continue
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return
            body = message.data.encode() if message.type is WSMsgType.TEXT else message.data
            await self._slots.acquire()
            group.create_task(self._answer(body))

    async def _on_control(self, message: WSMessage) -> None:
        """Each costs its connection a turn: reading alone waits for nothing that is here."""
        if not self._controls.take(time.monotonic()):
            self._session.drop("pings too often")
            raise _ClientGone
        if message.type is WSMsgType.PING:
            await self._socket.pong(message.data)
        await asyncio.sleep(0)

    async def _answer(self, body: bytes) -> None:
        try:
            with self._session.answering(), self._held() as grows:
                grows(len(body))
                reply = await answer_body(body, self._methods, grows)
                if reply is not None:
                    await self._session.answer(reply)
        finally:
            self._slots.release()

    async def _write(self) -> None:
        for written in count(1):
            message = await self._session.next()
            if message is None:
                raise _ClientGone
            try:
                async with asyncio.timeout(self._limits.write_seconds):
                    await self._socket.send_str(message.decode())
            except TimeoutError:
                self._session.drop("reads too slowly")
                raise _ClientGone from None
            if written % WRITTEN_AT_A_TIME == 0:
                await asyncio.sleep(0)


_ENDS: Final = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)


class _ClientGone(Exception):
    """Ends the tasks of a connection."""


def _notification(subscription: str, result: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","method":"eth_subscription","params":%b}' % (
        b'{"subscription":%b,"result":%b}' % (msgspec.json.encode(subscription), result)
    )


def peer_of(request: web.Request) -> object:
    """The other end of the connection, None when it is gone."""
    transport = request.transport
    return None if transport is None else transport.get_extra_info("peername")
