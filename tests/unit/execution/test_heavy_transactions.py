"""Policy for heavy transactions, from the pool through builds to the answer a sender gets."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from dst.execution.block import builder
from dst.execution.block.allowance import Allowance, RoundTimes
from dst.execution.block.builder import BuildClock, BuilderLimits
from dst.execution.block.executed import payload_of
from dst.execution.pool.service import Source
from dst.execution.rpc.transaction_status import TransactionStatusMethods
from dst.execution.slots import SlotClock
from dst.spec.primitives import Hash32, to_hex
from dst.transactions.transaction import InvalidTransaction, Reason
from tests.unit.execution.test_engine_service import SPINNER, Engine
from tests.unit.execution.worlds import GENESIS_TIME, KEYS, World, make_world, signed

CHECK_S = 1e-4
"""CPU time that passes at every check of the builder's clock: the engine checks it once in some ten
thousand gas of calls, on every machine."""
SHORT = BuilderLimits(builder_time_s=0.06, max_block_bytes=524_288)
"""Six hundred checks: 9 M gas of calls meet some nine hundred, a transfer one."""
LONG = BuilderLimits(builder_time_s=60, max_block_bytes=524_288)


CALLS = bytes.fromhex("5b5f5f5f5f5f335af1505f56")
"""Calls its caller, who has no code, until the gas is gone: slow from the first gas on, which SPIN,
dearer in the end, is not (its memory costs two million)."""


def spin(key: bytes = KEYS[0], gas: int = 9_000_000, **fields: Any) -> Any:
    return signed(key, to=SPINNER, gas=gas, maxPriorityFeePerGas=10**8, **fields)


class CountedTime:
    """In place of `time` in the builder. CPU time passes by being checked, wall clock never."""

    def __init__(self) -> None:
        self.checks = 0

    def thread_time(self) -> float:
        return self.checks * CHECK_S

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture(autouse=True)
def counted_time(monkeypatch: pytest.MonkeyPatch) -> CountedTime:
    counted, check = CountedTime(), BuildClock.check

    def counting(clock: BuildClock) -> None:
        counted.checks += 1
        check(clock)

    monkeypatch.setattr(builder, "time", counted)
    monkeypatch.setattr(BuildClock, "check", counting)
    return counted


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = make_world(tmp_path, {SPINNER: CALLS})
    yield world
    world.store.close()


@pytest.fixture
def worker() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as worker:
        yield worker


async def block(engine: Engine, **changes: Any) -> list[bytes]:
    """The transactions of the next block, which becomes the head."""
    built = await engine.build(**changes)
    assert (await engine.new_payload(built.payload)).status == "VALID"
    await engine.point(Hash32(built.payload.block_hash))
    return list(built.payload.transactions)


AT_GENESIS = SlotClock(genesis_time=GENESIS_TIME, seconds_per_slot=2, now=lambda: GENESIS_TIME)
"""A clock by which no head is old."""


async def status(engine: Engine, transaction: Any) -> dict[str, Any]:
    chain, worker = engine.world.chain, engine.service._worker
    family = TransactionStatusMethods(chain, engine.pool, worker, AT_GENESIS)
    return await family.transaction_status(to_hex(transaction.hash))


async def test_too_heavy_for_its_share_gets_a_block_for_itself(
    world: World, worker: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder, "TRANSACTION_SHARE", 1e-5)
    engine = Engine(world, worker, LONG)
    heavy, light = spin(gas=1_000_000), signed(KEYS[1], nonce=0)
    engine.add(heavy, light)
    assert heavy.raw not in await block(engine)
    told = await status(engine, heavy)
    assert told["state"] == "pending"
    assert told["triedSeconds"] > 0
    monkeypatch.setattr(builder, "TRANSACTION_SHARE", 1e-4)
    engine.add(signed(KEYS[2]))
    assert await block(engine) == [heavy.raw], "otherwise empty"
    assert (await status(engine, heavy))["state"] == "included"
    assert await block(engine) == [signed(KEYS[2]).raw]


async def test_the_only_one_that_waits_has_all_of_the_time_at_once(
    world: World, worker: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder, "TRANSACTION_SHARE", 1e-5)
    engine = Engine(world, worker, LONG)
    heavy = spin(gas=1_000_000)
    engine.add(heavy)
    assert await block(engine) == [heavy.raw]


async def test_what_no_block_has_time_for_is_dropped_with_the_reason(
    world: World, worker: ThreadPoolExecutor
) -> None:
    engine = Engine(world, worker, SHORT)
    heavy, behind = spin(), signed(KEYS[0], nonce=1)
    engine.add(heavy, behind)
    taken = [raw for _ in range(3) for raw in await block(engine)]
    assert taken == []
    told = await status(engine, heavy)
    assert (told["state"], told["reason"]) == ("too_heavy", "too_heavy")
    assert f"{SHORT.builder_time_s * 1000:.0f} ms of CPU time" in told["message"]
    after = await status(engine, behind)
    assert (after["state"], after["missingNonce"]) == ("queued", "0x0")


async def test_the_same_call_is_refused_at_submission(
    world: World, worker: ThreadPoolExecutor
) -> None:
    engine = Engine(world, worker, SHORT)
    engine.add(spin())
    for _ in range(3):
        await block(engine)
    with pytest.raises(InvalidTransaction) as refused:
        await engine.pool.submit(spin().raw, Source.CLIENT)
    assert refused.value.reason is Reason.TOO_HEAVY
    with_less = spin(KEYS[1], gas=30_000)
    await engine.pool.submit(with_less.raw, Source.CLIENT)
    assert await block(engine) == [with_less.raw]


async def test_at_most_one_block_in_three_is_a_try_while_others_wait(
    world: World, worker: ThreadPoolExecutor
) -> None:
    engine = Engine(world, worker, SHORT)
    heavy = [spin(key, data=key) for key in KEYS[:3]]
    engine.add(*heavy, signed(KEYS[4]))
    taken: list[list[bytes]] = []
    for nonce in range(1, 16):
        taken.append(await block(engine))
        engine.add(signed(KEYS[4], nonce=nonce))
    empty = [number for number, raws in enumerate(taken) if not raws]
    assert len(empty) >= len(heavy)
    assert all(second - first >= 3 for first, second in pairwise(empty[1:]))
    for each in heavy:
        assert (await status(engine, each))["state"] == "too_heavy"


async def test_a_heavy_block_that_loses_its_round_counts_as_a_try(
    world: World, worker: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others had no time to execute it: after two such rounds it is dropped."""
    monkeypatch.setattr(builder, "TRANSACTION_SHARE", 1e-5)
    times = RoundTimes(slot_s=100, round_timeout_s=50, share=0.5, operators=4)
    allowance = Allowance(times, cores=2)
    engine = Engine(world, worker, LONG, allowance)
    heavy = spin(gas=1_000_000)
    engine.add(heavy)
    for lost in range(2):
        built = await engine.build()
        assert list(built.payload.transactions) == [heavy.raw]
        other = world.build(prev_randao=Hash32(bytes([lost + 1]) * 32)).block
        await engine.new_payload(payload_of(other))
        await engine.point(other.hash)
    assert (await status(engine, heavy))["state"] == "too_heavy"
    assert allowance.factor == 1, "seconds of time were to be had: its weight was not the cause"


