"""One way to serve HTTP: bind, `/livez`, `/healthz`, `/metrics`, errors as the Beacon API writes
them, a clear word on a taken port, bounds on what a client may send, and no web page that was not
invited (`dst.runtime.browsers`)."""

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware

from dst.runtime.browsers import DEFAULT_POLICY, BrowserPolicy, guard, naming_origins
from dst.runtime.config import split_address
from dst.runtime.connections import IDLE_S, Connections, Vouches
from dst.runtime.http_errors import detail_of, status_of
from dst.runtime.log import Logger, Ration
from dst.runtime.machine import DRILL
from dst.runtime.metrics import Metrics
from dst.runtime.places import PlaceLimits
from dst.runtime.service import end_role
from dst.runtime.streams import Streams
from dst.spec.errors import BadConfig, StoreDamaged

METRICS: Final = web.AppKey("metrics", Metrics)
STREAMS: Final = web.AppKey("streams", Streams)
"""The event streams of an application's listener."""

MAX_BODY_BYTES: Final = 4 * 2**20
"""Largest request body: a block is at most 512 KiB, JSON doubles it, batches of transactions take
the rest."""

log = Logger("http")


_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Health: TypeAlias = Callable[[], str | None]
"""Why this node should not be used, None when it is well."""
Waits: TypeAlias = Callable[[], Sequence[str]]
"""What it waits for, each for a person; it may still serve."""


def json_response(
    value: object, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(value),
        status=status,
        headers=headers,
        content_type="application/json",
    )


def error_response(status: int, message: str, **extra: object) -> web.Response:
    """Beacon API error body: `{"code", "message"}`."""
    return json_response({"code": status, "message": message, **extra}, status)


@web.middleware
async def _only_plain_bodies(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """A compressed body costs its unpacking before anybody knows whether it is of use, up to a
    thousand times what it cost to send. No client of ours compresses."""
    codings = ",".join(request.headers.getall("Content-Encoding", ())).split(",")
    if any(each.strip().lower() not in ("", "identity") for each in codings):
        answer = error_response(415, "compressed bodies are not taken")
        answer.headers["Accept-Encoding"] = "identity"
        return answer
    return await handler(request)


def _errors_to_answers() -> Middleware:
    ration = Ration()

    @web.middleware
    async def answered(request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as error:
            return error_response(error.status, error.text or error.reason)
        except (asyncio.CancelledError, ConnectionError):
            raise
        except StoreDamaged as error:
            end_role(error)
            return error_response(500, "a store of this node is damaged; the node ends")
        except Exception as error:
            status = status_of(error)
            if status is not None:
                return error_response(status, str(error), **detail_of(error))
            if ration.may_say():
                log.exception("request_failed", path=request.path)
            return error_response(500, "internal error; the log of this node has the details")

    return answered


def make_app(
    metrics: Metrics,
    routes: list[web.RouteDef],
    *,
    policy: BrowserPolicy = DEFAULT_POLICY,
    health: Health | None = None,
    waits_for: Waits | None = None,
    **options: Any,
) -> web.Application:
    """An application with our error mapping and `/metrics`.

    `/livez` is 200 while the process answers; `/healthz` is 503 with a reason while the node should
    not be used, and lists what it waits for.
    """
    app = web.Application(
        middlewares=[guard(policy), _only_plain_bodies, _errors_to_answers()],
        client_max_size=MAX_BODY_BYTES,
        **options,
    )
    app[METRICS], app[STREAMS] = metrics, Streams()
    app.on_response_prepare.append(naming_origins(policy))

    async def live(_: web.Request) -> web.StreamResponse:
        return json_response({"ok": True})

    async def show_health(_: web.Request) -> web.StreamResponse:
        reason = None if health is None else health()
        waits = () if waits_for is None else waits_for()
        told = {"waits_for": waits} if waits else {}
        if reason is None:
            return json_response({"ok": True, **told})
        return json_response({"ok": False, "reason": reason, **told}, status=503)

    async def show_metrics(_: web.Request) -> web.StreamResponse:
        return web.Response(text=metrics.render() + ("" if DRILL is None else DRILL.render()))

    app.add_routes(
        [
            web.get("/livez", live),
            web.get("/healthz", show_health),
            web.get("/metrics", show_metrics),
            *routes,
        ]
    )
    return app


@asynccontextmanager
async def serving(
    app: web.Application,
    listen: str,
    *,
    what: str,
    limits: PlaceLimits | None = None,
    vouches: Vouches | None = None,
) -> AsyncIterator[None]:
    """Serve `app` on `host:port` for the time of the block; a handler is cancelled when its client
    goes away.

    vouches: whose connections no stranger pushes out.
    Raises: BadConfig when the port is taken, naming it.
    """
    host, port = split_address(listen, what=what)
    runner = web.AppRunner(
        app,
        handler_cancellation=True,
        access_log=None,
        shutdown_timeout=0.2,
        keepalive_timeout=IDLE_S,
        auto_decompress=False,
    )
    await runner.setup()
    connections = Connections(
        runner, limits=limits, vouches=vouches, on_end=_counting_ends(app, what)
    )
    server: asyncio.Server | None = None
    try:
        try:
            server = await asyncio.get_running_loop().create_server(
                connections.protocol, host, port, reuse_address=True, backlog=128
            )
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise BadConfig(
                    f"{what}: port {port} on {host} is taken by another program; "
                    "stop it or choose another port"
                ) from None
            raise BadConfig(f"{what}: cannot listen on {listen}: {error.strerror}") from None
        yield
    finally:
        if server is not None:
            server.close()
        await runner.cleanup()


def _counting_ends(app: web.Application, what: str) -> Callable[[str], None]:
    metrics = app.get(METRICS)

    def count(why: str) -> None:
        if metrics is not None:
            metrics.inc("connections_ended_total", listener=what, reason=why)

    return count
