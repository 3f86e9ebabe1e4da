"""The operator's driver over a real HTTP engine: produce, validate, decided, publish; refusals as
much as success."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from dst.apis.beacon import ProduceRequest, WireBlock
from dst.apis.dst_v1 import EventKind, OutOfOrder
from dst.l1.source import L1Source
from dst.rollup import asking, reset_watch
from dst.rollup.chain import Chain
from dst.rollup.engine_controller import EngineController
from dst.rollup.events import BeaconBus, EventRing
from dst.rollup.halting import Halting
from dst.rollup.node import RollupNode
from dst.rollup.operator import Operator
from dst.rollup.reset_watch import ResetWatch
from dst.rollup.store import Store
from dst.rollup.trust import CertificateVerifier, GroupVerifier
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec import ssz
from dst.spec.beacon import BeaconBlock
from dst.spec.cluster import ClusterLock
from dst.spec.errors import InvalidInput, ResetRequired, Unavailable
from dst.spec.judgement import Judgement, Verdict
from dst.spec.primitives import BLSSignature, Height, Round, Slot, Term
from tests.unit.rollup.rollup_bench import (
    GENESIS_TIME,
    STRANGER,
    EngineStub,
    FakeL1,
    certify,
    engine_client,
    make_block,
    make_chain,
    make_genesis,
    make_lock,
    root_of,
    seal,
    sealed,
    until_true,
)

IDENTITY = b"bench chain"
T = TypeVar("T")


@dataclass
class Bench:
    lock: ClusterLock
    engine: EngineStub
    fake_l1: FakeL1
    l1: L1Source
    chain: Chain
    ring: EventRing
    halting: Halting
    operator: Operator
    execution: EngineController
    watch: ResetWatch
    clock: list[float]

    def at_slot(self, slot: int) -> None:
        self.clock[0] = GENESIS_TIME + slot * self.lock.chain.seconds_per_slot + 0.25

    async def grow(self, count: int) -> list[BeaconBlock]:
        blocks = []
        for _ in range(count):
            block = make_block(self.lock, self.chain.head.block)
            await self.operator.decided(certify(self.lock, block))
            blocks.append(block)
        return blocks

    def kinds(self) -> list[EventKind]:
        return [each.event.kind for each in self.ring._events]

    def node(self, now: Callable[[], float] = time.time) -> RollupNode:
        """The role's server over these parts."""
        return RollupNode(
            name="op1",
            lock=self.lock,
            chain=self.chain,
            l1=self.l1,
            ring=self.ring,
            bus=BeaconBus(),
            halting=self.halting,
            operator=self.operator,
            now=now,
        )


@asynccontextmanager
async def bench(
    tmp_path: Path, *, look: bool = True, l1_is_out: bool = False, **chain_constants: object
) -> AsyncIterator[Bench]:
    lock = make_lock(**chain_constants)
    engine, fake_l1, clock = EngineStub(lock), FakeL1(), [GENESIS_TIME + 1.25]
    fake_l1.mine(20)
    log, metrics = Logger("test"), Metrics()
    l1 = L1Source(fake_l1, lock.chain, log, metrics)
    if l1_is_out:
        fake_l1.is_down = True
        asking = asyncio.get_running_loop().create_task(l1.run())
        await until_true(lambda: l1.is_out_since_start)
        asking.cancel()
    else:
        await l1.poll()
    async with engine_client(engine) as client:
        store = Store(tmp_path / "rollup.sqlite", IDENTITY)
        chain = Chain(store, make_genesis(lock))
        ring = EventRing("op1", Term(0))
        halting = Halting(tmp_path, store, ring, log)
        execution = EngineController(client, chain, log, metrics)
        watch = ResetWatch(chain, l1, halting, lock.chain.l1_confirmations)
        operator = Operator(
            lock=lock,
            chain=chain,
            execution=execution,
            l1=l1,
            ring=ring,
            bus=BeaconBus(),
            halting=halting,
            watch=watch,
            verify_seal=GroupVerifier(lock),
            certificates=CertificateVerifier(lock),
            log=log,
            metrics=metrics,
            now=lambda: clock[0],
        )
        if look and not l1_is_out:
            await watch.look()
        yield Bench(
            lock, engine, fake_l1, l1, chain, ring, halting, operator, execution, watch, clock
        )
        store.close()


