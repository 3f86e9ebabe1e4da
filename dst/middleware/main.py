"""Start of the middleware role: configuration, keys, store, links, API."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeAlias

from dst.apis.beacon import BeaconClient
from dst.apis.dst_v1 import DstClient
from dst.middleware.config import Settings, load_settings
from dst.middleware.store import SqliteStore, Store, open_store
from dst.middleware.wire import Middleware
from dst.runtime import log as logs
from dst.runtime.build import tell_build
from dst.runtime.files import claimed
from dst.runtime.http import serving
from dst.runtime.log import Logger
from dst.runtime.service import run_role, until
from dst.spec.errors import BadConfig

log = Logger("middleware")

Assemble: TypeAlias = Callable[[Settings, Store, DstClient, BeaconClient], Middleware]


def run(
    config_path: Path,
    *,
    new: bool = False,
    rejoin: bool = False,
    assemble: Assemble = Middleware,
) -> int:
    """Run the role until it is told to stop; the process's exit code.

    Raises: BadConfig before anything is served.
    """
    settings = load_settings(config_path)
    logs.configure(settings.name, settings.log_level)
    if rejoin and settings.lock.n == 1:
        raise BadConfig(
            "--rejoin asks the other operators how far the chain is, and a single operator has"
            " none: bring its store back"
        )
    with claimed_store(settings):
        return _run(settings, new=new, rejoin=rejoin, assemble=assemble)


def claimed_store(settings: Settings) -> AbstractContextManager[None]:
    """The store is one process's alone: what changed under it could be promised twice. Raises:
    BadConfig."""
    taken = f"store {settings.data_dir} is in use: a middleware runs on it; stop it first"
    return claimed(settings.data_dir / "LOCK", taken)


def _run(settings: Settings, *, new: bool, rejoin: bool, assemble: Assemble) -> int:
    store = open_store(settings.data_dir, settings.lock.lock_hash, new=new, rejoin=rejoin)

    async def main(stop: asyncio.Event) -> None:
        await _serve(settings, store, stop, assemble)

    try:
        return run_role(main, log)
    finally:
        store.close()


async def _serve(
    settings: Settings, store: SqliteStore, stop: asyncio.Event, assemble: Assemble
) -> None:
    url, secret = settings.rollup, settings.own_secret
    async with DstClient(url, secret=secret) as rollup, BeaconClient(url, secret=secret) as beacon:
        middleware = assemble(settings, store, rollup, beacon)
        tell_build(middleware.metrics)
        rollup.count_in(middleware.metrics)
        beacon.count_in(middleware.metrics)
        await middleware.start()
        async with serving(
            middleware.app(),
            settings.listen,
            what="middleware listen",
            limits=settings.limits,
        ):
            log.info("ready", listen=settings.listen, decided=store.decided_height())
            await until(stop, middleware.run(), store.look_through())
