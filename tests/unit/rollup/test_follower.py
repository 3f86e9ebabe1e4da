"""The follower against scripted sources: what it takes, what it refuses, what stops it."""

import asyncio
import json
import logging
import threading
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from aiohttp import web

from dst.apis.beacon import BeaconClient, BeaconEvent, BlockId, HeaderView, WireBlock, decode_signed
from dst.apis.dst_v1 import EventKind
from dst.derivation.frame import MAX_BLOCK_BYTES, Batch, decode_frame, encode_frame
from dst.l1.rpc import L1Block, L1BlockRef
from dst.l1.source import REORGS_AT_ONCE, L1Source
from dst.l1.view import WINDOW
from dst.rollup.chain import Chain
from dst.rollup.engine_controller import EngineController, InvalidPayload
from dst.rollup.events import BeaconBus, EventRing
from dst.rollup.follower import LOOK_EVERY_S, LOOKS_AT_ONCE, Follower, Lying
from dst.rollup.halting import Halting
from dst.rollup.importer import Importer
from dst.rollup.scanner import InboxScanner
from dst.rollup.store import Store
from dst.rollup.trust import GroupVerifier
from dst.runtime.backoff import Backoff
from dst.runtime.log import LINES_AT_ONCE, Logger
from dst.runtime.metrics import Metrics
from dst.spec import ssz
from dst.spec.beacon import BeaconBlock, header_of
from dst.spec.cluster import ClusterLock
from dst.spec.errors import BadConfig, InvalidInput, StoreDamaged, Unavailable
from dst.spec.primitives import G2_POINT_AT_INFINITY, BLSSignature, Root, Term
from tests.unit.rollup.rollup_bench import (
    STRANGER,
    EngineStub,
    FakeL1,
    engine_client,
    make_block,
    make_chain,
    make_genesis,
    make_lock,
    root_of,
    seal,
    served,
    until_true,
)


@dataclass
class Source(BeaconClient):
    """Serves the blocks it is given; `signatures` by root, the infinity point for the others."""

    name: str = "a"
    blocks: list[BeaconBlock] = field(default_factory=list)
    signatures: dict[Root, BLSSignature] = field(default_factory=dict)
    head_at: int = -1
    is_down: bool = False
    asked: int = 0

    def __post_init__(self) -> None:
        super().__init__(f"fake://{self.name}")

    def serve(
        self, lock: ClusterLock, blocks: Sequence[BeaconBlock], sealed_at: Sequence[int]
    ) -> None:
        self.blocks = list(blocks)
        for position in sealed_at:
            block = blocks[position]
            self.signatures[root_of(block)] = seal(lock, block)

    def _signature(self, block: BeaconBlock) -> BLSSignature:
        return self.signatures.get(root_of(block), G2_POINT_AT_INFINITY)

    async def header(self, block_id: BlockId) -> HeaderView | None:
        if self.is_down:
            raise Unavailable("down")
        if not self.blocks:
            return None
        block = self.blocks[self.head_at]
        return HeaderView(
            root=root_of(block), header=header_of(block), signature=self._signature(block)
        )

    async def block(self, block_id: BlockId) -> WireBlock | None:
        if self.is_down:
            raise Unavailable("down")
        self.asked += 1
        for block in self.blocks:
            if block_id in (block.slot, root_of(block)):
                return WireBlock(message=ssz.encode(block), signature=self._signature(block))
        return None

    async def events(self, topics: frozenset[str]) -> AsyncGenerator[BeaconEvent, None]:
        await asyncio.Event().wait()
        yield BeaconEvent(topic="head", data={})


@dataclass
class Bench:
    lock: ClusterLock
    engine: EngineStub
    fake_l1: FakeL1
    l1: L1Source
    chain: Chain
    ring: EventRing
    halting: Halting
    follower: Follower
    scanner: InboxScanner
    a: Source
    b: Source

    def kinds(self) -> list[EventKind]:
        return [each.event.kind for each in self.ring._events]


