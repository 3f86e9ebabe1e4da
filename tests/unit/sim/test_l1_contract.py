"""An L1 node as the simulator has it, as the tests of the rollup node have it, and a real anvil:
the same dialogues, all three.

What the fakes forget, keep and say when they are silent decides what a rollup node lives through.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise

import pytest

from devnet.sim.l1 import L1Node
from dst.l1.rpc import L1BlockRef, L1Client
from dst.l1.source import L1Source
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec.cluster import L1Genesis
from dst.spec.errors import Unavailable
from dst.spec.primitives import Hash32
from tests.unit.l1 import test_anvil as real
from tests.unit.rollup.rollup_bench import FakeL1, make_lock


@dataclass(frozen=True)
class Bench:
    """One node, and what can be made of it. silence: from now on, or no longer."""

    client: L1Client
    mine: Callable[[int], Awaitable[None]]
    reorg: Callable[[int], Awaitable[None]]
    silence: Callable[[bool], None]


def simulated() -> Bench:
    node = L1Node()

    async def mine(count: int) -> None:
        node.mine(count)

    async def reorg(depth: int) -> None:
        node.reorg(depth)

    def silence(is_silent: bool) -> None:
        node.is_silent = is_silent

    return Bench(node, mine, reorg, silence)


def of_the_tests() -> Bench:
    node = FakeL1()
    reorgs = iter(range(1000))

    async def mine(count: int) -> None:
        node.mine(count)

    async def reorg(depth: int) -> None:
        node.reorg(depth, f"branch {next(reorgs)}")

    def silence(is_silent: bool) -> None:
        node.is_down = is_silent

    return Bench(node, mine, reorg, silence)


@asynccontextmanager
async def anvil() -> AsyncIterator[Bench]:
    async with real.anvil_process() as (client, process):

        async def mine(count: int) -> None:
            await real.mine(client, count)

        async def reorg(depth: int) -> None:
            await client._call("anvil_reorg", [depth, []], object)

        def silence(is_silent: bool) -> None:
            """Frozen: it keeps its connections and answers nothing."""
            os.kill(process.pid, signal.SIGSTOP if is_silent else signal.SIGCONT)
            if is_silent:  # once every thread has stopped: one may be answering still
                os.waitpid(process.pid, os.WUNTRACED)

        yield Bench(client, mine, reorg, silence)


KINDS = ["simulated", "tests", pytest.param("anvil", marks=real.pytestmark)]


@asynccontextmanager
async def opened(kind: str) -> AsyncIterator[Bench]:
    """At genesis."""
    if kind == "anvil":
        async with anvil() as at:
            yield at
    else:
        yield simulated() if kind == "simulated" else of_the_tests()


pytestmark = pytest.mark.parametrize("kind", KINDS)


async def chain_of(at: Bench) -> list[L1BlockRef]:
    """All of it, by number."""
    head = await at.client.head()
    assert head is not None
    found = [await at.client.ref_by_number(number) for number in range(head.number + 1)]
    assert found[-1] == head
    return [each for each in found if each is not None]


async def test_blocks_are_had_by_number_and_by_hash(kind: str) -> None:
    async with opened(kind) as at:
        await at.mine(5)
        chain = await chain_of(at)
        assert [each.number for each in chain] == [0, 1, 2, 3, 4, 5]
        assert len({each.hash for each in chain}) == 6
        for below, block in pairwise(chain):
            assert block.parent_hash == below.hash
        for block in chain:
            assert await at.client.ref_by_hash(block.hash) == block
        assert await at.client.ref_by_number(6) is None
        assert await at.client.ref_by_hash(Hash32(b"\x77" * 32)) is None
        finalized = await at.client.head("finalized")
        assert finalized is not None
        assert finalized.number == 0, "nothing is final so soon"


async def test_a_reorg_replaces_blocks_and_forgets_them(kind: str) -> None:
    async with opened(kind) as at:
        await at.mine(6)
        before = await chain_of(at)
        await at.reorg(3)
        after = await chain_of(at)
        assert len(after) == len(before), "`latest` is of the same height"
        assert after[:4] == before[:4]
        assert after[4].parent_hash == before[3].hash
        for dropped, taken in zip(before[4:], after[4:], strict=True):
            assert dropped.hash != taken.hash
            assert await at.client.ref_by_hash(dropped.hash) is None
            assert await at.client.ref_by_hash(taken.hash) == taken
        await at.reorg(2)
        await at.mine(1)
        last = await chain_of(at)
        assert last[:5] == after[:5]
        assert len({each.hash for each in (*before, *after, *last)}) == 7 + 3 + 3


async def test_who_is_silent_answers_nothing_and_has_forgotten_nothing(kind: str) -> None:
    async with opened(kind) as at:
        await at.mine(3)
        chain = await chain_of(at)
        at.silence(True)
        calls = [
            at.client.head(),
            at.client.ref_by_number(1),
            at.client.ref_by_hash(chain[1].hash),
            at.client.chain_id(),
        ]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(each) for each in answers] == [Unavailable] * 4
        at.silence(False)
        assert await chain_of(at) == chain
        await at.mine(1)
        assert (await chain_of(at))[:4] == chain


async def test_the_shipped_source_sees_a_reorg_and_keeps_its_view_through_a_silence(
    kind: str,
) -> None:
    async with opened(kind) as at:
        await at.mine(8)
        before = await chain_of(at)
        chain_id = await at.client.chain_id()
        genesis = L1Genesis(number=0, hash=before[0].hash)
        config = make_lock(l1_genesis=genesis, l1_chain_id=chain_id).chain
        source, told = L1Source(at.client, config, Logger("test"), Metrics()), list[bool]()
        await source.poll(told.append)
        at.silence(True)
        with pytest.raises(Unavailable):
            await source.poll(told.append)
        assert source.head_number == 8
        assert await source.canonical_hash(7) == before[7].hash
        at.silence(False)
        await at.reorg(4)
        await source.poll(told.append)
        assert told == [False, True]
        assert await source.canonical_hash(4) == before[4].hash
        assert await source.canonical_hash(5) != before[5].hash
