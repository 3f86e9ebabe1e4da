"""What one listener bears: hundreds of connections that do nothing, and another client beside
them, with real sockets. All come from loopback, so no address tells friend from stranger."""

import asyncio
import gzip
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from dst.runtime import places
from dst.runtime.http import make_app, serving
from dst.runtime.log import LINES_AT_ONCE
from dst.runtime.metrics import Metrics
from tests.ports import free_port

CROWD = places.MAX_CONNECTIONS + 30
SERVED_WITHIN_S = 5.0
"""Generous: the grace of a second and a slow machine."""
SECRET = "Bearer of a secret"
HEAD = b"HTTP/1.1\r\nHost: localhost\r\n"


async def _hello(_: web.Request) -> web.StreamResponse:
    return web.Response(text="hello")


async def _echo(request: web.Request) -> web.StreamResponse:
    return web.Response(body=await request.read())


async def _failing(_: web.Request) -> web.StreamResponse:
    raise ZeroDivisionError


async def _endless(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


ROUTES = [
    web.get("/", _hello),
    web.post("/", _echo),
    web.get("/endless", _endless),
    web.get("/failing", _failing),
]


@asynccontextmanager
async def listening(
    metrics: Metrics | None = None, app: web.Application | None = None
) -> AsyncIterator[int]:
    port = free_port()
    app = app or make_app(metrics or Metrics(), ROUTES)
    async with serving(
        app,
        f"127.0.0.1:{port}",
        what="test",
        vouches=lambda headers: headers.get("Authorization") == SECRET,
    ):
        yield port


async def opened(port: int, sent: bytes = b"") -> socket.socket:
    client = socket.socket()
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", port))
    if sent:
        await loop.sock_sendall(client, sent)
    return client


async def ask(port: int, *headers: bytes) -> bytes:
    """The status line, empty when the connection was ended instead."""
    answer = await answer_to(port, b"GET / " + HEAD + b"".join(headers) + b"\r\n")
    return answer.partition(b"\r\n")[0]


async def answer_to(port: int, sent: bytes) -> bytes:
    """Its beginning."""
    client = await opened(port, sent)
    try:
        async with asyncio.timeout(SERVED_WITHIN_S):
            answer: bytes = await asyncio.get_running_loop().sock_recv(client, 4096)
            return answer
    except ConnectionError:
        return b""
    finally:
        client.close()


@asynccontextmanager
async def crowd(
    port: int, behave: Callable[[int], Awaitable[socket.socket]]
) -> AsyncIterator[None]:
    clients = [await behave(port) for _ in range(CROWD)]
    try:
        yield
    finally:
        for each in clients:
            each.close()


async def _silent(port: int) -> socket.socket:
    return await opened(port)


async def _half_head(port: int) -> socket.socket:
    return await opened(port, b"GET / HTTP/1.1\r\nHost: loc")


async def _half_body(port: int) -> socket.socket:
    return await opened(port, b"POST / " + HEAD + b"Content-Length: 100\r\n\r\nhalf")


async def _idle(port: int) -> socket.socket:
    client = await opened(port, b"GET / " + HEAD + b"\r\n")
    try:
        await asyncio.get_running_loop().sock_recv(client, 4096)
    except ConnectionError:
        pass  # it made room meanwhile
    return client


async def _working(port: int) -> socket.socket:
    return await opened(port, b"GET /endless " + HEAD + b"\r\n")


@pytest.mark.parametrize("behave", [_silent, _half_head, _half_body, _idle, _working])
async def test_a_crowd_does_not_shut_others_out(
    behave: Callable[[int], Awaitable[socket.socket]],
) -> None:
    """Whatever they do with their connections: another is served at once or within a second."""
    metrics = Metrics()
    async with listening(metrics) as port, crowd(port, behave):
        began = time.monotonic()
        while b"200" not in await ask(port):
            assert time.monotonic() - began < SERVED_WITHIN_S
            await asyncio.sleep(0.05)
    assert "connections_ended_total" in metrics.render()


async def test_who_drips_a_head_or_a_body_is_cut_off_for_others_first() -> None:
    """A byte now and then is no request."""
    async with listening() as port:
        loop = asyncio.get_running_loop()
        clients = [await _half_body(port) for _ in range(CROWD)]

        async def drip() -> None:
            while True:
                for each in clients:
                    try:
                        await loop.sock_sendall(each, b".")
                    except ConnectionError:
                        continue
                await asyncio.sleep(0.1)

        async with asyncio.TaskGroup() as group:
            dripping = group.create_task(drip())
            began = time.monotonic()
            while b"200" not in await ask(port):
                assert time.monotonic() - began < SERVED_WITHIN_S
                await asyncio.sleep(0.05)
            dripping.cancel()
        for each in clients:
            each.close()


async def test_who_holds_the_secret_is_served_while_everybody_works() -> None:
    """No place is free and nobody has been at work long enough to make room: a stranger is told
    so, an operator is served, and keeps its connection through a flood of others."""
    async with listening() as port:
        known = await opened(
            port, b"GET / " + HEAD + b"Authorization: " + SECRET.encode() + b"\r\n\r\n"
        )
        loop = asyncio.get_running_loop()
        assert b"200" in await loop.sock_recv(known, 4096)
        async with crowd(port, _working), crowd(port, _silent):
            assert b"200" in await ask(port, b"Authorization: " + SECRET.encode() + b"\r\n")
            await loop.sock_sendall(known, b"GET / " + HEAD + b"\r\n")
            assert b"200" in await loop.sock_recv(known, 4096)
        known.close()


async def test_a_stranger_that_finds_a_full_house_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "GRACE_S", 60.0)
    async with listening() as port:
        clients = [await _working(port) for _ in range(places.MAX_CONNECTIONS)]
        async with asyncio.timeout(SERVED_WITHIN_S):
            while b"503" not in await ask(port):
                await asyncio.sleep(0.01)
        assert b"200" in await ask(port, b"Authorization: " + SECRET.encode() + b"\r\n")
        for each in clients:
            each.close()


