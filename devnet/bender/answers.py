"""What becomes of a question on one link: passed on to the service as it is, or bent."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

import aiohttp
from aiohttp import web
from yarl import URL

from devnet.bender.rewrite import (
    asked_at,
    json_of,
    number_of,
    on_other_fork,
    other_hash,
    other_header,
    patched,
    seen_at,
)
from devnet.model.bend import (
    BentLink,
    Endless,
    Form,
    Late,
    OldHead,
    OtherBlock,
    OtherFork,
    OtherHeader,
    Patched,
    Result,
    Silence,
    Status,
    Torn,
)

ENDLESS_CHUNK: Final = b" " * 65_536
ENDLESS_PAUSE_S: Final = 0.05
"""1.3 MB/s: enough to run into any bound, and little work for a machine that everybody shares."""
_HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
_OURS: Final = frozenset({"content-length", "accept-encoding"})
"""Set anew: bodies change, and nobody can rewrite what is compressed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Whole:
    """An answer of the service, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes


class Answers:
    """Of one link. `note` is called for each answer that is bent."""

    def __init__(
        self, link: BentLink, session: aiohttp.ClientSession, note: Callable[[], None]
    ) -> None:
        self._link, self._session, self._note = link, session, note
        self._first_head: int | None = None
        self._asking_head = asyncio.Lock()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        call = json_of(body) if request.method == "POST" else None
        form = self._form_for(question_of(request, call))
        try:
            return await self._formed(form, request, body, call)
        except aiohttp.ClientError as error:
            return web.Response(status=502, text=f"the service does not answer: {error}")

    def _form_for(self, question: str) -> Form | None:
        for bend in self._link.bends:
            if any(fnmatchcase(question, pattern) for pattern in bend.questions):
                return bend.form
        return None

    async def _formed(
        self, form: Form | None, request: web.Request, body: bytes, call: Any
    ) -> web.StreamResponse:
        match form:
            case None:
                return await self._passed_on(request, body)
            case Status():
                self._note()
                return web.Response(status=form.code, text="bent")
            case Result():
                self._note()
                return _result(call, form.result)
            case Silence():
                self._note()
                await asyncio.Event().wait()  # cancelled when whoever asked has gone
                raise AssertionError("never set")
            case Late():
                whole = await self._ask(request, body)
                self._note()
                await asyncio.sleep(form.seconds)
                return web.Response(status=whole.status, headers=whole.headers, body=whole.body)
            case Torn():
                whole = await self._ask(request, body)
                self._note()
                return await _torn(request, whole, form.where)
            case Endless():
                self._note()
                return await _endless(request)
            case OtherHeader():
                whole = await self._ask(request, body)
                return self._changed(
                    whole, other_header(json_of(whole.body), form.what), json_of(whole.body)
                )
            case OtherBlock() if not isinstance(call, dict):
                self._note()
                return await self._passed_on(request, body, path=_slot_before(request.raw_path))
            case Patched() | OldHead() | OtherFork() | OtherBlock():
                whole = await self._ask(request, body)
                honest = json_of(whole.body)
                if not isinstance(call, dict) or not isinstance(honest, dict):
                    return self._changed(whole, honest, honest)
                lie = await self._lie(form, call, honest.get("result"))
                return self._changed(whole, {**honest, "result": lie}, honest)

    async def _lie(
        self, form: Patched | OldHead | OtherFork | OtherBlock, call: dict[str, Any], honest: Any
    ) -> Any:
        """Another result of a JSON-RPC call than the service's."""
        method, params = str(call.get("method")), list(call.get("params") or ())
        match form:
            case Patched():
                return patched(honest, form.path, form.value)
            case OldHead():
                head = await self._head()
                at_head = asked_at(params, head)
                result = honest if at_head == params else await self._call(method, at_head)
                return seen_at(method, result, head)
            case OtherFork():
                common = await self._head() - form.depth
                if method == "eth_getBlockByHash":
                    return await self._by_hash_on_fork(params, common)
                return on_other_fork(honest, common)
            case OtherBlock():
                number = number_of(honest)
                if not number:
                    return honest
                return await self._call("eth_getBlockByNumber", [hex(number - 1), *params[1:]])

    async def _by_hash_on_fork(self, params: list[Any], common: int) -> Any:
        wanted, *rest = params
        for text in (other_hash(wanted), wanted):
            block = await self._call("eth_getBlockByHash", [text, *rest])
            number = number_of(block)
            if number is not None and (number > common) is (text != wanted):
                return on_other_fork(block, common)
        return None

    async def _head(self) -> int:
        """Of L1, when it was asked for first."""
        async with self._asking_head:
            if self._first_head is None:
                self._first_head = int(await self._call("eth_blockNumber", []), 16)
            return self._first_head

    # --- to the service and back ---

    async def _call(self, method: str, params: list[Any]) -> Any:
        """A question of our own. Raises: aiohttp.ClientError."""
        asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        as_json = {"Content-Type": "application/json"}
        async with self._session.post(self._url("/"), json=asked, headers=as_json) as response:
            answer = await response.json(content_type=None)
        return answer.get("result") if isinstance(answer, dict) else None

    async def _ask(self, request: web.Request, body: bytes) -> _Whole:
        async with self._asked(request, body, request.raw_path) as response:
            return _Whole(
                status=response.status,
                headers=_forwarded(response.headers),
                body=await response.read(),
            )

    async def _passed_on(
        self, request: web.Request, body: bytes, path: str | None = None
    ) -> web.StreamResponse:
        """Piece by piece: it may be a stream of events."""
        async with self._asked(request, body, path or request.raw_path) as response:
            passed = web.StreamResponse(
                status=response.status, headers=_forwarded(response.headers)
            )
            passed.content_length = response.content_length
            await passed.prepare(request)
            async for piece in response.content.iter_any():
                await passed.write(piece)
            await passed.write_eof()
            return passed

    def _asked(self, request: web.Request, body: bytes, path: str) -> Any:
        return self._session.request(
            request.method,
            self._url(path),
            headers=_forwarded(request.headers),
            data=body or None,
            allow_redirects=False,
        )

    def _url(self, path: str) -> URL:
        return URL(f"http://127.0.0.1:{self._link.service_port}{path}", encoded=True)

    def _changed(self, whole: _Whole, answer: Any, honest: Any) -> web.Response:
        """Bent only where it is another answer."""
        if answer == honest:
            return web.Response(status=whole.status, headers=whole.headers, body=whole.body)
        self._note()
        body = json.dumps(answer).encode()
        return web.Response(status=whole.status, headers=whole.headers, body=body)


