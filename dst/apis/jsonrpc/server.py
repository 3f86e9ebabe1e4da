"""`POST /`: JSON-RPC over HTTP. Which hosts and web pages may ask is decided before
(`dst.runtime.browsers`)."""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from aiohttp import web

from dst.apis.caller import CALLER, caller_key
from dst.apis.jsonrpc.answering import Method, answer_body
from dst.apis.jsonrpc.ws import WebSockets, peer_of
from dst.runtime.connections import growing

CONTENT_TYPES: Final = ("application/json", "application/json-rpc", "application/jsonrequest")
"""What geth takes. A web page cannot send any of them to a foreign host without asking first."""

WARNING_HEADER: Final = "X-DST-Warning"

Guard: TypeAlias = Callable[[web.Request], str | None]
"""Why a request is not authorized (401), or None."""


def rpc_routes(
    methods: Callable[[web.Request], Mapping[str, Method]],
    guard: Guard | None = None,
    websockets: WebSockets | None = None,
    warning: Callable[[], str | None] = lambda: None,
) -> list[web.RouteDef]:
    """`POST /`, and `GET /` for WebSockets where there are any. `methods` may depend on the request
    (its headers); a `warning` goes with every answer, for who sends to a node that lags."""

    async def post(request: web.Request) -> web.StreamResponse:
        refusal = guard(request) if guard is not None else None
        if refusal is not None:
            return web.Response(status=401, text=refusal)
        if request.content_type not in CONTENT_TYPES or "Content-Type" not in request.headers:
            return web.Response(
                status=415, text="invalid content type, only application/json is supported"
            )
        body = await request.read()
        CALLER.set(caller_key(peer_of(request)))
        reply = await answer_body(body, methods(request), growing(request))
        if reply is None:
            return web.Response(status=204)
        told = warning()
        headers = None if told is None else {WARNING_HEADER: told}
        return web.Response(body=reply, content_type="application/json", headers=headers)

    async def get(request: web.Request) -> web.StreamResponse:
        if websockets is None or not WebSockets.asks_for_one(request):
            return web.Response(status=200)  # as geth: a load balancer's look
        return await websockets.serve(request, methods(request))

    return [web.post("/", post), web.get("/", get)]
