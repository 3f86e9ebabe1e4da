"""Start of the validator role: configuration, key share, store, client."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from dst import __version__
from dst.apis.beacon import BeaconClient
from dst.crypto import bls, keystore
from dst.crypto.locks import load_lock
from dst.runtime import config as config_files
from dst.runtime import log as logs
from dst.runtime.build import code_digest
from dst.runtime.files import claimed, read_secret
from dst.runtime.machine import wall_clock
from dst.runtime.service import run_role, until
from dst.spec.cluster import (
    ClusterLock,
    genesis_validators_root,
    lock_proposer_domain,
    lock_randao_domain,
)
from dst.spec.errors import BadConfig, InvalidInput
from dst.spec.primitives import BLSPubkey, Slot
from dst.validator.client import (
    RESIGN_SLOTS,
    Timing,
    ValidatorClient,
    log,
    wait_until_synced,
    when_there_is_room,
)
from dst.validator.protection import FILE_NAME, ProtectionStore
from dst.validator.signer import Signer
from dst.validator.window import SlotWindow

Client: TypeAlias = Callable[..., ValidatorClient]


class ValidatorConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """validator.json. Paths are relative to the file's folder; `index` is 1-based; `beacon` is the
    middleware's URL.
    """

    name: str
    data_dir: str
    lock: str
    index: int
    keystore: str
    password_file: str
    beacon: str
    log_level: Literal["debug", "info", "warning", "error"] = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a configuration file leads to, read and checked."""

    config: ValidatorConfig
    lock: ClusterLock
    store_path: Path


def run(
    config_path: Path, *, new: bool = False, rejoin: bool = False, client: Client = ValidatorClient
) -> int:
    """Serve until SIGINT or SIGTERM. Returns the process's exit code (see `dst.runtime.service`).
    A test bench may replace the `client`.

    Raises: BadConfig before anything is served.
    """
    setup = read_setup(config_path)
    logs.configure(setup.config.name, setup.config.log_level)
    share = load_share(setup, config_path)
    with claimed_store(setup):
        return _run(setup, share, client, new=new, rejoin=rejoin)


def _run(setup: Setup, share: bls.SecretShare, client: Client, *, new: bool, rejoin: bool) -> int:
    store = open_store(setup, new=new, rejoin=rejoin)

    async def main(stop: asyncio.Event) -> None:
        async with BeaconClient(setup.config.beacon) as beacon:
            # It listens nowhere: this line alone tells which code runs.
            log.info(
                "ready",
                index=setup.config.index,
                beacon=setup.config.beacon,
                version=__version__,
                code=code_digest(),
            )
            await until(stop, _serve(setup, beacon, share, store, client))

    try:
        return run_role(main, log)
    finally:
        store.close()


def claimed_store(setup: Setup) -> AbstractContextManager[None]:
    """The store is one process's alone: a second signer beside it, or records that change under it,
    could sign twice. Raises: BadConfig."""
    path = setup.store_path
    taken = f"slashing protection {path} is in use: a validator runs on it; stop it first"
    return claimed(path.with_name("LOCK"), taken)


async def _serve(
    setup: Setup,
    beacon: BeaconClient,
    share: bls.SecretShare,
    store: ProtectionStore,
    client: Client,
) -> None:
    timing, rejoins = Timing(now=wall_clock), store.is_rejoining
    if rejoins:
        current = await wait_until_synced(beacon, timing)
        await when_there_is_room(lambda: store.finish_rejoin(current), timing)
        log.info("rejoined", above_slot=store.minimum())
    signer = Signer(
        share,
        store,
        proposer_domain=lock_proposer_domain(setup.lock),
        randao_domain=lock_randao_domain(setup.lock),
    )
    window = SlotWindow(first_slot(store, rejoined=rejoins))
    await client(beacon, signer, setup.lock.chain, window, timing).run()


def first_slot(store: ProtectionStore, *, rejoined: bool) -> Slot:
    """Where to begin asking: at the first slot that had no answer, and at the newest on record
    again; but never at or below the watermark, and after a rejoin right above it.
    """
    lowest = store.minimum()
    assert lowest is not None, "an open store has a record"
    if rejoined:
        return Slot(max(lowest, 0) + 1)
    again = Slot(store.newest() - RESIGN_SLOTS + 1)
    owed_from = store.owed_from()
    return max(again if owed_from is None else min(again, owed_from), Slot(lowest + 1))


def read_setup(config_path: Path) -> Setup:
    """Raises: BadConfig naming file and field."""
    config = config_files.load_json(config_path, ValidatorConfig, what="validator configuration")
    config_files.check_url(config.beacon, what=f"validator configuration {config_path}: beacon")
    lock = load_lock(config_files.resolve(config_path, config.lock))
    if not 1 <= config.index <= lock.n:
        raise BadConfig(f"{config_path}: index {config.index} is not one of 1..{lock.n}")
    data_dir = config_files.resolve(config_path, config.data_dir)
    return Setup(config=config, lock=lock, store_path=data_dir / FILE_NAME)


def load_share(setup: Setup, config_path: Path) -> bls.SecretShare:
    """The key share, checked against the lock. Raises: BadConfig."""
    config = setup.config
    path = config_files.resolve(config_path, config.keystore)
    data = read_secret(path, what="keystore")
    password_path = config_files.resolve(config_path, config.password_file)
    password = read_secret(password_path, what="keystore password")
    try:
        share = keystore.decrypt(data, password.decode().rstrip("\r\n"))
    except (InvalidInput, UnicodeDecodeError) as error:
        raise BadConfig(f"keystore {path} with password {password_path}: {error}") from None
    _check_share(setup.lock, config.index, bls.public_key(share), path)
    return share


def _check_share(lock: ClusterLock, index: int, pubkey: BLSPubkey, path: Path) -> None:
    if lock.share_public_keys[index - 1] == pubkey:
        return
    owner = next(
        (f"operator {i}" for i, key in enumerate(lock.share_public_keys, 1) if key == pubkey),
        "no operator of this cluster",
    )
    raise BadConfig(f"keystore {path} holds the share of {owner}, not of operator {index}")


def open_store(setup: Setup, *, new: bool, rejoin: bool) -> ProtectionStore:
    """The store as the flags say: an existing one, a new one, or with `--rejoin` whichever there
    is. A rejoin that was begun goes on without the flag.

    Raises: BadConfig when there is a key and no store (it may have held votes), or with `--new`
    when there is one.
    """
    pubkey = setup.lock.share_public_keys[setup.config.index - 1]
    root = genesis_validators_root(setup.lock)
    path = setup.store_path
    if new:
        return ProtectionStore.create(path, pubkey=pubkey, genesis_validators_root=root)
    if not rejoin:
        return ProtectionStore.open(path, pubkey=pubkey, genesis_validators_root=root)
    return ProtectionStore.open_for_rejoin(path, pubkey=pubkey, genesis_validators_root=root)
