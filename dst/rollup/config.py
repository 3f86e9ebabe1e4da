"""`rollup.json`: what one rollup node needs to know. Paths are relative to the file's folder."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec

from dst.apis.jwt import load_jwt_secret
from dst.crypto.account_key import AccountKey
from dst.crypto.locks import load_lock
from dst.runtime.browsers import DEFAULT_POLICY, BrowserPolicy
from dst.runtime.config import ConnectionsPerAddress, load_json, resolve, split_address
from dst.runtime.files import read_secret
from dst.runtime.log import LEVELS
from dst.runtime.places import CONNECTIONS_PER_ADDRESS, PlaceLimits
from dst.spec.cluster import ClusterLock
from dst.spec.errors import BadConfig
from dst.spec.primitives import OperatorIndex


class RollupConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file as written."""

    name: str
    data_dir: str
    lock: str
    genesis: str = ""
    l1: str
    """L1 JSON-RPC URL."""
    engine: str
    jwt_secret: str
    listen: str
    """For everybody: reading alone."""
    own_listen: str | None = None
    """For this operator's own middleware: what builds, judges and keeps blocks."""
    own_secret: str | None = None
    """File with the 32 bytes of hex that the middleware signs its calls with (`own.hex`)."""
    index: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """1-based operator index; null for a follower."""
    sources: list[str] = []
    """Beacon API URLs of operators, for a follower."""
    from_l1: bool = False
    """Follow the inbox on L1 and nothing else."""
    batcher_key: str | None = None
    """File with the hex key of a funded L1 account; null: this node posts no batches."""
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
    l1: str
    engine: str
    jwt_secret: bytes
    listen: str
    own_listen: str | None
    own_secret: bytes | None
    operator: OperatorIndex | None
    sources: tuple[str, ...]
    batcher_key: AccountKey | None
    log_level: str
    policy: BrowserPolicy = DEFAULT_POLICY
    limits: PlaceLimits = field(default_factory=PlaceLimits)

    @property
    def is_operator(self) -> bool:
        return self.operator is not None


def load_settings(path: Path) -> Settings:
    """Raises: BadConfig naming the file and the field at fault."""
    config = load_json(path, RollupConfig, what="rollup config")
    lock = load_lock(resolve(path, config.lock))
    _check(path, config, lock)
    return Settings(
        name=config.name,
        data_dir=resolve(path, config.data_dir),
        lock=lock,
        l1=config.l1,
        engine=config.engine,
        jwt_secret=load_jwt_secret(resolve(path, config.jwt_secret)),
        listen=config.listen,
        own_listen=config.own_listen,
        own_secret=(
            None
            if config.own_secret is None
            else load_jwt_secret(resolve(path, config.own_secret), what="own secret")
        ),
        operator=None if config.index is None else OperatorIndex(config.index - 1),
        sources=() if config.from_l1 else tuple(config.sources),
        batcher_key=_load_key(path, config.batcher_key),
        log_level=config.log_level,
        policy=BrowserPolicy.of((), config.hosts, what=f"rollup config {path}"),
        limits=PlaceLimits(per_address=config.connections_per_address),
    )


def _check(path: Path, config: RollupConfig, lock: ClusterLock) -> None:
    split_address(config.listen, what=f"rollup config {path}: listen")
    if config.own_listen is not None:
        split_address(config.own_listen, what=f"rollup config {path}: own_listen")
    facts = (
        (config.log_level in LEVELS, f"log_level must be one of {', '.join(LEVELS)}"),
        (
            config.index is None or config.index <= lock.n,
            f"index {config.index} is above the {lock.n} operators of the lock",
        ),
        (
            config.index is None or not (config.sources or config.from_l1),
            "an operator (index set) follows nobody: leave out sources and from_l1",
        ),
        (
            config.index is not None or config.from_l1 or bool(config.sources),
            "a follower needs `sources` (two operators or more) or `from_l1`: true",
        ),
        (not (config.from_l1 and config.sources), "give `sources` or `from_l1`, not both"),
        (
            (config.index is not None) == (config.own_listen is not None),
            "an operator (index set) needs own_listen, where its middleware asks; a follower has"
            " none",
        ),
        (
            (config.own_listen is None) == (config.own_secret is None),
            "own_listen and own_secret go together",
        ),
        (
            config.batcher_key is None or config.index is not None,
            "batcher_key: only an operator posts batches",
        ),
        (
            all(url.startswith(("http://", "https://")) for url in _urls(config)),
            "l1, engine and sources are http:// URLs",
        ),
    )
    for holds, complaint in facts:
        if not holds:
            raise BadConfig(f"rollup config {path}: {complaint}")


def _urls(config: RollupConfig) -> list[str]:
    return [config.l1, config.engine, *config.sources]


def _load_key(path: Path, relative: str | None) -> AccountKey | None:
    if relative is None:
        return None
    file = resolve(path, relative)
    text = read_secret(file, what="batcher key").decode("ascii", "replace").strip()
    try:
        return AccountKey(bytes.fromhex(text.removeprefix("0x")))
    except (ValueError, BadConfig):
        raise BadConfig(f"batcher key {file}: expected 32 bytes of hex") from None
