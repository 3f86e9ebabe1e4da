"""Pings and pongs of a WebSocket client: answered, each in a turn of its own, and not too many."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from dst.apis.jsonrpc import ws
from dst.apis.jsonrpc.server import rpc_routes
from dst.apis.jsonrpc.ws import (
    CONTROLS_AT_ONCE,
    UNREAD_AT_FAREWELL,
    WebSockets,
    current_session,
)
from dst.runtime.http import make_app
from dst.runtime.metrics import Metrics
from tests.unit.execution.rpc.bench import listening

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)
MASK = bytes(4)
FRAMES = {"ping": b"\x89\x80" + MASK, "pong": b"\x8a\x80" + MASK}
PONG = b"\x8a\x00"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def address(metrics: Metrics) -> AsyncIterator[str]:
    async def chain_id(_: object) -> str:
        return "0x385"

    async def dismissed(_: object) -> None:
        session = current_session.get()
        assert session is not None
        session.dismiss("enough")

    methods = {"eth_chainId": chain_id, "dismissed": dismissed}
    routes = rpc_routes(lambda _: methods, websockets=WebSockets())
    async with listening(make_app(metrics, routes)) as address:
        yield address


async def upgraded(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(UPGRADE)
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def test_a_burst_of_pings_leaves_every_other_task_its_turn(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns, answered = 0, Counter[int]()
    pong = web.WebSocketResponse.pong

    async def watched(self: Any, message: bytes = b"") -> None:
        answered[turns] += 1
        await pong(self, message)

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(web.WebSocketResponse, "pong", watched)
    reader, writer = await upgraded(address)
    async with asyncio.timeout(8), asyncio.TaskGroup() as group:
        task = group.create_task(others())
        writer.write(FRAMES["ping"] * CONTROLS_AT_ONCE)
        assert await reader.readexactly(len(PONG) * CONTROLS_AT_ONCE) == PONG * CONTROLS_AT_ONCE
        task.cancel()
    writer.transport.abort()
    assert max(answered.values()) == 1


@pytest.mark.parametrize("kind", FRAMES)
async def test_who_pings_without_end_is_ended_and_counted(
    address: str, metrics: Metrics, kind: str
) -> None:
    reader, writer = await upgraded(address)
    writer.write(FRAMES[kind] * (100 * CONTROLS_AT_ONCE))
    answers = b""
    async with asyncio.timeout(8):
        try:
            while heard := await reader.read(1 << 16):
                answers += heard
        except ConnectionError:
            pass
    writer.transport.abort()
    assert len(answers) < 2 * CONTROLS_AT_ONCE * len(PONG)
    why = {"listener": "test", "reason": "pings too often"}
    assert metrics.get("connections_ended_total", **why) == 1


async def test_a_client_that_pings_now_and_then_stays(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each ping with its own bytes; time alone makes room for the next, requests need not."""
    monkeypatch.setattr(ws, "CONTROLS_AT_ONCE", 1)
    monkeypatch.setattr(ws, "CONTROL_EVERY_S", 0.001)
    async with (
        asyncio.timeout(8),
        aiohttp.ClientSession() as session,
        session.ws_connect(f"ws://{address}/", autoping=False) as socket,
    ):
        for number in range(20):
            await asyncio.sleep(ws.CONTROL_EVERY_S)
            await socket.ping(b"%d" % number)
            answer = await socket.receive()
            assert (answer.type, bytes(answer.data)) == (WSMsgType.PONG, b"%d" % number)
        await socket.send_str('{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}')
        assert (await socket.receive_json())["result"] == "0x385"


DISMISSED = b'{"id":1,"method":"dismissed"}'


async def test_who_is_dismissed_hears_why_and_no_more(address: str, metrics: Metrics) -> None:
    async with (
        asyncio.timeout(8),
        aiohttp.ClientSession() as session,
        session.ws_connect(f"ws://{address}/", autoclose=False) as socket,
    ):
        await socket.send_bytes(DISMISSED)
        assert (await socket.receive_json())["id"] == 1, "what was asked is answered"
        answer = await socket.receive()
        assert (answer.type, answer.data, answer.extra) == (WSMsgType.CLOSE, 1008, "enough")
    why = {"listener": "test", "reason": "enough"}
    async with asyncio.timeout(8):
        while metrics.get("connections_ended_total", **why) != 1:
            await asyncio.sleep(0.01)


async def test_who_floods_when_dismissed_is_cut(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ws, "FAREWELL_S", 3600.0)
    turns, heard = 0, Counter[int]()
    receive = web.WebSocketResponse.receive

    async def watched(self: Any, timeout: float | None = None) -> Any:
        message = await receive(self, timeout)
        heard[turns] += 1
        return message

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(web.WebSocketResponse, "receive", watched)
    reader, writer = await upgraded(address)
    task = asyncio.get_running_loop().create_task(others())
    writer.write(bytes([0x81, 0x80 | len(DISMISSED)]) + MASK + DISMISSED)
    async with asyncio.timeout(8):
        assert b"enough" in await reader.readuntil(b"enough")
        writer.write(FRAMES["ping"] * (2 * UNREAD_AT_FAREWELL))
        with suppress(ConnectionError):
            assert await reader.read() == b""
    task.cancel()
    writer.transport.abort()
    assert max(heard.values()) <= 2
    assert sum(heard.values()) <= UNREAD_AT_FAREWELL + 1
