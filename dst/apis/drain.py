"""`/dst/v1/drain` of a middleware: an operator about to be stopped hands over what it leads.

For its own people alone: whoever holds the secret that its rollup node knows it by (`own.hex`).
"""

import asyncio
from typing import Final, Protocol

import msgspec
from aiohttp import web

from dst.apis.rest import JSON, RestClient, for_holders_of
from dst.spec.errors import UNREADABLE, Unavailable

PATH: Final = "/dst/v1/drain"


class Drain(msgspec.Struct, frozen=True, kw_only=True):
    """How far it is.

    leaving: it was told to. under_way: what a stop would cut short at this moment, for a person.
    others_lack: why the others alone decide nothing, as far as is known here.
    """

    leaving: bool
    under_way: str | None = None
    others_lack: str | None = None

    @property
    def is_drained(self) -> bool:
        return self.leaving and self.under_way is None

    @property
    def not_yet(self) -> str | None:
        """Why it is not drained, for a person; None when it is."""
        if self.is_drained:
            return None
        return self.under_way or "it has not acted on that: see /healthz, and who told it to stay"


class Drained(Protocol):
    """Whoever leads and may be told not to."""

    def leave(self, leaving: bool) -> None: ...
    def drain(self) -> Drain: ...


def drain_routes(node: Drained, secret: bytes) -> list[web.RouteDef]:
    """POST: begin, or go on; DELETE: stay after all; GET: look. All answer with a `Drain`."""

    async def look(_: web.Request) -> web.StreamResponse:
        return web.Response(body=msgspec.json.encode(node.drain()), content_type=JSON)

    async def begin(request: web.Request) -> web.StreamResponse:
        node.leave(True)
        return await look(request)

    async def stay(request: web.Request) -> web.StreamResponse:
        node.leave(False)
        return await look(request)

    routes = [web.get(PATH, look, allow_head=False), web.post(PATH, begin), web.delete(PATH, stay)]
    return for_holders_of(secret, routes)


class DrainClient(RestClient):
    """Errors as `RestClient` says."""

    async def ask(self, method: str) -> Drain:
        """POST, DELETE or GET."""
        answer = await self.request(method, PATH)
        try:
            return msgspec.json.decode(answer.body, type=Drain)
        except UNREADABLE as error:
            raise Unavailable(f"{self.url}{PATH}: {error}") from error

    async def leave(self, *, within_s: float, look_every_s: float) -> Drain:
        """Tell it to, and wait until it is drained; as it is then, or when the time is over."""
        ends = asyncio.get_running_loop().time() + within_s
        found = await self.ask("POST")
        while not found.is_drained and asyncio.get_running_loop().time() < ends:
            await asyncio.sleep(look_every_s)
            found = await self.ask("GET")
        return found
