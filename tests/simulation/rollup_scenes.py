"""Directed scenes of a rollup node: the real driver and follower over a scripted engine and L1.
Each returns what broke, None when nothing did.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, cast

import dst.rollup.main
from devnet.checkers.recovery import NAME as RECOVERY
from dst.apis.beacon import BeaconClient, BlockId, ProduceRequest, WireBlock
from dst.runtime.browsers import BrowserPolicy
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.runtime.waiting import Waiting
from dst.spec.errors import DstError
from dst.spec.primitives import Slot
from tests.unit.rollup import test_follower as followers
from tests.unit.rollup import test_operator as operators
from tests.unit.rollup.rollup_bench import (
    certify,
    make_block,
    make_chain,
    root_of,
    served,
    until_true,
)

Scene = Callable[[Path], Coroutine[Any, Any, str | None]]


def played(scene: Scene) -> str | None:
    with TemporaryDirectory() as folder:
        return asyncio.run(scene(Path(folder)))


def a_stranger_asks(_: int) -> str | None:
    return played(_a_stranger_asks)


async def _a_stranger_asks(folder: Path) -> str | None:
    """Whoever reaches the public listener asks for a block while this node judges a proposal."""
    async with operators.bench(folder) as at:
        block = make_block(at.lock, at.chain.head.block)
        block_hash = block.body.execution_payload.block_hash
        at.engine.slow[block_hash] = asyncio.Event()
        settings = SimpleNamespace(policy=BrowserPolicy())
        common = cast(Any, SimpleNamespace(metrics=Metrics(), settings=settings))
        waiting = Waiting((), log=Logger("scene"), monotonic=time.monotonic)
        app = dst.rollup.main._app(common, at.node(lambda: at.clock[0]), waiting)
        async with served(app) as url, asyncio.TaskGroup() as group:
            judging = group.create_task(operators.validate(at, block))
            await until_true(lambda: block_hash in at.engine.started)
            stranger = BeaconClient(url)
            try:
                await stranger.produce_block(ProduceRequest(slot=Slot(1)), timeout_seconds=1.0)
            except DstError:
                pass  # refused, as it should be
            finally:
                await stranger.close()
            at.engine.slow[block_hash].set()
        if judging.result().status.name == "VALID":
            return None
        return f"S17 isolation of harm: a stranger ended a validation: {judging.result().reason}"


def l1_forgot(_: int) -> str | None:
    return played(_l1_forgot)


async def _l1_forgot(folder: Path) -> str | None:
    """L1 drops the origin of a locked block, and no longer knows that there was one."""
    async with operators.bench(folder) as at:
        locked = operators.on_origin(at, 16)
        at.fake_l1.reorg(6, "fork", 8)
        await at.l1.poll()
        at.l1._known.clear()
        result = await operators.validate(at, locked, justified=True)
        if result.status.name == "VALID":
            return None
        return f"{RECOVERY}: a justified block is not voted for: {result.reason}"


def l1_came_back(_: int) -> str | None:
    return played(_l1_came_back)


async def _l1_came_back(folder: Path) -> str | None:
    """The own L1 node was on a minority fork, and L1 at large never dropped an origin of ours."""
    async with operators.bench(folder) as at:
        await at.operator.decided(certify(at.lock, operators.on_origin(at, 16)))
        canonical = list(at.fake_l1.blocks)
        at.fake_l1.reorg(8, "minority", 9)
        await at.l1.poll()
        await at.watch.look()
        was_halted = at.halting.is_halted
        at.fake_l1.blocks = canonical
        await at.l1.poll()
        await at.watch.look()
        assert was_halted, "it knew no better"
        if not at.halting.is_halted:
            return None
        return f"{RECOVERY}: still halted, though L1 shows every origin again"


class _Hider(followers.Source):
    """Serves the true sealed head; one slot of it he hides, and answers for its root when told."""

    hidden: int
    asked_for: asyncio.Event
    may_answer: asyncio.Event

    async def block(self, block_id: BlockId) -> WireBlock | None:
        if block_id == self.hidden:
            return None
        if block_id == root_of(self.blocks[self.hidden - 1]):
            self.asked_for.set()
            await self.may_answer.wait()
        return await super().block(block_id)


def a_block_is_hidden(_: int) -> str | None:
    return played(_a_block_is_hidden)


async def _a_block_is_hidden(folder: Path) -> str | None:
    """One source hides a block of our own chain while another one brings it."""
    async with followers.bench(folder) as at:
        blocks = make_chain(at.lock, 6)
        hider = _Hider(name="hider")
        hider.hidden, hider.asked_for, hider.may_answer = 5, asyncio.Event(), asyncio.Event()
        hider.serve(at.lock, blocks, range(6))
        at.b.serve(at.lock, blocks[:4], range(4))
        await at.follower.catch_up(at.b)
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(_refused(at.follower.catch_up(hider)))
            await hider.asked_for.wait()
            at.b.serve(at.lock, blocks, range(6))
            await at.follower.catch_up(at.b)
            hider.may_answer.set()
        if at.halting.alarm is None:
            return None
        return f"S15 evidence is true: stopped for good over its own chain; {looking.result()}"


async def _refused(work: Coroutine[Any, Any, None]) -> str:
    try:
        await work
    except DstError as error:
        return str(error)
    return "nothing was refused"
