"""What unfinished answers of one listener take: all together no more than a bound, at the cost of
who takes most. Over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import aiohttp
import pytest
from aiohttp import web

from dst.apis.jsonrpc import rpc_routes
from dst.apis.jsonrpc.ws import WebSockets
from dst.runtime.connections import Connections

KB = 1000
BOUND = 1000 * KB
SERVED_WITHIN_S = 10.0


class Bench:
    """A listener whose methods answer 100 kB, or wait until they are let go."""

    def __init__(self) -> None:
        self.waiting = 0
        self.go = asyncio.Event()
        self.url = ""

    async def large(self, _: Sequence[Any]) -> object:
        return "x" * 100 * KB

    async def wait(self, _: Sequence[Any]) -> object:
        self.waiting += 1
        await self.go.wait()
        return None

    async def until_waiting(self, count: int) -> None:
        async with asyncio.timeout(SERVED_WITHIN_S):
            while self.waiting < count:
                await asyncio.sleep(0.002)


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    at = Bench()
    methods = {"large": at.large, "wait": at.wait}
    app = web.Application()
    app.add_routes(rpc_routes(lambda _: methods, websockets=WebSockets()))
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    connections = Connections(runner, max_held_bytes=BOUND)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(connections.protocol, "127.0.0.1", 0)
    at.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    try:
        yield at
    finally:
        server.close()
        await runner.cleanup()


def batch(large: int, *others: str) -> list[dict[str, object]]:
    return [{"id": 1, "method": each} for each in [*["large"] * large, *others]]


Asking: TypeAlias = Callable[[Bench, list[dict[str, object]]], Coroutine[Any, Any, int | None]]
"""How many answers came, None when the connection was ended instead."""


async def by_post(at: Bench, requests: list[dict[str, object]]) -> int | None:
    async with aiohttp.ClientSession() as session:
        try:
            async with session.post(at.url, json=requests) as response:
                return len(await response.json())
        except aiohttp.ClientConnectionError:
            return None


async def by_websocket(at: Bench, requests: list[dict[str, object]]) -> int | None:
    async with aiohttp.ClientSession() as session, session.ws_connect(at.url) as socket:
        await socket.send_json(requests)
        message = await socket.receive()
        return len(message.json()) if message.type is aiohttp.WSMsgType.TEXT else None


@pytest.mark.parametrize("by", [by_post, by_websocket])
async def test_who_makes_us_hold_the_most_is_ended(
    by: Asking,
) -> None:
    async with bench() as at, asyncio.timeout(SERVED_WITHIN_S), asyncio.TaskGroup() as group:
        greedy = group.create_task(by(at, batch(7, "wait")))
        await at.until_waiting(1)
        modest = group.create_task(by(at, batch(4, "wait")))
        assert await greedy is None
        await at.until_waiting(2)
        at.go.set()
        assert await modest == 5


async def test_one_websocket_may_ask_again_and_again() -> None:
    """What is complete does not count any more."""
    async with bench() as at, asyncio.timeout(SERVED_WITHIN_S):
        async with aiohttp.ClientSession() as session, session.ws_connect(at.url) as socket:
            for _ in range(3):
                await socket.send_json(batch(7))
                assert len(await socket.receive_json()) == 7


async def test_one_connection_may_ask_again_and_again() -> None:
    async with bench() as at, asyncio.timeout(SERVED_WITHIN_S):
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(connector=connector) as session:
            for _ in range(3):
                async with session.post(at.url, json=batch(7)) as response:
                    assert len(await response.json()) == 7
