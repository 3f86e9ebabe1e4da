"""Clients that say nothing, or read nothing."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import web

from dst.runtime.connections import Connections

BIG = 32 * 2**20
QUESTION = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@asynccontextmanager
async def serving(**limits: Any) -> AsyncIterator[tuple[int, web.Server]]:
    """Port and server of a listener that answers 32 MB to everybody."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=bytes(BIG))

    async def read(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    app = web.Application()
    app.add_routes([web.get("/", answer), web.post("/", read)])
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    connections = Connections(runner, **limits)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(connections.protocol, "127.0.0.1", 0)
    try:
        assert runner.server is not None
        yield server.sockets[0].getsockname()[1], runner.server
    finally:
        server.close()
        await runner.cleanup()


def connect(port: int, *, buffer: int | None = None) -> socket.socket:
    client = socket.socket()
    if buffer is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    client.connect(("127.0.0.1", port))
    client.setblocking(False)
    return client


async def end_of(client: socket.socket) -> int:
    """Bytes that were to be had until the other side closed."""
    loop, got = asyncio.get_running_loop(), 0
    async with asyncio.timeout(20):
        try:
            while data := await loop.sock_recv(client, 2**20):
                got += len(data)
        except ConnectionError:
            pass
    client.close()
    return got


async def test_silence_ends_a_connection_and_half_a_head_is_silence() -> None:
    async with serving(silent_s=0.2) as (port, _):
        silent, dripping = connect(port), connect(port)
        await asyncio.get_running_loop().sock_sendall(dripping, b"GET / HTTP/1.1\r\nHost: loc")
        assert await end_of(silent) == 0
        assert await end_of(dripping) == 0


async def test_a_request_that_a_shutdown_gave_up_as_it_ended_is_no_unhandled_exception(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The future that the shutdown waited on is cancelled a turn of the loop before it is
    dropped: whoever ends in that turn finds it so."""
    ended = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        protocol: Any = request.protocol
        protocol._handler_waiter = asyncio.get_running_loop().create_future()
        protocol._handler_waiter.cancel()
        ended.set()
        return web.Response()

    app = web.Application()
    app.add_routes([web.get("/", answer)])
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connections(runner).protocol, "127.0.0.1", 0)
    client = connect(server.sockets[0].getsockname()[1])
    await loop.sock_sendall(client, QUESTION)
    await ended.wait()
    await end_of(client)
    server.close()
    await runner.cleanup()
    assert [each.message for each in caplog.records if each.levelname == "ERROR"] == []


async def test_who_asks_in_time_and_reads_gets_everything() -> None:
    async with serving(silent_s=0.5, unread_s=20) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(QUESTION)
        await reader.readuntil(b"\r\n\r\n")
        assert len(await reader.readexactly(BIG)) == BIG
        writer.close()


async def test_an_answer_that_nobody_reads_ends_its_connection() -> None:
    async with serving(unread_s=0.3) as (port, server):
        client = connect(port, buffer=4096)
        await asyncio.get_running_loop().sock_sendall(client, QUESTION)
        async with asyncio.timeout(10):
            while not server.requests_count or server.connections:
                await asyncio.sleep(0.01)
        assert await end_of(client) < BIG


async def test_all_unread_answers_together_are_bounded() -> None:
    async with serving(unread_s=60, max_unread_bytes=2 * BIG) as (port, server):
        clients = [connect(port, buffer=4096) for _ in range(4)]
        for each in clients:
            await asyncio.get_running_loop().sock_sendall(each, QUESTION)
        async with asyncio.timeout(10):
            while server.requests_count < len(clients) or len(server.connections) > 2:
                await asyncio.sleep(0.01)
        for each in clients:
            each.close()


async def test_sending_on_does_not_excuse_an_answer_that_is_not_read() -> None:
    """Pipelined requests come while the first answer waits."""
    async with serving(unread_s=0.3) as (port, server):
        client = connect(port, buffer=4096)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, QUESTION)
        with suppress(ConnectionError):
            async with asyncio.timeout(10):
                while not server.requests_count or server.connections:
                    await loop.sock_sendall(client, QUESTION)
                    await asyncio.sleep(0.05)
        assert await end_of(client) < BIG


async def test_a_body_that_does_not_end_ends_its_connection() -> None:
    async with serving(body_s=0.2) as (port, _):
        client = connect(port)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n")
        assert await end_of(client) == 0


KB = 1000


def upload(size: int, sent: int, *headers: str) -> bytes:
    """A request with `sent` bytes of a body of `size`."""
    lines = ["POST / HTTP/1.1", "Host: a", f"Content-Length: {size}", *headers, "", ""]
    return "\r\n".join(lines).encode() + bytes(sent)


async def test_all_unfinished_bodies_together_are_bounded() -> None:
    """Who has sent the most goes; who sends little is served."""
    async with serving(max_held_bytes=1000 * KB) as (port, _):
        loop = asyncio.get_running_loop()
        sizes = [400 * KB, 300 * KB, 200 * KB]
        large, middle, small = clients = [connect(port) for _ in sizes]
        for client, size in zip(clients, sizes, strict=True):
            await loop.sock_sendall(client, upload(500 * KB, size))
        fourth = connect(port)
        await loop.sock_sendall(fourth, upload(150 * KB, 150 * KB - 1))
        assert await end_of(large) == 0
        for client, missing in [(middle, 200 * KB), (small, 300 * KB), (fourth, 1)]:
            await loop.sock_sendall(client, bytes(missing))
            async with asyncio.timeout(10):
                assert b"200 OK" in await loop.sock_recv(client, 2**16)
            client.close()


async def test_who_is_vouched_for_may_send_the_most() -> None:
    vouches = {"vouches": lambda headers: "Secret" in headers}
    async with serving(max_held_bytes=1000 * KB, **vouches) as (port, _):
        loop = asyncio.get_running_loop()
        known, stranger = connect(port), connect(port)
        await loop.sock_sendall(known, upload(900 * KB, 900 * KB - 1, "Secret: 1"))
        await loop.sock_sendall(stranger, upload(200 * KB, 200 * KB - 1))
        assert await end_of(stranger) == 0
        await loop.sock_sendall(known, b".")
        async with asyncio.timeout(10):
            assert b"200 OK" in await loop.sock_recv(known, 2**16)
        known.close()


async def test_a_body_counts_until_its_answer_and_no_longer() -> None:
    """Whether its connection stays open or another request waits behind it."""
    async with serving(max_held_bytes=1000 * KB) as (port, _):
        clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
        for reader, writer in clients * 2:
            writer.write(upload(300 * KB, 300 * KB) * 2)
            for _ in range(2):
                assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(300 * KB)
        for _, writer in clients:
            writer.close()


async def test_bodies_behind_a_request_that_is_at_work_are_bounded() -> None:
    async with serving(max_held_bytes=100 * KB, unread_s=60) as (port, _):
        client = connect(port, buffer=4096)
        behind = upload(60 * KB, 60 * KB) * 2
        await asyncio.get_running_loop().sock_sendall(client, QUESTION + behind)
        assert await end_of(client) < BIG
