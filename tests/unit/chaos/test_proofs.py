"""What proves the blocks, as the harness reads it: from nodes, and from L1 without them."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from devnet.checkers import derived_chain, valid_certificates
from devnet.model.clock import now
from devnet.model.history import (
    BlockRead,
    CertificateRead,
    Event,
    EventKind,
    GroupSignatureSeen,
    Record,
    SafeHeadSeen,
    SealRefused,
    Setup,
    history_of,
)
from devnet.model.verdict import Outcome
from devnet.probes import heads
from devnet.probes.derived import FromL1
from devnet.probes.rpc import RpcUnknown
from devnet.probes.seals import BeaconSeals, Certificates, Verifier, genesis_of
from devnet.runner.stages import background
from dst.apis.beacon import WireBlock, encode_signed
from dst.apis.dst_v1 import DecidedBlock, encode_decided
from dst.crypto.bls import SecretShare
from dst.derivation.frame import encode_frame
from dst.spec import ssz
from dst.spec.beacon import header_of
from dst.spec.primitives import Root, to_hex
from tests.unit.rollup.rollup_bench import GROUP, STRANGER, certify, make_chain, make_lock, seal

LOCK = make_lock()
CHAIN = make_chain(LOCK, 12)
ROOTS = [ssz.hash_tree_root(block) for block in CHAIN]
SETUP = Setup(
    operators=("op1", "op2", "op3", "op4"), slot_seconds=1.0, genesis=genesis_of(LOCK, 2.0)
)


# ----------------------------------------------------------------------------------- from a node


@asynccontextmanager
async def node(
    certificates: Mapping[int, DecidedBlock], key: SecretShare = GROUP
) -> AsyncIterator[str]:
    """Serves the chain, signed with this key, and certificates by height."""

    async def block(request: web.Request) -> web.Response:
        root = bytes.fromhex(request.match_info["root"][2:])
        wanted = CHAIN[ROOTS.index(Root(root))]
        wire = WireBlock(message=ssz.encode(wanted), signature=seal(LOCK, wanted, key))
        headers = {"Eth-Consensus-Version": "electra"}
        kind = "application/octet-stream"
        return web.Response(body=encode_signed(wire), content_type=kind, headers=headers)

    async def decided(request: web.Request) -> web.Response:
        found = certificates.get(int(request.match_info["height"]))
        if found is None:
            raise web.HTTPNotFound
        return web.Response(body=encode_decided(found), content_type="application/msgpack")

    application = web.Application()
    application.router.add_get("/eth/v2/beacon/blocks/{root}", block)
    application.router.add_get("/dst/v1/decided/{height}", decided)
    async with TestServer(application) as server:
        yield str(server.make_url("")).rstrip("/")


def told(height: int) -> Event:
    return Event(
        kind=EventKind.SEALED, node="op1", height=height, root=to_hex(ROOTS[height - 1]),
        monotonic=1.0, wall=1.0,
    )  # fmt: skip


async def seals_at(url: str) -> Sequence[GroupSignatureSeen | SealRefused]:
    reader = BeaconSeals("op1", url, Verifier(LOCK), lambda: [told(1), told(2), told(3)])
    return await reader.read(1, 2)


async def test_a_seal_is_read_with_the_block_that_it_is_of() -> None:
    async with node({}) as url:
        one, two = await seals_at(url)
    assert isinstance(one, GroupSignatureSeen)
    assert isinstance(two, GroupSignatureSeen)
    payload = CHAIN[1].body.execution_payload
    assert (two.height, two.block_hash) == (2, to_hex(payload.block_hash))
    assert two.l1_origin == CHAIN[1].l1_origin.number
    history = history_of(SETUP, [one, two])
    assert valid_certificates.check(history).outcome is Outcome.PASS


async def test_a_seal_that_does_not_verify_is_on_record_and_no_evidence_of_a_signature() -> None:
    async with node({}, STRANGER) as url:
        refused = await seals_at(url)
    assert [(type(each), each.height) for each in refused] == [(SealRefused, 1), (SealRefused, 2)]
    assert valid_certificates.check(history_of(SETUP, list(refused))).outcome is Outcome.FAIL


async def test_a_seal_on_record_is_checked_again_by_whoever_judges() -> None:
    """Not the word of the one who recorded it."""
    async with node({}) as url:
        one, two = await seals_at(url)
    forged = msgspec.structs.replace(one, signature=two.signature)
    verdict = valid_certificates.check(history_of(SETUP, [forged]))
    assert "the group did not sign" in verdict.violations[0].summary


async def certificates_at(certificates: Mapping[int, DecidedBlock]) -> list[CertificateRead]:
    async with node(certificates) as url:
        return await Certificates("op1", url).read(1, 3)


async def test_certificates_are_read_as_they_are_and_checked_as_nodes_do() -> None:
    """The digest of a vote is written down twice, and must be the same."""
    read = await certificates_at({1: certify(LOCK, CHAIN[0]), 3: certify(LOCK, CHAIN[2], round_=2)})
    assert [(each.height, each.round, len(each.commits)) for each in read] == [(1, 0, 3), (3, 2, 3)]
    assert valid_certificates.check(history_of(SETUP, list(read))).outcome is Outcome.PASS


async def test_a_certificate_of_too_few_is_recorded_and_accused() -> None:
    read = await certificates_at({2: certify(LOCK, CHAIN[1], voters=2)})
    verdict = valid_certificates.check(history_of(SETUP, list(read)))
    assert verdict.violations[0].summary.endswith("2 votes, 3 are a quorum")


# -------------------------------------------------------------------------------------- from L1


def frame(first: int, last: int, key: SecretShare = GROUP, chain: int = 0) -> bytes:
    """Heights first..last in one batch, as nodes post it."""
    blocks = CHAIN[first - 1 : last]
    content = [ssz.encode(block) for block in blocks]
    signature = seal(LOCK, blocks[-1], key)
    return encode_frame(chain or LOCK.chain.chain_id, content, header_of(blocks[-1]), signature)


class L1:
    """An L1 whose block n holds what is posted in list n - 1."""

    name = "l1"

    def __init__(self, *posted: Sequence[bytes], answers: bool = True) -> None:
        self._posted, self._answers = posted, answers
        self.read: list[int] = []

    async def call(self, method: str, *params: Any) -> Any:
        if not self._answers:
            raise RpcUnknown("no answer")
        if method == "eth_blockNumber":
            return hex(len(self._posted))
        number = int(params[0], 16)
        self.read.append(number)
        inbox = to_hex(LOCK.chain.batch_inbox)
        others = [{"to": None, "input": "0x01"}, {"to": "0x" + "11" * 20, "input": "0x02"}]
        mine = [{"to": inbox, "input": to_hex(data)} for data in self._posted[number - 1]]
        return {"transactions": others + mine}


def reader(l1: L1) -> FromL1:
    return FromL1(
        l1,
        chain_id=LOCK.chain.chain_id,
        inbox=LOCK.chain.batch_inbox,
        genesis=0,
        verifier=Verifier(LOCK),
    )


async def derived(l1: L1, first: int = 1) -> list[tuple[int, int]]:
    """(height, L1 block) of what is derived, each checked against the chain."""
    found = await reader(l1).read(first)
    for block in found:
        number = block.height - 1
        payload = CHAIN[number].body.execution_payload
        assert block.root == to_hex(ROOTS[number])
        assert block.parent_root == to_hex(CHAIN[number].parent_root)
        assert block.block_hash == to_hex(payload.block_hash)
    return [(block.height, block.l1_block) for block in found]


async def test_batches_make_a_chain_whatever_overlaps() -> None:
    l1 = L1([frame(1, 2)], [], [frame(2, 3), frame(2, 3)], [frame(3, 5)])
    assert await derived(l1) == [(1, 1), (2, 1), (3, 3), (4, 4), (5, 4)]


async def test_l1_is_read_no_further_down_than_the_first_height_wanted() -> None:
    l1 = L1([frame(1, 2)], [frame(3, 4)], [], [frame(5, 8)], [frame(9, 10)])
    assert await derived(l1, first=6) == [(6, 4), (7, 4), (8, 4), (9, 5), (10, 5)]
    assert l1.read == [5, 4]


async def test_after_a_gap_nothing_counts_until_it_is_filled() -> None:
    l1 = L1([frame(1, 2)], [frame(5, 6)], [frame(3, 4)], [frame(5, 7)])
    assert await derived(l1) == [(1, 1), (2, 1), (3, 3), (4, 3), (5, 4), (6, 4), (7, 4)]


def without_its_end(data: bytes) -> bytes:
    return data[:-9]


def with_more(data: bytes) -> bytes:
    return data[:221] + zlib.compress(zlib.decompress(data[221:]) + b"\0\0\0\0")


def other_blocks(data: bytes) -> bytes:
    return data[:221] + frame(3, 4)[221:]


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\x01" * 300,
        frame(1, 2, STRANGER),
        frame(1, 2, chain=9),
        without_its_end(frame(1, 2)),
        with_more(frame(1, 2)),
        other_blocks(frame(1, 2)),
    ],
)
async def test_what_anybody_may_send_to_the_inbox_is_passed_over(garbage: bytes) -> None:
    assert await derived(L1([garbage, frame(1, 2)])) == [(1, 1), (2, 1)]


async def test_an_l1_that_does_not_answer_shows_nothing() -> None:
    assert await derived(L1([frame(1, 2)], answers=False)) == []


async def test_what_came_to_l1_while_it_was_read_is_not_asked_of_it() -> None:
    """Its blocks are read one by one, and meanwhile a node finds a batch that came after them."""
    safe: list[Record] = []

    class Slow(L1):
        async def call(self, method: str, *params: Any) -> Any:
            answer = await super().call(method, *params)
            if method == "eth_getBlockByNumber" and not safe:
                safe.append(SafeHeadSeen(node="op1", height=6, monotonic=now()))
            return answer

    before = now()
    found = await reader(Slow([frame(1, 2)], [frame(3, 4)])).read(1)
    assert {block.monotonic for block in found} == {found[0].monotonic}
    assert before <= found[0].monotonic
    served = [
        BlockRead(
            node="op1", height=block.height, block_hash=block.block_hash, parent_hash="",
            state_root="", transactions=(),
        )
        for block in found
    ]  # fmt: skip
    history = history_of(SETUP, [*safe, *found, *served])
    assert derived_chain.check(history).outcome is Outcome.PASS


# ---------------------------------------------------------------------------------- safe heads


async def test_a_safe_head_is_recorded_when_it_has_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "LOOK_EVERY_S", 0.0)
    told = iter([3, 3, None, 3, 8, 4])
    record: list[Record] = []

    async def status(_: web.Request) -> web.Response:
        height = next(told, 4)
        if height is None:
            raise web.HTTPServiceUnavailable
        answer = {
            "decided_height": 9, "decided_slot": 9, "decided_root": "0x", "sealed_height": 9,
            "unsafe": 9, "safe": height, "finalized": 0, "l1_head": 1,
        }  # fmt: skip
        return web.json_response(answer)

    application = web.Application()
    application.router.add_get("/dst/v1/status", status)
    async with TestServer(application) as server, asyncio.timeout(20):
        url = str(server.make_url("")).rstrip("/")
        async with background([heads.watch_safe_head("op1", url, record.append)]):
            while len(record) < 3:
                await asyncio.sleep(0.001)
    assert [each.height for each in record if isinstance(each, SafeHeadSeen)] == [3, 8, 4]
