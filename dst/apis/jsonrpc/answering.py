"""A body in, an answer out: one JSON-RPC 2.0 request or a batch of them.

Bounded: the values and the nesting of the JSON, the requests of a batch, the bytes of a batch's
answer; the body itself by whoever reads it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from dst.apis.jsonrpc.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    REFUSED,
    RpcError,
)
from dst.runtime.log import Logger
from dst.spec.errors import InvalidInput, Unavailable

MAX_BATCH: Final = 1_000
"""Requests in one batch, geth's figure."""
MAX_BATCH_ANSWER_BYTES: Final = 25 * 2**20
"""geth's figure."""
MAX_DEPTH: Final = 32
"""Nesting of a body. The deepest honest one, a batch of eth_simulateV1 with overrides, needs 10."""
MAX_VALUES: Final = 131_072
"""Values in a body, counted before it is decoded: a body of four million small ones keeps the event
loop for half a second, and the Engine API with it. The fullest honest one, an access list of the
greatest size, has half as many."""

log = Logger("jsonrpc")


class Request(msgspec.Struct, frozen=True):
    method: str
    params: Any = ()
    id: str | int | float | None = None
    jsonrpc: str = "2.0"


Method: TypeAlias = Callable[[Sequence[Any]], Awaitable[object]]
"""Takes positional parameters; raises RpcError, or InvalidInput for parameters of a wrong shape."""


async def answer_body(body: bytes, methods: Mapping[str, Method]) -> bytes | None:
    """The answer to one body; None when it held notifications alone."""
    if sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES:
        return _encode(_error(None, INVALID_REQUEST, f"more than {MAX_VALUES} values"))
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _encode(_error(None, PARSE_ERROR, "parse error: the body is not JSON"))
    if _is_too_deep(body, decoded):
        return _encode(_error(None, INVALID_REQUEST, f"nested deeper than {MAX_DEPTH} levels"))
    if not isinstance(decoded, list):
        return await _answer_one(decoded, methods)
    if not decoded:
        return _encode(_error(None, INVALID_REQUEST, "empty batch"))
    if len(decoded) > MAX_BATCH:
        return _encode(
            _error(None, INVALID_REQUEST, f"batch too large: at most {MAX_BATCH} requests")
        )
    return await _answer_batch(decoded, methods)


def _is_too_deep(body: bytes, decoded: object) -> bool:
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:  # most bodies: decided without a walk
        return False
    level: list[Any] = [decoded]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return any(isinstance(each, dict | list) for each in level)


async def _answer_one(item: object, methods: Mapping[str, Method]) -> bytes | None:
    """The answer to one decoded request; None for a notification (it has no id)."""
    try:
        request = msgspec.convert(item, Request)
    except msgspec.ValidationError as error:
        return _encode(_error(_id_of(item), INVALID_REQUEST, f"not a request: {error}"))
    reply = _encode(await _call(request, methods))
    return reply if isinstance(item, dict) and "id" in item else None


async def _answer_batch(items: Sequence[object], methods: Mapping[str, Method]) -> bytes | None:
    answers: list[bytes] = []
    size = 0
    for item in items:  # one after another: a batch is one client, and gets one client's share
        if size > MAX_BATCH_ANSWER_BYTES:
            reply: bytes | None = _encode(_error(_id_of(item), REFUSED, "batch answer too large"))
        else:
            reply = await _answer_one(item, methods)
            await asyncio.sleep(0)  # methods of the event loop need not have paused
        if reply is not None:
            answers.append(reply)
            size += len(reply)
    return b"[" + b",".join(answers) + b"]" if answers else None


async def _call(request: Request, methods: Mapping[str, Method]) -> dict[str, object]:
    method = methods.get(request.method)
    if method is None:
        return _error(
            request.id,
            METHOD_NOT_FOUND,
            f"the method {request.method[:80]} does not exist/is not available",
        )
    params = request.params if request.params is not None else ()
    if not isinstance(params, list | tuple):
        return _error(request.id, INVALID_PARAMS, "non-array args")
    try:
        return {"jsonrpc": "2.0", "id": request.id, "result": await method(params)}
    except RpcError as error:
        return _error(request.id, error.code, error.message, error.data)
    except (InvalidInput, msgspec.ValidationError) as error:
        return _error(request.id, INVALID_PARAMS, f"invalid argument: {error}")
    except Unavailable as error:
        return _error(request.id, REFUSED, str(error))
    except Exception:
        log.exception("method_failed", method=request.method)
        return _error(request.id, INTERNAL_ERROR, "internal error; this node's log has the details")


def _error(request_id: object, code: int, message: str, data: object = None) -> dict[str, object]:
    error: dict[str, object] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return {"jsonrpc": "2.0", "id": request_id, "error": error}


def _encode(answer: object) -> bytes:
    return msgspec.json.encode(answer)


def _id_of(item: object) -> object:
    found = item.get("id") if isinstance(item, dict) else None
    return found if isinstance(found, str | int | float) else None
