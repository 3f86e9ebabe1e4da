"""Operators whose blocks are real: middlewares over TLS, each on a rollup node and an execution
layer as shipped, all in one process. Faked: L1, the HTTP between the roles, and time, which runs
twice as fast."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from dst.apis.dst_v1 import Event
from dst.apis.engine import EngineError
from dst.apis.engine_client import EngineClient
from dst.apis.jsonrpc import answer_body
from dst.cli.cluster import create_cluster
from dst.execution.assembly import Services, assemble
from dst.execution.config import ExecutionConfig
from dst.execution.genesis import load_genesis
from dst.execution.main import _threads
from dst.execution.store import open_store
from dst.l1.source import L1Source
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
from dst.spec.primitives import Term, to_hex
from dst.spec.rules import genesis_block
from tests.unit.middleware.conftest import Cluster, Network, load_cluster
from tests.unit.rollup.rollup_bench import GENESIS_TIME, FakeL1, l1_hash

SPEED = 2
"""A slot is half a second, in which four operators execute a block one after another."""


def deal(folder: Path) -> Cluster:
    create_cluster(
        folder,
        operators=4,
        chain={
            "dev": True,
            "seconds_per_slot": 1,
            "genesis_time": GENESIS_TIME,
            "round_timeout_ms": 500,
            "l1_chain_id": 31337,
            "l1_genesis": {"number": 0, "hash": to_hex(l1_hash(0))},
        },
    )
    return load_cluster(folder)


class DirectEngine(EngineClient):
    """The engine's own answers, without a connection."""

    def __init__(self, services: Services) -> None:
        self._methods = {**services.eth.from_client, **services.engine_methods}

    async def call(
        self, method: str, params: Sequence[Any], kind: Any, *, timeout: float | None
    ) -> Any:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        body = await answer_body(msgspec.json.encode(request), self._methods)
        assert body is not None
        answer = msgspec.json.decode(body)
        if error := answer.get("error"):
            raise EngineError(error["code"], error["message"])
        return msgspec.convert(answer["result"], kind)


@dataclass
class Rollup:
    """What a middleware asks of its rollup node, and what lies behind."""

    node: RollupNode
    chain: Chain
    services: Services
    events_seen: list[Event] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.node, name)

    async def push_events(self, events: Sequence[Event]) -> None:
        self.events_seen += events

    async def send(self, raw: bytes) -> None:
        """A transaction, as a client would; it is forwarded to nobody."""
        await self.services.eth.from_client["eth_sendRawTransaction"]([to_hex(raw)])

    async def ask(self, method: str, *params: Any) -> Any:
        return await self.services.eth.from_client[method](params)

    @property
    def refused(self) -> list[str]:
        """Why blocks were no good to the execution layer, once it had executed them."""
        return [why for _, why in self.services.engine._memory.invalid.values()]


class RealNetwork(Network):
    def now(self) -> float:
        return GENESIS_TIME + (time.monotonic() - self.began) * SPEED

    def rollup(self, index: int) -> Any:
        return self.rollups[index]


@asynccontextmanager
async def rollup(folder: Path, cluster: Cluster, now: Callable[[], float]) -> AsyncIterator[Rollup]:
    lock, log, metrics = cluster.lock, Logger("test"), Metrics()
    fake_l1 = FakeL1()
    fake_l1.mine(20)
    l1 = L1Source(fake_l1, lock.chain, log, metrics)
    await l1.poll()
    async with _execution(folder / "execution", cluster) as services:
        head = services.chain.heads.head
        store = Store(folder / "rollup.sqlite", b"real blocks")
        chain = Chain(store, genesis_block(lock, head))
        ring, bus = EventRing("op", Term(0)), BeaconBus()
        halting = Halting(folder, store, ring, log)
        watch = ResetWatch(chain, l1, halting, lock.chain.l1_confirmations)
        driver = Operator(
            lock=lock,
            chain=chain,
            execution=EngineController(DirectEngine(services), chain, log, metrics),
            l1=l1,
            ring=ring,
            bus=bus,
            halting=halting,
            watch=watch,
            verify_seal=GroupVerifier(lock),
            certificates=CertificateVerifier(lock),
            log=log,
            metrics=metrics,
            now=now,
        )
        await watch.look()
        node = RollupNode(
            name="op",
            lock=lock,
            chain=chain,
            l1=l1,
            ring=ring,
            bus=bus,
            halting=halting,
            operator=driver,
            now=now,
        )
        try:
            yield Rollup(node, chain, services)
        finally:
            store.close()


@asynccontextmanager
async def _execution(folder: Path, cluster: Cluster) -> AsyncIterator[Services]:
    config = ExecutionConfig(
        name="op", data_dir="", genesis="", lock="", jwt_secret="", engine_listen="", rpc_listen=""
    )
    genesis = load_genesis(cluster.folder / "genesis.json")
    store = open_store(folder)
    with _threads() as (worker, threads):
        services = assemble(store, genesis, cluster.lock, config, folder, worker, threads)
        try:
            yield services
        finally:
            services.engine.close()
            services.exchange.close()
    store.close()


@asynccontextmanager
async def four(network: RealNetwork) -> AsyncIterator[list[Rollup]]:
    """A rollup node and an execution layer for each of the network's operators."""
    async with AsyncExitStack() as stack:
        made = []
        for index in range(4):
            folder = network.folder / f"real{index}"
            (folder / "execution").mkdir(parents=True)
            made.append(
                await stack.enter_async_context(rollup(folder, network.cluster, network.now))
            )
        network.rollups = dict(enumerate(made))  # type: ignore[arg-type]
        yield made
