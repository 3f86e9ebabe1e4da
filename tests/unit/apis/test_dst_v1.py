"""`/dst/v1/` over real HTTP: client against server, refusals, and the resumable event stream."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dst.apis.dst_v1 import (
    DecidedBlock,
    DstClient,
    Event,
    EventKind,
    Hello,
    NumberedEvent,
    OutOfOrder,
    Status,
    decode_decided,
    dst_v1_routes,
    encode_decided,
    event_from_json,
    event_to_json,
)
from dst.apis.rest import MSGPACK, SSZ
from dst.rollup.events import RING_CAPACITY, EventRing
from dst.runtime.http import STREAMS, make_app, serving
from dst.runtime.http_errors import UnsupportedMediaType
from dst.runtime.metrics import Metrics
from dst.runtime.streams import MAX_STREAMS, Streams
from dst.spec.errors import InvalidInput, ResetRequired, Unavailable
from dst.spec.judgement import Judgement, Verdict
from dst.spec.primitives import Height, Root, Round, Slot, Term
from tests.unit.rollup.rollup_bench import certify, make_chain, make_lock, served, until_true

LOCK = make_lock()
DECIDED = certify(LOCK, make_chain(LOCK, 1)[0])


class Node:
    def __init__(self) -> None:
        self.ring = EventRing("op1", Term(0))
        self.failure: Exception | None = None
        self.asked: list[tuple[bytes, Height, Round, bool, int | None]] = []
        self.forever = False
        self.cancelled = 0
        self.taken: list[DecidedBlock] = []

    async def validate(
        self,
        block: bytes,
        *,
        height: Height,
        round_: Round,
        justified: bool,
        deadline_ms: int | None,
    ) -> Judgement:
        self.asked.append((block, height, round_, justified, deadline_ms))
        if self.forever:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        return Judgement(Verdict.INVALID, "because")

    async def decided(self, decided: DecidedBlock) -> Height:
        if self.failure is not None:
            raise self.failure
        self.taken.append(decided)
        return Height(1)

    async def get_decided(self, height: Height) -> DecidedBlock | None:
        return DECIDED if height == 1 else None

    async def status(self) -> Status:
        return Status(
            decided_height=3,
            decided_slot=4,
            decided_root="0x00",
            sealed_height=2,
            unsafe=3,
            safe=1,
            finalized=0,
            l1_head=None,
        )

    def hello(self) -> Hello:
        return Hello(operator="op1", boot="b", decided_height=3)

    def push_events(self, events: Sequence[Event]) -> None:
        self.ring.extend(events)

    def event_stream(self, after: int | None) -> AsyncIterator[NumberedEvent]:
        return self.ring.stream(after)


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Node, DstClient]]:
    node = Node()
    async with (
        served(make_app(Metrics(), dst_v1_routes(node))) as url,
        DstClient(url) as client,
    ):
        yield node, client


async def test_calls_and_answers() -> None:
    async with running() as (node, client):
        result = await client.validate(
            b"ssz", height=Height(7), round_=Round(2), justified=True, deadline_ms=50
        )
        assert result == Judgement(Verdict.INVALID, "because")
        assert node.asked == [(b"ssz", 7, 2, True, 50)]
        assert await client.decided(DECIDED) == 1
        assert node.taken == [DECIDED]
        assert await client.get_decided(Height(1)) == DECIDED
        assert await client.get_decided(Height(2)) is None
        assert await client.status() == await node.status()


async def test_a_client_that_leaves_cancels_the_validation() -> None:
    async with running() as (node, client):
        node.forever = True
        with pytest.raises(Unavailable):
            await client.validate(
                b"ssz", height=Height(1), round_=Round(0), justified=False, deadline_ms=1
            )
        await until_true(lambda: node.cancelled == 1)


async def test_out_of_order_and_reset_are_told_apart() -> None:
    async with running() as (node, client):
        node.failure = OutOfOrder(Height(5))
        with pytest.raises(OutOfOrder) as refusal:
            await client.decided(DECIDED)
        assert refusal.value.head_height == 5
        node.failure = ResetRequired(7, "L1 moved")
        with pytest.raises(ResetRequired):
            await client.decided(DECIDED)


EVENT = b'[{"kind":"sealed","operator":"op1","monotonic":1,"wall":1.5}]'


@pytest.mark.parametrize(
    ("path", "body", "kind", "error"),
    [
        ("/dst/v1/validate", b"x", "text/plain", UnsupportedMediaType),
        ("/dst/v1/decided", b"x", SSZ, UnsupportedMediaType),
        ("/dst/v1/decided", b"\x93\x01\x02\x03", MSGPACK, InvalidInput),
        ("/dst/v1/decided", b"\x92\x97\xa1\xff\x01\x01", MSGPACK, InvalidInput),
        ("/dst/v1/validate?round=-1", b"x", SSZ, InvalidInput),
        ("/dst/v1/events", EVENT.replace(b"1.5", b"NaN"), "application/json", InvalidInput),
        ("/dst/v1/events", EVENT.replace(b"1.5", b"1e999"), "application/json", InvalidInput),
        ("/dst/v1/events", b"{}", "application/json", InvalidInput),
        ("/dst/v1/events", b'[{"kind":"party"}]', "application/json", InvalidInput),
    ],
)
async def test_wrong_shapes_are_refused(
    path: str, body: bytes, kind: str, error: type[Exception]
) -> None:
    async with running() as (_, client):
        with pytest.raises(error):
            await client.request("POST", path, body=body, headers={"Content-Type": kind})


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json", "Origin": "https://evil.example"}, 403),
        ({"Content-Type": "application/json", "Origin": "http://localhost:3000"}, 403),
        ({"Content-Type": "text/plain", "Origin": "null"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/json", "Host": "evil.example"}, 403),
    ],
)
async def test_a_web_page_forges_no_events(headers: dict[str, str], status: int) -> None:
    forged = EVENT.replace(b"sealed", b"decided")
    async with running() as (node, client):
        url = f"{client.url}/dst/v1/events"
        async with client.session().post(url, data=forged, headers=headers) as answer:
            assert answer.status == status
        await client.request(
            "POST", "/dst/v1/events", body=EVENT, headers={"Content-Type": "application/json"}
        )
        first = await anext(node.ring.stream(0))
        assert first.event.kind is EventKind.SEALED, "the forged one is not in the stream"


async def test_the_stream_starts_with_hello_and_resumes() -> None:
    async with running() as (node, client):
        for height in (1, 2, 3):
            node.ring.emit(EventKind.SEALED, height=Height(height), reason="x")
        stream = client.events(1)
        hello = await anext(stream)
        assert hello == node.hello()
        seen = [await anext(stream), await anext(stream)]
        assert [n.sequence for n in seen if isinstance(n, NumberedEvent)] == [2, 3]
        pushed = Event(kind=EventKind.DECIDED, operator="op1", monotonic=1.5, wall=2.5)
        await client.push_events([pushed])
        fresh = await anext(stream)
        assert isinstance(fresh, NumberedEvent)
        assert fresh.event == pushed
        await stream.aclose()


async def test_the_ring_is_bounded_and_drops_its_oldest() -> None:
    ring = EventRing("op1", Term(0))
    for height in range(RING_CAPACITY + 10):
        ring.emit(EventKind.DECIDED, height=Height(height))
    first = await anext(ring.stream(0))
    assert first.sequence == 11


EVENTS = st.builds(
    Event,
    kind=st.sampled_from(EventKind),
    operator=st.text(max_size=8),
    monotonic=st.floats(0, 1e9),
    wall=st.floats(0, 2e9),
    height=st.none() | st.integers(0, 2**40).map(Height),
    round=st.none() | st.integers(0, 99).map(Round),
    term=st.integers(0, 9).map(Term),
    root=st.none() | st.binary(min_size=32, max_size=32).map(Root),
    slot=st.none() | st.integers(0, 2**40).map(Slot),
    extra=st.dictionaries(
        st.sampled_from(["reason", "culprit", "x"]), st.none() | st.booleans() | st.text(max_size=9)
    ),
)


@given(EVENTS)
def test_events_survive_json(event: Event) -> None:
    assert event_from_json(event_to_json(event)) == event


@given(st.binary(max_size=200))
def test_garbage_is_no_decided_block(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        decode_decided(data)


def test_decided_blocks_survive_msgpack() -> None:
    assert decode_decided(encode_decided(DECIDED)) == DECIDED


async def test_a_thousand_readers_of_one_address_shut_nobody_out(unused_tcp_port: int) -> None:
    """They push out each other; the one that came last hears of what happens."""
    node = Node()
    app = make_app(Metrics(), dst_v1_routes(node))
    address = f"127.0.0.1:{unused_tcp_port}"
    question = b"GET /dst/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with serving(app, address, what="test"), AsyncExitStack() as stack:
        for _ in range(1_000):
            _, writer = await asyncio.open_connection("127.0.0.1", unused_tcp_port)
            stack.callback(writer.close)
            writer.write(question)
        async with DstClient(f"http://{address}") as client:
            stream = client.events(None)
            async with asyncio.timeout(20):
                assert await anext(stream) == node.hello()
                node.ring.emit(EventKind.SEALED, height=Height(1))
                fresh = await anext(stream)
            assert isinstance(fresh, NumberedEvent)
            assert fresh.sequence == 1
            assert len(app[STREAMS]) <= MAX_STREAMS
            await stream.aclose()


async def test_a_full_house_of_streams_is_refused_by_503() -> None:
    node = Node()
    app = make_app(Metrics(), dst_v1_routes(node))
    app[STREAMS] = Streams(total=0)
    async with served(app) as url, DstClient(url) as client:
        with pytest.raises(Unavailable, match="too many event streams"):
            await anext(client.events(None))


@pytest.mark.parametrize("after", [0, 7, 20])
async def test_readers_get_each_event_once_in_order_however_far_behind(after: int) -> None:
    ring = EventRing("op1", Term(0))
    for height in range(20):
        ring.emit(EventKind.SEALED, height=Height(height))
    stream = ring.stream(after)
    missed = list(range(after + 1, 21))
    assert [(await anext(stream)).sequence for _ in missed] == missed
    ring.emit(EventKind.SEALED, height=Height(20))
    assert (await anext(stream)).sequence == 21
