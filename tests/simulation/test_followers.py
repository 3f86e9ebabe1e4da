"""The shipped follower in virtual time: three or four operators to follow, some of whom lie.

A chain of blocks grows by one a slot, mostly sealed; each source shows it as far as it has it, is
slow, away for a while, or hangs. Liars hide, forge, swap and go back, and do not stop at the heal.
Their key is none of the group's, so whatever they do: the follower's chain is the cluster's at any
time, nobody is accused, nothing halts, and after the heal it keeps up with the honest ones.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from devnet.sim.loop import VirtualLoop, play
from dst.apis.beacon import BeaconClient, BeaconEvent, BlockId, HeaderView, WireBlock
from dst.apis.dst_v1 import EventKind
from dst.apis.engine_client import EngineClient
from dst.l1.source import L1Source
from dst.rollup.chain import Chain
from dst.rollup.engine_controller import EngineController
from dst.rollup.events import BeaconBus, EventRing
from dst.rollup.follower import DISTRUST_SECONDS, Follower
from dst.rollup.halting import Halting
from dst.rollup.importer import Importer
from dst.rollup.store import Store
from dst.rollup.trust import VerifySeal
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec import ssz
from dst.spec.beacon import BeaconBlock, header_of
from dst.spec.cluster import ClusterLock
from dst.spec.errors import Unavailable
from dst.spec.primitives import G2_POINT_AT_INFINITY, BLSSignature, Root, Term
from tests.unit.rollup.rollup_bench import (
    EngineStub,
    FakeL1,
    make_block,
    make_chain,
    make_genesis,
    make_lock,
    root_of,
)

LENGTH = 40
HEAL_S = 30.0
"""One block a second: the last ten come after it."""
POLL_S = 0.5
KEPT_UP_S = 8.0
"""From the last block on: a call that hangs for three seconds, a distrust and a look."""
assert KEPT_UP_S >= 3.0 + DISTRUST_SECONDS - POLL_S


@dataclass(frozen=True)
class Truth:
    """The cluster's chain, and forged children of each block that nobody signed."""

    lock: ClusterLock
    blocks: tuple[BeaconBlock, ...]
    forged: tuple[BeaconBlock, ...]
    roots: dict[Root, BeaconBlock]

    def is_sealed(self, position: int) -> bool:
        """Some have no seal of their own; the last has."""
        return position % 7 not in (3, 4) or position == LENGTH - 1


@cache
def truth() -> Truth:
    lock = make_lock()
    blocks = tuple(make_chain(lock, LENGTH))
    parents = (make_genesis(lock), *blocks)
    forged = tuple(make_block(lock, each, transactions=[b"\x02forged"]) for each in parents)
    return Truth(lock, blocks, forged, {root_of(each): each for each in (*blocks, *forged)})


def seal_of(root: Root) -> BLSSignature:
    """Ideal: who is not the cluster cannot make one for a root that it did not seal."""
    return BLSSignature(b"\x80" + root + bytes(63))


def verify_seal(root: Root, signature: BLSSignature) -> bool:
    own = {root_of(each) for each in truth().blocks}
    return root in own and signature == seal_of(root)


class Direct(EngineClient):
    """The engine without a network; it is slow, and now and then away."""

    def __init__(self, stub: EngineStub, rng: Random) -> None:
        super().__init__("direct://", bytes(32))
        self._stub, self._rng = stub, rng

    async def call(
        self, method: str, params: Sequence[Any], kind: Any, *, timeout: float | None
    ) -> Any:
        await asyncio.sleep(self._rng.uniform(0.001, 0.05))
        if self._rng.random() < 0.03:
            raise Unavailable("the engine is away")
        wire = msgspec.to_builtins(params)
        answer = await getattr(self._stub, method)(*wire)
        return msgspec.json.decode(msgspec.json.encode(answer), type=kind)


@dataclass
class Source(BeaconClient):
    """An honest one: what it has is true, but it may be behind, away or stuck."""

    loop: VirtualLoop
    rng: Random
    name: str
    lag_s: float = 0.0
    trouble: float = 0.0

    def __post_init__(self) -> None:
        super().__init__(f"fake://{self.name}")

    def known(self) -> int:
        """Blocks."""
        return max(0, min(LENGTH, int(self.loop.time() - self.lag_s)))

    async def _think(self) -> None:
        calm = self.loop.time() >= HEAL_S
        await asyncio.sleep(self.rng.uniform(0.001, 0.02 if calm else 0.3))
        if not calm and self.rng.random() < self.trouble:
            await asyncio.sleep(self.rng.choice((0.0, 0.0, 3.0)))
            raise Unavailable("away")

    async def header(self, block_id: BlockId) -> HeaderView | None:
        await self._think()
        sealed = [each for each in range(self.known()) if truth().is_sealed(each)]
        return self._view(truth().blocks[sealed[-1]]) if sealed else None

    def _view(self, block: BeaconBlock) -> HeaderView:
        root = root_of(block)
        return HeaderView(root=root, header=header_of(block), signature=seal_of(root))

    async def block(self, block_id: BlockId) -> WireBlock | None:
        await self._think()
        for position, block in enumerate(truth().blocks[: self.known()]):
            if block_id in (block.slot, root_of(block)):
                return self._wire(block, sealed=truth().is_sealed(position))
        return None

    def _wire(self, block: BeaconBlock, *, sealed: bool) -> WireBlock:
        signature = seal_of(root_of(block)) if sealed else G2_POINT_AT_INFINITY
        return WireBlock(message=ssz.encode(block), signature=signature)

    async def events(self, topics: frozenset[str]) -> AsyncGenerator[BeaconEvent, None]:
        while True:
            await asyncio.sleep(self.rng.uniform(0.2, 2.0))
            yield BeaconEvent(topic="head", data={})


