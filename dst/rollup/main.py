"""Role entry and composition root of the rollup node."""

import asyncio
import time
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web

from dst.apis.beacon import BeaconClient, beacon_routes, reading_routes
from dst.apis.dst_v1 import dst_v1_routes, telling_routes
from dst.apis.engine_client import EngineClient
from dst.apis.jwt import holders_of
from dst.apis.rest import for_holders_of
from dst.batcher.batcher import Batcher
from dst.l1.rpc import L1Client
from dst.l1.source import L1Source
from dst.l1.tx_manager import TxManager
from dst.rollup.batch_source import StoreBlocks
from dst.rollup.chain import Chain
from dst.rollup.config import Settings, load_settings
from dst.rollup.engine_controller import EngineController
from dst.rollup.events import BeaconBus, EventRing
from dst.rollup.follower import Follower
from dst.rollup.halting import Halting
from dst.rollup.importer import Importer
from dst.rollup.node import RollupNode
from dst.rollup.operator import Operator
from dst.rollup.reset_watch import ResetWatch
from dst.rollup.scanner import InboxScanner, OnBatch
from dst.rollup.store import Store
from dst.rollup.trust import CertificateVerifier, GroupVerifier
from dst.runtime import log as logs
from dst.runtime.backoff import Backoff
from dst.runtime.browsers import BrowserPolicy
from dst.runtime.build import tell_build
from dst.runtime.http import make_app, serving
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.runtime.service import run_role, until
from dst.runtime.waiting import Waiting, WaitsFor
from dst.spec.beacon import BeaconBlock
from dst.spec.cluster import ClusterLock, genesis_validators_root
from dst.spec.errors import BadConfig, InvalidInput, Unavailable
from dst.spec.primitives import Term, parse_hex, to_hex
from dst.spec.rules import genesis_block

log = Logger("rollup")

MIN_POLL_SECONDS: Final = 0.5
"""How often a silent source is asked at least; a slot where slots are longer."""


def run(config_path: Path) -> int:
    """Run the role until it is told to stop; the process's exit code."""

    async def main(stop: asyncio.Event) -> None:
        settings = load_settings(config_path)
        logs.configure(settings.name, settings.log_level)
        await _serve(settings, stop)

    return run_role(main, log)


async def _serve(settings: Settings, stop: asyncio.Event) -> None:
    engine = EngineClient(settings.engine, settings.jwt_secret)
    l1_client = L1Client(settings.l1)
    store = Store(settings.data_dir / "rollup.sqlite", genesis_validators_root(settings.lock))
    sources = [BeaconClient(url) for url in settings.sources]
    try:
        genesis = await _genesis(settings, engine, stop)
        if genesis is None:
            return
        parts = _assemble(settings, engine, l1_client, Chain(store, genesis), sources)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(
                serving(parts.app, settings.listen, what="rollup listen", limits=settings.limits)
            )
            if parts.own_app is not None:
                assert settings.own_listen is not None
                assert settings.own_secret is not None
                await stack.enter_async_context(
                    serving(
                        parts.own_app,
                        settings.own_listen,
                        what="rollup own_listen",
                        limits=settings.limits,
                        vouches=holders_of(settings.own_secret),
                    )
                )
            log.info("ready", listen=settings.listen, head=parts.chain.head.height)
            await until(stop, *parts.loops)
    finally:
        await engine.close()
        await l1_client.close()
        for source in sources:
            await source.close()
        store.close()


class _GenesisHeader(msgspec.Struct, rename="camel", frozen=True):
    hash: str
    state_root: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _L2Genesis:
    hash: bytes
    state_root: bytes


async def _genesis(
    settings: Settings, engine: EngineClient, stop: asyncio.Event
) -> BeaconBlock | None:
    """The genesis block, once the execution layer is up; None when told to stop before.

    Raises: BadConfig when the execution layer holds another chain.
    """
    backoff, is_told = Backoff(), False
    while not stop.is_set():
        try:
            header = await engine.call(
                "eth_getBlockByNumber", ["0x0", False], _GenesisHeader, timeout=2.0
            )
        except BadConfig:
            raise
        except (Unavailable, InvalidInput) as error:
            if not is_told:
                log.info("waiting_for_engine", error=str(error))
            is_told = True
            await asyncio.sleep(backoff.next_delay())
            continue
        return _checked_genesis(settings.lock, header)
    return None


