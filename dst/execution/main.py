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
from dst.apis.jsonrpc import Guard, Method, rpc_route
from dst.crypto.locks import load_lock
from dst.execution.block.allowance import Allowance, RoundTimes
from dst.execution.block.builder import BuilderLimits
from dst.execution.chain import Chain
from dst.execution.engine_rpc import engine_methods
from dst.execution.engine_service import EngineService
from dst.execution.eth_service import EthService
from dst.execution.genesis import Genesis, load_genesis
from dst.execution.pool.exchange import PoolExchange
from dst.execution.pool.peer import FORWARDED_HEADER
from dst.execution.rpc.dispatch import Threads, bind, entries
from dst.execution.rpc.pool_exchange import PoolExchangeMethods
from dst.execution.rpc.transaction_status import TransactionStatusMethods
from dst.execution.store import BlockStore
from dst.runtime.config import check_url, load_json, resolve
from dst.runtime.http import make_app, serving
from dst.runtime.kv import KeyValueStore
from dst.runtime.log import Logger, configure
from dst.runtime.metrics import Metrics
from dst.runtime.service import EXIT_BAD_CONFIG, run_role, until
from dst.spec.cluster import ChainConfig, ClusterLock
from dst.spec.errors import BadConfig
from dst.spec.primitives import to_hex

STORE_FILE: Final = "chain.sqlite"
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
    forward_to: list[str] = []
    """JSON-RPC URLs of the other operators (of all of them, for a follower)."""
    subscribe: bool = False
    """A follower's: hear of transactions from the operators that it forwards to. Those do not know
    it, so they cannot tell it by themselves."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Services:
    chain: Chain
    engine: EngineService
    engine_methods: Mapping[str, Method]
    eth: EthService
    families: Mapping[str, Method]
    exchange: PoolExchange
    metrics: Metrics


def run(config_path: str) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code: 0 stopped, 2 bad configuration, 1
    crash."""
    path = Path(config_path)
    try:
        config = load_json(path, ExecutionConfig, what="execution config")
        for url in config.forward_to:
            check_url(url, what=f"execution config {path}: forward_to")
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
    store = BlockStore(KeyValueStore(resolve(path, config.data_dir) / STORE_FILE))
    try:
        with _threads() as (worker, threads):
            data_dir = resolve(path, config.data_dir)
            services = assemble(store, genesis, lock, config, data_dir, worker, threads)
            try:
                await _serve(config, services, secret, stop)
            finally:
                services.engine.close()
                services.eth.close()
                services.exchange.close()
    finally:
        store.close()


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
    worker: ThreadPoolExecutor,
    threads: Threads,
) -> _Services:
    metrics = Metrics()
    chain = Chain(store, genesis)
    exchange = PoolExchange(
        chain,
        metrics,
        threads.read,
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
    families = (
        TransactionStatusMethods(chain, pool, threads.read),
        PoolExchangeMethods(pool, exchange.announcements),
    )
    metrics.function("builder_contention", lambda: allowance.contention)
    metrics.function("head_number", lambda: float(chain.heads.head.number))
    return _Services(
        chain=chain,
        engine=engine,
        engine_methods=engine_methods(engine, chain, threads.read),
        eth=EthService(chain, pool, threads),
        families=bind(entries(families), threads),
        exchange=exchange,
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
    config: ExecutionConfig, services: _Services, secret: bytes, stop: asyncio.Event
) -> None:
    engine_app = make_app(services.metrics, [_engine_route(services, secret)])
    rpc_app = make_app(services.metrics, [_rpc_route(services)])
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
        await until(stop, services.exchange.run())


def _engine_route(services: _Services, secret: bytes) -> web.RouteDef:
    """Engine methods, and the `eth_` ones a consensus client may ask (engine/common.md)."""
    methods: Mapping[str, Method] = {**services.eth.methods(), **services.engine_methods}

    def guard(request: web.Request) -> str | None:
        return check_jwt(secret, request.headers.get("Authorization"), time.time())

    checked: Guard = guard
    return rpc_route(lambda _: methods, checked)


def _rpc_route(services: _Services) -> web.RouteDef:
    from_client = {**services.eth.methods(), **services.families}
    from_operator = {**services.eth.methods(forward=False), **services.families}

    def methods(request: web.Request) -> Mapping[str, Method]:
        return from_operator if FORWARDED_HEADER in request.headers else from_client

    return rpc_route(methods)


@contextmanager
def _threads() -> Iterator[tuple[ThreadPoolExecutor, Threads]]:
    """One thread that changes the chain, one that reads it, one that runs calls."""
    threading.stack_size(EVM_STACK_BYTES)
    worker = ThreadPoolExecutor(1, "evm")
    call = ThreadPoolExecutor(1, "call")
    read = ThreadPoolExecutor(1, "read")
    try:
        yield worker, Threads(read=read, call=call)
    finally:
        for each in (worker, call, read):
            each.shutdown(wait=True, cancel_futures=True)
