"""`/dst/v1/`: what operator software needs of its rollup node and the standard Beacon API has no
call for.

POST validate          unsigned block (SSZ) -> VALID, INVALID with a reason, or HOLD
POST decided           block with its commit certificate (msgpack); verified by the receiver
GET  decided/{height}  the same, for catch-up
GET  status            heads, L1 view, reset
GET  events            server-sent events of this node and of its middleware; resumable
POST events            the middleware's own events, to be part of that stream

`DstNode` is what must be able to answer; `DstClient` asks; `dst_v1_routes` binds the one to the
other.
"""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import isfinite
from typing import Final, Protocol, TypeVar

import msgspec
from aiohttp import web

from dst.apis.rest import (
    DEFAULT_TIMEOUT_SECONDS,
    JSON,
    MSGPACK,
    SSZ,
    RestClient,
    ServerSentEvent,
    int_query,
    load_json,
    parse_uint,
    stream_events,
)
from dst.qbft.messages import Certificate
from dst.runtime.http import json_response
from dst.runtime.http_errors import Conflict, NotFound, UnsupportedMediaType
from dst.runtime.machine import wall_clock
from dst.spec.errors import UNREADABLE, InvalidInput
from dst.spec.judgement import Judgement
from dst.spec.primitives import Height, Root, Round, Slot, Term, parse_hex, to_hex

MAX_PUSHED_EVENTS: Final = 256
"""Events taken in one POST; a middleware with more sends the rest in the next."""
MAX_EVENT_EXTRAS: Final = 16
FIRST_TERM: Final = Term(0)
HTTP_SLACK_SECONDS: Final = 0.25
"""Added to a validation's deadline before the client gives up: the server answers at the deadline
itself."""
JUSTIFIED_TIMEOUT_SECONDS: Final = 30.0
"""A justified block is executed to the end; 10 Mgas of CALLs take py-evm up to 12 s on a busy
core."""
DECIDED_TIMEOUT_SECONDS: Final = 30.0
"""As above: a decided block is executed before the answer."""


# ------------------------------------------------------------------------------------------- values


class Status(msgspec.Struct, frozen=True):
    """`GET status`. Heights; roots and hashes as 0x hex. The decided head may be above the newest
    sealed block."""

    decided_height: int
    decided_slot: int
    decided_root: str
    sealed_height: int
    unsafe: int
    safe: int
    finalized: int
    l1_head: int | None
    """None until L1 answered once."""
    reset_height: int | None = None
    """First height an L1 reset affects; the cluster is halted while it is set."""
    alarm: str | None = None
    """Why this node stopped importing (double signature), else None."""
    lowest_unsealed_height: int | None = None
    """First height whose own group signature this node lacks; the decided head's + 1 when it lacks
    none. Seals arrive newest first, so it may be far below `sealed_height`. None: not told."""
    ready: bool | None = None
    """Whether it could build and judge blocks since its start: L1 has confirmed the origins of its
    own. It stays true when L1 is lost later. None: not told, as a follower does neither."""


