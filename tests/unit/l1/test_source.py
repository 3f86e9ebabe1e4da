"""The poller against an L1 of values."""

import asyncio

import pytest

from dst.l1.source import L1Source
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec.cluster import L1Genesis
from dst.spec.errors import BadConfig, Unavailable
from tests.unit.rollup.rollup_bench import FakeL1, l1_hash, make_lock


def make_source(l1: FakeL1, **chain: object) -> L1Source:
    return L1Source(l1, make_lock(**chain).chain, Logger("test"), Metrics())


async def test_it_fills_in_what_it_missed_and_tells_of_reorgs() -> None:
    l1 = FakeL1()
    l1.mine(10)
    source = make_source(l1)
    told: list[bool] = []
    source.on_change = told.append
    await source.poll()
    l1.mine(30)
    await source.poll()
    l1.reorg(3, "fork", 5)
    await source.poll()
    await source.poll()
    assert told == [False, False, True]
    assert source.head_number == 42
    assert await source.canonical_hash(40) == l1_hash(40, "fork")
    assert await source.canonical_hash(43) is None


async def test_an_outage_keeps_the_view() -> None:
    l1 = FakeL1()
    l1.mine(10)
    source = make_source(l1)
    await source.poll()
    l1.is_down = True
    with pytest.raises(Unavailable):
        await source.poll()
    assert source.head_number == 10
    known = await source.ref_by_hash(l1_hash(7))
    assert known is not None
    assert known.number == 7
    with pytest.raises(Unavailable):
        await source.ref_by_hash(l1_hash(99))


async def test_it_says_that_it_waits_for_l1_until_that_answers() -> None:
    l1 = FakeL1()
    l1.mine(10)
    source = make_source(l1)
    assert source.waits_for() == "L1: no answer yet"

    async def until(is_waiting: bool) -> None:
        async with asyncio.timeout(10):
            while (source.waits_for() is not None) is not is_waiting:
                await asyncio.sleep(0.01)

    polling = asyncio.get_running_loop().create_task(source.run())
    await until(False)
    l1.is_down = True
    await until(True)
    assert (source.waits_for() or "").startswith("L1: ")
    l1.is_down = False
    await until(False)
    polling.cancel()


async def test_it_reads_no_further_back_than_the_genesis_origin() -> None:
    l1 = FakeL1()
    l1.mine(50)
    source = make_source(l1, l1_genesis=L1Genesis(number=45, hash=l1_hash(45)))
    await source.poll()
    assert source.chain is not None
    assert source.chain.tail_number == 45


async def test_the_wrong_l1_is_a_configuration_error() -> None:
    with pytest.raises(BadConfig, match="chain id"):
        await make_source(FakeL1(), l1_chain_id=1).poll()
