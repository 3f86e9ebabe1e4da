"""The parts of the execution role put together, nothing of it listening yet."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dst.apis.eth import BlockTag
from dst.apis.jsonrpc import Method
from dst.execution.block.allowance import Allowance, RoundTimes
from dst.execution.block.builder import BuilderLimits
from dst.execution.chain import Chain
from dst.execution.config import ExecutionConfig, retention_of
from dst.execution.engine_rpc import engine_methods
from dst.execution.engine_service import EngineService
from dst.execution.events import Events
from dst.execution.genesis import Genesis
from dst.execution.pool.exchange import PoolExchange
from dst.execution.rpc.blocks_by_id import BlocksById
from dst.execution.rpc.dev_accounts import dev_keys
from dst.execution.rpc.dispatch import Threads
from dst.execution.rpc.families import Given, Served, serve_families
from dst.execution.sealed import SealedHeight, nobody_knows
from dst.execution.slots import SlotClock
from dst.execution.store import BlockStore
from dst.execution.turns import BlockWorker
from dst.execution.weigher import Weigher
from dst.runtime.build import tell_build
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.runtime.waiting import Waiting
from dst.spec.cluster import ClusterLock
from dst.spec.primitives import faults_tolerated

log = Logger("execution")


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    chain: Chain
    engine: EngineService
    engine_methods: Mapping[str, Method]
    eth: Served
    clock: SlotClock
    exchange: PoolExchange
    weigher: Weigher
    metrics: Metrics
    waiting: Waiting

    def complaint(self) -> str | None:
        """Why whoever asks should not rely on this node; None when all is well."""
        lacks = [f"waits for {each}" for each in self.waiting.lacks()]
        stale = self.clock.complaint(self.chain.heads.head)
        return "; ".join([*lacks, *([] if stale is None else [stale])]) or None


def assemble(
    store: BlockStore,
    genesis: Genesis,
    lock: ClusterLock,
    config: ExecutionConfig,
    data_dir: Path,
    worker: BlockWorker,
    threads: Threads,
    *,
    sealed_height: SealedHeight = nobody_knows,
    peer_secret: bytes | None = None,
) -> Services:
    """`worker` is the one thread that changes the chain. Raises: BadConfig."""
    metrics = Metrics()
    tell_build(metrics)
    chain = Chain(store, genesis, retention_of(config), config.engine)
    chain.states.register(metrics)
    exchange = PoolExchange(
        chain,
        metrics,
        worker.turns,
        data_dir=data_dir,
        forward_to=config.forward_to,
        subscribe_to=config.forward_to if config.subscribe else (),
        faulty=faults_tolerated(lock.n),
        secret=peer_secret,
    )
    pool = exchange.pool
    allowance = _allowance(lock)
    limits = BuilderLimits(
        builder_time_s=allowance.seconds,
        max_block_bytes=lock.chain.max_block_bytes,
        extra_data=lock.chain.extra_data,
    )
    engine = EngineService(chain, pool, worker, limits, metrics, allowance)
    clock, events = SlotClock.of(lock.chain), Events()
    pending = BlocksById(chain, clock)
    engine.on_head.append(events.on_head)
    pool.on_added.append(events.transactions)
    metrics.function("builder_contention", lambda: allowance.contention)
    metrics.function("head_number", lambda: float(chain.heads.head.number))
    metrics.function("head_age_seconds", lambda: clock.age(chain.heads.head))
    return Services(
        chain=chain,
        engine=engine,
        engine_methods=engine_methods(engine, chain, threads.read),
        eth=serve_families(
            Given(
                chain=chain,
                pool=pool,
                announcements=exchange.announcements,
                events=events,
                threads=threads,
                clock=clock,
                peers=len(config.forward_to),
                dev_keys=dev_keys() if lock.chain.dev else (),
                sealed_height=sealed_height,
            )
        ),
        clock=clock,
        exchange=exchange,
        weigher=Weigher(
            pool,
            lambda: pending.environment_for(BlockTag.PENDING),
            threads.call,
            lambda: allowance.undiminished_seconds,
        ),
        metrics=metrics,
        waiting=Waiting((store.waits_for,), log=log, monotonic=time.monotonic),
    )


def _allowance(lock: ClusterLock) -> Allowance:
    times = RoundTimes(
        slot_s=lock.chain.seconds_per_slot,
        round_timeout_s=lock.chain.round_timeout_ms / 1000,
        share=lock.chain.builder_share_percent / 100,
        operators=lock.n,
    )
    return Allowance(times, cores=os.cpu_count() or 1)
