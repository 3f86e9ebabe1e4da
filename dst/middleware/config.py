"""`middleware.json`: what one middleware needs to know. Paths are relative to the file's folder."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec

from dst.apis.jwt import load_jwt_secret
from dst.crypto.locks import load_lock
from dst.crypto.secp256k1 import IdentityKey
from dst.p2p.link import Peer
from dst.p2p.tls import TlsIdentity, load_identity
from dst.runtime.browsers import DEFAULT_POLICY, BrowserPolicy
from dst.runtime.config import ConnectionsPerAddress, load_json, resolve, split_address
from dst.runtime.files import read_secret
from dst.runtime.log import LEVELS
from dst.runtime.places import CONNECTIONS_PER_ADDRESS, PlaceLimits
from dst.spec.cluster import ClusterLock
from dst.spec.errors import BadConfig
from dst.spec.primitives import OperatorIndex

_Index = Annotated[int, msgspec.Meta(ge=1)]


class PeerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another operator, 1-based, and where to dial it (`host:port`)."""

    index: _Index
    address: str


class MiddlewareConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file as written."""

    name: str
    data_dir: str
    lock: str
    index: _Index
    identity_key: str
    transport_key: str
    transport_cert: str
    certs_dir: str
    rollup: str
    """Base URL of the own rollup node's `own_listen`."""
    own_secret: str
    """File with the 32 bytes of hex that the rollup node knows this middleware by (`own.hex`)."""
    listen: str
    """Beacon API towards the validator client."""
    p2p_listen: str
    peers: tuple[PeerConfig, ...]
    hosts: list[str] = []
    """Names with a dot that others call this node by, or `*` (`dst.runtime.browsers`)."""
    connections_per_address: ConnectionsPerAddress = CONNECTIONS_PER_ADDRESS
    """Of one remote address; loopback is not bounded so (`dst.runtime.places`)."""
    log_level: str = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The file, read and checked."""

    name: str
    data_dir: Path
    lock: ClusterLock
    operator: OperatorIndex
    identity: IdentityKey
    tls: TlsIdentity
    rollup: str
    own_secret: bytes
    listen: str
    p2p_host: str
    p2p_port: int
    peers: tuple[Peer, ...]
    log_level: str
    policy: BrowserPolicy = DEFAULT_POLICY
    limits: PlaceLimits = field(default_factory=PlaceLimits)


def load_settings(path: Path) -> Settings:
    """Raises: BadConfig naming the file and the field at fault."""
    config = load_json(path, MiddlewareConfig, what="middleware config")
    lock = load_lock(resolve(path, config.lock))
    _check(path, config, lock)
    operator = OperatorIndex(config.index - 1)
    host, port = split_address(config.p2p_listen, what=f"middleware config {path}: p2p_listen")
    return Settings(
        name=config.name,
        data_dir=resolve(path, config.data_dir),
        lock=lock,
        operator=operator,
        identity=_load_identity_key(resolve(path, config.identity_key), lock, operator),
        tls=_load_tls(path, config, lock),
        rollup=config.rollup,
        own_secret=load_jwt_secret(resolve(path, config.own_secret), what="own secret"),
        listen=config.listen,
        p2p_host=host,
        p2p_port=port,
        peers=_peers(path, config.peers),
        log_level=config.log_level,
        policy=BrowserPolicy.of((), config.hosts, what=f"middleware config {path}"),
        limits=PlaceLimits(per_address=config.connections_per_address),
    )


def _check(path: Path, config: MiddlewareConfig, lock: ClusterLock) -> None:
    split_address(config.listen, what=f"middleware config {path}: listen")
    named = sorted(peer.index for peer in config.peers)
    expected = [index for index in range(1, lock.n + 1) if index != config.index]
    facts = (
        (config.log_level in LEVELS, f"log_level must be one of {', '.join(LEVELS)}"),
        (config.index <= lock.n, f"index {config.index} is not one of 1..{lock.n}"),
        (named == expected, f"peers must name each of {expected} once, found {named}"),
        (config.rollup.startswith(("http://", "https://")), "rollup is an http:// URL"),
    )
    for holds, complaint in facts:
        if not holds:
            raise BadConfig(f"middleware config {path}: {complaint}")


def _peers(path: Path, configured: Sequence[PeerConfig]) -> tuple[Peer, ...]:
    peers = []
    for each in configured:
        what = f"middleware config {path}: address of peer {each.index}"
        host, port = split_address(each.address, what=what)
        peers.append(Peer(index=OperatorIndex(each.index - 1), host=host, port=port))
    return tuple(peers)


def _load_identity_key(path: Path, lock: ClusterLock, operator: OperatorIndex) -> IdentityKey:
    key = IdentityKey.load(path)
    if key.public_key != lock.operators[operator].identity:
        raise BadConfig(f"identity key {path} is not that of operator {operator + 1} in the lock")
    return key


def _load_tls(path: Path, config: MiddlewareConfig, lock: ClusterLock) -> TlsIdentity:
    key = resolve(path, config.transport_key)
    read_secret(key, what="transport key")  # checks that nobody else can read it
    certs = resolve(path, config.certs_dir)
    own = lock.operators[config.index - 1]
    return load_identity(
        own_certificate=resolve(path, config.transport_cert),
        own_key=key,
        own_pin=own.transport_spki,
        peers=[
            (OperatorIndex(each.index - 1), certs / f"op{each.index}.crt", each.transport_spki)
            for each in lock.operators
            if each.index != own.index
        ],
    )
