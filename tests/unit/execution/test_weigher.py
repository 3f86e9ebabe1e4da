"""What needs more than a block's time is found out beside the chain."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dst.apis.eth import BlockTag
from dst.execution.pool.service import TransactionPool
from dst.execution.rpc.blocks_by_id import BlocksById
from dst.execution.weigher import Weigher
from dst.mempool.departures import Fate
from dst.runtime.metrics import Metrics
from dst.transactions.transaction import Transaction
from tests.unit.execution.test_engine_service import SPINNER
from tests.unit.execution.test_heavy_transactions import CALLS, spin
from tests.unit.execution.worlds import KEYS, World, make_world, signed


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = make_world(tmp_path, {SPINNER: CALLS})
    yield world
    world.store.close()


async def weigh(world: World, seconds: float, *heavy: Transaction) -> TransactionPool:
    """The pool after every transaction that was noted as heavy has been weighed."""
    pool = TransactionPool(world.chain, Metrics())
    with ThreadPoolExecutor(1) as call:
        blocks = BlocksById(world.chain)
        weigher = Weigher(
            pool, lambda: blocks.environment_for(BlockTag.PENDING), call, lambda: seconds
        )
        for each in heavy:
            pool.admit(pool.examine(each.raw))
            pool.note_heavy(each.hash, seconds=0.001, alone=False)
        running = asyncio.get_running_loop().create_task(weigher.run())
        while weigher._waiting.qsize():
            await asyncio.sleep(0)
        await asyncio.get_running_loop().run_in_executor(call, lambda: None)
        await asyncio.sleep(0)
        running.cancel()
    return pool


async def test_what_no_block_has_time_for_is_dropped_without_a_block(world: World) -> None:
    heavy = spin()
    pool = await weigh(world, 1e-4, heavy)
    departure = pool.departure(heavy.hash)
    assert departure is not None
    assert departure.fate is Fate.TOO_HEAVY
    assert pool.get(heavy.hash) is None


async def test_what_fits_stays_to_be_tried_alone(world: World) -> None:
    heavy = spin()
    pool = await weigh(world, 60, heavy)
    assert pool.get(heavy.hash) is not None
    assert pool.candidates(1, 10_000_000).heavy == heavy


async def test_what_cannot_run_yet_stays(world: World) -> None:
    second = signed(KEYS[0], nonce=1)
    pool = await weigh(world, 1e-6, second)
    assert pool.get(second.hash) is not None
