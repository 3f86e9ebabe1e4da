"""The Beacon API over real HTTP: our client against our server, and raw requests as others send
them."""

import gzip
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from dst.apis.beacon import (
    BeaconClient,
    BeaconEvent,
    BlockId,
    Genesis,
    HeaderView,
    ProduceRequest,
    Syncing,
    WireBlock,
    beacon_routes,
    decode_contents,
    decode_signed,
    encode_contents,
    encode_signed,
    parse_block_id,
)
from dst.apis.rest import JSON, SSZ, preferred
from dst.runtime.http import make_app
from dst.runtime.http_errors import NotFound
from dst.runtime.metrics import Metrics
from dst.spec import ssz
from dst.spec.beacon import SignedBeaconBlock, header_of, to_json
from dst.spec.errors import InvalidInput, ResetRequired, Unavailable
from dst.spec.primitives import BLSPubkey, BLSSignature, Root, Slot, to_hex
from tests.unit.rollup.rollup_bench import (
    make_block,
    make_genesis,
    make_lock,
    root_of,
    sealed,
    served,
)

LOCK = make_lock()
BLOCK = make_block(LOCK, make_genesis(LOCK), transactions=[b"\x02some transaction"])
SEALED = sealed(LOCK, BLOCK)
KEY = BLSPubkey(b"\xaa" * 48)


