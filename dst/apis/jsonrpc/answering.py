"""A body in, an answer out: one JSON-RPC 2.0 request or a batch of them.

Bounded: the values and the nesting of the JSON, the requests of a batch, the bytes of a batch's
answer; the body itself by whoever reads it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

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
from dst.runtime.connections import Grows
from dst.runtime.log import Logger
from dst.spec.errors import UNREADABLE, InvalidInput, Unavailable

MAX_BATCH: Final = 1_000
"""Requests in one batch, geth's figure."""
MAX_BATCH_ANSWER_BYTES: Final = 25 * 2**20
"""geth's figure."""
MAX_TOGETHER: Final = 32
"""Requests of a batch that are given to their runner at once."""
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


Job: TypeAlias = Callable[[], Any]
J = TypeVar("J")
J_contra = TypeVar("J_contra", contravariant=True)
Outcome: TypeAlias = object
"""A result, or the Exception that took its place."""


class Runner(Protocol[J_contra]):
    """Runs what several requests of one batch ask, at less cost than one after the other."""

    async def __call__(self, jobs: Sequence[J_contra]) -> Sequence[Outcome]:
        """The outcomes of the first jobs, in order: of one at least, of all or of as many as are
        one client's share of the moment. The rest comes again."""
        ...


@dataclass(frozen=True, slots=True)
class Joint(Generic[J]):
    """A method whose requests can be run with their neighbours in a batch: those of the same
    runner, which may be of other methods."""

    runner: Runner[J]
    job: Callable[[Sequence[Any]], J]
    """One request's parameters as its runner takes them. Raises as a method does."""

    async def __call__(self, params: Sequence[Any]) -> object:
        (outcome,) = await self.runner([self.job(params)])
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


async def answer_body(
    body: bytes, methods: Mapping[str, Method], grows: Grows = lambda _: None
) -> bytes | None:
    """The answer to one body; None when it held notifications alone.

    grows: told of each piece as soon as it is there.
    """
    if sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES:
        return _encode(_error(None, INVALID_REQUEST, f"more than {MAX_VALUES} values"))
    try:
        decoded = msgspec.json.decode(body)
    except UNREADABLE:
        return _encode(_error(None, PARSE_ERROR, "parse error: the body is not JSON"))
    if _is_too_deep(body, decoded):
        return _encode(_error(None, INVALID_REQUEST, f"nested deeper than {MAX_DEPTH} levels"))
    if not isinstance(decoded, list):
        reply = await _answer_one(decoded, methods)
        grows(len(reply or b""))
        return reply
    if not decoded:
        return _encode(_error(None, INVALID_REQUEST, "empty batch"))
    if len(decoded) > MAX_BATCH:
        return _encode(
            _error(None, INVALID_REQUEST, f"batch too large: at most {MAX_BATCH} requests")
        )
    return await _answer_batch(decoded, methods, grows)


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
    return _reply(item, await _call(request, methods))


async def _answer_batch(
    items: Sequence[object], methods: Mapping[str, Method], grows: Grows
) -> bytes | None:
    """One after another, neighbours of one runner together: a batch is one client, and gets one
    client's share."""
    answers: list[bytes] = []
    size = at = 0
    while at < len(items):
        if size > MAX_BATCH_ANSWER_BYTES:
            refusal = _error(_id_of(items[at]), REFUSED, "batch answer too large")
            replies: list[bytes | None] = [_encode(refusal)]
        else:
            replies = await _answer_some(items[at : at + MAX_TOGETHER], methods)
            grows(sum(len(reply) for reply in replies if reply is not None))
            await asyncio.sleep(0)  # methods of the event loop need not have paused
        at += len(replies)
        for reply in replies:
            if reply is not None:
                answers += (b",", reply)
                size += len(reply)
    return b"".join((b"[", *answers[1:], b"]")) if answers else None


async def _answer_some(
    items: Sequence[object], methods: Mapping[str, Method]
) -> list[bytes | None]:
    """The answers to the first of them, one at least."""
    runner: Runner[Any] | None = None
    jobs: list[Any] = []
    requests: list[Request] = []
    for item in items:
        found = _job_of(item, methods)
        if found is None or runner not in (None, found[0]):
            break
        runner = found[0]
        jobs.append(found[1])
        requests.append(found[2])
    if runner is None or len(jobs) == 1:
        return [await _answer_one(items[0], methods)]
    outcomes = await runner(jobs)
    return [
        _reply(item, _answer_of(request, outcome))
        for item, request, outcome in zip(items, requests, outcomes, strict=False)
    ]


def _job_of(item: object, methods: Mapping[str, Method]) -> tuple[Runner[Any], Any, Request] | None:
    """What of a batch can be run with others; None for the rest, malformed requests too."""
    try:
        request = msgspec.convert(item, Request)
        method = methods.get(request.method)
        params = request.params if request.params is not None else ()
        if not isinstance(method, Joint) or not isinstance(params, list | tuple):
            return None
        return method.runner, method.job(params), request
    except (msgspec.ValidationError, InvalidInput, RpcError):
        return None


def _reply(item: object, answer: dict[str, object]) -> bytes | None:
    reply = _encode(answer)
    return reply if isinstance(item, dict) and "id" in item else None


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
        outcome: Outcome = await method(params)
    except Exception as error:
        outcome = error
    return _answer_of(request, outcome)


def _answer_of(request: Request, outcome: Outcome) -> dict[str, object]:
    match outcome:
        case RpcError() as error:
            return _error(request.id, error.code, error.message, error.data)
        case InvalidInput() | msgspec.ValidationError() as error:
            return _error(request.id, INVALID_PARAMS, f"invalid argument: {error}")
        case Unavailable() as error:
            return _error(request.id, REFUSED, str(error))
        case Exception() as error:
            _log_failure(request.method, error)
            why = "internal error; this node's log has the details"
            return _error(request.id, INTERNAL_ERROR, why)
        case BaseException():
            raise outcome
    return {"jsonrpc": "2.0", "id": request.id, "result": outcome}


def _log_failure(method: str, failure: Exception) -> None:
    try:
        raise failure  # the log shows the traceback of what is being handled
    except Exception:
        log.exception("method_failed", method=method)


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
