"""The L1 client against a node that answers another block than the one it was asked for."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from dst.l1.rpc import L1BlockRef, L1Client
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Hash32

NUMBER = 9
HASH = Hash32(bytes([9]) * 32)


def answering(number: int, block_hash: bytes) -> TestServer:
    async def answer(request: web.Request) -> web.Response:
        result = {
            "number": hex(number),
            "hash": f"0x{block_hash.hex()}",
            "parentHash": f"0x{'08' * 32}",
            "timestamp": "0x5",
            "transactions": [],
        }
        call = await request.json()
        return web.json_response({"jsonrpc": "2.0", "id": call["id"], "result": result})

    app = web.Application()
    app.router.add_post("/", answer)
    return TestServer(app)


ASKS: list[Callable[[L1Client], Awaitable[Any]]] = [
    lambda l1: l1.ref_by_number(NUMBER),
    lambda l1: l1.block(NUMBER),
    lambda l1: l1.ref_by_hash(HASH),
]


@pytest.mark.parametrize("ask", ASKS)
async def test_the_block_that_was_asked_for_is_taken(ask: Callable[..., Any]) -> None:
    async with answering(NUMBER, HASH) as server:
        client = L1Client(str(server.make_url("/")))
        found = await ask(client)
        ref = found if isinstance(found, L1BlockRef) else found.ref
        assert (ref.number, ref.hash) == (NUMBER, HASH)
        await client.close()


@pytest.mark.parametrize("ask", ASKS)
async def test_another_one_is_refused(ask: Callable[..., Any]) -> None:
    async with answering(NUMBER - 1, bytes([8]) * 32) as server:
        client = L1Client(str(server.make_url("/")))
        with pytest.raises(InvalidInput, match="L1 was asked for"):
            await ask(client)
        await client.close()