def coded(coding: str, body: bytes) -> bytes:
    head = f"Content-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n"
    return b"POST / " + HEAD + head.encode() + body


@pytest.mark.parametrize("coding", ["gzip", "DEFLATE", "br", "zstd", "identity, gzip", "nonsense"])
async def test_a_compressed_body_is_refused(coding: str) -> None:
    async with listening() as port:
        answer = await answer_to(port, coded(coding, gzip.compress(bytes(100))))
        assert answer.startswith(b"HTTP/1.1 415")
        assert b"Accept-Encoding: identity" in answer


async def test_a_body_that_says_it_is_plain_is_taken() -> None:
    async with listening() as port:
        assert (await answer_to(port, coded("identity", b"plain"))).endswith(b"plain")


async def test_nothing_is_unpacked_even_where_nobody_refuses() -> None:
    """The refusal comes when the head has been read, and the first of the body with it."""
    app = web.Application()
    app.add_routes(ROUTES)
    packed = gzip.compress(bytes(100))
    async with listening(app=app) as port:
        assert (await answer_to(port, coded("gzip", packed))).endswith(packed)


@pytest.mark.parametrize(
    "unreadable",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"GET http://[::1/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / " + HEAD + b"X: " + b"a" * 20_000 + b"\r\n\r\n",
        b"POST / " + HEAD + b"Content-Length: abc\r\n\r\n",
        b"POST / " + HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
    ],
    ids=["HTTP/2", "TLS", "URL", "long", "length", "chunk"],
)
async def test_what_cannot_be_read_is_told_to_who_sent_it_and_not_to_the_log(
    unreadable: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening() as port:
        assert (await answer_to(port, unreadable)).split()[1] == b"400"
    assert not caplog.records


@pytest.mark.parametrize("app", [None, web.Application], ids=["ours", "bare"])
async def test_a_failure_that_anybody_can_cause_fills_no_log(
    app: type[web.Application] | None, caplog: pytest.LogCaptureFixture
) -> None:
    bare = None
    if app is not None:
        bare = app()
        bare.add_routes(ROUTES)
    async with listening(app=bare) as port:
        for _ in range(LINES_AT_ONCE + 10):
            assert b"500" in await answer_to(port, b"GET /failing " + HEAD + b"\r\n")
    told = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert len(told) == LINES_AT_ONCE
    assert all(each.exc_info for each in told)
