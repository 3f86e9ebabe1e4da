"""The pool's door: who waits is answered, whatever happens to the examination, and what was taken
before has its place."""

import asyncio
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dst.execution.pool import service
from dst.execution.pool.exchange import JOURNAL_FILE, PoolExchange
from dst.execution.pool.journal import read_records
from dst.execution.pool.service import (
    MAX_EXAMINED_AT_ONCE,
    MAX_SUBMITTED,
    MAX_YIELD_S,
    Source,
    TransactionPool,
)
from dst.execution.state.nodes import StateUnavailable
from dst.execution.turns import Turns
from dst.runtime.metrics import Metrics
from dst.runtime.tables import StoreUnavailable
from dst.spec.errors import Unavailable
from dst.spec.primitives import Hash32
from tests.unit.execution.worlds import KEYS, World, signed, signed_raw

REQUEST = 256


async def test_a_failed_examination_is_told_to_all_who_wait(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = TransactionPool(world.chain, Metrics())
    examine = pool._examine_all

    def fail_for_many(raws: Sequence[bytes]) -> Any:
        if len(raws) > 1:
            raise StateUnavailable("pruned meanwhile")
        return examine(raws)

    monkeypatch.setattr(pool, "_examine_all", fail_for_many)
    async with asyncio.timeout(10):
        outcomes = await asyncio.gather(
            *(pool.submit(signed_raw(key)) for key in KEYS), return_exceptions=True
        )
        assert sum(isinstance(each, StateUnavailable) for each in outcomes) == len(KEYS) - 1
        assert await pool.submit(signed_raw(KEYS[0], nonce=1)) in pool.hashes()


async def test_a_flood_keeps_nothing_out_that_was_taken_before(
    world: World, tmp_path: Path
) -> None:
    """Journal and orphans: a node that restarts under it comes up, a reorg loses nothing."""
    kept, orphan = signed(KEYS[0]), signed(KEYS[1])
    exchange = PoolExchange(
        world.chain, Metrics(), Turns(), data_dir=tmp_path, forward_to=[], subscribe_to=[], faulty=1
    )
    exchange.journal.found = [kept.raw]
    pool = exchange.pool
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for _ in range(MAX_SUBMITTED // REQUEST):
            rubbish = [os.urandom(8) for _ in range(REQUEST)]
            group.create_task(pool.submit_all(rubbish, Source.PEER))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="busy"):
            await pool.submit(signed_raw(KEYS[2]))
        run = group.create_task(exchange.run())
        pool.on_head({}, {}, [orphan.raw])
        while pool.get(kept.hash) is None or pool.get(orphan.hash) is None:
            assert not run.done()
            await asyncio.sleep(0.01)
        run.cancel()
    exchange.close()


async def test_orphans_go_before_what_clients_and_peers_submitted(world: World) -> None:
    """The examination of what is under way ends, then it is their turn."""
    orphan, clients = signed(KEYS[1]), [signed(KEYS[0], nonce=nonce) for nonce in range(4)]
    begun, released = threading.Event(), threading.Event()

    def hold(_: float) -> None:
        begun.set()
        released.wait(10)

    added: list[Hash32] = []
    with ThreadPoolExecutor(1) as thread:
        pool = TransactionPool(world.chain, Metrics(), executor=thread, give_way=hold)
        pool.on_added.append(lambda transaction: added.append(transaction.hash))
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            group.create_task(pool.submit(clients[0].raw))
            await asyncio.to_thread(begun.wait)
            for each in clients[1:]:
                group.create_task(pool.submit(each.raw))
            await asyncio.sleep(0)
            pool.on_head({}, {}, [orphan.raw])
            await asyncio.sleep(0)
            released.set()
    assert added == [each.hash for each in (clients[0], orphan, *clients[1:])]


@pytest.mark.parametrize("error", [StoreUnavailable("closed"), StateUnavailable("pruned")])
async def test_orphans_wait_while_the_store_is_closed(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    orphans = [signed(KEYS[0], nonce=nonce) for nonce in range(MAX_EXAMINED_AT_ONCE + 1)]
    pool = TransactionPool(world.chain, Metrics())
    examine, failures = pool._examine_all, [error, error]

    def fail_at_first(raws: Sequence[bytes]) -> Any:
        if failures:
            raise failures.pop()
        return examine(raws)

    monkeypatch.setattr(service, "RETRY_S", 0.01)
    monkeypatch.setattr(pool, "_examine_all", fail_at_first)
    pool.on_head({}, {}, [each.raw for each in orphans])
    async with asyncio.timeout(10):
        while pool.counts() != (len(orphans), 0):
            await asyncio.sleep(0.001)
    assert pool.hashes() == [each.hash for each in orphans]


async def test_orphans_are_on_disk_before_they_are_examined(world: World, tmp_path: Path) -> None:
    exchange = PoolExchange(
        world.chain, Metrics(), Turns(), data_dir=tmp_path, forward_to=[], subscribe_to=[], faulty=1
    )
    exchange.pool.on_head({}, {}, [signed_raw()])
    assert exchange.pool.hashes() == []
    exchange.close()
    records, _ = read_records((tmp_path / JOURNAL_FILE).read_bytes())
    assert records == [signed_raw()]


async def test_the_examination_gives_way_between_transactions_and_once_a_batch(
    world: World,
) -> None:
    """All of a batch share one bounded wait; a block that does not end keeps nobody out."""
    asked: list[float] = []
    with ThreadPoolExecutor(1) as thread:
        pool = TransactionPool(world.chain, Metrics(), executor=thread, give_way=asked.append)
        before = time.monotonic()
        await pool.submit_all([signed_raw(key) for key in KEYS], Source.PEER)
        after = time.monotonic()
    assert len(asked) == len(KEYS)
    assert len(set(asked)) == 1, "one end for the whole batch"
    assert before + MAX_YIELD_S <= asked[0] <= after + MAX_YIELD_S


async def test_a_block_without_end_keeps_no_transaction_out(world: World, tmp_path: Path) -> None:
    turns = Turns()
    exchange = PoolExchange(
        world.chain, Metrics(), turns, data_dir=tmp_path, forward_to=[], subscribe_to=[], faulty=1
    )
    with turns.block_work():
        async with asyncio.timeout(10):
            taken = await exchange.pool.submit(signed_raw())
    exchange.close()
    assert exchange.pool.get(taken) is not None
