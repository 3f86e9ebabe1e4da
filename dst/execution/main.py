"""The execution role: config in, two listeners out (Engine API with JWT, JSON-RPC), exit code at
the end."""

import asyncio
import os
import sys
import threading
import time
import warnings
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec
from aiohttp import web

from dst.apis.dst_v1 import DstClient
from dst.apis.engine import check_jwt, load_jwt_secret
from dst.apis.jsonrpc import Guard, Method, rpc_routes
from dst.apis.jsonrpc.ws import WebSockets
from dst.crypto.locks import load_lock
from dst.execution.block.builder import BuilderLimits
from dst.execution.chain import Chain
from dst.execution.engine_service import EngineService
from dst.execution.events import Events
from dst.execution.genesis import Genesis, load_genesis
from dst.execution.pool.forwarder import FORWARDED_HEADER, Forwarder
from dst.execution.pool.service import TransactionPool
from dst.execution.pruning import ARCHIVE, Retention
from dst.execution.rpc.dev_accounts import dev_keys
from dst.execution.rpc.dispatch import Threads
from dst.execution.rpc.families import Given, Served, serve_families
from dst.execution.rpc.finality import SealedHeight, nobody_knows
from dst.execution.rpc.workers import CallWorkers
from dst.execution.slots import SlotClock
from dst.execution.store import BlockStore, open_store
from dst.execution.turns import BlockWorker, Turns
from dst.runtime.browsers import LOCAL_ORIGINS, BrowserPolicy
from dst.runtime.config import check_url, load_json, resolve
from dst.runtime.http import make_app, serving
from dst.runtime.log import Logger, configure
from dst.runtime.metrics import Metrics
from dst.runtime.service import EXIT_BAD_CONFIG, run_role, until
from dst.spec.cluster import ChainConfig
from dst.spec.errors import BadConfig, InvalidInput, Unavailable
from dst.spec.primitives import to_hex

EVM_STACK_BYTES: Final = 256 * 2**20
"""Stack of threads that run the EVM: 1,024 nested calls are about 12,000 Python frames. Address
space, not memory."""
SWITCH_INTERVAL_S: Final = 0.001
"""How long the EVM thread may keep the interpreter from the event loop."""

ROLLUP_TIMEOUT_S: Final = 1.0
"""An answer about finality waits no longer for the rollup node."""

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
    log_level: Literal["debug", "info", "warning", "error"] = "info"


def retention_of(config: ExecutionConfig) -> Retention:
    """Raises: BadConfig."""
    return ARCHIVE if config.archive else Retention(history_blocks=config.history_blocks)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Services:
    chain: Chain
    engine: EngineService
    eth: Served
    clock: SlotClock
    forwarder: Forwarder
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
        retention_of(config)
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
    chain_config = load_lock(resolve(path, config.lock)).chain
    check_genesis(genesis, chain_config)
    secret = load_jwt_secret(resolve(path, config.jwt_secret))
    policy = BrowserPolicy.of(
        _origins(config, chain_config), config.hosts, what=f"execution config {path}"
    )
    store = open_store(resolve(path, config.data_dir))
    try:
        async with _sealed_height(config.rollup) as sealed_height:
            with _threads() as (worker, threads):
                services = assemble(
                    store,
                    genesis,
                    chain_config,
                    config.forward_to,
                    worker,
                    threads,
                    retention=retention_of(config),
                    sealed_height=sealed_height,
                )
                try:
                    await _serve(config, services, secret, policy, stop)
                finally:
                    services.engine.close()
    finally:
        store.close()


def _origins(config: ExecutionConfig, chain: ChainConfig) -> list[str]:
    if config.browser_origins is not None:
        return config.browser_origins
    return [LOCAL_ORIGINS] if chain.dev else []


@asynccontextmanager
async def _sealed_height(rollup: str | None) -> AsyncIterator[SealedHeight]:
    """Asks the rollup node for its newest sealed block; nobody when none is configured."""
    if rollup is None:
        yield nobody_knows
        return
    async with DstClient(rollup) as client:

        async def ask() -> int | None:
            try:
                status = await client.status(timeout_seconds=ROLLUP_TIMEOUT_S)
            except (InvalidInput, Unavailable):
                return None
            # Seals come newest first: below the lowest gap all are sealed, above it some.
            gap = status.lowest_unsealed_height
            return status.sealed_height if gap is None else min(gap - 1, status.sealed_height)

        yield ask


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
    chain_config: ChainConfig,
    forward_to: list[str],
    worker: ThreadPoolExecutor,
    threads: Threads,
    *,
    retention: Retention = ARCHIVE,
    sealed_height: SealedHeight = nobody_knows,
) -> _Services:
    metrics = Metrics()
    chain = Chain(store, genesis, retention)
    chain.states.register(metrics)
    pool = TransactionPool(chain, metrics)
    forwarder = Forwarder(forward_to, metrics)
    limits = BuilderLimits(
        builder_time_s=chain_config.builder_time_ms / 1000,
        max_block_bytes=chain_config.max_block_bytes,
        extra_data=chain_config.extra_data,
    )
    engine = EngineService(chain, pool, worker, limits, metrics)
    clock, events = SlotClock.of(chain_config), Events()
    engine.on_head.append(events.on_head)
    pool.on_added.append(events.transactions)
    metrics.function("head_number", lambda: float(chain.heads.head.number))
    metrics.function("head_age_seconds", lambda: clock.age(chain.heads.head))
    return _Services(
        chain=chain,
        engine=engine,
        eth=serve_families(
            Given(
                chain=chain,
                pool=pool,
                events=events,
                threads=threads,
                clock=clock,
                on_accepted=forwarder.offer,
                peers=len(forward_to),
                dev_keys=dev_keys() if chain_config.dev else (),
                sealed_height=sealed_height,
            )
        ),
        clock=clock,
        forwarder=forwarder,
        metrics=metrics,
    )


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
        await until(stop, services.forwarder.run(), services.eth.subscriptions.run())


def _engine_routes(services: _Services, secret: bytes) -> list[web.RouteDef]:
    """Engine methods, and the `eth_` ones a consensus client may ask (engine/common.md)."""
    methods: Mapping[str, Method] = {**services.eth.from_client, **services.engine.methods()}

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
def _threads() -> Iterator[tuple[ThreadPoolExecutor, Threads]]:
    """One thread that changes the chain, one that reads it, several that run calls."""
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
