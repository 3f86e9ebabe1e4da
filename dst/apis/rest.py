"""What our REST APIs share: content negotiation, server-sent events, and a client that raises what
the server meant (`dst.runtime.http_errors`).
"""

import asyncio
import json
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, Self

import aiohttp
from aiohttp import web

from dst.apis.jwt import check_jwt, make_jwt
from dst.runtime.calls import Calls
from dst.runtime.connections import lasts
from dst.runtime.http import MAX_BODY_BYTES, STREAMS, error_response
from dst.runtime.http_errors import failure_of
from dst.runtime.machine import wall_clock
from dst.runtime.metrics import Metrics
from dst.runtime.places import address_key
from dst.runtime.streams import Stream, Streams
from dst.spec.errors import InvalidInput, Unavailable

SSZ: Final = "application/octet-stream"
JSON: Final = "application/json"
MSGPACK: Final = "application/msgpack"
EVENT_STREAM: Final = "text/event-stream"

KEEP_ALIVE_SECONDS: Final = 10.0
"""A comment line this often keeps an idle event stream alive (validator clients expect one every 10
s or so)."""
DEFAULT_TIMEOUT_SECONDS: Final = 10.0
CONNECT_TIMEOUT_SECONDS: Final = 2.0

MAX_EVENT_BYTES: Final = 2**18
"""Data of one server-sent event; ours are below 1 kB."""
MAX_EVENT_ID_DIGITS: Final = 19
"""Sequence numbers are below 2**63."""
LINES_A_TURN: Final = 64
"""Of an event stream, before the loop's other tasks run: what has arrived may be sixty thousand
empty comments, and all of them at once would hold up the others for half a second."""
MAX_JSON_VALUES: Final = 32_768
"""Values in a body or an answer, counted before it is decoded: 4 MiB of empty lists keep the event
loop for a quarter of a second. The fullest honest one, a block of small transactions, has 5,000."""


def for_holders_of(secret: bytes, routes: Sequence[web.RouteDef]) -> list[web.RouteDef]:
    """`routes`, answered to requests signed with `secret` alone; 401 to others."""

    def guarded(route: web.RouteDef) -> web.RouteDef:
        async def handle(request: web.Request) -> web.StreamResponse:
            refused = check_jwt(secret, request.headers.get("Authorization"), wall_clock())
            if refused is not None:
                return error_response(401, refused)
            return await route.handler(request)

        return web.RouteDef(route.method, route.path, handle, route.kwargs)

    return [guarded(route) for route in routes]


def preferred(accept: str | None, offered: tuple[str, ...]) -> str:
    """The offered media type with the highest q-value in an Accept header; the first offered on a
    tie or none.

    Raises: InvalidInput when nothing offered is acceptable.
    """
    if not accept:
        return offered[0]
    weights = _accept_weights(accept)
    scored = [(_weight_of(kind, weights), -position, kind) for position, kind in enumerate(offered)]
    quality, _, best = max(scored)
    if quality <= 0:
        raise InvalidInput(f"none of {', '.join(offered)} is acceptable to {accept[:120]!r}")
    return best


def _accept_weights(accept: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for part in accept.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    quality = float(value)
                except ValueError:
                    raise InvalidInput(f"Accept: bad q-value {value[:20]!r}") from None
        weights[kind] = quality
    return weights


def _weight_of(kind: str, weights: Mapping[str, float]) -> float:
    for candidate in (kind, kind.split("/")[0] + "/*", "*/*"):
        if candidate in weights:
            return weights[candidate]
    return 0.0


def int_query(request: web.Request, name: str, default: int) -> int:
    """A non-negative decimal query parameter. Raises: InvalidInput naming it."""
    text = request.query.get(name)
    if text is None:
        return default
    return parse_uint(text, what=f"query parameter {name!r}")


def parse_uint(text: str, *, what: str) -> int:
    """An unsigned 64-bit decimal integer. Raises: InvalidInput naming `what`."""
    if not text.isascii() or not text.isdigit() or len(text) > 20 or int(text) >= 2**64:
        raise InvalidInput(
            f"{what}: expected an unsigned 64-bit decimal integer, got {text[:40]!r}"
        )
    return int(text)


# ------------------------------------------------------------------------------- server-sent events


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSentEvent:
    """One event of a stream: `event:` name, `data:` (JSON text), `id:` when the stream can be
    resumed."""

    event: str
    data: str
    id: int | None = None


def encode_event(event: ServerSentEvent) -> bytes:
    """The wire form; data is one line because it is compact JSON."""
    head = f"id: {event.id}\n" if event.id is not None else ""
    return f"{head}event: {event.event}\ndata: {event.data}\n\n".encode()


async def stream_events(
    request: web.Request, events: AsyncGenerator[ServerSentEvent, None]
) -> web.StreamResponse:
    """Answer with an event stream until the client goes, the source ends or another takes its
    place; comments keep it alive. 503 when there is no place."""
    streams = request.app[STREAMS] if STREAMS in request.app else Streams()
    with streams.holding(_stream_of(request)) as has_place:
        if not has_place:
            raise Unavailable("too many event streams: ask again later")
        lasts(request)
        return await _stream(request, events)


def _stream_of(request: web.Request) -> Stream:
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client is gone")
    return Stream(address_key(transport.get_extra_info("peername")), transport.abort)


async def _stream(
    request: web.Request, events: AsyncGenerator[ServerSentEvent, None]
) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={
            "Content-Type": EVENT_STREAM,
            "Cache-Control": "no-cache",
            "X-Accel-Buffering": "no",
        }
    )
    await response.prepare(request)
    # A first comment lets the client know at once that the stream is open.
    await response.write(b":\n\n")
    try:
        async with asyncio.TaskGroup() as group, aclosing(events):
            keep_alive = group.create_task(_keep_alive(response))
            async for event in events:
                await response.write(encode_event(event))
            keep_alive.cancel()
    except* (ConnectionError, aiohttp.ClientConnectionError):
        pass  # the reader went away
    return response