def question_of(request: web.BaseRequest, call: Any) -> str:
    """A batch has no method of its own, and is a request like others."""
    if isinstance(call, dict) and isinstance(call.get("method"), str):
        return str(call["method"])
    return f"{request.method} {request.path}"


def _result(call: Any, result: Any) -> web.Response:
    number = call.get("id") if isinstance(call, dict) else None
    return web.json_response({"jsonrpc": "2.0", "id": number, "result": result})


def _forwarded(headers: Any) -> dict[str, str]:
    dropped = _HOP_BY_HOP | _OURS
    return {name: value for name, value in headers.items() if name.lower() not in dropped}


async def _torn(request: web.Request, whole: _Whole, where: str) -> web.StreamResponse:
    half = whole.body[: len(whole.body) // 2]
    torn = web.StreamResponse(status=whole.status, headers=whole.headers)
    torn.content_length = len(whole.body) if where == "half" else len(half)
    await torn.prepare(request)
    await torn.write(half)
    if where == "half" and request.transport is not None:
        request.transport.close()
    return torn


async def _endless(request: web.Request) -> web.StreamResponse:
    stream = web.StreamResponse(headers={"Content-Type": "application/json"})
    await stream.prepare(request)
    with suppress(ConnectionError):
        while True:
            await stream.write(ENDLESS_CHUNK)
            await asyncio.sleep(ENDLESS_PAUSE_S)
    return stream


def _slot_before(path: str) -> str:
    """`/eth/v2/beacon/blocks/17` -> that of 16; a path that ends in no number is unchanged."""
    parent, _, last = path.rpartition("/")
    return f"{parent}/{int(last) - 1}" if last.isdecimal() and int(last) else path
