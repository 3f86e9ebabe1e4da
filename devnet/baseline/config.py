"""`config.json` of a sequencer. Paths are relative to the file's folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from dst.apis.jwt import load_jwt_secret
from dst.crypto import bls, keystore
from dst.crypto.locks import load_lock
from dst.crypto.secp256k1 import IdentityKey
from dst.runtime.config import check_url, load_json, resolve, split_address
from dst.runtime.files import read_secret
from dst.spec.cluster import ClusterLock
from dst.spec.errors import BadConfig, InvalidInput


class PeerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another sequencer, and where its rollup node is read."""

    name: str
    url: str


class StandbyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Several of which one leads."""

    etcd: str
    lease_seconds: Annotated[int, msgspec.Meta(ge=1, le=600)]
    peers: tuple[PeerConfig, ...]


class SequencerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file as written."""

    name: str
    lock: str
    """Of a cluster of one: the whole key is one share."""
    keystore: str
    password_file: str
    identity_key: str
    """Signs the certificates by which its rollup node knows its blocks."""
    rollup: str
    """Base URL of the own rollup node's `own_listen`."""
    own_secret: str
    listen: str
    standby: StandbyConfig | None = None
    """None: the only one."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The file, read and checked."""

    name: str
    lock: ClusterLock
    key: bls.SecretShare
    identity: IdentityKey
    rollup: str
    own_secret: bytes
    listen: str
    standby: StandbyConfig | None
    log_level: str


def load_settings(path: Path) -> Settings:
    """Raises: BadConfig naming the file and the field at fault."""
    what = f"sequencer config {path}"
    config = load_json(path, SequencerConfig, what="sequencer config")
    split_address(config.listen, what=f"{what}: listen")
    lock = load_lock(resolve(path, config.lock))
    if lock.n != 1:
        raise BadConfig(f"{what}: the lock has {lock.n} operators; a sequencer has the whole key")
    identity = IdentityKey.load(resolve(path, config.identity_key))
    if identity.public_key != lock.operators[0].identity:
        raise BadConfig(f"{what}: identity_key is not the one in the lock")
    return Settings(
        name=config.name,
        lock=lock,
        key=_load_key(path, config, lock),
        identity=identity,
        rollup=check_url(config.rollup, what=f"{what}: rollup"),
        own_secret=load_jwt_secret(resolve(path, config.own_secret), what="own secret"),
        listen=config.listen,
        standby=config.standby,
        log_level=config.log_level,
    )


def _load_key(path: Path, config: SequencerConfig, lock: ClusterLock) -> bls.SecretShare:
    file = resolve(path, config.keystore)
    password = read_secret(resolve(path, config.password_file), what="keystore password")
    try:
        key = keystore.decrypt(read_secret(file, what="keystore"), password.decode().rstrip("\r\n"))
    except (InvalidInput, UnicodeDecodeError) as error:
        raise BadConfig(f"keystore {file}: {error}") from None
    if bls.public_key(key) != lock.group_public_key:
        raise BadConfig(f"keystore {file} does not hold the key of this chain")
    return key