@asynccontextmanager
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    lock = make_lock()
    engine, fake_l1, a, b = EngineStub(lock), FakeL1(), Source(), Source(name="b")
    log, metrics, ring, bus = Logger("test"), Metrics(), EventRing("f1", Term(0)), BeaconBus()
    l1 = L1Source(fake_l1, lock.chain, log, metrics)
    await l1.poll()
    async with engine_client(engine) as client:
        store = Store(tmp_path / "rollup.sqlite", b"bench")
        chain = Chain(store, make_genesis(lock))
        halting = Halting(tmp_path, store, ring, log)
        importer = Importer(
            lock=lock,
            chain=chain,
            execution=EngineController(client, chain, log, metrics),
            l1=l1,
            ring=ring,
            bus=bus,
            halting=halting,
            log=log,
        )
        verify = GroupVerifier(lock)
        follower = Follower(
            sources=[a, b],
            importer=importer,
            chain=chain,
            verify_seal=verify,
            halting=halting,
            poll_seconds=0.01,
            log=log,
            metrics=metrics,
        )
        scanner = InboxScanner(
            client=fake_l1,
            l1=l1,
            lock=lock,
            chain=chain,
            verify_seal=verify,
            bus=bus,
            on_batch=importer.import_run,
            log=log,
            metrics=metrics,
        )
        yield Bench(lock, engine, fake_l1, l1, chain, ring, halting, follower, scanner, a, b)
        store.close()


def frame(lock: ClusterLock, blocks: Sequence[BeaconBlock]) -> bytes:
    last = blocks[-1]
    return encode_frame(
        lock.chain.chain_id, [ssz.encode(b) for b in blocks], header_of(last), seal(lock, last)
    )