@dataclass
class Liar(Source):
    """Half of the time he says something else. A forged head he serves with its block."""

    told: int = 0
    pushed: BeaconBlock | None = None

    async def header(self, block_id: BlockId) -> HeaderView | None:
        found = await super().header(block_id)
        if found is None or self.rng.random() < 0.5:
            return found
        self.told += 1
        if self.rng.random() < 0.5:
            self.pushed = truth().forged[max(0, self.known() - self.rng.randrange(3))]
            return self._view(self.pushed)
        any_root = self.rng.choice(list(truth().roots))
        return self.rng.choice(
            (
                None,
                but(found, root=any_root),
                but(found, signature=seal_of(any_root)),
                but(found, signature=G2_POINT_AT_INFINITY),
                self._view(truth().roots[any_root]),  # an old one, one to come, or a forged one
            )
        )

    async def block(self, block_id: BlockId) -> WireBlock | None:
        found = await super().block(block_id)
        if self.pushed is not None and block_id in (self.pushed.slot, root_of(self.pushed)):
            return self._wire(self.pushed, sealed=True)
        if found is None or self.rng.random() < 0.7:
            return found
        self.told += 1
        other = self.rng.choice(list(truth().roots.values()))
        slot = ssz.decode(BeaconBlock, found.message).slot
        return self.rng.choice(
            (
                None,
                WireBlock(message=found.message[:-5], signature=found.signature),
                WireBlock(message=b"", signature=found.signature),
                WireBlock(message=found.message, signature=G2_POINT_AT_INFINITY),
                WireBlock(message=found.message, signature=seal_of(root_of(other))),
                self._wire(other, sealed=self.rng.random() < 0.5),
                self._wire(truth().forged[slot - 1], sealed=self.rng.random() < 0.5),
            )
        )


def but(view: HeaderView, **changes: Any) -> HeaderView:
    return HeaderView(
        **{"root": view.root, "header": view.header, "signature": view.signature, **changes}
    )


@dataclass
class Followed:
    """What came of a run. wrong: of blocks that were imported, those that are not the cluster's."""

    height: int = 0
    wrong: list[int] = field(default_factory=list)
    alarms: list[EventKind] = field(default_factory=list)
    halted: str = ""
    lies: int = 0
    refused: int = 0


async def follow(loop: VirtualLoop, seed: int, folder: Path, verify: VerifySeal) -> Followed:
    rng = Random(f"follower {seed}")
    count = rng.randint(3, 4)
    liars = set(rng.sample(range(count), rng.randint(1, count - 1)))
    sources: list[Source] = [
        (Liar if each in liars else Source)(
            loop=loop,
            rng=rng,
            name=f"op{each + 1}",
            lag_s=rng.choice((0.0, 0.0, 0.5, 3.0)) if each in liars else rng.choice((0.0, 0.3)),
            trouble=rng.choice((0.0, 0.1, 0.5)),
        )
        for each in range(count)
    ]
    lock, log, metrics = truth().lock, Logger("test"), Metrics()
    ring, bus, l1 = (
        EventRing("f1", Term(0)),
        BeaconBus(),
        L1Source(FakeL1(), lock.chain, log, metrics),
    )
    await l1.poll()
    store = Store(folder / "rollup.sqlite", b"followers")
    chain = Chain(store, make_genesis(lock))
    halting = Halting(folder, store, ring, log)
    importer = Importer(
        lock=lock,
        chain=chain,
        execution=EngineController(Direct(EngineStub(lock), rng), chain, log, metrics),
        l1=l1,
        ring=ring,
        bus=bus,
        halting=halting,
        log=log,
    )
    follower = Follower(
        sources=sources,
        importer=importer,
        chain=chain,
        verify_seal=verify,
        halting=halting,
        poll_seconds=POLL_S,
        log=log,
        metrics=metrics,
    )
    running = loop.create_task(follower.run())
    await asyncio.sleep(LENGTH + KEPT_UP_S)
    assert not running.done(), running
    running.cancel()
    held = [store.by_height(height) for height in range(1, chain.head.height + 1)]
    told = [each.event.kind for each in ring._events]
    refusals = (metrics.get("source_lies_total", source=each.url) for each in sources)
    store.close()
    return Followed(
        height=chain.head.height,
        wrong=[
            each.height
            for each, block in zip(held, truth().blocks, strict=False)
            if each is not None and each.root != root_of(block)
        ],
        alarms=[kind for kind in told if kind is not EventKind.IMPORTED],
        halted=halting.alarm or "",
        lies=sum(each.told for each in sources if isinstance(each, Liar)),
        refused=int(sum(refusals)),
    )


def followed(seed: int, folder: Path, verify: VerifySeal = verify_seal) -> Followed:
    folder.mkdir()
    return play(lambda loop: follow(loop, seed, folder, verify))


@pytest.mark.parametrize("seed", range(int(os.environ.get("SIM_FOLLOWERS", "8"))))
def test_a_follower_keeps_to_the_clusters_chain_whoever_lies(seed: int, tmp_path: Path) -> None:
    found = followed(seed, tmp_path / "data")
    assert (found.wrong, found.alarms, found.halted) == ([], [], "")
    assert found.lies >= 5
    assert found.refused > 0, "the lies are seen"
    assert found.height == LENGTH


def test_a_follower_that_believes_any_seal_would_be_noticed(tmp_path: Path) -> None:
    for seed in range(10):
        found = followed(seed, tmp_path / f"{seed}", lambda root, signature: True)
        if found.wrong:
            return
    raise AssertionError("no forged block was taken: the liars are too weak")