def _checked_genesis(lock: ClusterLock, header: _GenesisHeader) -> BeaconBlock:
    found = parse_hex(header.hash, 32, what="L2 genesis hash")
    if found != lock.chain.l2_genesis_hash:
        raise BadConfig(
            f"the execution layer's genesis is {header.hash}, the cluster lock says "
            f"{to_hex(lock.chain.l2_genesis_hash)}: start it with the genesis.json of this cluster"
        )
    state_root = parse_hex(header.state_root, 32, what="L2 genesis state root")
    return genesis_block(lock, _L2Genesis(hash=found, state_root=state_root))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    app: web.Application
    own_app: web.Application | None
    """For this operator's own middleware; None at a follower."""
    chain: Chain
    loops: tuple[Awaitable[None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Common:
    """What both drivers stand on."""

    settings: Settings
    metrics: Metrics
    chain: Chain
    l1_client: L1Client
    l1: L1Source
    ring: EventRing
    bus: BeaconBus
    halting: Halting
    execution: EngineController
    verify_seal: GroupVerifier

    def waiting(self, *more: WaitsFor) -> Waiting:
        """For what every rollup node may lack, and for what this one may lack besides."""
        parts = (
            self.halting.waits_for,
            self.chain.store.waits_for,
            self.execution.waits_for,
            self.l1.waits_for,
            *more,
        )
        return Waiting(parts, log=log, monotonic=time.monotonic)

    def scanner(self, on_batch: OnBatch) -> InboxScanner:
        return InboxScanner(
            client=self.l1_client,
            l1=self.l1,
            lock=self.settings.lock,
            chain=self.chain,
            verify_seal=self.verify_seal,
            bus=self.bus,
            on_batch=on_batch,
            log=log,
            metrics=self.metrics,
        )

    def node(self, operator: Operator | None) -> RollupNode:
        return RollupNode(
            name=self.settings.name,
            lock=self.settings.lock,
            chain=self.chain,
            l1=self.l1,
            ring=self.ring,
            bus=self.bus,
            halting=self.halting,
            operator=operator,
        )


def _assemble(
    settings: Settings,
    engine: EngineClient,
    l1_client: L1Client,
    chain: Chain,
    sources: list[BeaconClient],
) -> _Parts:
    metrics = Metrics()
    tell_build(metrics)
    engine.count_in(metrics)
    l1_client.count_in(metrics)
    for source in sources:
        source.count_in(metrics)
    ring = EventRing(settings.name, Term(settings.lock.chain.term))
    common = _Common(
        settings=settings,
        metrics=metrics,
        chain=chain,
        l1_client=l1_client,
        l1=L1Source(l1_client, settings.lock.chain, log, metrics),
        ring=ring,
        bus=BeaconBus(),
        halting=Halting(settings.data_dir, chain.store, ring, log),
        execution=EngineController(engine, chain, log, metrics),
        verify_seal=GroupVerifier(settings.lock),
    )
    _watch_heights(metrics, chain)
    if settings.operator is None:
        return _assemble_follower(common, sources)
    return _assemble_operator(common)


def _watch_heights(metrics: Metrics, chain: Chain) -> None:
    metrics.function("decided_height", lambda: chain.head.height)
    metrics.function("sealed_height", lambda: chain.sealed_height)
    metrics.function("safe_height", lambda: chain.safe_height)
    metrics.function("finalized_height", lambda: chain.finalized_height)


def _assemble_operator(common: _Common) -> _Parts:
    settings, chain = common.settings, common.chain
    depth = settings.lock.chain.l1_confirmations
    watch = ResetWatch(chain, common.l1, common.halting, depth)
    operator = Operator(
        lock=settings.lock,
        chain=chain,
        execution=common.execution,
        l1=common.l1,
        ring=common.ring,
        bus=common.bus,
        halting=common.halting,
        watch=watch,
        verify_seal=common.verify_seal,
        certificates=CertificateVerifier(settings.lock),
        log=log,
        metrics=common.metrics,
    )
    scanner = common.scanner(operator.compare)
    waiting = common.waiting(scanner.waits_for)

    def on_l1(reorged: bool) -> None:
        scanner.wake()
        watch.l1_moved(reorged=reorged)

    loops = [
        common.l1.run(on_l1),
        scanner.run(),
        watch.run(),
        common.execution.keep_announced(),
        waiting.run(),
    ]
    batcher = _batcher(common, scanner, operator.sealed)
    if batcher is not None:
        loops.append(batcher.run())
    node = common.node(operator)
    return _Parts(
        app=_app(common, node, waiting),
        own_app=_own_app(common, node, waiting),
        chain=chain,
        loops=tuple(loops),
    )


def _batcher(common: _Common, scanner: InboxScanner, sealed: asyncio.Event) -> Batcher | None:
    settings = common.settings
    if settings.batcher_key is None or settings.operator is None:
        return None
    sender = TxManager(common.l1_client, settings.batcher_key, settings.lock.chain.l1_chain_id, log)
    return Batcher(
        lock=settings.lock,
        operator=settings.operator,
        source=StoreBlocks(common.chain, lambda: scanner.derived.height),
        sealed=sealed,
        sender=sender,
        log=log,
        metrics=common.metrics,
    )


def _assemble_follower(common: _Common, sources: list[BeaconClient]) -> _Parts:
    settings = common.settings
    importer = Importer(
        lock=settings.lock,
        chain=common.chain,
        execution=common.execution,
        l1=common.l1,
        ring=common.ring,
        bus=common.bus,
        halting=common.halting,
        log=log,
    )
    follower = Follower(
        sources=sources,
        importer=importer,
        chain=common.chain,
        verify_seal=common.verify_seal,
        halting=common.halting,
        poll_seconds=max(MIN_POLL_SECONDS, settings.lock.chain.seconds_per_slot),
        log=log,
        metrics=common.metrics,
    )
    scanner = common.scanner(importer.import_run)
    waiting = common.waiting(follower.waits_for, scanner.waits_for)
    loops = (
        common.l1.run(lambda _reorged: scanner.wake()),
        scanner.run(),
        follower.run(),
        common.execution.keep_announced(),
        waiting.run(),
    )
    app = _app(common, common.node(None), waiting)
    return _Parts(app=app, own_app=None, chain=common.chain, loops=loops)


def _app(common: _Common, node: RollupNode, waiting: Waiting) -> web.Application:
    """What clients and followers reach: nothing here can stop or slow a vote."""
    return make_app(
        common.metrics,
        [*reading_routes(node), *telling_routes(node)],
        policy=common.settings.policy,
        health=node.complaint,
        waits_for=waiting.told,
    )


def _own_app(common: _Common, node: RollupNode, waiting: Waiting) -> web.Application:
    """All of both interfaces, for whoever holds the secret."""
    secret = common.settings.own_secret
    assert secret is not None, "an operator has one"
    return make_app(
        common.metrics,
        for_holders_of(secret, [*beacon_routes(node), *dst_v1_routes(node)]),
        policy=BrowserPolicy(hosts=common.settings.policy.hosts),
        health=node.complaint,
        waits_for=waiting.told,
    )
