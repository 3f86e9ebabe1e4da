"""The execution role: config in, two listeners out (Engine API with JWT, JSON-RPC), exit code at
the end."""

import asyncio
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias

from aiohttp import web

from dst.apis.jsonrpc import Guard, Method, rpc_routes
from dst.apis.jsonrpc.ws import WebSockets
from dst.apis.jwt import check_jwt, holders_of, load_jwt_secret
from dst.crypto import ecdsa, keccak
from dst.crypto.locks import load_lock
from dst.execution.assembly import Services, assemble
from dst.execution.call_workers import CallWorkers, search_workers
from dst.execution.config import ExecutionConfig, browser_policy, check_genesis, load_config
from dst.execution.evm.messages import EVM_STACK_BYTES
from dst.execution.evm.precompiles import warm_up
from dst.execution.genesis import load_genesis
from dst.execution.pool.peer import FORWARDED_HEADER
from dst.execution.rpc.dispatch import Threads
from dst.execution.sealed import sealed_height_of
from dst.execution.store import open_store
from dst.execution.turns import BlockWorker, Turns
from dst.runtime.browsers import BrowserPolicy
from dst.runtime.config import resolve
from dst.runtime.http import make_app, serving
from dst.runtime.log import Logger, configure
from dst.runtime.machine import wall_clock
from dst.runtime.places import PlaceLimits
from dst.runtime.service import EXIT_BAD_CONFIG, run_role, until
from dst.spec.errors import BadConfig

SWITCH_INTERVAL_S: Final = 0.001
"""How long the EVM thread may keep the interpreter from the event loop."""

log = Logger("execution")

Assemble: TypeAlias = Callable[..., Services]


def run(
    config_path: str,
    *,
    data_dir: str | None = None,
    archive: bool = False,
    assemble: Assemble = assemble,
) -> int:
    """Serve until SIGTERM or SIGINT; `data_dir` and `archive` replace what the file says, and a
    test bench may replace `assemble`. Returns the exit code: 0 stopped, 2 bad configuration, 1
    crash."""
    path = Path(config_path)
    try:
        config = load_config(path, data_dir=data_dir, archive=archive)
    except BadConfig as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_CONFIG
    configure(config.name, config.log_level)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    warnings.filterwarnings("ignore", message="SELFDESTRUCT")  # py-evm's, at every use on chain

    async def main(stop: asyncio.Event) -> None:
        await serve(path, config, stop, assemble)

    return run_role(main, log)


async def serve(
    path: Path, config: ExecutionConfig, stop: asyncio.Event, assemble: Assemble = assemble
) -> None:
    """Open the store, serve both listeners, forward, until `stop`. Raises: BadConfig."""
    genesis = load_genesis(resolve(path, config.genesis))
    lock = load_lock(resolve(path, config.lock))
    check_genesis(genesis, lock.chain)
    secret = load_jwt_secret(resolve(path, config.jwt_secret))
    peer_secret = (
        None
        if config.peer_secret is None
        else load_jwt_secret(resolve(path, config.peer_secret), what="peer secret")
    )
    policy = browser_policy(path, config, lock.chain)
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
                    peer_secret=peer_secret,
                )
                try:
                    await _serve(config, services, secret, peer_secret, policy, stop)
                finally:
                    services.engine.close()
                    services.exchange.close()
    finally:
        store.close()


async def _serve(
    config: ExecutionConfig,
    services: Services,
    secret: bytes,
    peer_secret: bytes | None,
    policy: BrowserPolicy,
    stop: asyncio.Event,
) -> None:
    health = services.complaint
    engine_app = make_app(
        services.metrics,
        _engine_routes(services, secret),
        policy=BrowserPolicy(hosts=policy.hosts),
        health=health,
        waits_for=services.waiting.told,
    )
    limits = PlaceLimits(per_address=config.connections_per_address)
    rpc_app = make_app(
        services.metrics,
        _rpc_routes(services),
        policy=policy,
        health=health,
        waits_for=services.waiting.told,
    )
    async with (
        serving(
            engine_app,
            config.engine_listen,
            what="engine_listen",
            limits=limits,
            vouches=holders_of(secret),
        ),
        serving(
            rpc_app,
            config.rpc_listen,
            what="rpc_listen",
            limits=limits,
            vouches=None if peer_secret is None else holders_of(peer_secret),
        ),
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
            services.waiting.run(),
        )


def _engine_routes(services: Services, secret: bytes) -> list[web.RouteDef]:
    """Engine methods, and the `eth_` ones a consensus client may ask (engine/common.md)."""
    methods: Mapping[str, Method] = {**services.eth.from_client, **services.engine_methods}

    def guard(request: web.Request) -> str | None:
        return check_jwt(secret, request.headers.get("Authorization"), wall_clock())

    checked: Guard = guard
    return rpc_routes(lambda _: methods, checked)


def _rpc_routes(services: Services) -> list[web.RouteDef]:
    websockets = WebSockets()
    services.metrics.function("ws_connections", lambda: float(websockets.connections))

    def methods(request: web.Request) -> Mapping[str, Method]:
        forwarded = FORWARDED_HEADER in request.headers
        return services.eth.from_operator if forwarded else services.eth.from_client

    return rpc_routes(methods, websockets=websockets, warning=services.complaint)


@contextmanager
def _threads() -> Iterator[tuple[BlockWorker, Threads]]:
    """One thread that changes the chain, one that reads it for clients, several that run calls,
    others that search logs."""
    threading.stack_size(EVM_STACK_BYTES)
    turns = Turns()
    worker = BlockWorker(turns)
    call, search = CallWorkers(turns), search_workers(turns)
    read = ThreadPoolExecutor(1, "read")
    try:
        yield worker, Threads(read=read, call=call, search=search)
    finally:
        for each in (worker, call, search, read):
            each.shutdown(wait=True, cancel_futures=True)