async def _keep_alive(response: web.StreamResponse) -> None:
    while True:
        await asyncio.sleep(KEEP_ALIVE_SECONDS)
        await response.write(b":\n\n")


async def read_events(content: aiohttp.StreamReader) -> AsyncIterator[ServerSentEvent]:
    """Parse an event stream; comments are skipped, oversized lines and events end it with
    InvalidInput."""
    name, data, identifier = "message", "", None
    for number in count(1):
        if number % LINES_A_TURN == 0:
            await asyncio.sleep(0)  # a line that is here already is not waited for
        try:
            line = await content.readline()
        except ValueError as error:
            raise InvalidInput("event stream: overlong line") from error
        if not line:
            return
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if not text:
            if data:
                yield ServerSentEvent(event=name, data=data, id=identifier)
            name, data, identifier = "message", "", None
        elif text.startswith("event:"):
            name = text[6:].strip()
        elif text.startswith("data:"):
            data += text[5:].strip()
            if len(data) > MAX_EVENT_BYTES:
                raise InvalidInput("event stream: overlong event")
        elif text.startswith("id:"):
            given = _event_id(text[3:].strip())
            identifier = identifier if given is None else given


def _event_id(text: str) -> int | None:
    """Ours are decimal numbers; others say nothing to us and are passed over."""
    # `isdigit` alone takes digits that `int` does not, such as superscripts.
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_EVENT_ID_DIGITS):
        return None
    return int(text)


# --------------------------------------------------------------------------------------- the client


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A successful response, read whole (at most MAX_BODY_BYTES)."""

    body: bytes
    content_type: str
    headers: Mapping[str, str]

    def json(self) -> Any:  # JSON from outside: the caller's `from_json` gives it a shape
        """The body as JSON. Raises: InvalidInput."""
        return load_json(self.body)


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON value")


def load_json(body: bytes | str) -> Any:  # JSON from outside: the caller gives it a shape
    """Decode JSON, and nothing but JSON: Python's decoder would take NaN and Infinity. Raises:
    InvalidInput, also for too many values."""
    raw = body.encode() if isinstance(body, str) else body
    if sum(map(raw.count, (b",", b"[", b"{"))) > MAX_JSON_VALUES:
        raise InvalidInput(f"more than {MAX_JSON_VALUES} values")
    try:
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"not JSON: {error}") from error


class RestClient:
    """An HTTP client for one base URL; failures come back as the errors the server meant.

    Raises, from every call: NotFound on 404, InvalidInput on other 4xx, ResetRequired on 409 with
    `reset_height`,
    Unavailable on 5xx, refused connections, broken bodies and time-outs.
    """

    def __init__(
        self,
        url: str,
        *,
        session: aiohttp.ClientSession | None = None,
        secret: bytes | None = None,
    ) -> None:
        """secret: what the server asks a proof of, as the Engine API does."""
        self.url = url.rstrip("/")
        self._secret = secret
        self._session = session
        self._owned = session is None
        self._calls = Calls(self.url)

    def count_in(self, metrics: Metrics) -> None:
        """Tell there how calls fare; streams are none."""
        self._calls.count_in(metrics)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the session when it is ours."""
        if self._owned and self._session is not None:
            await self._session.close()
            self._session = None

    def session(self) -> aiohttp.ClientSession:
        """The session, opened on first use (inside the running loop)."""
        if self._session is None:
            # Answers are taken as they are: a megabyte would unpack to a gigabyte.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=64),
                auto_decompress=False,
                headers={"Accept-Encoding": "identity"},
            )
        return self._session

    def _headers(self, headers: Mapping[str, str] | None) -> Mapping[str, str] | None:
        if self._secret is None:
            return headers
        token = make_jwt(self._secret, wall_clock())
        return {**(headers or {}), "Authorization": f"Bearer {token}"}

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> Answer:
        """One request, read whole; raises as the class says."""
        timeout = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=CONNECT_TIMEOUT_SECONDS)
        try:
            with self._calls.timed():
                async with self.session().request(
                    method,
                    self.url + path,
                    params=params,
                    data=body,
                    headers=self._headers(headers),
                    timeout=timeout,
                    allow_redirects=False,
                ) as response:
                    content = await _read_bounded(response)
                    if response.status >= 300:
                        raise failure_of(response.status, content)
                    return Answer(
                        body=content, content_type=response.content_type, headers=response.headers
                    )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(
                f"{method} {self.url}{path}: {type(error).__name__} {error}"
            ) from error

    async def stream(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[ServerSentEvent, None]:
        """Follow an event stream until it ends. Raises Unavailable when silent for three
        keep-alives."""
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_TIMEOUT_SECONDS, sock_read=3 * KEEP_ALIVE_SECONDS
        )
        wanted = {"Accept": EVENT_STREAM, **(headers or {})}
        try:
            async with self.session().get(
                self.url + path,
                params=params,
                headers=self._headers(wanted),
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                if response.status != 200:
                    raise failure_of(response.status, await _read_bounded(response))
                async for event in read_events(response.content):
                    yield event
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"GET {self.url}{path}: {type(error).__name__} {error}") from error


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_chunked(65536):
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise InvalidInput(f"answer of {response.url} is longer than {MAX_BODY_BYTES} bytes")
        parts.append(chunk)
    return b"".join(parts)
