"""What one listener bears: connections are counted, and one too many is closed at once."""

import asyncio

import pytest
from aiohttp import web

from dst.runtime import connections, http
from dst.runtime.metrics import Metrics
from tests.unit.execution.rpc.bench import listening


async def test_one_connection_too_many_is_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 3)
    app = http.make_app(Metrics(), [web.get("/", _hello)])
    async with listening(app) as address:
        host, port = address.split(":")
        opened = []
        for _ in range(3):
            opened.append(await _get(*await asyncio.open_connection(host, int(port))))
        reader, writer = await asyncio.open_connection(host, int(port))
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()
        opened[0].close()
        async with asyncio.timeout(10):
            while not await _is_served(host, int(port)):
                await asyncio.sleep(0.01)
        for each in opened[1:]:
            each.close()


async def _hello(_: web.Request) -> web.StreamResponse:
    return web.Response(text="hello")


async def _get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> asyncio.StreamWriter:
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    async with asyncio.timeout(10):
        assert b"200" in await reader.readline()
    return writer


async def _is_served(host: str, port: int) -> bool:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return b"200" in await reader.readline()
    except ConnectionError:
        return False
    finally:
        writer.close()