async def test_it_catches_up_over_several_windows_and_executes_everything(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        blocks = make_chain(at.lock, 50)
        at.a.serve(at.lock, blocks, [9, 19, 39, 49])
        await at.follower.catch_up(at.a)
        assert (at.chain.head.height, at.chain.sealed_height) == (50, 50)
        assert at.engine.head == blocks[-1].body.execution_payload.block_hash
        assert at.kinds() == [EventKind.IMPORTED] * 50


async def test_gaps_between_slots_are_skipped(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        first = make_block(at.lock, make_genesis(at.lock), slot=3)
        second = make_block(at.lock, first, slot=40)
        at.a.serve(at.lock, [first, second], [0, 1])
        await at.follower.catch_up(at.a)
        assert at.chain.head.root == root_of(second)


async def test_an_unsealed_tail_is_never_kept(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        blocks = make_chain(at.lock, 5)
        at.a.serve(at.lock, blocks, [2])
        at.a.head_at = 2
        await at.follower.catch_up(at.a)
        assert at.chain.head.height == 3
        at.a.head_at = 4
        with pytest.raises(Lying, match="did not sign its head"):
            await at.follower.catch_up(at.a)
        assert at.chain.head.height == 3


async def test_a_seal_covers_sixty_four_blocks_and_no_more(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        blocks = make_chain(at.lock, 66)
        at.a.serve(at.lock, blocks[:65], [64])
        await at.follower.catch_up(at.a)
        assert at.chain.head.height == 65
    async with bench(tmp_path / "second") as at:
        at.a.serve(at.lock, blocks, [65])
        with pytest.raises(Lying, match="without a seal"):
            await at.follower.catch_up(at.a)
        assert at.chain.head.height == 0


async def test_a_wrong_signature_is_refused(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        blocks = make_chain(at.lock, 2)
        at.a.serve(at.lock, blocks, [1])
        at.a.signatures[root_of(blocks[0])] = seal(at.lock, blocks[0], STRANGER)
        with pytest.raises(Lying, match="did not sign this block"):
            await at.follower.catch_up(at.a)
        at.a.signatures = {root_of(blocks[1]): seal(at.lock, blocks[1], STRANGER)}
        with pytest.raises(Lying, match="did not sign its head"):
            await at.follower.catch_up(at.a)
        assert at.chain.head.height == 0


async def test_blocks_that_do_not_lead_to_the_signed_head_are_refused(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        blocks = make_chain(at.lock, 3)
        stray = make_block(at.lock, make_genesis(at.lock), slot=2, transactions=[b"\x02stray"])
        at.a.serve(at.lock, blocks, [2])
        at.a.blocks.insert(1, stray)
        with pytest.raises(Lying):
            await at.follower.catch_up(at.a)
        assert (at.chain.head.height, at.halting.is_halted) == (0, False)


async def test_a_sealed_block_that_breaks_a_rule_is_refused(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        other = make_lock(graffiti=b"other".ljust(32, b"\0"))
        bad = make_block(other, make_genesis(at.lock))
        at.a.serve(at.lock, [bad], [0])
        with pytest.raises(InvalidInput, match="graffiti"):
            await at.follower.catch_up(at.a)
        assert at.chain.head.height == 0


async def test_a_sealed_block_that_does_not_execute_is_refused(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        blocks = make_chain(at.lock, 1)
        at.engine.invalid.add(blocks[0].body.execution_payload.block_hash)
        at.a.serve(at.lock, blocks, [0])
        with pytest.raises(InvalidPayload):
            await at.follower.catch_up(at.a)
        assert at.chain.head.height == 0


async def test_two_signed_blocks_at_one_height_stop_it_with_both_on_disk(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        blocks = make_chain(at.lock, 3)
        at.a.serve(at.lock, blocks, [0, 1, 2])
        await at.follower.catch_up(at.a)
        twin = make_block(at.lock, blocks[0], transactions=[b"\x02twin"])
        at.b.serve(at.lock, [blocks[0], twin], [0, 1])
        with pytest.raises(InvalidInput, match="leaves our chain at height 2"):
            await at.follower.catch_up(at.b)
        assert EventKind.EVIDENCE in at.kinds()
        folder = tmp_path / "evidence" / "height-2"
        kept = [decode_signed((folder / name).read_bytes()) for name in ("a-0.ssz", "b-0.ssz")]
        assert [ssz.decode(BeaconBlock, each.message) for each in kept] == [blocks[1], twin]
        assert all(each.is_sealed for each in kept)
        assert json.loads((folder / "summary.json").read_text())["height"] == 2
        with pytest.raises(Unavailable, match="stopped"):
            await at.follower.catch_up(at.a)


async def test_a_branch_sealed_only_further_on_is_evidence_too(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        blocks = make_chain(at.lock, 2)
        at.a.serve(at.lock, blocks, [1])
        await at.follower.catch_up(at.a)
        twin = make_block(at.lock, make_genesis(at.lock), transactions=[b"\x02twin"])
        longer = [twin]
        for _ in range(3):
            longer.append(make_block(at.lock, longer[-1]))
        at.b.serve(at.lock, longer, [3])
        with pytest.raises(InvalidInput, match="at height 1"):
            await at.follower.catch_up(at.b)
        assert at.halting.is_halted


async def test_a_block_that_another_source_brings_meanwhile_is_no_branch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One source has no block in a slot below its head; before it names that block by its root,
    another one has brought it: what is found is our own chain, and nobody is accused."""
    caplog.set_level(logging.WARNING, "dst")
    async with bench(tmp_path) as at:
        blocks = make_chain(at.lock, 3)

        class Hiding(Source):
            async def block(self, block_id: BlockId) -> WireBlock | None:
                if block_id == blocks[1].slot:
                    return None
                if block_id == root_of(blocks[1]):
                    at.b.serve(at.lock, blocks, [2])
                    await at.follower.catch_up(at.b)
                return await super().block(block_id)

        hiding = Hiding(name="hiding")
        hiding.serve(at.lock, blocks, [2])
        at.b.serve(at.lock, blocks[:1], [0])
        await at.follower.catch_up(at.b)
        await at.follower.catch_up(hiding)
        assert at.chain.head.height == 3
        assert not at.halting.is_halted
        assert EventKind.EVIDENCE not in at.kinds()
    assert caplog.records == []


async def test_a_lying_and_a_dead_source_are_skipped_for_the_good_one(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        blocks = make_chain(at.lock, 8)
        at.a.serve(at.lock, blocks, [])
        at.a.signatures[root_of(blocks[-1])] = seal(at.lock, blocks[-1], STRANGER)
        at.b.serve(at.lock, blocks, [7])
        following = asyncio.get_running_loop().create_task(at.follower.run())
        await until_true(lambda: at.chain.head.height == 8)
        at.a.is_down = True
        longer = [*blocks, make_block(at.lock, blocks[-1])]
        at.b.serve(at.lock, longer, [8])
        await until_true(lambda: at.chain.head.height == 9)
        following.cancel()


class Flooding(Source):
    """One head event after the other; every second look at it fails."""

    looks: int = 0

    async def header(self, block_id: BlockId) -> HeaderView | None:
        self.looks += 1
        if self.looks % 2:
            raise Unavailable("down")
        return await super().header(block_id)

    async def events(self, topics: frozenset[str]) -> AsyncGenerator[BeaconEvent, None]:
        while True:
            await asyncio.sleep(0)
            yield BeaconEvent(topic="head", data={})


async def test_a_source_that_floods_us_with_heads_and_flaps_buys_few_looks_and_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "dst")
    loop = asyncio.get_running_loop()
    async with bench(tmp_path) as at:
        at.follower._sources = [flooding := Flooding()]
        began = loop.time()
        following = loop.create_task(at.follower.run())
        await until_true(lambda: flooding.looks > LOOKS_AT_ONCE + 2)
        assert flooding.looks <= LOOKS_AT_ONCE + (loop.time() - began) / LOOK_EVERY_S
        monkeypatch.setattr("dst.rollup.follower.LOOK_EVERY_S", 0.0)
        monkeypatch.setattr(Backoff, "next_delay", lambda _: 0.0)
        await until_true(lambda: flooding.looks > 3 * LINES_AT_ONCE)
        following.cancel()
    told = Counter(each.message.split()[0] for each in caplog.records)
    assert told == {"source_failing": LINES_AT_ONCE, "source_back": LINES_AT_ONCE}


async def test_a_head_event_is_followed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although a look at its source is only a moment ago, as when a poll came before."""
    monkeypatch.setattr("dst.rollup.follower.LOOK_EVERY_S", 60.0)
    heads: asyncio.Queue[None] = asyncio.Queue()

    class Telling(Source):
        async def events(self, topics: frozenset[str]) -> AsyncGenerator[BeaconEvent, None]:
            while True:
                await heads.get()
                yield BeaconEvent(topic="head", data={})

    loop = asyncio.get_running_loop()
    async with bench(tmp_path) as at:
        at.follower._poll_seconds = 60.0
        at.follower._sources = [telling := Telling()]
        following = loop.create_task(at.follower.run())
        blocks = make_chain(at.lock, LOOKS_AT_ONCE - 1)
        for height in range(1, LOOKS_AT_ONCE):
            telling.serve(at.lock, blocks[:height], [height - 1])
            heads.put_nowait(None)
            await until_true(lambda height=height: at.chain.head.height == height)
        following.cancel()


async def test_it_says_that_it_waits_for_a_source_while_none_brings_anything(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path) as at:
        at.a.is_down = at.b.is_down = True
        following = asyncio.get_running_loop().create_task(at.follower.run())
        expected = "one of its sources: fake://a (down), fake://b (down)"
        await until_true(lambda: at.follower.waits_for() == expected)
        at.b.is_down = False
        await until_true(lambda: at.follower.waits_for() is None)
        following.cancel()


@pytest.mark.parametrize(
    ("status", "body", "events"),
    [
        (409, b'{"code":409,"message":"x","reset_height":1}', b""),
        (400, b"[" * 200_000, b""),
        (503, b"{}", "id: \u00b2\nevent: head\ndata: {}\n\n".encode()),
        (503, b"{}", b"id: " + b"1" * 5000 + b"\nevent: head\ndata: {}\n\n"),
        (503, b"{}", (b"data: " + b"x" * 60_000 + b"\n") * 20),
    ],
    ids=["reset", "deep", "superscript", "long id", "endless event"],
)
async def test_nothing_a_source_answers_ends_the_follower(
    tmp_path: Path, status: int, body: bytes, events: bytes
) -> None:
    asked: list[str] = []

    async def lie(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        if not request.path.endswith("/events"):
            return web.Response(status=status, body=body)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(events)
        return response

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", lie)
    async with bench(tmp_path) as at, served(app) as url, BeaconClient(url) as liar:
        at.follower._sources = [liar, at.b]
        following = asyncio.get_running_loop().create_task(at.follower.run())
        # Twice each: its loops went on after the first answer.
        await until_true(lambda: min(sum(e in p for p in asked) for e in ("events", "head")) > 1)
        at.b.serve(at.lock, make_chain(at.lock, 2), [1])
        await until_true(lambda: at.chain.head.height == 2)
        assert not following.done()
        following.cancel()


async def test_a_damaged_store_of_its_own_ends_it_and_is_no_fault_of_a_source(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench(tmp_path) as at:
        blocks = make_chain(at.lock, 3)
        at.a.serve(at.lock, blocks[:2], [1])
        await at.follower.catch_up(at.a)
        at.chain.store._db.execute("UPDATE blocks SET block = zeroblob(9)")
        at.a.serve(at.lock, blocks, [1, 2])
        with pytest.raises(BaseExceptionGroup) as ended:
            async with asyncio.timeout(5):
                await at.follower.run()
        assert ended.group_contains(StoreDamaged)
        assert not at.follower._failing
        assert "source_" not in caplog.text


async def test_a_block_is_hashed_only_when_it_may_belong_to_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path) as at:
        blocks = make_chain(at.lock, 3)
        at.a.serve(at.lock, blocks, [2])
        served_blocks = at.a.blocks
        hashed: list[object] = []
        real = ssz.hash_tree_root
        wires = {
            "too long": bytes(MAX_BLOCK_BYTES + 1),
            "for slot 1": ssz.encode(blocks[1]),
        }
        for complaint, message in wires.items():

            async def block(_: BlockId, message: bytes = message) -> WireBlock:
                return WireBlock(message=message, signature=G2_POINT_AT_INFINITY)

            def counting(value: object) -> Root:
                if isinstance(value, BeaconBlock) and value not in served_blocks[2:]:
                    hashed.append(value)
                return real(value)

            monkeypatch.setattr(at.a, "block", block)
            monkeypatch.setattr(ssz, "hash_tree_root", counting)
            with pytest.raises(Lying, match=complaint):
                await at.follower.catch_up(at.a)
            assert hashed == []


async def test_an_l1_outage_does_not_stop_it(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        at.fake_l1.is_down = True
        at.a.serve(at.lock, make_chain(at.lock, 3), [2])
        await at.follower.catch_up(at.a)
        assert at.chain.head.height == 3


async def test_the_chain_is_rebuilt_from_l1_alone(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        blocks = make_chain(at.lock, 12)
        at.fake_l1.mine(2, data=[b"noise", frame(at.lock, blocks[:5])])
        at.fake_l1.mine(3, data=[frame(at.lock, blocks[3:12])])
        await at.l1.poll()
        await at.scanner.scan()
        assert (at.chain.head.height, at.chain.safe_height) == (12, 12)
        assert at.chain.finalized_height == 0
        at.fake_l1.finalized = 3
        await at.l1.poll()
        await at.scanner.scan()
        assert at.chain.finalized_height == 5


async def test_an_l1_that_was_ours_and_is_another_one_is_waited_for(tmp_path: Path) -> None:
    """It lies or is on a fork: the node must not end, and goes on when it is back."""
    async with bench(tmp_path) as at:
        batch = frame(at.lock, make_chain(at.lock, 3))
        at.fake_l1.mine(2, data=[batch])
        await at.l1.poll()
        await at.scanner.scan()
        assert at.chain.safe_height == 3
        honest = list(at.fake_l1.blocks)
        at.fake_l1.reorg(3, "other")
        await at.l1.poll()
        with pytest.raises(Unavailable, match="the lock any more"):
            await at.scanner.scan()
        at.fake_l1.blocks[:] = honest
        at.fake_l1.mine(1)
        await at.l1.poll()
        await at.scanner.scan()
        assert at.chain.safe_height == 3


async def test_an_l1_that_was_ours_before_the_start_is_waited_for(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        at.fake_l1.mine(2, data=[frame(at.lock, make_chain(at.lock, 3))])
        await at.l1.poll()
        await at.scanner.scan()
    async with bench(tmp_path) as at:
        at.fake_l1.mine(2)
        at.fake_l1.reorg(3, "other")
        await at.l1.poll()
        with pytest.raises(Unavailable, match="the lock any more"):
            await at.scanner.scan()
        assert "the lock any more" in (at.scanner.waits_for() or "")


async def test_an_l1_that_was_ours_when_it_was_scanned_is_waited_for(tmp_path: Path) -> None:
    """Before what was scanned comes into view."""
    async with bench(tmp_path) as at:
        at.fake_l1.mine(WINDOW + 10)
        await at.l1.poll()
        honest, block = list(at.fake_l1.blocks), at.fake_l1.block

        async def lie_at_five(number: int) -> L1Block | None:
            if number == 5:
                at.fake_l1.reorg(len(honest), "other")
                await at.l1.poll()
            return await block(number)

        with mock.patch.object(at.fake_l1, "block", lie_at_five):
            with pytest.raises(Unavailable, match="the lock any more"):
                await at.scanner.scan()
        at.fake_l1.blocks[:] = honest
        await at.l1.poll()
        await at.scanner.scan()
        assert at.scanner.waits_for() is None


async def test_a_lie_about_finality_that_is_not_on_its_chain_is_not_believed(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path) as at:
        at.fake_l1.mine(2, data=[frame(at.lock, make_chain(at.lock, 3))])
        head, numbers = at.fake_l1.head, [10**9, 2]

        async def lie(tag: str = "latest") -> L1BlockRef | None:
            ref = await head(tag)
            if tag == "latest" or ref is None:
                return ref
            return L1BlockRef(
                number=numbers[0],
                hash=ref.hash,
                parent_hash=ref.parent_hash,
                timestamp=ref.timestamp,
            )

        while numbers:
            with mock.patch.object(at.fake_l1, "head", lie):
                await at.l1.poll()
            await at.scanner.scan()
            assert (at.chain.safe_height, at.chain.finalized_height) == (3, 0)
            del numbers[0]


async def test_finality_ends_with_who_told_of_it_and_never_passes_what_is_safe(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench(tmp_path) as at:
        at.fake_l1.mine(2, data=[frame(at.lock, make_chain(at.lock, 3))])
        at.fake_l1.mine(3)
        at.fake_l1.finalized = 5
        await at.l1.poll()
        await at.scanner.scan()
        assert (at.chain.safe_height, at.chain.finalized_height) == (3, 3)
        at.fake_l1.finalized = 0
        await at.l1.poll()
        await at.scanner.scan()
        assert (at.l1.finalized_number, at.chain.finalized_height) == (0, 3)
        at.fake_l1.reorg(5, "other")
        at.fake_l1.mine(2, "other")
        await at.l1.poll()
        await at.scanner.scan()
        assert (at.chain.safe_height, at.chain.finalized_height) == (0, 0)
        assert caplog.text.count("finalized_taken_back") == 1


async def test_an_l1_that_changes_its_mind_with_each_poll_does_not_fill_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench(tmp_path) as at:
        at.fake_l1.mine(20)
        await at.l1.poll()
        honest = list(at.fake_l1.blocks)
        at.fake_l1.reorg(8, "other")
        lie = list(at.fake_l1.blocks)
        for i in range(60):
            at.fake_l1.blocks[:] = honest if i % 2 else lie
            await at.l1.poll()
        lines = (record for record in caplog.records if "l1_reorg" in record.getMessage())
        assert 0 < sum(line.levelname == "WARNING" for line in lines) <= REORGS_AT_ONCE + 1


async def test_an_l1_that_never_was_ours_is_a_wrong_setting(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        at.fake_l1.reorg(1, "other")
        await at.l1.poll()
        with pytest.raises(BadConfig, match="right network"):
            await at.scanner.scan()


async def test_a_batch_that_a_full_disk_did_not_keep_is_told_once_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The scanner comes to it again and again until there is room."""
    async with bench(tmp_path) as at:
        caplog.set_level("INFO")
        at.fake_l1.mine(1, data=[frame(at.lock, make_chain(at.lock, 3))])
        await at.l1.poll()

        def full(*_: object) -> None:
            raise Unavailable("no room")

        with monkeypatch.context() as disk:
            disk.setattr(at.chain.store, "put_scanned", full)
            for _ in range(3):
                with pytest.raises(Unavailable):
                    await at.scanner.scan()
        assert "batch_found" not in caplog.text
        await at.scanner.scan()
        assert caplog.text.count("batch_found") == 1
        assert at.chain.safe_height == 3


async def test_a_batch_after_a_gap_waits_for_nobody(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        blocks = make_chain(at.lock, 6)
        at.fake_l1.mine(1, data=[frame(at.lock, blocks[3:])])
        at.fake_l1.mine(1, data=[frame(at.lock, blocks[:2])])
        await at.l1.poll()
        await at.scanner.scan()
        assert (at.chain.head.height, at.chain.safe_height) == (2, 2)


async def test_a_copy_of_an_old_batch_is_not_even_decompressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path) as at:
        blocks = make_chain(at.lock, 4)
        data = frame(at.lock, blocks[:3])
        at.fake_l1.mine(1, data=[data])
        await at.l1.poll()
        await at.scanner.scan()
        assert at.chain.safe_height == 3
        read: list[bytes] = []

        def counting(data: bytes, **rest: Any) -> Batch:
            read.append(data)
            return decode_frame(data, **rest)

        monkeypatch.setattr("dst.rollup.scanner.decode_frame", counting)
        fresh = frame(at.lock, blocks[2:])
        at.fake_l1.mine(1, data=[data, fresh, fresh, data])
        await at.l1.poll()
        await at.scanner.scan()
        assert at.chain.safe_height == 4
        assert read == [fresh]


async def test_the_loop_runs_on_while_a_frame_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path) as at:
        data = frame(at.lock, make_chain(at.lock, 1))
        released = threading.Event()

        def slow(data: bytes, **rest: Any) -> Batch:
            assert released.wait(5), "nobody else could run"
            return decode_frame(data, **rest)

        monkeypatch.setattr("dst.rollup.scanner.decode_frame", slow)
        at.fake_l1.mine(1, data=[data])
        await at.l1.poll()
        asyncio.get_running_loop().call_soon(released.set)
        await at.scanner.scan()
        assert at.chain.safe_height == 1


async def test_safe_falls_back_when_l1_drops_a_batch(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        blocks = make_chain(at.lock, 4)
        at.fake_l1.mine(1, data=[frame(at.lock, blocks[:2])])
        at.fake_l1.mine(2, data=[frame(at.lock, blocks[2:])])
        await at.l1.poll()
        await at.scanner.scan()
        assert at.chain.safe_height == 4
        at.fake_l1.reorg(1, "fork", 3)
        await at.l1.poll()
        await at.scanner.scan()
        assert (at.chain.safe_height, at.chain.head.height) == (2, 4)
        at.fake_l1.mine(1, "fork", data=[frame(at.lock, blocks[2:])])
        await at.l1.poll()
        await at.scanner.scan()
        assert at.chain.safe_height == 4


async def test_a_batch_that_conflicts_with_a_sealed_chain_is_evidence(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        at.a.serve(at.lock, make_chain(at.lock, 2), [1])
        await at.follower.catch_up(at.a)
        twin = make_block(at.lock, make_genesis(at.lock), transactions=[b"\x02twin"])
        at.fake_l1.mine(1, data=[frame(at.lock, [twin])])
        await at.l1.poll()
        with pytest.raises(InvalidInput, match="conflicts"):
            await at.scanner.scan()
        assert at.halting.is_halted
