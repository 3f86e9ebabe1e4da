"""One request, one answer: of the type that was asked for, or an error that says what happened."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from dst.apis.engine import EngineError
from dst.apis.engine_client import EngineClient
from dst.apis.jsonrpc import RpcError
from dst.apis.jsonrpc.client import BadStatus, JsonRpcClient
from dst.runtime.metrics import Metrics
from dst.spec.errors import BadConfig, Unavailable


class Block(msgspec.Struct):
    number: str


@asynccontextmanager
async def asking(handle: Any, **options: Any) -> AsyncIterator[JsonRpcClient]:
    app = web.Application()
    app.router.add_post("/", handle)
    async with TestServer(app) as server:
        client = JsonRpcClient(str(server.make_url("/")), what="engine", **options)
        yield client
        await client.close()


def saying(body: str | bytes, status: int = 200, **options: Any) -> Any:
    """A server that always says this."""

    async def handle(_: web.Request) -> web.Response:
        data = body.encode() if isinstance(body, str) else body
        return web.Response(body=data, status=status)

    return asking(handle, **options)


async def test_a_result_comes_in_the_shape_that_was_asked_for() -> None:
    seen: list[tuple[str | None, Any]] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append((request.headers.get("X-Who"), await request.json()))
        return web.json_response({"jsonrpc": "2.0", "id": 1, "result": {"number": "0x1"}})

    async with asking(handle, headers=lambda: {"X-Who": "op1"}) as client:
        for _ in range(2):
            answer = await client.call("eth_block", ["latest"], Block | None, timeout_s=5)
            assert answer == Block("0x1")
    wanted = {"jsonrpc": "2.0", "method": "eth_block", "params": ["latest"]}
    assert seen == [("op1", {**wanted, "id": 1}), ("op1", {**wanted, "id": 2})]


async def test_calls_are_told_by_whether_they_were_answered() -> None:
    metrics = Metrics()

    def counted(client: JsonRpcClient) -> list[float]:
        to = client.url.removeprefix("http://").rstrip("/")
        return [metrics.get(f"calls_{fate}_total", to=to) for fate in ("answered", "unanswered")]

    async with saying("busy", status=503) as client:
        client.count_in(metrics)
        with pytest.raises(BadStatus):
            await client.call("any", [], int, timeout_s=5)
        assert counted(client) == [1, 0]
    nobody = JsonRpcClient("http://127.0.0.1:1")
    nobody.count_in(metrics)
    with pytest.raises(Unavailable):
        await nobody.call("any", [], int, timeout_s=5)
    assert counted(nobody) == [0, 1]
    await nobody.close()


async def test_null_is_a_result() -> None:
    async with saying('{"result": null}') as client:
        assert await client.call("any", [], Block | None, timeout_s=5) is None


async def test_who_says_no_has_understood() -> None:
    async with saying('{"error": {"code": -32000, "message": "nonce too low"}}') as client:
        with pytest.raises(RpcError, match="nonce too low") as told:
            await client.call("any", [], Block, timeout_s=5)
    assert told.value.code == -32000


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{}",
        "[]",
        '{"result": 7}',
        '{"error": "no"}',
        '{"result": {"number": ',
        b'{"result": {"number": "\xff"}}',
        '{"result": ' + "[" * 100_000,
    ],
)
async def test_what_cannot_be_read_is_no_answer(body: str | bytes) -> None:
    async with saying(body) as client:
        with pytest.raises(Unavailable, match=r"engine .*: any: not a JSON-RPC answer"):
            await client.call("any", [], Block | None, timeout_s=5)


async def test_another_status_than_200_is_told() -> None:
    async with saying("different JWT secrets", status=401) as client:
        with pytest.raises(BadStatus, match="HTTP 401: different JWT secrets") as told:
            await client.call("any", [], Block, timeout_s=5)
    assert told.value.status == 401


async def test_an_engine_that_refuses_our_token_is_a_matter_of_configuration() -> None:
    async with saying("different JWT secrets", status=401) as client:
        engine = EngineClient(client.url, b"\x0a" * 32)
        with pytest.raises(BadConfig, match="refused our JWT: different JWT secrets"):
            await engine.exchange_capabilities()
        await engine.close()
    async with saying('{"error": {"code": -38001, "message": "gone"}}') as client:
        engine = EngineClient(client.url, b"\x0a" * 32)
        with pytest.raises(EngineError) as told:
            await engine.get_payload_v4(bytes(8))
        assert told.value.code == -38001
        await engine.close()


async def test_nobody_is_sent_elsewhere() -> None:
    asked: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    async with asking(handle) as client:
        with pytest.raises(BadStatus, match="307"):
            await client.call("any", [], Block, timeout_s=5)
    assert asked == ["/"]


async def test_an_answer_without_end_is_not_read() -> None:
    done = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(bytes(2**16))
        finally:  # the client went away
            done.set()

    async with asking(handle, max_answer_bytes=2**20) as client:
        with pytest.raises(Unavailable, match="more than 1048576 bytes"):
            await client.call("any", [], Block, timeout_s=5)
        await asyncio.wait_for(done.wait(), 5)


async def test_silence_and_nobody_are_unavailable() -> None:
    async def handle(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    async with asking(handle) as client:
        with pytest.raises(Unavailable, match="TimeoutError"):
            await client.call("any", [], Block, timeout_s=0.05)
    nobody = JsonRpcClient("http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="ClientConnectorError"):
        await nobody.call("any", [], Block, timeout_s=5)
    await nobody.close()
