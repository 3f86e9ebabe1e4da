"""What the execution role is told: its file, and what must hold between file, genesis and cluster
lock."""

import os
from pathlib import Path
from typing import Literal

import msgspec

from dst.execution.environment import Engine
from dst.execution.genesis import Genesis
from dst.execution.pruning import ARCHIVE, Retention
from dst.runtime.browsers import LOCAL_ORIGINS, BrowserPolicy
from dst.runtime.config import ConnectionsPerAddress, check_url, load_json
from dst.runtime.places import CONNECTIONS_PER_ADDRESS
from dst.spec.cluster import ChainConfig
from dst.spec.errors import BadConfig
from dst.spec.primitives import to_hex


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
    peer_secret: str | None = None
    """File with the 32 bytes of hex that the operators share (`peers.hex`), to know each other's
    calls by: they keep their connections where strangers crowd. Without it they are strangers."""
    connections_per_address: ConnectionsPerAddress = CONNECTIONS_PER_ADDRESS
    """Of one remote address on each listener; loopback is not bounded so."""
    rollup: str | None = None
    """URL of this node's rollup node, asked for what is sealed (dst_finality)."""
    subscribe: bool = False
    """A follower's: hear of transactions from the operators that it forwards to. Those do not know
    it, so they cannot tell it by themselves."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    engine: Engine = Engine.FAST
    """"stock" is for differential runs alone."""


def load_config(
    path: Path, *, data_dir: str | None = None, archive: bool = False
) -> ExecutionConfig:
    """`data_dir` (from the working directory) and `archive` replace what the file says.

    Raises: BadConfig naming the file.
    """
    config = load_json(path, ExecutionConfig, what="execution config")
    config = msgspec.structs.replace(
        config,
        data_dir=config.data_dir if data_dir is None else os.path.abspath(data_dir),
        archive=config.archive or archive,
    )
    try:
        retention_of(config)
    except BadConfig as error:
        raise BadConfig(f"execution config {path}: {error}") from None
    for url in config.forward_to:
        check_url(url, what=f"execution config {path}: forward_to")
    if config.rollup is not None:
        check_url(config.rollup, what=f"execution config {path}: rollup")
    return config


def retention_of(config: ExecutionConfig) -> Retention:
    """Raises: BadConfig."""
    return ARCHIVE if config.archive else Retention(history_blocks=config.history_blocks)


def browser_policy(path: Path, config: ExecutionConfig, chain: ChainConfig) -> BrowserPolicy:
    """Raises: BadConfig."""
    origins = config.browser_origins
    if origins is None:
        origins = [LOCAL_ORIGINS] if chain.dev else []
    return BrowserPolicy.of(origins, config.hosts, what=f"execution config {path}")


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
