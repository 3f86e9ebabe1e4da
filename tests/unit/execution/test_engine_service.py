"""The Engine API's rules, one test a rule; scenarios as in hive's engine simulator."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dst.apis.engine import ForkchoiceState, PayloadAttributes, PayloadStatusKind
from dst.apis.engine_wire import attributes_to_wire, payload_to_wire
from dst.apis.jsonrpc import RpcError
from dst.execution.block.allowance import Allowance, RoundTimes
from dst.execution.block.builder import BlockBuilder, BuilderLimits
from dst.execution.block.executed import payload_of
from dst.execution.chain import HeadChange
from dst.execution.engine_rpc import engine_methods
from dst.execution.engine_service import EngineService, NewPayload
from dst.execution.events import Events
from dst.execution.header import Header, payload_of_header
from dst.execution.pool.service import TransactionPool
from dst.execution.state.trie import ordered_root
from dst.mempool.departures import Fate
from dst.runtime.metrics import Metrics
from dst.runtime.tables import StoreUnavailable, Tables, Writer, _refuse_reader
from dst.spec.beacon import Withdrawal
from dst.spec.errors import InvalidInput
from dst.spec.primitives import ZERO_HASH, Gwei, Hash32, to_hex
from tests.unit.execution.assembler import assemble
from tests.unit.execution.worlds import (
    ADDRESSES,
    KEYS,
    LIMITS,
    World,
    address_of,
    make_world,
    signed,
)

SPINNER = address_of(0x5150)
SPIN = assemble(f"0 {2**20} MSTORE loop: 0 0 {2**20} 0 3 0 STATICCALL POP @loop JUMP")
"""Hands a megabyte to RIPEMD-160 and no gas to run it, until the gas is gone: the dearest gas there
is. Jumps alone are over in no time."""
ROOT = Hash32(b"\x22" * 32)


class Engine:
    def __init__(
        self,
        world: World,
        worker: ThreadPoolExecutor,
        limits: BuilderLimits,
        allowance: Allowance | None = None,
    ) -> None:
        self.world = world
        self.pool = TransactionPool(world.chain, Metrics())
        self.service = EngineService(world.chain, self.pool, worker, limits, Metrics(), allowance)
        self.methods = engine_methods(self.service, world.chain, worker)

    def add(self, *transactions: Any) -> None:
        for each in transactions:
            self.pool.admit(self.pool.examine(each.raw))

    async def point(
        self,
        head: Hash32,
        attributes: PayloadAttributes | None = None,
        safe: Hash32 = ZERO_HASH,
        finalized: Hash32 = ZERO_HASH,
    ) -> tuple[Any, bytes | None]:
        state = ForkchoiceState(
            head_block_hash=head,
            safe_block_hash=safe,
            finalized_block_hash=finalized,
        )
        return await self.service.forkchoice_updated(state, attributes)

    async def build(self, **changes: Any) -> Any:
        head = self.world.chain.heads.head_hash
        _, payload_id = await self.point(head, self.world.attributes(**changes))
        assert payload_id is not None
        return await self.service.get_payload(payload_id)

    async def new_payload(self, payload: Any) -> Any:
        return await self.service.new_payload(request(payload))


def request(payload: Any, requests: tuple[bytes, ...] = ()) -> NewPayload:
    return NewPayload(payload=payload, parent_beacon_block_root=ROOT, requests=requests)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    world = make_world(tmp_path, {SPINNER: SPIN})
    with ThreadPoolExecutor(1) as worker:
        yield Engine(world, worker, LIMITS)
    world.store.close()


def spinning_payload(world: World, salt: int = 0) -> Any:
    """A payload that takes long, made without executing it: its state root is a guess."""
    spin = signed(KEYS[0], to=SPINNER, gas=9_000_000, value=salt)
    header: Header = replace(
        world.build().block.header, transactions_root=ordered_root([spin.raw]), gas_used=9_000_000
    )
    return payload_of_header(header, [spin.raw], ())


def pointers(name: str, block_hash: Hash32) -> tuple[Hash32, Hash32]:
    """(safe, finalized) with one of them set."""
    return (block_hash, ZERO_HASH) if name == "safe" else (ZERO_HASH, block_hash)


def is_aborted(engine: Engine) -> bool:
    assert engine.service._running is not None
    return engine.service._running.flag.aborted


async def until_running(engine: Engine, count: int = 1) -> None:
    while engine.service._running is None or engine.service._running.waiting < count:
        await asyncio.sleep(0)


async def until_waiting(engine: Engine, transaction: Any) -> None:
    async with asyncio.timeout(10):
        while engine.pool.get(transaction.hash) is None:
            await asyncio.sleep(0.001)


def tell(engine: Engine) -> list[HeadChange]:
    """What subscribers are told from now on: changes of the canonical chain."""
    told: list[HeadChange] = []
    events = Events()
    events.heads.add(told.append)
    engine.service.on_head.append(events.on_head)
    return told


async def test_build_then_import_then_point(engine: Engine) -> None:
    engine.add(signed(), signed(nonce=1), signed(KEYS[1]))
    built = await engine.build()
    assert len(built.payload.transactions) == 3
    assert built.block_value == 3 * 21_000
    before = engine.world.chain.heads.head_hash
    status = await engine.new_payload(built.payload)
    assert status.status is PayloadStatusKind.VALID
    assert status.latest_valid_hash == built.payload.block_hash
    assert engine.world.chain.heads.head_hash == before, "newPayload never moves the head"
    pointed, payload_id = await engine.point(built.payload.block_hash)
    assert (pointed.status, payload_id) == (PayloadStatusKind.VALID, None)
    assert engine.world.chain.heads.head_hash == built.payload.block_hash
    assert engine.pool.counts() == (0, 0)


async def test_own_payload_is_not_executed_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = await engine.build()
    monkeypatch.setattr(engine.world.chain, "execute", None)
    assert (await engine.new_payload(built.payload)).status is PayloadStatusKind.VALID
    assert (await engine.new_payload(built.payload)).status is PayloadStatusKind.VALID


async def test_bad_hash(engine: Engine) -> None:
    payload = replace((await engine.build()).payload, block_hash=Hash32(b"\x01" * 32))
    status = await engine.new_payload(payload)
    assert (status.status, status.latest_valid_hash) == (PayloadStatusKind.INVALID, None)
    assert "blockhash mismatch" in str(status.validation_error)


async def test_unknown_parent_is_syncing(engine: Engine) -> None:
    block = engine.world.build().block
    header = replace(block.header, parent_hash=Hash32(b"\x07" * 32))
    status = await engine.new_payload(payload_of_header(header, (), ()))
    assert (status.status, status.latest_valid_hash) == (PayloadStatusKind.SYNCING, None)


async def test_invalid_payload_and_its_descendants(engine: Engine) -> None:
    genesis = engine.world.chain.genesis_hash
    block = engine.world.build().block
    bad = replace(block.header, state_root=Hash32(b"\x05" * 32))
    status = await engine.new_payload(payload_of_header(bad, (), ()))
    assert (status.status, status.latest_valid_hash) == (PayloadStatusKind.INVALID, genesis)
    child = replace(bad, parent_hash=bad.hash, number=2, timestamp=bad.timestamp + 1)
    status = await engine.new_payload(payload_of_header(child, (), ()))
    assert (status.status, status.latest_valid_hash) == (PayloadStatusKind.INVALID, genesis)
    pointed, _ = await engine.point(child.hash)
    assert pointed.status is PayloadStatusKind.INVALID


async def test_unknown_head_is_syncing(engine: Engine) -> None:
    status, payload_id = await engine.point(Hash32(b"\x01" * 32), engine.world.attributes())
    assert (status.status, payload_id) == (PayloadStatusKind.SYNCING, None)


@pytest.mark.parametrize("name", ["safe", "finalized"])
async def test_inconsistent_forkchoice_state(engine: Engine, name: str) -> None:
    """Unknown, or on another branch than the head."""
    main = engine.world.extend()
    side = engine.world.build(
        parent=engine.world.chain.genesis_hash, prev_randao=Hash32(b"\x99" * 32)
    ).block
    engine.world.chain.insert(side)
    for wrong in (side.hash, Hash32(b"\x01" * 32)):
        with pytest.raises(RpcError) as refused:
            await engine.point(main.hash, None, *pointers(name, wrong))
        assert refused.value.code == -38002


async def test_safe_and_finalized_move(engine: Engine) -> None:
    first, second = engine.world.extend(), engine.world.extend()
    await engine.point(second.hash, safe=first.hash, finalized=engine.world.chain.genesis_hash)
    heads = engine.world.chain.heads
    assert (heads.safe_hash, heads.finalized_hash) == (first.hash, engine.world.chain.genesis_hash)


async def test_attributes_must_be_later_than_the_head(engine: Engine) -> None:
    block = engine.world.extend()
    with pytest.raises(RpcError) as refused:
        await engine.point(block.hash, engine.world.attributes(timestamp=block.header.timestamp))
    assert refused.value.code == -38003


async def test_unique_payload_ids(engine: Engine) -> None:
    head = engine.world.chain.heads.head_hash
    withdrawal = Withdrawal(index=0, validator_index=0, address=address_of(1), amount=Gwei(1))
    changes: list[dict[str, Any]] = [
        {},
        {"timestamp": 2_000},
        {"prev_randao": Hash32(b"\x01" * 32)},
        {"suggested_fee_recipient": address_of(1)},
        {"parent_beacon_block_root": Hash32(b"\x01" * 32)},
        {"withdrawals": (withdrawal,)},
        {"no_tx_pool": True},
        {"transactions": (signed().raw,)},
    ]
    ids = [(await engine.point(head, engine.world.attributes(**each)))[1] for each in changes]
    assert len(set(ids)) == len(changes)
    assert (await engine.point(head, engine.world.attributes()))[1] == ids[0]


async def test_unknown_payload(engine: Engine) -> None:
    with pytest.raises(RpcError) as refused:
        await engine.service.get_payload(bytes(8))
    assert refused.value.code == -38001


@pytest.mark.parametrize("step", ["begin", "add", "finish"])
async def test_a_failed_build_is_told_once_and_can_be_tried_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Whoever waits is told; then the id is unknown, and the same attributes build a block."""
    world, service, transfer = engine.world, engine.service, signed()
    head, attributes = world.chain.heads.head_hash, world.attributes()

    def fail(*_: object) -> None:
        raise StoreUnavailable("the disk went away")

    with monkeypatch.context() as broken:
        broken.setattr(BlockBuilder, step, fail)
        _, payload_id = await engine.point(head, attributes)
        assert payload_id is not None
        engine.add(transfer)
        outcomes = await asyncio.gather(
            *(service.get_payload(payload_id) for _ in range(2)), return_exceptions=True
        )
    assert [type(each) for each in outcomes] == [StoreUnavailable] * 2
    with pytest.raises(RpcError) as error:
        await service.get_payload(payload_id)
    assert error.value.code == -38001
    _, again = await engine.point(head, attributes)
    assert again == payload_id
    built = await service.get_payload(payload_id)
    assert built.payload.transactions == (transfer.raw,)


