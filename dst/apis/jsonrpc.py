"""JSON-RPC 2.0 over HTTP, server side: one request or a batch in, the answers out. What a method
does is its owner's.

Error codes as the field uses them: -32700 not JSON, -32600 not a request, -32601 unknown method,
-32602 wrong parameters, -32000 refused by a rule, -32603 our fault, 3 execution reverted.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec
from aiohttp import web

from dst.runtime.log import Logger
from dst.spec.errors import InvalidInput, Unavailable

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
REFUSED: Final = -32000
REVERTED: Final = 3

MAX_BATCH: Final = 1_000
"""Requests in one batch, geth's figure."""
MAX_BATCH_ANSWER_BYTES: Final = 25 * 2**20

log = Logger("jsonrpc")


class RpcError(Exception):
    """Answered as it is: code, message and optional data."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data


class Request(msgspec.Struct, frozen=True):
    method: str
    params: Any = ()
    id: Any = None
    jsonrpc: str = "2.0"


Method: TypeAlias = Callable[[Sequence[Any]], Awaitable[object]]
"""Takes positional parameters; raises RpcError, or InvalidInput for parameters of a wrong shape."""


async def answer_body(body: bytes, methods: Mapping[str, Method]) -> bytes | None:
    """The answer to one HTTP body; None when it held notifications alone."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return _encode(_error(None, PARSE_ERROR, "parse error: the body is not JSON"))
    if not isinstance(decoded, list):
        return await answer_one(decoded, methods)
    if not decoded:
        return _encode(_error(None, INVALID_REQUEST, "empty batch"))
    if len(decoded) > MAX_BATCH:
        return _encode(
            _error(None, INVALID_REQUEST, f"batch too large: at most {MAX_BATCH} requests")
        )
    return await _answer_batch(decoded, methods)


async def answer_one(item: object, methods: Mapping[str, Method]) -> bytes | None:
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
            reply = await answer_one(item, methods)
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
    return item.get("id") if isinstance(item, dict) else None


Guard: TypeAlias = Callable[[web.Request], str | None]
"""Why a request is not authorized (401), or None."""


def rpc_route(
    methods: Callable[[web.Request], Mapping[str, Method]], guard: Guard | None = None
) -> web.RouteDef:
    """`POST /`: JSON-RPC. `methods` may depend on the request (its headers); no CORS headers are
    ever sent, so a web page cannot call us."""

    async def handle(request: web.Request) -> web.StreamResponse:
        refusal = guard(request) if guard is not None else None
        if refusal is not None:
            return web.Response(status=401, text=refusal)
        reply = await answer_body(await request.read(), methods(request))
        if reply is None:
            return web.Response(status=204)
        return web.Response(body=reply, content_type="application/json")

    return web.post("/", handle)
