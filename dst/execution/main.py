"""The execution role: config in, two listeners out (Engine API with JWT, JSON-RPC), exit code at
the end."""

import asyncio
import os
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec
from aiohttp import web

from dst.apis.engine import check_jwt, load_jwt_secret
from dst.apis.jsonrpc import Guard, Method, rpc_routes
from dst.apis.jsonrpc.ws import WebSockets
from dst.crypto import ecdsa, keccak
from dst.crypto.locks import load_lock
from dst.execution.block.allowance import Allowance, RoundTimes
from dst.execution.block.builder import BuilderLimits
from dst.execution.chain import Chain
from dst.execution.engine_rpc import engine_methods
from dst.execution.engine_service import EngineService
from dst.execution.environment import Engine
from dst.execution.events import Events
from dst.execution.evm.precompiles import warm_up
from dst.execution.genesis import Genesis, load_genesis
from dst.execution.pool.exchange import PoolExchange
from dst.execution.pool.peer import FORWARDED_HEADER
from dst.execution.pruning import ARCHIVE, Retention
from dst.execution.rpc.blocks_by_id import BlocksById
from dst.execution.rpc.dev_accounts import dev_keys
from dst.execution.rpc.dispatch import Threads
from dst.execution.rpc.families import Given, Served, serve_families
from dst.execution.rpc.finality import SealedHeight, nobody_knows
from dst.execution.rpc.workers import CallWorkers
from dst.execution.sealed import sealed_height_of
from dst.execution.slots import SlotClock
from dst.execution.store import BlockStore, open_store
from dst.execution.turns import BlockWorker, Turns
from dst.execution.weigher import Weigher
from dst.runtime.browsers import LOCAL_ORIGINS, BrowserPolicy
from dst.runtime.config import check_url, load_json, resolve
from dst.runtime.http import make_app, serving
from dst.runtime.log import Logger, configure
from dst.runtime.metrics import Metrics
from dst.runtime.service import EXIT_BAD_CONFIG, run_role, until
from dst.spec.cluster import ChainConfig, ClusterLock
from dst.spec.errors import BadConfig
from dst.spec.primitives import to_hex

EVM_STACK_BYTES: Final = 256 * 2**20
"""Stack of threads that run the EVM: 1,024 nested calls are about 12,000 Python frames. Address
space, not memory."""
SWITCH_INTERVAL_S: Final = 0.001
"""How long the EVM thread may keep the interpreter from the event loop."""

log = Logger("execution")


class ExecutionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """execution.json; paths are relative to the file's folder."""

    name: str
    data_dir: str
    genesis: str
    lock: str
    jwt_secret: str
    engine_listen: str
    rpc_listen: str
    history_blocks: int = 100_000
    """Blocks whose states stay readable, counted from the head; at least 64."""
    archive: bool = False
    """Keep every state."""
    forward_to: list[str] = []
    """JSON-RPC URLs of the other operators (of all of them, for a follower)."""
    browser_origins: list[str] | None = None
    """Web pages that may ask: `https://wallet.example`, `local` (pages of this machine) or `*`.
    Left out: `local` on a dev network, none elsewhere."""
    hosts: list[str] = []
    """Names with a dot that this node is called by, or `*`; addresses, `localhost` and names
    without a dot are always good."""
    rollup: str | None = None
    """URL of this node's rollup node, asked for what is sealed (dst_finality)."""
    subscribe: bool = False
    """A follower's: hear of transactions from the operators that it forwards to. Those do not know
    it, so they cannot tell it by themselves."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    engine: Engine = Engine.FAST
    """"stock" is for differential runs alone."""


def check_history(config: ExecutionConfig, path: Path) -> None:
    """Raises: BadConfig naming the file."""
    try:
        retention_of(config)
    except BadConfig as error:
        raise BadConfig(f"execution config {path}: {error}") from None


def retention_of(config: ExecutionConfig) -> Retention:
    """Raises: BadConfig."""
    return ARCHIVE if config.archive else Retention(history_blocks=config.history_blocks)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Services:
    chain: Chain
    engine: EngineService
    engine_methods: Mapping[str, Method]
    eth: Served
    clock: SlotClock
    exchange: PoolExchange
    weigher: Weigher
    metrics: Metrics

    def complaint(self) -> str | None:
        """Why whoever asks should not rely on this node; None when all is well."""
        return self.clock.complaint(self.chain.heads.head)


def run(config_path: str, *, data_dir: str | None = None, archive: bool = False) -> int:
    """Serve until SIGTERM or SIGINT; `data_dir` and `archive` replace what the file says. Returns
    the exit code: 0 stopped, 2 bad configuration, 1 crash."""
    path = Path(config_path)
    try:
        config = load_json(path, ExecutionConfig, what="execution config")
        config = msgspec.structs.replace(
            config,
            data_dir=config.data_dir if data_dir is None else os.path.abspath(data_dir),
            archive=config.archive or archive,
        )
        check_history(config, path)
        for url in config.forward_to:
            check_url(url, what=f"execution config {path}: forward_to")
        if config.rollup is not None:
            check_url(config.rollup, what=f"execution config {path}: rollup")
    except BadConfig as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_CONFIG
    configure(config.name, config.log_level)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    warnings.filterwarnings("ignore", message="SELFDESTRUCT")  # py-evm's, at every use on chain

    async def main(stop: asyncio.Event) -> None:
        await serve(path, config, stop)

    return run_role(main, log)


async def serve(path: Path, config: ExecutionConfig, stop: asyncio.Event) -> None:
    """Open the store, serve both listeners, forward, until `stop`. Raises: BadConfig."""
    genesis = load_genesis(resolve(path, config.genesis))
    lock = load_lock(resolve(path, config.lock))
    check_genesis(genesis, lock.chain)
    secret = load_jwt_secret(resolve(path, config.jwt_secret))
    policy = BrowserPolicy.of(
        _origins(config, lock.chain), config.hosts, what=f"execution config {path}"
    )
    store = open_store(resolve(path, config.data_dir))
    try:
        async with sealed_height_of(config.rollup) as sealed_height:
            with _threads() as (worker, threads):
                worker.submit(warm_up).result()
                log.debug("backends", keccak=keccak.NAME, ecdsa=ecdsa.NAME)
                services = assemble(
                    store,
                    genesis,
                    lock,
                    config,
                    resolve(path, config.data_dir),
                    worker,
                    threads,
                    sealed_height=sealed_height,
                )
                try:
                    await _serve(config, services, secret, policy, stop)
                finally:
                    services.engine.close()
                    services.exchange.close()
    finally:
        store.close()


def _origins(config: ExecutionConfig, chain: ChainConfig) -> list[str]:
    if config.browser_origins is not None:
        return config.browser_origins
    return [LOCAL_ORIGINS] if chain.dev else []


def check_genesis(genesis: Genesis, chain: ChainConfig) -> None:
    """Lock and genesis must be of one chain. Raises: BadConfig."""
    for name, found, wanted in (
        ("chain id", genesis.chain_id, chain.chain_id),
        ("gas limit", genesis.header.gas_limit, chain.gas_limit),
        ("hash", to_hex(genesis.header.hash), to_hex(chain.l2_genesis_hash)),
    ):
        if found != wanted:
            raise BadConfig(
                f"genesis file: {name} is {found}, the cluster lock says {wanted}: "
                "the two files are of different clusters"
            )


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
) -> _Services:
    metrics = Metrics()
    chain = Chain(store, genesis, retention_of(config), config.engine)
    chain.states.register(metrics)
    exchange = PoolExchange(
        chain,
        metrics,
        worker.turns,
        data_dir=data_dir,
        forward_to=config.forward_to,
        subscribe_to=config.forward_to if config.subscribe else (),
        faulty=(lock.n - 1) // 3,
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
    engine.on_head.append(events.on_head)
    pool.on_added.append(events.transactions)
    metrics.function("builder_contention", lambda: allowance.contention)
    metrics.function("head_number", lambda: float(chain.heads.head.number))
    metrics.function("head_age_seconds", lambda: clock.age(chain.heads.head))
    return _Services(
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
            BlocksById(chain, clock),
            threads.call,
            lambda: allowance.undiminished_seconds,
        ),
        metrics=metrics,
    )


def _allowance(lock: ClusterLock) -> Allowance:
    times = RoundTimes(
        slot_s=lock.chain.seconds_per_slot,
        round_timeout_s=lock.chain.round_timeout_ms / 1000,
        share=lock.chain.builder_share_percent / 100,
        operators=lock.n,
    )
    return Allowance(times, cores=os.cpu_count() or 1)


async def _serve(
    config: ExecutionConfig,
    services: _Services,
    secret: bytes,
    policy: BrowserPolicy,
    stop: asyncio.Event,
) -> None:
    health = services.complaint
    engine_app = make_app(
        services.metrics,
        _engine_routes(services, secret),
        policy=BrowserPolicy(hosts=policy.hosts),
        health=health,
    )
    rpc_app = make_app(services.metrics, _rpc_routes(services), policy=policy, health=health)
    async with (
        serving(engine_app, config.engine_listen, what="engine_listen"),
        serving(rpc_app, config.rpc_listen, what="rpc_listen"),
    ):
        head = services.chain.heads
        log.info(
            "ready",
            engine=config.engine_listen,
            rpc=config.rpc_listen,
            head=head.head.number,
            hash=head.head_hash,
        )
        await until(
            stop,
            services.exchange.run(),
            services.weigher.run(),
            services.eth.subscriptions.run(),
        )


def _engine_routes(services: _Services, secret: bytes) -> list[web.RouteDef]:
    """Engine methods, and the `eth_` ones a consensus client may ask (engine/common.md)."""
    methods: Mapping[str, Method] = {**services.eth.from_client, **services.engine_methods}

    def guard(request: web.Request) -> str | None:
        return check_jwt(secret, request.headers.get("Authorization"), time.time())

    checked: Guard = guard
    return rpc_routes(lambda _: methods, checked)


def _rpc_routes(services: _Services) -> list[web.RouteDef]:
    websockets = WebSockets()
    services.metrics.function("ws_connections", lambda: float(websockets.connections))

    def methods(request: web.Request) -> Mapping[str, Method]:
        forwarded = FORWARDED_HEADER in request.headers
        return services.eth.from_operator if forwarded else services.eth.from_client

    return rpc_routes(methods, websockets=websockets, warning=services.complaint)


@contextmanager
def _threads() -> Iterator[tuple[BlockWorker, Threads]]:
    """One thread that changes the chain, one that reads it for clients, several that run calls."""
    threading.stack_size(EVM_STACK_BYTES)
    turns = Turns()
    worker = BlockWorker(turns)
    call = CallWorkers(turns)
    read = ThreadPoolExecutor(1, "read")
    try:
        yield worker, Threads(read=read, call=call)
    finally:
        for each in (worker, call, read):
            each.shutdown(wait=True, cancel_futures=True)