async def test_the_same_attributes_do_not_join_a_build_that_failed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asked for the block before the same attributes came again."""
    world, transfer, failed = engine.world, signed(), asyncio.Event()
    head, attributes = world.chain.heads.head_hash, world.attributes()
    loop = asyncio.get_running_loop()

    def fail(*_: object) -> None:
        loop.call_soon_threadsafe(failed.set)
        raise StoreUnavailable("the disk went away")

    with monkeypatch.context() as broken:
        broken.setattr(BlockBuilder, "begin", fail)
        _, payload_id = await engine.point(head, attributes)
        await failed.wait()
        engine.add(transfer)  # nothing is added to what failed
    _, again = await engine.point(head, attributes)
    assert again is not None
    assert again == payload_id
    built = await engine.service.get_payload(again)
    assert built.payload.transactions == (transfer.raw,)


async def test_forced_transactions_come_first_and_invalid_ones_stay_out(engine: Engine) -> None:
    engine.add(signed(KEYS[1], maxPriorityFeePerGas=10**8))
    forced = (signed(value=5), signed(nonce=9), signed(nonce=1, value=6))
    built = await engine.build(transactions=tuple(each.raw for each in forced))
    included = [forced[0].raw, forced[2].raw]
    assert list(built.payload.transactions[:2]) == included
    assert len(built.payload.transactions) == 3
    alone = await engine.build(transactions=tuple(each.raw for each in forced), no_tx_pool=True)
    assert list(alone.payload.transactions) == included


async def test_forced_transaction_that_is_no_transaction(engine: Engine) -> None:
    with pytest.raises(RpcError) as refused:
        await engine.build(transactions=(b"\x02garbage",))
    assert refused.value.code == -38003


async def test_reorg_to_a_sibling_and_back_keeps_indices_and_transactions(engine: Engine) -> None:
    world, chain = engine.world, engine.world.chain
    genesis = chain.genesis_hash
    transaction = signed()
    engine.add(transaction)
    first = await engine.build()
    await engine.new_payload(first.payload)
    await engine.point(Hash32(first.payload.block_hash))
    assert chain.location(transaction.hash) == (first.payload.block_hash, 0)
    side = world.build(parent=genesis, prev_randao=Hash32(b"\x99" * 32)).block
    await engine.new_payload(payload_of(side))
    await engine.point(side.hash)
    assert chain.canonical_hash(1) == side.hash
    assert chain.location(transaction.hash) is None
    await until_waiting(engine, transaction)
    assert engine.pool.counts() == (1, 0), "what the removed block held waits again"
    await engine.point(genesis)
    assert chain.canonical_hash(1) is None
    await engine.point(Hash32(first.payload.block_hash))
    assert chain.location(transaction.hash) == (first.payload.block_hash, 0)
    assert engine.pool.counts() == (0, 0)


async def test_newer_payload_aborts_the_running_one(engine: Engine) -> None:
    slow = asyncio.ensure_future(engine.new_payload(spinning_payload(engine.world)))  # noqa: TID251
    await until_running(engine)
    good = engine.world.build().block
    status = await engine.new_payload(payload_of(good))
    assert status.status is PayloadStatusKind.VALID
    assert (await slow).status is PayloadStatusKind.SYNCING


async def test_an_aborted_validation_tells_how_slow_the_machine_is(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that were too slow for their round are the ones to learn from."""
    noted: list[tuple[float, float]] = []
    allowance = Allowance(
        RoundTimes(slot_s=1, round_timeout_s=0.5, share=0.4, operators=4), cores=2
    )
    monkeypatch.setattr(
        allowance, "note_validation", lambda *, wall_s, cpu_s: noted.append((wall_s, cpu_s))
    )
    engine.service._allowance = allowance
    payload, begun, chain = spinning_payload(engine.world), threading.Event(), engine.world.chain
    execute = chain.execute

    def noticed(*args: Any) -> Any:
        begun.set()
        return execute(*args)

    monkeypatch.setattr(chain, "execute", noticed)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        running = group.create_task(engine.new_payload(payload))
        await asyncio.to_thread(begun.wait)
        engine.service.close()
    assert running.result().status == "SYNCING"
    ((wall_s, cpu_s),) = noted
    assert 0 < cpu_s <= wall_s + 0.001