class EventKind(StrEnum):
    """What observers of a network care about."""

    PROPOSAL = "proposal"
    PREPARED = "prepared"
    DECIDED = "decided"
    SEALED = "sealed"
    IMPORTED = "imported"
    ROUND_CHANGE = "round_change"
    SIGNED = "signed"
    EVIDENCE = "evidence"
    RESET = "reset"
    RESET_ENDED = "reset_ended"
    REFUSED = "refused"


Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened at one process; `extra` holds what only its kind has, flat in the
    JSON.

    operator: the node's name (`op1`, `f1`). monotonic, wall: seconds, stamped where it happened.
    """

    kind: EventKind
    operator: str
    monotonic: float
    wall: float
    height: Height | None = None
    round: Round | None = None
    term: Term = FIRST_TERM
    root: Root | None = None
    slot: Slot | None = None
    extra: Mapping[str, Scalar] = field(default_factory=dict)


class Emitter:
    """Stamps what happens in one process, where and when it happens, and hands it on."""

    def __init__(self, operator: str, term: Term, put: Callable[[Event], None]) -> None:
        self._operator, self._term, self._put = operator, term, put

    def __call__(
        self,
        kind: EventKind,
        *,
        height: Height | None = None,
        round_: Round | None = None,
        root: Root | None = None,
        slot: Slot | None = None,
        **extra: Scalar,
    ) -> None:
        event = Event(
            kind=kind,
            operator=self._operator,
            monotonic=time.monotonic(),
            wall=wall_clock(),
            height=height,
            round=round_,
            term=self._term,
            root=root,
            slot=slot,
            extra=extra,
        )
        self._put(event)


_EVENT_FIELDS: Final = (
    "kind",
    "operator",
    "height",
    "round",
    "term",
    "root",
    "slot",
    "monotonic",
    "wall",
)


def event_to_json(event: Event) -> dict[str, Scalar]:
    """Flat JSON object; the fixed fields are always there (null when they do not apply)."""
    fixed: dict[str, Scalar] = {
        "kind": event.kind.value,
        "operator": event.operator,
        "height": event.height,
        "round": event.round,
        "term": event.term,
        "root": None if event.root is None else to_hex(event.root),
        "slot": event.slot,
        "monotonic": event.monotonic,
        "wall": event.wall,
    }
    return {**event.extra, **fixed}


def event_from_json(obj: object) -> Event:
    """Raises: InvalidInput."""
    if not isinstance(obj, dict):
        raise InvalidInput("event: expected an object")
    extra = {str(key): value for key, value in obj.items() if key not in _EVENT_FIELDS}
    if len(extra) > MAX_EVENT_EXTRAS or not all(
        value is None or isinstance(value, str | int | float) for value in extra.values()
    ):
        raise InvalidInput(f"event: at most {MAX_EVENT_EXTRAS} extra fields, scalars only")
    if any(isinstance(value, float) and not isfinite(value) for value in obj.values()):
        raise InvalidInput("event: a number is too large")  # 1e999: JSON reads it, cannot write it
    try:
        known = msgspec.convert(
            {key: obj[key] for key in _EVENT_FIELDS if key in obj}, _EventFields
        )
    except msgspec.ValidationError as error:
        raise InvalidInput(f"event: {error}") from error
    return Event(
        kind=known.kind,
        operator=known.operator,
        monotonic=known.monotonic,
        wall=known.wall,
        height=None if known.height is None else Height(known.height),
        round=None if known.round is None else Round(known.round),
        term=Term(known.term),
        root=None if known.root is None else Root(parse_hex(known.root, 32, what="event root")),
        slot=None if known.slot is None else Slot(known.slot),
        extra=extra,
    )


class _EventFields(msgspec.Struct, frozen=True):
    kind: EventKind
    operator: str
    monotonic: float
    wall: float
    height: int | None = None
    round: int | None = None
    term: int = 0
    root: str | None = None
    slot: int | None = None


class Hello(msgspec.Struct, frozen=True):
    """First event of every stream. `boot` is new with each start of the node: sequence numbers
    start over with it."""

    operator: str
    boot: str
    decided_height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberedEvent:
    """An event with its sequence number in the node's ring buffer."""

    sequence: int
    event: Event


