"""The cluster's files: chain constants, definition (who), lock (definition plus public keys, signed
by everybody).

`lock_hash` is what operators compare in HELLO; a lock counts only when `verify_lock` accepts it. In
memory byte fields are `bytes`; in the files they are 0x hex.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final, TypeVar

import msgspec

from dst.spec.beacon import MAX_BLOCK_TRANSACTIONS, SszPubkey, Uint64
from dst.spec.domains import (
    DOMAIN_CLUSTER_LOCK,
    Domain,
    compute_domain,
    compute_fork_version,
    compute_genesis_validators_root,
    proposer_domain,
    randao_domain,
)
from dst.spec.errors import InvalidInput
from dst.spec.primitives import (
    Address,
    BLSPubkey,
    BLSSignature,
    Hash32,
    Root,
    parse_hex,
    quorum,
    to_hex,
)
from dst.spec.ssz import ByteVector, ListOf, container, container_type, hash_tree_root

LOCK_FILE_VERSION: Final = 1
MAX_OPERATORS: Final = 64
"""Far above any sensible n = 3f+1; fixes the depth of the membership tree."""
MAX_CLUSTER_FILE_BYTES: Final = 1 << 20
"""A lock of 64 operators is about 40 kB."""
MAX_SECONDS_PER_SLOT: Final = 3600

_Positive = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
_Natural = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]


class L1Genesis(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The L1 block that the L2 genesis names as its origin."""

    number: _Natural
    hash: Hash32


class ChainConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Constants of one chain; every operator and follower must hold the same."""

    chain_id: _Positive
    l1_chain_id: _Positive
    genesis_time: _Natural
    """Unix seconds of slot 0."""
    seconds_per_slot: Annotated[int, msgspec.Meta(ge=1, le=MAX_SECONDS_PER_SLOT)]
    l1_genesis: L1Genesis
    l1_confirmations: _Natural = 4
    """L1 blocks above an origin before a leader may use it."""
    max_sequencer_drift: _Positive = 600
    """Seconds a block with mempool transactions may be younger than its origin."""
    max_origin_lag: _Positive = 64
    """L1 blocks that a fresh proposal's origin may lag the voter's deepest usable L1 block."""
    gas_limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_BLOCK_TRANSACTIONS * 21_000)] = 10_000_000
    """At most what transactions of 21,000 gas fill within a block's transaction count."""
    fee_recipient: Address
    extra_data: bytes
    """At most 32 bytes."""
    graffiti: bytes
    """32 bytes."""
    builder_share_percent: Annotated[int, msgspec.Meta(ge=1, le=50)] = 40
    """Most of a slot that building a payload may take. Each node takes less of it as far as the
    other operators need the round's time to execute what it builds
    (docs/heavy-transactions.md)."""
    max_block_bytes: Annotated[int, msgspec.Meta(ge=4096, le=524288)] = 524288
    """Encoded beacon block; a network frame is at most twice that."""
    batch_inbox: Address
    batch_interval: _Positive = 8
    """Heights between two batches."""
    round_timeout_ms: Annotated[int, msgspec.Meta(ge=300, le=600_000)]
    """T0 of the round timer: half a slot, at least 300 ms."""
    round_timeout_cap_ms: Annotated[int, msgspec.Meta(ge=300, le=600_000)] = 4000
    term: _Natural = 0
    """Counts L1 resets."""
    l2_genesis_hash: Hash32
    dev: bool = False
    """True only where the public test accounts are funded."""


class OperatorRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One member; `index` is 1-based and equals its ShareIndex."""

    index: _Positive
    name: _Name
    identity: bytes
    """33-byte compressed secp256k1 key that signs consensus messages."""
    transport_spki: bytes
    """SHA-256 of the TLS certificate's SubjectPublicKeyInfo (DER)."""


class ClusterDefinition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who runs which chain. `threshold` is both vote quorum and signing threshold."""

    name: _Name
    n: Annotated[int, msgspec.Meta(ge=1, le=MAX_OPERATORS)]
    threshold: _Positive
    operators: tuple[OperatorRecord, ...]
    chain: ChainConfig


class ClusterLock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Definition plus keys, signed by each operator's identity and by the group key. Lists are in
    operator order.
    """

    version: int = LOCK_FILE_VERSION
    definition: ClusterDefinition
    group_public_key: BLSPubkey
    share_public_keys: tuple[BLSPubkey, ...]
    lock_hash: bytes
    operator_signatures: tuple[bytes, ...]
    """64-byte compact secp256k1 signatures over lock_hash."""
    group_signature: BLSSignature

    @property
    def chain(self) -> ChainConfig:
        return self.definition.chain

    @property
    def n(self) -> int:
        return self.definition.n

    @property
    def threshold(self) -> int:
        return self.definition.threshold

    @property
    def operators(self) -> tuple[OperatorRecord, ...]:
        return self.definition.operators


# --- Files ----------------------------------------------------------------------------------------

_BYTE_LENGTHS: Final[Mapping[str, int | None]] = {
    "hash": 32,
    "fee_recipient": 20,
    "extra_data": None,
    "graffiti": 32,
    "batch_inbox": 20,
    "l2_genesis_hash": 32,
    "identity": 33,
    "transport_spki": 32,
    "group_public_key": 48,
    "share_public_keys": 48,
    "lock_hash": 32,
    "operator_signatures": 64,
    "group_signature": 96,
}
"""Length of every byte field by its name, which is unique over the three file types."""

S = TypeVar("S", ChainConfig, ClusterDefinition, ClusterLock)