async def test_same_payload_joins(engine: Engine) -> None:
    payload = spinning_payload(engine.world)
    waiting = [
        asyncio.ensure_future(engine.new_payload(payload))  # noqa: TID251
        for _ in range(2)
    ]
    await until_running(engine, count=2)
    waiting[0].cancel()
    await asyncio.gather(waiting[0], return_exceptions=True)
    running = engine.service._running
    assert running is not None
    assert not is_aborted(engine), "one client is still waiting"
    waiting[1].cancel()
    await asyncio.gather(waiting[1], return_exceptions=True)
    assert is_aborted(engine), "nobody waits any more"
    assert (await running.future).status is PayloadStatusKind.SYNCING


async def test_an_aborted_payload_can_be_asked_again(engine: Engine) -> None:
    block = engine.world.build([signed()]).block
    first = asyncio.ensure_future(engine.new_payload(spinning_payload(engine.world)))  # noqa: TID251
    await until_running(engine)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert (await engine.new_payload(payload_of(block))).status is PayloadStatusKind.VALID


async def test_asking_again_while_the_abort_takes_effect_executes(engine: Engine) -> None:
    """A client lost its connection and asks on a new one: the answer is not the old abort's."""
    payload = payload_of(engine.world.build([signed()]).block)
    released = threading.Event()
    engine.service._worker.submit(released.wait)
    first = asyncio.ensure_future(engine.new_payload(payload))  # noqa: TID251
    await until_running(engine)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert is_aborted(engine)
    again = asyncio.ensure_future(engine.new_payload(payload))  # noqa: TID251
    await until_running(engine)
    released.set()
    assert (await again).status is PayloadStatusKind.VALID