class DecidedBlock(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A decided block as catch-up carries it: self-contained, verified by the receiver."""

    certificate: Certificate
    block: bytes
    """SSZ of the unsigned BeaconBlock."""


def encode_decided(decided: DecidedBlock) -> bytes:
    """msgpack `[certificate, block]`."""
    return msgspec.msgpack.encode(decided)


def decode_decided(data: bytes) -> DecidedBlock:
    """Raises: InvalidInput."""
    try:
        return msgspec.msgpack.decode(data, type=DecidedBlock)
    except UNREADABLE as error:
        raise InvalidInput(f"decided: not msgpack [certificate, block]: {error}") from error


class OutOfOrder(Conflict):
    """409: the decided block is not the next one; the sender goes on with `head_height + 1`."""

    def __init__(self, head_height: Height, message: str = "") -> None:
        super().__init__(
            message or f"decided head is {head_height}: send height {head_height + 1} next",
            {"head_height": head_height},
        )
        self.head_height = head_height


class DstNode(Protocol):
    """Answers `/dst/v1/`. Raises InvalidInput (400), NotFound (404), OutOfOrder and ResetRequired
    (409), Unavailable."""

    async def validate(
        self,
        block: bytes,
        *,
        height: Height,
        round_: Round,
        justified: bool,
        deadline_ms: int | None,
    ) -> Judgement:
        """Whether the block may be decided at this height and no other. Cancelled when the client
        disconnects: a fresh block's execution is then aborted."""

    async def decided(self, decided: DecidedBlock) -> Height:
        """Verify, execute, store; the new head height. A block already known is answered with the
        head."""

    async def get_decided(self, height: Height) -> DecidedBlock | None:
        """None when not decided here."""

    async def status(self) -> Status:
        """Now."""

    def hello(self) -> Hello:
        """This boot."""

    def push_events(self, events: Sequence[Event]) -> None:
        """Make them part of the stream."""

    def event_stream(self, after: int | None) -> AsyncIterator[NumberedEvent]:
        """From after this sequence number as far as the buffer reaches back; from now on when
        None."""


# ------------------------------------------------------------------------------------------- server


def telling_routes(node: DstNode) -> list[web.RouteDef]:
    """What anybody may read of `/dst/v1/`."""
    api = _Server(node)
    return [
        web.get("/dst/v1/decided/{height}", api.get_decided),
        web.get("/dst/v1/status", api.status),
        web.get("/dst/v1/events", api.events),
    ]


def own_routes(node: DstNode) -> list[web.RouteDef]:
    """What only this operator's own middleware needs: a stranger could stop its voting here."""
    api = _Server(node)
    return [
        web.post("/dst/v1/validate", api.validate),
        web.post("/dst/v1/decided", api.decided),
        web.post("/dst/v1/events", api.push_events),
    ]


def dst_v1_routes(node: DstNode) -> list[web.RouteDef]:
    """All of `/dst/v1/`, bound to `node`."""
    return [*telling_routes(node), *own_routes(node)]


class _Server:
    def __init__(self, node: DstNode) -> None:
        self._node = node

    async def validate(self, request: web.Request) -> web.StreamResponse:
        _require_type(request, SSZ)
        deadline_ms = int_query(request, "deadline_ms", 0)
        result = await self._node.validate(
            await request.read(),
            height=Height(int_query(request, "height", 0)),
            round_=Round(int_query(request, "round", 0)),
            justified=request.query.get("justified") == "1",
            deadline_ms=deadline_ms or None,
        )
        return web.Response(body=msgspec.json.encode(result), content_type=JSON)

    async def decided(self, request: web.Request) -> web.StreamResponse:
        _require_type(request, MSGPACK)
        decided = decode_decided(await request.read())
        return json_response({"head_height": await self._node.decided(decided)})

    async def get_decided(self, request: web.Request) -> web.StreamResponse:
        height = Height(parse_uint(request.match_info["height"], what="height"))
        decided = await self._node.get_decided(height)
        if decided is None:
            raise NotFound(f"height {height} is not decided here")
        return web.Response(body=encode_decided(decided), content_type=MSGPACK)

    async def status(self, _: web.Request) -> web.StreamResponse:
        return web.Response(body=msgspec.json.encode(await self._node.status()), content_type=JSON)

    async def events(self, request: web.Request) -> web.StreamResponse:
        text = request.query.get("from") or request.headers.get("Last-Event-ID")
        after = None if text is None else parse_uint(text, what="from / Last-Event-ID")
        return await stream_events(request, self._numbered(after))

    async def _numbered(self, after: int | None) -> AsyncGenerator[ServerSentEvent, None]:
        yield ServerSentEvent(event="hello", data=msgspec.json.encode(self._node.hello()).decode())
        async for numbered in self._node.event_stream(after):
            yield ServerSentEvent(
                event=numbered.event.kind.value,
                data=json.dumps(event_to_json(numbered.event)),
                id=numbered.sequence,
            )

    async def push_events(self, request: web.Request) -> web.StreamResponse:
        _require_type(request, JSON)
        body = load_json(await request.read())
        if not isinstance(body, list) or len(body) > MAX_PUSHED_EVENTS:
            raise InvalidInput(f"expected an array of at most {MAX_PUSHED_EVENTS} events")
        self._node.push_events([event_from_json(item) for item in body])
        return web.Response(status=200)


def _require_type(request: web.Request, kind: str) -> None:
    if request.content_type != kind:
        raise UnsupportedMediaType(f"send {kind}, not {request.content_type}")


# ------------------------------------------------------------------------------------------- client


class DstClient(RestClient):
    """Asks a rollup node's `/dst/v1/`. Errors as `RestClient` says."""

    async def validate(
        self,
        block: bytes,
        *,
        height: Height,
        round_: Round,
        justified: bool,
        deadline_ms: int | None,
    ) -> Judgement:
        """Cancel the call to abort a fresh block's execution. deadline_ms None: to the end."""
        params = {
            "height": str(height),
            "round": str(round_),
            "justified": "1" if justified else "0",
        }
        timeout = JUSTIFIED_TIMEOUT_SECONDS
        if deadline_ms is not None:
            params["deadline_ms"] = str(deadline_ms)
            timeout = deadline_ms / 1000 + HTTP_SLACK_SECONDS
        answer = await self.request(
            "POST",
            "/dst/v1/validate",
            params=params,
            body=block,
            headers={"Content-Type": SSZ},
            timeout_seconds=timeout,
        )
        return _decode(answer.body, Judgement)

    async def decided(self, decided: DecidedBlock) -> Height:
        """The node's decided head after taking it. Raises: OutOfOrder with the head on 409, besides
        the usual."""
        try:
            answer = await self.request(
                "POST",
                "/dst/v1/decided",
                body=encode_decided(decided),
                headers={"Content-Type": MSGPACK},
                timeout_seconds=DECIDED_TIMEOUT_SECONDS,
            )
        except Conflict as conflict:
            head = conflict.detail.get("head_height")
            if not isinstance(head, int):
                raise
            raise OutOfOrder(Height(head), str(conflict)) from conflict
        return _decode(answer.body, _HeadAnswer).head_height

    async def get_decided(self, height: Height) -> DecidedBlock | None:
        """None on 404."""
        try:
            answer = await self.request("GET", f"/dst/v1/decided/{height}")
        except NotFound:
            return None
        return decode_decided(answer.body)

    async def status(self, *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> Status:
        """Heads, L1 view, reset."""
        return _decode(
            (await self.request("GET", "/dst/v1/status", timeout_seconds=timeout_seconds)).body,
            Status,
        )

    async def push_events(self, events: Sequence[Event]) -> None:
        """In batches of MAX_PUSHED_EVENTS."""
        for start in range(0, len(events), MAX_PUSHED_EVENTS):
            batch = [event_to_json(event) for event in events[start : start + MAX_PUSHED_EVENTS]]
            await self.request(
                "POST",
                "/dst/v1/events",
                body=json.dumps(batch).encode(),
                headers={"Content-Type": JSON},
            )

    async def events(self, after: int | None = None) -> AsyncGenerator[Hello | NumberedEvent, None]:
        """The hello, then events; resume with the last sequence number seen, if `boot` is still the
        same."""
        params = {} if after is None else {"from": str(after)}
        async for item in self.stream("/dst/v1/events", params=params):
            if item.event == "hello":
                yield _decode(item.data.encode(), Hello)
            elif item.id is not None:
                yield NumberedEvent(sequence=item.id, event=event_from_json(load_json(item.data)))


T = TypeVar("T")


class _HeadAnswer(msgspec.Struct, frozen=True):
    head_height: Height


def _decode(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except UNREADABLE as error:
        raise InvalidInput(f"answer is not {kind.__name__}: {error}") from error