async def validate(
    at: Bench, block: BeaconBlock, *, justified: bool = False, deadline_ms: int | None = None
) -> Judgement:
    return await at.operator.validate(
        ssz.encode(block),
        height=Height(block.body.execution_payload.block_number),
        round_=Round(0),
        justified=justified,
        deadline_ms=deadline_ms,
    )


async def test_a_produced_block_validates_decides_and_seals(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        data = await at.operator.produce(ProduceRequest(slot=Slot(1)))
        assert data is not None
        block = ssz.decode(BeaconBlock, data)
        assert block.l1_origin.number == 16, "head 20 less four confirmations"
        assert await validate(at, block) == Judgement(Verdict.VALID)
        assert await at.operator.decided(certify(at.lock, block)) == 1
        assert at.engine.started == [block.body.execution_payload.block_hash], "executed once"
        assert "eth_getBlockByNumber" not in at.engine.calls, "nothing had to be refilled"
        await at.operator.publish(sealed(at.lock, block))
        assert (at.chain.head.height, at.chain.sealed_height) == (1, 1)
        assert at.engine.head == block.body.execution_payload.block_hash
        assert at.kinds() == [EventKind.SEALED]


async def test_produce_refuses_a_slot_that_is_not_now_and_one_that_is_over(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        with pytest.raises(InvalidInput, match="not the current slot"):
            await at.operator.produce(ProduceRequest(slot=Slot(9)))
        await at.grow(1)
        assert await at.operator.produce(ProduceRequest(slot=Slot(1))) is None


async def test_beyond_the_drift_a_block_is_empty(tmp_path: Path) -> None:
    async with bench(tmp_path, max_sequencer_drift=1) as at:
        at.engine.transactions = (b"\x02tx",)
        data = await at.operator.produce(ProduceRequest(slot=Slot(1)))
        assert data is not None
        assert ssz.decode(BeaconBlock, data).body.execution_payload.transactions == ()


async def test_rule_51_with_nothing_to_include_a_leader_owes_its_block_all_the_same(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path) as at:
        at.engine.transactions = ()
        data = await at.operator.produce(ProduceRequest(slot=Slot(1)))
        assert data is not None
        block = ssz.decode(BeaconBlock, data)
        assert block.body.execution_payload.transactions == ()
        assert await validate(at, block) == Judgement(Verdict.VALID)


async def test_an_l1_outage_does_not_stop_production(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        at.fake_l1.is_down = True
        asking = asyncio.get_running_loop().create_task(at.l1.run())
        await until_true(lambda: at.l1.waits_for() is not None)
        asking.cancel()
        data = await at.operator.produce(ProduceRequest(slot=Slot(1)))
        assert data is not None
        block = ssz.decode(BeaconBlock, data)
        assert block.l1_origin.number == 16, "the view that it had stays"
        assert await validate(at, block) == Judgement(Verdict.VALID)


async def test_view_rules_bind_fresh_proposals_only(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        at.at_slot(10)
        late = make_block(at.lock, at.chain.head.block, slot=1)
        assert (await validate(at, late)).status is Verdict.INVALID
        assert (await validate(at, late, justified=True)).status is Verdict.VALID


async def test_early_slot_and_unseen_origin_are_held(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        early = make_block(at.lock, at.chain.head.block, slot=2)
        assert (await validate(at, early)).status is Verdict.HOLD
        at.fake_l1.mine(1, "later")
        unseen = at.fake_l1.blocks.pop().ref
        block = make_block(at.lock, at.chain.head.block, origin=(unseen.number, unseen.hash))
        assert (await validate(at, block)).status is Verdict.HOLD


async def test_a_broken_constant_is_refused_even_when_justified(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        block = make_block(at.lock, at.chain.head.block)
        bad = replace(block, body=replace(block.body, graffiti=b"\x01" * 32))
        assert (await validate(at, bad, justified=True)).status is Verdict.INVALID
        assert at.kinds() == [EventKind.REFUSED]


async def test_what_the_engine_finds_invalid_is_refused(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        block = make_block(at.lock, at.chain.head.block)
        at.engine.invalid.add(block.body.execution_payload.block_hash)
        assert "bad state root" in (await validate(at, block)).reason


async def test_a_fresh_execution_ends_with_its_deadline(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        block = make_block(at.lock, at.chain.head.block)
        block_hash = block.body.execution_payload.block_hash
        at.engine.slow[block_hash] = asyncio.Event()
        result = await validate(at, block, deadline_ms=40)
        assert result.status is Verdict.HOLD
        await until_true(lambda: at.engine.aborted == [block_hash])


async def test_a_decided_block_aborts_a_fresh_execution_of_another(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        stale = make_block(at.lock, at.chain.head.block, transactions=[b"\x02slow"])
        stale_hash = stale.body.execution_payload.block_hash
        at.engine.slow[stale_hash] = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(validate(at, stale))
            await until_true(lambda: stale_hash in at.engine.started)
            await at.grow(1)
        assert waiting.result().status is Verdict.HOLD
        await until_true(lambda: at.engine.aborted == [stale_hash])
        assert at.chain.head.height == 1


async def test_a_decided_block_joins_its_own_validation_and_outlives_its_deadline(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path) as at:
        block = make_block(at.lock, at.chain.head.block)
        block_hash = block.body.execution_payload.block_hash
        at.engine.slow[block_hash] = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            voting = group.create_task(validate(at, block, deadline_ms=150))
            await until_true(lambda: block_hash in at.engine.started)
            deciding = group.create_task(at.operator.decided(certify(at.lock, block)))
            await asyncio.wait({voting})
            at.engine.slow[block_hash].set()
        assert (deciding.result(), at.engine.aborted) == (1, [])
        assert at.engine.started == [block_hash], "one call for both"


async def test_decided_blocks_come_one_after_another(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        first, second, third = make_chain(at.lock, 3)
        with pytest.raises(OutOfOrder) as refusal:
            await at.operator.decided(certify(at.lock, second))
        assert refusal.value.head_height == 0
        for block in (first, second, third):
            await at.operator.decided(certify(at.lock, block))
        assert await at.operator.decided(certify(at.lock, first)) == 3, "known: the head"


async def test_forged_certificates_are_refused(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        first, second = make_chain(at.lock, 2)
        forged = certify(at.lock, second)
        for bad in (
            certify(at.lock, first, voters=2),
            msgspec.structs.replace(certify(at.lock, first), certificate=forged.certificate),
        ):
            with pytest.raises(InvalidInput, match="certificate"):
                await at.operator.decided(bad)
        assert at.chain.head.height == 0


async def test_two_certificates_at_one_height_stop_the_node(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        await at.grow(1)
        other = make_block(at.lock, make_genesis(at.lock), transactions=[b"\x02other"])
        with pytest.raises(InvalidInput, match="two certificates"):
            await at.operator.decided(certify(at.lock, other))
        with pytest.raises(Unavailable, match="stopped"):
            await at.grow(1)
        assert (tmp_path / "evidence" / "height-1" / "summary.json").exists()


async def test_publish_verifies_the_group_signature(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        (block,) = await at.grow(1)
        wrong = WireBlock(message=ssz.encode(block), signature=seal(at.lock, block, STRANGER))
        none = WireBlock(message=ssz.encode(block), signature=BLSSignature(b"\xc0" + bytes(95)))
        for bad in (wrong, none):
            with pytest.raises(InvalidInput, match="did not sign"):
                await at.operator.publish(bad)
        assert at.chain.sealed_height == 0


async def test_publish_before_the_decision_is_asked_to_wait(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        (block,) = make_chain(at.lock, 1)
        with pytest.raises(Unavailable, match="not decided here"):
            await at.operator.publish(sealed(at.lock, block))


async def test_a_second_signed_block_at_a_height_stops_the_node_for_good(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        (block,) = await at.grow(1)
        await at.operator.publish(sealed(at.lock, block))
        other = make_block(at.lock, make_genesis(at.lock), transactions=[b"\x02other"])
        with pytest.raises(InvalidInput, match="another block"):
            await at.operator.publish(sealed(at.lock, other))
        assert EventKind.EVIDENCE in at.kinds()
        folder = tmp_path / "evidence" / "height-1"
        assert {f.name for f in folder.iterdir()} == {"a-0.ssz", "b-0.ssz", "summary.json"}
    async with bench(tmp_path) as at:
        with pytest.raises(Unavailable, match="stopped"):
            await at.operator.produce(ProduceRequest(slot=Slot(2)))


async def test_blocks_seal_late_and_out_of_order(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        first, second = await at.grow(2)
        assert not at.operator.sealed.is_set()
        await at.operator.publish(sealed(at.lock, second))
        assert at.operator.sealed.is_set(), "whoever posts batches is woken"
        at.operator.sealed.clear()
        head = at.chain.header("head")
        assert head is not None
        assert head.root == root_of(second)
        await at.operator.publish(sealed(at.lock, first))
        assert not at.operator.sealed.is_set(), "an older one"
        assert at.chain.sealed_height == 2
        served = at.chain.wire_block(Slot(1))
        assert served is not None
        assert served.is_sealed


async def test_status_names_the_lowest_height_that_is_owed_its_seal(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        node = at.node()
        assert (await node.status()).lowest_unsealed_height == 1, "the next one"
        first, second, third = await at.grow(3)
        for block, lowest in ((third, 1), (first, 2), (second, 4)):
            await at.operator.publish(sealed(at.lock, block))
            assert (await node.status()).lowest_unsealed_height == lowest
        assert at.chain.sealed_height == 3


async def test_a_full_disk_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever brings a block brings it again; said once, and once when it is over."""
    async with bench(tmp_path) as at:
        await at.grow(1)
        # Larger than what is free of the pages in use.
        block = make_block(at.lock, at.chain.head.block, transactions=[bytes(9000)])
        db = at.chain.store._db
        db.execute("PRAGMA max_page_count = 1")  # SQLite's own way to be full
        for _ in range(3):
            with pytest.raises(Unavailable, match=r"disk is full: .*; waits for room"):
                await at.operator.decided(certify(at.lock, block))
        assert at.chain.head.height == 1
        assert (at.chain.store.waits_for() or "").startswith("room on the disk of ")
        with at.chain.store._writing():
            pass  # what is small enough may still fit, and that is no news
        assert at.chain.store.waits_for() is not None
        db.execute("PRAGMA max_page_count = 1000000")
        assert await at.operator.decided(certify(at.lock, block)) == 2
        assert at.chain.store.waits_for() is None
        await at.operator.publish(sealed(at.lock, block))
        said = [each.getMessage() for each in caplog.records]
        assert sum("disk_full" in each for each in said) == 1
    async with bench(tmp_path) as at:
        assert at.chain.head.height == 2


async def test_a_restart_goes_on_from_the_store(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        blocks = await at.grow(3)
        await at.operator.publish(sealed(at.lock, blocks[1]))
    async with bench(tmp_path) as at:
        assert (at.chain.head.height, at.chain.sealed_height) == (3, 2)


async def test_an_engine_that_lost_its_head_is_refilled(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        blocks = await at.grow(5)
        at.engine.forget()
        block = make_block(at.lock, blocks[-1])
        await at.operator.decided(certify(at.lock, block))
        assert at.engine.head == block.body.execution_payload.block_hash


async def test_a_store_behind_its_engine_recovers(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        (first,) = make_chain(at.lock, 1)
        at.engine.payloads[first.body.execution_payload.block_hash] = first.body.execution_payload
        at.engine.head = first.body.execution_payload.block_hash
        await at.operator.decided(certify(at.lock, first))
        assert at.chain.head.height == 1


async def test_what_the_execution_layer_lacks_is_told_on(tmp_path: Path) -> None:
    """With a full disk it answers SYNCING, and it is no use to look for what it syncs."""
    async with bench(tmp_path) as at:
        (block,) = make_chain(at.lock, 1)
        at.engine.lacks = "disk is full: /data; waits for room"
        told = f"execution layer is SYNCING: {at.engine.lacks}"
        with pytest.raises(Unavailable, match=told):
            await at.operator.decided(certify(at.lock, block))
        assert await validate(at, block) == Judgement(Verdict.HOLD, told)
        at.engine.lacks = None
        assert await at.operator.decided(certify(at.lock, block)) == 1


async def test_an_engine_outage_is_a_retry_not_a_loss(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        (block,) = make_chain(at.lock, 1)
        at.engine.is_down = True
        with pytest.raises(Unavailable):
            await at.operator.decided(certify(at.lock, block))
        assert (at.execution.waits_for() or "").startswith("its execution layer: ")
        at.engine.is_down = False
        assert await at.operator.decided(certify(at.lock, block)) == 1
        assert at.execution.waits_for() is None


async def test_a_healed_engine_link_is_used_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it swallowed stays swallowed; nobody waits for that."""
    monkeypatch.setattr(asking, "ASK_AGAIN_S", 0.02)
    async with bench(tmp_path) as at:
        block = make_block(at.lock, at.chain.head.block)

        async def heals(call: Coroutine[Any, Any, T]) -> T:
            at.engine.is_silent, at.engine.swallowed = True, 0
            task = asyncio.get_running_loop().create_task(call)
            await until_true(lambda: at.engine.swallowed >= 4)
            at.engine.is_silent = False
            async with asyncio.timeout(3):
                return await task

        assert (await heals(validate(at, block))).status is Verdict.VALID
        assert await heals(at.operator.decided(certify(at.lock, block))) == 1
        assert at.engine.head == block.body.execution_payload.block_hash
        at.at_slot(2)
        assert await heals(at.operator.produce(ProduceRequest(slot=Slot(2)))) is not None
        at.engine.forget()
        following = make_block(at.lock, block)
        assert await heals(at.operator.decided(certify(at.lock, following))) == 2


async def test_a_decided_block_asked_for_again_does_not_abort_itself(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        block = make_block(at.lock, at.chain.head.block)
        block_hash = block.body.execution_payload.block_hash
        at.engine.slow[block_hash] = asyncio.Event()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.03):
                    await at.operator.decided(certify(at.lock, block))
            result = await validate(at, block, justified=True, deadline_ms=30)
            assert result.status is Verdict.HOLD
        at.engine.slow[block_hash].set()
        assert await at.operator.decided(certify(at.lock, block)) == 1
        assert (at.engine.started, at.engine.aborted) == ([block_hash], [])


async def test_an_l1_reorg_below_the_origin_halts_and_names_the_first_height(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path) as at:
        await at.grow(2)
        origin = at.fake_l1.blocks[16].ref
        for _ in range(2):
            block = make_block(at.lock, at.chain.head.block, origin=(16, origin.hash))
            await at.operator.decided(certify(at.lock, block))
        await at.watch.look()
        assert not at.halting.is_halted
        at.fake_l1.reorg(8, "fork", 9)
        await at.l1.poll()
        await at.watch.look()
        assert at.halting.reset_height == 3
        assert at.kinds() == [EventKind.RESET]
        with pytest.raises(ResetRequired, match="first affected height 3"):
            await at.operator.produce(ProduceRequest(slot=Slot(5)))
        with pytest.raises(ResetRequired):
            await validate(at, make_block(at.lock, at.chain.head.block))
    async with bench(tmp_path, look=False) as at:
        assert at.halting.reset_height == 3, "a restart does not forget"


async def test_a_reset_ends_when_l1_shows_the_origin_again(tmp_path: Path) -> None:
    """This operator's own L1 node was on a minority fork; L1 at large never dropped anything."""
    async with bench(tmp_path) as at:
        good, canonical = on_origin(at, 16), list(at.fake_l1.blocks)
        at.fake_l1.reorg(8, "minority", 9)
        await at.l1.poll()
        await at.operator.decided(certify(at.lock, good))
        await at.watch.look()
        assert at.halting.reset_height == 1
    async with bench(tmp_path, look=False) as at:
        assert at.halting.reset_height == 1
        at.fake_l1.blocks = canonical[: 16 + at.lock.chain.l1_confirmations]
        await at.l1.poll()
        await at.watch.look()
        assert at.halting.is_halted, "shown again, but not as deep as an origin must be"
        at.fake_l1.blocks = canonical[: 17 + at.lock.chain.l1_confirmations]
        await at.l1.poll()
        at.watch.l1_moved(reorged=False)
        watching = asyncio.get_running_loop().create_task(at.watch.run())
        await until_true(lambda: not at.halting.is_halted)
        watching.cancel()
        assert at.kinds() == [EventKind.RESET_ENDED]
        await at.operator.decided(certify(at.lock, on_origin(at, 16)))
    async with bench(tmp_path) as at:
        assert not at.halting.is_halted


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_justified_block_needs_no_l1_that_still_knows_its_origin(
    tmp_path: Path, restarted: bool
) -> None:
    """f+1 honest operators saw the origin; L1 forgets a block that it dropped."""
    async with bench(tmp_path) as at:
        locked = on_origin(at, 16)
        at.fake_l1.reorg(6, "fork", 8)
        blocks = at.fake_l1.blocks
        await at.l1.poll()
        if not restarted:
            at.l1._known.clear()
            assert (await validate(at, locked)).status is Verdict.HOLD
            assert (await validate(at, locked, justified=True)).status is Verdict.VALID
    if restarted:
        async with bench(tmp_path, look=False) as at:
            at.fake_l1.blocks, at.l1.chain = blocks, None
            at.l1._known.clear()
            assert (await validate(at, locked, justified=True)).status is Verdict.VALID


async def test_a_lagging_l1_is_no_reset(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        block = make_block(
            at.lock, at.chain.head.block, origin=(16, at.fake_l1.blocks[16].ref.hash)
        )
        await at.operator.decided(certify(at.lock, block))
        del at.fake_l1.blocks[10:]
        await at.l1.poll()
        with pytest.raises(Unavailable):
            await at.watch.look()
        assert at.halting.reset_height is None


def on_origin(at: Bench, number: int) -> BeaconBlock:
    """A child of the head on an origin that L1 shows now."""
    origin = (number, at.fake_l1.blocks[number].ref.hash)
    return make_block(at.lock, at.chain.head.block, origin=origin)


async def test_an_origin_dropped_between_the_votes_and_the_import_is_a_reset(
    tmp_path: Path,
) -> None:
    """Also when the next block, on a good origin, is imported before anybody looks."""
    async with bench(tmp_path) as at:
        await at.operator.decided(certify(at.lock, on_origin(at, 14)))
        late = on_origin(at, 16)
        at.fake_l1.reorg(6, "fork", 8)
        await at.l1.poll()
        await at.watch.look()
        assert not at.halting.is_halted, "the head's own origin is still there"
        await at.operator.decided(certify(at.lock, late))
        await at.operator.decided(certify(at.lock, on_origin(at, 17)))
        watching = asyncio.get_running_loop().create_task(at.watch.run())
        await until_true(lambda: at.halting.is_halted)
        watching.cancel()
        assert at.halting.reset_height == 2
        with pytest.raises(ResetRequired):
            await at.operator.publish(sealed(at.lock, late))
        assert at.chain.sealed_height == 0


async def test_good_origins_cause_no_look(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        at.watch._wanted.clear()
        await at.operator.decided(certify(at.lock, on_origin(at, 15)))
        await at.operator.decided(certify(at.lock, on_origin(at, 16)))
        assert not at.watch._wanted.is_set()


async def test_a_dropped_origin_below_a_good_one_is_found_after_a_restart(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        late = on_origin(at, 16)
        at.fake_l1.reorg(6, "fork", 8)
        await at.l1.poll()
        await at.operator.decided(certify(at.lock, late))
        await at.operator.decided(certify(at.lock, on_origin(at, 17)))
        blocks = at.fake_l1.blocks
    async with bench(tmp_path, look=False) as at:
        at.fake_l1.blocks = blocks
        at.l1.chain = None
        await at.l1.poll()
        await at.watch.look()
        assert at.halting.reset_height == 1


async def test_the_first_look_comes_with_l1s_first_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new cluster waits for it to begin."""
    monkeypatch.setattr(reset_watch, "RETRY_SECONDS", 3600.0)
    async with bench(tmp_path, look=False) as at:
        at.l1.chain = None
        watching = asyncio.get_running_loop().create_task(at.watch.run())
        await until_true(lambda: not at.watch._wanted.is_set())
        assert not (await at.node().status()).ready
        await at.l1.poll(lambda reorged: at.watch.l1_moved(reorged=reorged))
        await until_true(lambda: at.watch.has_looked)
        assert (await at.node().status()).ready
        watching.cancel()


async def test_nothing_fresh_before_the_first_look_at_l1(tmp_path: Path) -> None:
    async with bench(tmp_path, look=False) as at:
        block = on_origin(at, 16)
        with pytest.raises(Unavailable, match="since the start"):
            await at.operator.produce(ProduceRequest(slot=Slot(1)))
        assert (await validate(at, block)).status is Verdict.HOLD
        await at.watch.look()
        assert (await validate(at, block)).status is Verdict.VALID


async def test_what_a_quorum_has_judged_moves_also_while_l1_is_out_since_the_start(
    tmp_path: Path,
) -> None:
    """Else f+1 restarts in an L1 outage would stop the cluster."""
    async with bench(tmp_path, look=False) as at:
        block = on_origin(at, 16)
        at.l1.chain, at.fake_l1.is_down = None, True
        at.l1._known.clear()
        assert (await validate(at, block)).status is Verdict.HOLD
        assert (await validate(at, block, justified=True)).status is Verdict.VALID
        assert await at.operator.decided(certify(at.lock, block)) == 1


async def restarted_in_an_outage(tmp_path: Path) -> None:
    """What such an operator has on its disk: a decided block of an origin that it saw on L1."""
    async with bench(tmp_path) as at:
        await at.operator.decided(certify(at.lock, on_origin(at, 16)))


async def test_a_restart_in_an_l1_outage_goes_on_on_the_origin_of_the_decided_parent(
    tmp_path: Path,
) -> None:
    """f+1 honest operators have checked it; else f+1 restarts would stop the cluster."""
    await restarted_in_an_outage(tmp_path)
    async with bench(tmp_path, l1_is_out=True) as at:
        at.at_slot(2)
        at.engine.transactions = (b"\x02tx",)
        await at.execution.announce()  # the engine is new: it is brought its head
        data = await at.operator.produce(ProduceRequest(slot=Slot(2)))
        assert data is not None
        block = ssz.decode(BeaconBlock, data)
        assert block.l1_origin == at.chain.head.block.l1_origin
        assert block.body.execution_payload.transactions == (b"\x02tx",)
        assert (await validate(at, block)).status is Verdict.VALID
        assert (await validate(at, on_origin(at, 15))).status is not Verdict.VALID
        newer = on_origin(at, 17)
        assert (await validate(at, newer)).status is Verdict.HOLD
        at.l1.remember(at.fake_l1.blocks[17].ref)
        assert (await validate(at, newer)).status is Verdict.HOLD, "seen is not canonical"
        early = make_block(at.lock, at.chain.head.block, slot=3, origin=(16, block.l1_origin.hash))
        assert (await validate(at, early)).status is Verdict.HOLD, "the clock's rules hold"
        assert await at.operator.decided(certify(at.lock, block)) == 2
        assert (await at.node().status()).ready is False, "to begin a chain is another thing"
    async with bench(tmp_path, l1_is_out=True) as at:
        at.at_slot(3)
        await at.execution.announce()
        assert await at.operator.produce(ProduceRequest(slot=Slot(3))) is not None, "and again"


async def test_the_drift_binds_in_an_l1_outage_over_restarts(tmp_path: Path) -> None:
    """The time of the origin lies beside the block that names it."""
    await restarted_in_an_outage(tmp_path)
    async with bench(tmp_path, l1_is_out=True) as at:
        drift = at.lock.chain.max_sequencer_drift
        slot = Slot(drift // at.lock.chain.seconds_per_slot)
        at.at_slot(slot)
        at.engine.transactions = (b"\x02tx",)
        await at.execution.announce()
        data = await at.operator.produce(ProduceRequest(slot=slot))
        assert data is not None
        block = ssz.decode(BeaconBlock, data)
        assert block.body.execution_payload.transactions == ()
        assert (await validate(at, block)).status is Verdict.VALID
        origin = (16, block.l1_origin.hash)
        full = make_block(
            at.lock, at.chain.head.block, slot=slot, origin=origin, transactions=[b"\x02tx"]
        )
        assert "may not carry mempool transactions" in (await validate(at, full)).reason


async def test_a_look_at_l1_is_owed_after_an_outage(tmp_path: Path) -> None:
    """L1 comes back, and has dropped the origin meanwhile: the decided parent and what was built
    on it go together."""
    await restarted_in_an_outage(tmp_path)
    async with bench(tmp_path, l1_is_out=True) as at:
        await at.operator.decided(certify(at.lock, on_origin(at, 16)))
        block = on_origin(at, 16)
        at.at_slot(block.slot)
        await at.execution.announce()
        assert (await validate(at, block)).status is Verdict.VALID
        at.fake_l1.is_down = False
        at.fake_l1.reorg(6, "fork", 8)
        await at.l1.poll()
        assert (await validate(at, block)).status is Verdict.HOLD, "L1 is there: it is asked first"
        await at.watch.look()
        assert at.halting.reset_height == 1


async def test_what_stood_on_evidence_goes_on_once_the_folder_is_gone_and_it_is_restarted(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path) as at:
        await at.grow(1)
        other = make_block(at.lock, make_genesis(at.lock), transactions=[b"\x02other"])
        with pytest.raises(InvalidInput, match="two certificates"):
            await at.operator.decided(certify(at.lock, other))
        (tmp_path / "evidence").rename(tmp_path / "looked-at")
        with pytest.raises(Unavailable, match="stopped"):
            await at.grow(1)
        told = at.halting.waits_for() or ""
        assert told.startswith("a person: "), told
        assert "move the folder away and restart" in told
    async with bench(tmp_path) as at:
        assert at.halting.waits_for() is None
        await at.grow(1)
        assert at.chain.head.height == 2
        assert (tmp_path / "looked-at" / "height-1" / "summary.json").exists()