async def test_block_size_is_bounded(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    big = [
        signed(key, data=b"\x00" * 20_000, gas=300_000, maxPriorityFeePerGas=10**8) for key in KEYS
    ]
    limits = BuilderLimits(builder_time_s=30, max_block_bytes=8_192 + 50_000)
    build = world.build(big, limits=limits)
    assert len(build.block.transactions) == 2
    assert build.invalid == ()
    assert build.too_slow == ()
    world.store.close()


async def test_wire_shapes(engine: Engine) -> None:
    """-32602 for a wrong shape, -38003 for wrong attributes, INVALID for blobs."""
    payload = msgspec.to_builtins(payload_to_wire((await engine.build()).payload))
    call = engine.methods["engine_newPayloadV4"]
    root = to_hex(ROOT)
    for params in (
        [payload],
        [{**payload, "blockNumber": "1"}, [], root, []],
        [payload, [], root, None],
        [payload, [], root, ["0x01"]],
        [payload, [], root, ["0x02aa", "0x01aa"]],
        [payload, [], None, []],
    ):
        with pytest.raises((InvalidInput, msgspec.ValidationError)):
            await call(params)
    blobs = await call([payload, [to_hex(bytes(32))], root, []])
    assert blobs.status is PayloadStatusKind.INVALID  # type: ignore[attr-defined]
    state = {
        name: to_hex(engine.world.chain.genesis_hash if name == "headBlockHash" else ZERO_HASH)
        for name in ("headBlockHash", "safeBlockHash", "finalizedBlockHash")
    }
    wire = msgspec.to_builtins(attributes_to_wire(engine.world.attributes()))
    del wire["withdrawals"]
    with pytest.raises(RpcError) as refused:
        await engine.methods["engine_forkchoiceUpdatedV3"]([state, wire])
    assert refused.value.code == -38003
    with pytest.raises((InvalidInput, msgspec.ValidationError)):
        await engine.methods["engine_forkchoiceUpdatedV3"]([{**state, "headBlockHash": "0x00"}])
    capabilities = await engine.methods["engine_exchangeCapabilities"]([["engine_newPayloadV4"]])
    assert "engine_getPayloadV4" in capabilities  # type: ignore[operator]


async def test_pool_follows_the_head(engine: Engine) -> None:
    engine.add(signed(), signed(nonce=1), signed(nonce=3))
    assert engine.pool.counts() == (2, 1)
    built = await engine.build()
    await engine.new_payload(built.payload)
    await engine.point(Hash32(built.payload.block_hash))
    assert engine.pool.counts() == (0, 1)
    assert engine.pool.pending_nonce(ADDRESSES[0], 2) == 2
    engine.add(signed(nonce=2))
    assert engine.pool.counts() == (2, 0)


FULL = "disk is full: /data (No space left on device); waits for room"


def no_room(tables: Tables, what: str = "") -> AbstractContextManager[Writer]:
    """In place of `Tables.write`: the disk is full."""
    raise StoreUnavailable(FULL)


async def test_a_full_disk_answers_syncing_and_goes_on(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """newPayload and forkchoiceUpdated change nothing while it lasts; afterwards the same calls
    do what they would have done."""
    engine.add(signed())
    payload = (await engine.build()).payload
    chain, block_hash = engine.world.chain, Hash32(payload.block_hash)
    with monkeypatch.context() as full:
        full.setattr(Tables, "write", no_room)
        status = await engine.new_payload(payload)
        assert (status.status, status.validation_error) == (PayloadStatusKind.SYNCING, FULL)
        assert chain.header(block_hash) is None
    assert (await engine.new_payload(payload)).status is PayloadStatusKind.VALID
    with monkeypatch.context() as full:
        full.setattr(Tables, "write", no_room)
        status, _ = await engine.point(block_hash)
        assert (status.status, status.validation_error) == (PayloadStatusKind.SYNCING, FULL)
        assert chain.heads.head_hash == chain.genesis_hash
    status, _ = await engine.point(block_hash)
    assert status.status is PayloadStatusKind.VALID
    assert chain.heads.head_hash == block_hash


async def test_a_closed_store_answers_syncing_and_goes_on(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.add(signed())
    payload = (await engine.build()).payload
    block_hash = Hash32(payload.block_hash)
    with monkeypatch.context() as closed:
        closed.setattr(engine.world.store.tables, "_begin", _refuse_reader)
        assert (await engine.new_payload(payload)).status is PayloadStatusKind.SYNCING
        assert (await engine.point(block_hash))[0].status is PayloadStatusKind.SYNCING
    assert (await engine.new_payload(payload)).status is PayloadStatusKind.VALID
    assert (await engine.point(block_hash))[0].status is PayloadStatusKind.VALID
    assert engine.pool.counts() == (0, 0)


@pytest.mark.parametrize("knows_changes", [True, False])
async def test_a_store_that_closes_behind_the_commit_keeps_the_head_from_nobody(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, knows_changes: bool
) -> None:
    """The base cannot follow the head, and the store cannot be opened again at once."""
    chain, told = engine.world.chain, tell(engine)
    engine.add(signed(), signed(KEYS[1], nonce=1))
    payload = (await engine.build()).payload
    block_hash = Hash32(payload.block_hash)
    await engine.new_payload(payload)
    if not knows_changes:
        monkeypatch.setattr(engine.service._memory, "changes", {})
    with monkeypatch.context() as closed:
        closed.setattr(
            chain,
            "_follow",
            lambda head: closed.setattr(engine.world.store.tables, "_begin", _refuse_reader),
        )
        await engine.point(block_hash)
        assert chain.heads.head_hash == block_hash
    assert (await engine.point(block_hash))[0].status is PayloadStatusKind.VALID
    assert told == [HeadChange(added=(block_hash,))], "once"
    assert engine.pool.counts() == (0, 1)


async def test_a_client_that_goes_away_keeps_the_head_from_nobody(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, told = engine.world.chain, tell(engine)
    engine.add(signed())
    payload = (await engine.build()).payload
    block_hash = Hash32(payload.block_hash)
    await engine.new_payload(payload)
    begun, released, follow = threading.Event(), threading.Event(), chain._follow

    def follow_late(head: Header) -> None:
        begun.set()
        released.wait(10)
        follow(head)

    monkeypatch.setattr(chain, "_follow", follow_late)
    async with asyncio.timeout(10):
        gone = asyncio.ensure_future(engine.point(block_hash))  # noqa: TID251
        await asyncio.to_thread(begun.wait)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        released.set()
        assert (await engine.point(block_hash))[0].status is PayloadStatusKind.VALID
    assert told == [HeadChange(added=(block_hash,))], "once"
    assert engine.pool.counts() == (0, 0)


async def test_a_head_that_removes_blocks_waits_for_no_examination(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the removed block held is taken back beside, once."""
    chain, told, transaction = engine.world.chain, tell(engine), signed()
    first = engine.world.extend([transaction])
    added: list[Any] = []
    engine.pool.on_added.append(added.append)
    released, examine = threading.Event(), engine.pool._examine_all

    def examine_late(raws: Sequence[bytes]) -> Any:
        released.wait(10)
        return examine(raws)

    monkeypatch.setattr(engine.pool, "_examine_all", examine_late)
    async with asyncio.timeout(5):
        status, _ = await engine.point(chain.genesis_hash)
        assert status.status is PayloadStatusKind.VALID
        assert told == [HeadChange(removed=(first.hash,))]
        await engine.point(first.hash)
        await engine.point(chain.genesis_hash)
        assert not added
    released.set()
    await until_waiting(engine, transaction)
    await engine.pool.submit(signed(KEYS[1]).raw)
    assert [each.hash for each in added] == [transaction.hash, signed(KEYS[1]).hash]


async def test_senders_that_came_late_wait_while_the_store_is_closed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head has moved and is told to the pool all the same."""
    engine.add(signed())
    payload = (await engine.build()).payload
    await engine.new_payload(payload)
    moved = engine.service._set_forkchoice

    def move_and_close(*args: Any) -> Any:
        outcome = moved(*args)
        monkeypatch.setattr(engine.world.store.tables, "_begin", _refuse_reader)
        return outcome

    monkeypatch.setattr(engine.service, "_set_forkchoice", move_and_close)
    monkeypatch.setattr(engine.service._memory, "changes", {})
    senders = iter((frozenset({ADDRESSES[0]}), frozenset({ADDRESSES[0], ADDRESSES[1]})))
    monkeypatch.setattr(engine.pool, "senders", lambda: next(senders))
    status, _ = await engine.point(Hash32(payload.block_hash))
    assert status.status is PayloadStatusKind.VALID
    assert engine.pool.counts() == (0, 0)


async def test_heaviness_is_not_noted_while_the_store_is_closed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    transaction = signed()
    engine.add(transaction)
    with monkeypatch.context() as closed:
        closed.setattr(engine.world.store.tables, "_begin", _refuse_reader)
        engine.pool.drop_heavy(transaction.hash, "needs more than there is")
    departure = engine.pool.departure(transaction.hash)
    assert departure is not None
    assert departure.fate is Fate.TOO_HEAVY
    assert engine.pool.book.is_empty