async def test_forced_transactions_take_from_the_pools_time(
    world: World, worker: ThreadPoolExecutor
) -> None:
    """A forced one runs to its end, however long; then nothing of the pool is tried."""
    engine = Engine(world, worker, SHORT)
    engine.add(signed(KEYS[1]))
    forced = spin()
    assert await block(engine, transactions=(forced.raw,)) == [forced.raw]
    assert await block(engine) == [signed(KEYS[1]).raw]


async def test_after_a_try_those_who_may_be_heavy_come_last(
    world: World, worker: ThreadPoolExecutor
) -> None:
    """The head is empty, as after a try: who pays most is not first if it may use up the time."""
    engine = Engine(world, worker, LONG)
    assert await block(engine) == []
    large = signed(KEYS[0], gas=2_000_000, maxPriorityFeePerGas=10**8)
    behind_it, small = signed(KEYS[0], nonce=1), signed(KEYS[1])
    known = spin(KEYS[2])
    engine.add(known, large, behind_it, small)
    engine.pool.note_heavy(known.hash, seconds=1, alone=False)
    assert await block(engine) == [small.raw, large.raw, behind_it.raw]
    assert await block(engine) == [known.raw]


def test_the_small_ones_come_before_a_second_that_pays_nothing(world: World) -> None:
    """Two calls that promise the most use up a block's time, and none of them is in it."""
    chain, head = world.chain, world.chain.heads.head_hash
    build = builder.BlockBuilder(chain, head, world.attributes(), SHORT)
    small = [signed(KEYS[2]), signed(KEYS[2], nonce=1)]
    build.begin([spin(KEYS[0]), spin(KEYS[1]), *small])
    made = build.finish()
    assert list(made.block.transactions) == small
    assert [each.hash for each in made.too_slow] == [spin(KEYS[0]).hash]


def test_least_gas_first_keeps_the_order_of_nonces() -> None:
    first, second = signed(KEYS[0], gas=90_000), signed(KEYS[0], nonce=1, gas=21_000)
    large, small = signed(KEYS[1], gas=50_000), signed(KEYS[2], gas=30_000)
    ordered = builder._least_gas_first([first, second, large, small])
    assert ordered == [small, large, first, second]