class Node:
    """Answers with constants; `failure` is raised by produce and publish."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.produced: bytes | None = SEALED.message
        self.published: list[WireBlock] = []
        self.asked: list[ProduceRequest] = []

    async def genesis(self) -> Genesis:
        return Genesis(
            genesis_time=7,
            genesis_validators_root=Root(b"\x01" * 32),
            genesis_fork_version=b"\xd5\x01\x02\x03",
        )

    async def config_spec(self) -> Mapping[str, object]:
        return {"SLOTS_PER_EPOCH": "32"}

    async def node_version(self) -> str:
        return "test/1"

    async def syncing(self) -> Syncing:
        return Syncing(head_slot=Slot(40), sync_distance=2)

    async def validator_pubkey(self) -> BLSPubkey:
        return KEY

    async def produce_block(self, request: ProduceRequest) -> bytes | None:
        self.asked.append(request)
        if self.failure is not None:
            raise self.failure
        return self.produced

    async def publish_block(self, block: WireBlock) -> None:
        if self.failure is not None:
            raise self.failure
        self.published.append(block)

    async def header(self, block_id: BlockId) -> HeaderView | None:
        if block_id not in ("head", BLOCK.slot, root_of(BLOCK)):
            return None
        return HeaderView(root=root_of(BLOCK), header=header_of(BLOCK), signature=SEALED.signature)

    async def block(self, block_id: BlockId) -> WireBlock | None:
        return SEALED if await self.header(block_id) else None

    async def events(self, topics: frozenset[str]) -> AsyncIterator[BeaconEvent]:
        for topic in ("head", "block"):
            if topic in topics:
                yield BeaconEvent(topic=topic, data={"slot": "1"})


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Node, BeaconClient]]:
    node = Node()
    async with (
        served(make_app(Metrics(), beacon_routes(node))) as url,
        BeaconClient(url) as client,
    ):
        yield node, client


async def test_the_client_reads_what_the_node_says() -> None:
    async with running() as (node, client):
        assert await client.genesis() == await node.genesis()
        assert await client.config_spec() == await node.config_spec()
        assert await client.node_version() == "test/1"
        assert await client.syncing() == await node.syncing()
        assert await client.validator_pubkey() == KEY
        assert await client.header("head") == await node.header("head")
        assert await client.header(Slot(9)) is None
        assert await client.block(root_of(BLOCK)) == SEALED
        assert await client.block(Slot(9)) is None
        assert [e.topic async for e in client.events(frozenset({"head"}))] == ["head"]


async def test_produce_and_publish_travel_as_ssz() -> None:
    async with running() as (node, client):
        request = ProduceRequest(slot=Slot(1), no_tx_pool=True)
        assert await client.produce_block(request) == SEALED.message
        assert node.asked == [request]
        await client.publish_block(SEALED)
        assert node.published == [SEALED]
        node.produced = None
        assert await client.produce_block(request) is None


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (InvalidInput("no"), InvalidInput),
        (NotFound("none"), NotFound),
        (Unavailable("later"), Unavailable),
        (ResetRequired(9, "L1 moved"), ResetRequired),
    ],
)
async def test_errors_cross_as_what_they_mean(raised: Exception, seen: type[Exception]) -> None:
    async with running() as (node, client):
        node.failure = raised
        with pytest.raises(seen) as caught:
            await client.publish_block(SEALED)
        assert type(caught.value) is seen
        if isinstance(caught.value, ResetRequired):
            assert caught.value.first_affected_height == 9


async def test_a_dead_node_is_unavailable() -> None:
    metrics = Metrics()
    async with BeaconClient("http://127.0.0.1:1") as client:
        client.count_in(metrics)
        with pytest.raises(Unavailable):
            await client.genesis()
    assert metrics.get("calls_unanswered_total", to="127.0.0.1:1") == 1


async def test_what_a_node_has_packed_is_not_unpacked() -> None:
    """A few megabytes would unpack to gigabytes, and keep the event loop meanwhile."""
    asked: list[str | None] = []

    async def pack(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("Accept-Encoding"))
        return web.Response(
            body=gzip.compress(b'{"data":{}}'),
            headers={"Content-Encoding": "gzip", "Content-Type": JSON},
        )

    app = web.Application()
    app.router.add_get("/{path:.*}", pack)
    async with served(app) as url, BeaconClient(url) as client:
        with pytest.raises(InvalidInput, match="not JSON"):
            await client.genesis()
    assert asked == ["identity"]


async def test_json_bodies_and_answers_for_those_who_want_them() -> None:
    async with running() as (node, client):
        session = client.session()
        async with session.get(client.url + "/eth/v3/validator/blocks/1") as answer:
            body = await answer.json()
            assert answer.headers["Eth-Consensus-Version"] == "electra"
            assert answer.headers["Eth-Execution-Payload-Blinded"] == "false"
            assert body["data"]["block"] == to_json(BLOCK)
        signed = to_json(SignedBeaconBlock(message=BLOCK, signature=SEALED.signature))
        contents = {"signed_block": signed, "kzg_proofs": [], "blobs": []}
        for obj in (signed, contents):
            async with session.post(
                client.url + "/eth/v2/beacon/blocks",
                json=obj,
                headers={"Eth-Consensus-Version": "electra"},
            ) as answer:
                assert answer.status == 200
        assert node.published == [SEALED, SEALED]


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("GET", "/eth/v3/validator/blocks/x", b"", {}, 400),
        ("GET", "/eth/v3/validator/blocks/99999999999999999999", b"", {}, 400),
        ("GET", "/eth/v3/validator/blocks/1?randao_reveal=0x12", b"", {}, 400),
        ("GET", "/eth/v1/beacon/headers/banana", b"", {}, 400),
        ("GET", "/eth/v2/beacon/blocks/77", b"", {}, 404),
        ("GET", "/eth/v1/validator/duties/proposer/9", b"", {}, 400),
        ("GET", "/eth/v1/nothing", b"", {}, 404),
        ("POST", "/eth/v2/beacon/blocks", b"x", {"Content-Type": "text/plain"}, 415),
        ("POST", "/eth/v2/beacon/blocks", b"x", {"Content-Type": SSZ}, 400),
        ("POST", "/eth/v2/beacon/blocks", b"{", {"Content-Type": JSON}, 400),
        ("POST", "/eth/v2/beacon/blocks", b"[]", {"Content-Type": JSON}, 400),
        ("POST", "/eth/v2/beacon/blocks", b"[" * 100_000, {"Content-Type": JSON}, 400),
        ("GET", "/eth/v1/beacon/states/nowhere/fork", b"", {}, 400),
        ("GET", "/eth/v1/beacon/states/nowhere/validators", b"", {}, 400),
        ("GET", "/eth/v1/beacon/states/nowhere/validators/0", b"", {}, 400),
        ("GET", "/eth/v1/events", b"", {}, 400),
        ("GET", "/eth/v1/events?topics=attestation", b"", {}, 400),
        ("POST", "/eth/v1/validator/duties/attester/x", b'["0"]', {"Content-Type": JSON}, 400),
        ("POST", "/eth/v1/validator/duties/sync/0", b"{}", {"Content-Type": JSON}, 400),
        ("POST", "/eth/v1/validator/duties/sync/0", b"", {"Content-Type": JSON}, 400),
        (
            "POST",
            "/eth/v1/validator/prepare_beacon_proposer",
            b"[" * 100_000,
            {"Content-Type": JSON},
            400,
        ),
        (
            "POST",
            "/eth/v2/beacon/blocks",
            encode_signed(SEALED),
            {"Content-Type": SSZ, "Eth-Consensus-Version": "deneb"},
            400,
        ),
    ],
)
async def test_wrong_shapes_get_the_standard_error_body(
    method: str, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    async with running() as (_, client), aiohttp.ClientSession() as session:
        async with session.request(method, client.url + path, data=body, headers=headers) as answer:
            assert answer.status == status
            error = await answer.json()
            assert error["code"] == status
            assert error["message"]


async def test_validator_filters_are_honoured() -> None:
    async with running() as (_, client):
        path = "/eth/v1/beacon/states/head/validators"
        for query, found in (
            ("", 1),
            (f"?id={to_hex(KEY)}", 1),
            ("?id=0,5", 1),
            ("?id=5", 0),
            ("?status=exited_slashed,active_slashed", 0),
            ("?status=active_ongoing", 1),
        ):
            assert len((await client.request("GET", path + query)).json()["data"]) == found
        body = json.dumps({"ids": ["0"], "statuses": ["exited_slashed"]}).encode()
        assert (await client.request("POST", path, body=body)).json()["data"] == []
        with pytest.raises(NotFound):
            await client.request("GET", path + "/5")


async def test_proposer_duties_name_every_slot_and_never_slot_zero() -> None:
    async with running() as (_, client):
        answer = (await client.request("GET", "/eth/v1/validator/duties/proposer/0")).json()
        assert [duty["slot"] for duty in answer["data"]] == [str(slot) for slot in range(1, 32)]


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, JSON),
        ("*/*", JSON),
        (f"{SSZ};q=1,{JSON};q=0.9", SSZ),
        (f"{SSZ};q=0.4,{JSON};q=0.9", JSON),
        (f"{JSON};q=0, */*", SSZ),
    ],
)
def test_q_values_decide(accept: str | None, chosen: str) -> None:
    assert preferred(accept, (JSON, SSZ)) == chosen


def test_nothing_acceptable_is_an_error() -> None:
    with pytest.raises(InvalidInput):
        preferred("text/html", (JSON, SSZ))


@given(st.binary(max_size=300), st.binary(min_size=96, max_size=96))
def test_slicing_agrees_with_its_inverse(message: bytes, signature: bytes) -> None:
    block = WireBlock(message=message, signature=BLSSignature(signature))
    assert decode_contents(encode_contents(message)) == message
    if len(message) >= 4:
        assert decode_signed(encode_signed(block)) == block


def test_slices_are_what_the_codec_would_make() -> None:
    signed = SignedBeaconBlock(message=BLOCK, signature=SEALED.signature)
    assert encode_signed(SEALED) == ssz.encode(signed)


@given(st.binary(max_size=200))
def test_garbage_is_no_block(data: bytes) -> None:
    for decode in (decode_signed, decode_contents):
        try:
            decode(data)
        except InvalidInput:
            continue
        assert len(data) >= 12


def test_block_ids() -> None:
    assert parse_block_id("head") == "head"
    assert parse_block_id("12") == 12
    assert parse_block_id("0x" + "ab" * 32) == b"\xab" * 32
    for bad in ("", "-1", "0x12", "latest"):
        with pytest.raises(InvalidInput):
            parse_block_id(bad)
