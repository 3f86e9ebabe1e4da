"""JSON-RPC 2.0 dispatch: codes, ids, batches."""

from collections.abc import Sequence
from typing import Any

import msgspec

from dst.apis.jsonrpc import MAX_BATCH, RpcError, answer_body
from dst.spec.errors import InvalidInput


async def echo(params: Sequence[Any]) -> object:
    return list(params)


async def fail(params: Sequence[Any]) -> object:
    raise RpcError(3, "execution reverted", "0x08")


async def picky(params: Sequence[Any]) -> object:
    raise InvalidInput("no")


async def broken(params: Sequence[Any]) -> object:
    raise ZeroDivisionError("secret detail")


METHODS = {"echo": echo, "fail": fail, "picky": picky, "broken": broken}


async def ask(body: object) -> Any:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    reply = await answer_body(raw, METHODS)
    return None if reply is None else msgspec.json.decode(reply)


async def code(body: object) -> int:
    return int((await ask(body))["error"]["code"])


async def test_results_keep_their_id() -> None:
    for request_id in (1, "a", None):
        reply = await ask({"jsonrpc": "2.0", "id": request_id, "method": "echo", "params": [1]})
        assert reply == {"jsonrpc": "2.0", "id": request_id, "result": [1]}


async def test_error_codes() -> None:
    assert await code(b"{nonsense") == -32700
    assert await code([]) == -32600
    assert await code({"id": 1}) == -32600
    assert await code({"id": 1, "method": 7}) == -32600
    assert await code({"id": 1, "method": "nothing"}) == -32601
    assert await code({"id": 1, "method": "echo", "params": {"a": 1}}) == -32602
    assert await code({"id": 1, "method": "picky"}) == -32602
    assert await code([{}] * (MAX_BATCH + 1)) == -32600


async def test_error_data_and_internal_errors() -> None:
    reply = await ask({"id": 1, "method": "fail"})
    assert reply["error"] == {"code": 3, "message": "execution reverted", "data": "0x08"}
    reply = await ask({"id": 1, "method": "broken"})
    assert reply["error"]["code"] == -32603
    assert "secret detail" not in reply["error"]["message"]


async def test_batches_and_notifications() -> None:
    assert await ask({"method": "echo"}) is None
    replies = await ask(
        [{"id": 1, "method": "echo"}, {"method": "echo"}, 5, {"id": 2, "method": "nothing"}]
    )
    assert [reply["id"] for reply in replies] == [1, None, 2]