def to_jsonable(value: ChainConfig | ClusterDefinition | ClusterLock) -> dict[str, object]:
    """Plain JSON tree with byte fields as 0x hex."""
    tree = msgspec.to_builtins(value, builtin_types=(bytes,))
    assert isinstance(tree, dict)
    return {key: _map_leaves(key, item, _hex_out) for key, item in tree.items()}


def from_jsonable(cls: type[S], tree: object) -> S:
    """Inverse of `to_jsonable`. Raises: InvalidInput naming the field."""
    if not isinstance(tree, dict):
        raise InvalidInput("expected a JSON object")
    decoded = {key: _map_leaves(key, item, _hex_in) for key, item in tree.items()}
    try:
        return msgspec.convert(decoded, cls, builtin_types=(bytes,))
    except msgspec.ValidationError as error:
        raise InvalidInput(str(error)) from error


def _map_leaves(key: str, value: object, leaf: Callable[[str, object], object]) -> object:
    if isinstance(value, dict):
        return {name: _map_leaves(str(name), item, leaf) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_map_leaves(key, item, leaf) for item in value]
    return leaf(key, value)


def _hex_out(_key: str, value: object) -> object:
    return to_hex(value) if isinstance(value, bytes) else value


def _hex_in(key: str, value: object) -> object:
    return parse_hex(value, _BYTE_LENGTHS[key], what=key) if key in _BYTE_LENGTHS else value


def dump_file(path: Path, value: ChainConfig | ClusterDefinition | ClusterLock) -> None:
    path.write_text(json.dumps(to_jsonable(value), indent=2) + "\n")


# --- Hashes and checks ----------------------------------------------------------------------------


def lock_hash(lock: ClusterLock) -> bytes:
    """32-byte SHA-256 over everything in the lock that is not itself hash or signature.

    Canonical form: JSON with sorted keys, no white space, byte fields as 0x hex.
    """
    tree = to_jsonable(lock)
    for derived in ("lock_hash", "operator_signatures", "group_signature"):
        del tree[derived]
    canonical = json.dumps(tree, sort_keys=True, separators=(",", ":"))
    return sha256(b"dst/cluster-lock/1" + canonical.encode()).digest()


def lock_domain(lock: ClusterLock) -> Domain:
    """Domain of the group's signature on the lock: no block or beacon message shares it."""
    chain = lock.chain
    return compute_domain(
        DOMAIN_CLUSTER_LOCK, chain.chain_id, chain.l2_genesis_hash, lock.group_public_key
    )


def lock_proposer_domain(lock: ClusterLock) -> Domain:
    """Domain of block signatures in this cluster."""
    chain = lock.chain
    return proposer_domain(chain.chain_id, chain.l2_genesis_hash, lock.group_public_key)


def lock_randao_domain(lock: ClusterLock) -> Domain:
    """Domain of RANDAO reveals in this cluster."""
    chain = lock.chain
    return randao_domain(chain.chain_id, chain.l2_genesis_hash, lock.group_public_key)


def genesis_validators_root(lock: ClusterLock) -> Root:
    chain = lock.chain
    return compute_genesis_validators_root(
        chain.chain_id, chain.l2_genesis_hash, lock.group_public_key
    )


def genesis_fork_version(lock: ClusterLock) -> bytes:
    return compute_fork_version(lock.chain.chain_id)


@container
@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    identity: Annotated[bytes, ByteVector(33)]
    share_public_key: SszPubkey


@container
@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """Who may sign, and how many must: resharing changes this root and nothing else in the
    state.
    """

    threshold: Uint64
    group_public_key: SszPubkey
    members: Annotated[tuple[Member, ...], ListOf(container_type(Member), MAX_OPERATORS)]


def membership_root(lock: ClusterLock) -> Root:
    """Leaf of the rollup state that names the operator set."""
    members = tuple(
        Member(identity=operator.identity, share_public_key=share)
        for operator, share in zip(lock.operators, lock.share_public_keys, strict=True)
    )
    return hash_tree_root(
        Membership(
            threshold=lock.threshold, group_public_key=lock.group_public_key, members=members
        )
    )


def check_structure(lock: ClusterLock) -> None:
    """Everything about a lock that needs no signature check. Raises: InvalidInput."""
    definition = lock.definition
    n = definition.n
    counts = (
        len(definition.operators),
        len(lock.share_public_keys),
        len(lock.operator_signatures),
    )
    facts = (
        (lock.version == LOCK_FILE_VERSION, f"file version {lock.version} is not supported"),
        (n % 3 == 1, f"n = {n} is not of the form 3f + 1"),
        (definition.threshold == quorum(n), f"threshold must be {quorum(n)} for n = {n}"),
        (counts == (n, n, n), f"expected {n} operators, share keys and signatures, got {counts}"),
        (
            [operator.index for operator in definition.operators] == list(range(1, n + 1)),
            "operators must be numbered 1..n in order",
        ),
        *(
            (len(set(values)) == len(values), f"two operators share one {what}")
            for what, values in _distinct_values(lock)
        ),
        (len(definition.chain.extra_data) <= 32, "extra_data is longer than 32 bytes"),
        (lock_hash(lock) == lock.lock_hash, "lock_hash does not match the content"),
    )
    for holds, complaint in facts:
        if not holds:
            raise InvalidInput(complaint)


def _distinct_values(lock: ClusterLock) -> tuple[tuple[str, list[str | bytes]], ...]:
    operators = lock.operators
    return (
        ("name", [operator.name for operator in operators]),
        ("identity", [operator.identity for operator in operators]),
        ("transport key", [operator.transport_spki for operator in operators]),
        ("share public key", list(lock.share_public_keys)),
    )
