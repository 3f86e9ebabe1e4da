"""Signing domains: what separates a signature here from one on L1 or on another rollup.

Fork version and genesis validators root are fixed for the life of a chain; resharing never changes
them.
Source: consensus-specs `phase0/beacon-chain.md`, compute_domain, compute_signing_root.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Final, NewType

from dst.spec.beacon import Bytes32, SszHash, SszPubkey, SszRoot, Uint64
from dst.spec.errors import BadConfig
from dst.spec.primitives import BLSPubkey, Hash32, Root
from dst.spec.ssz import ByteVector, container, hash_tree_root

Domain = NewType("Domain", bytes)
"""32 bytes: domain type ++ first 28 bytes of the fork data root."""

DOMAIN_BEACON_PROPOSER: Final = bytes.fromhex("00000000")
DOMAIN_RANDAO: Final = bytes.fromhex("02000000")
DOMAIN_CLUSTER_LOCK: Final = bytes.fromhex("4c000001")
"""Application domain (low bit of the last byte, as DOMAIN_APPLICATION_MASK): no beacon message can
be mistaken for a lock.
"""

FORK_VERSION_PREFIX: Final = b"\xd5"
"""First byte of every fork version here. No L1 network uses it."""

KNOWN_L1_FORK_VERSIONS: Final = frozenset(
    bytes.fromhex(version)
    for version in (
        # mainnet, phase0 to fulu
        *(f"{fork:02x}000000" for fork in range(7)),
        # sepolia
        *(f"900000{69 + fork}" for fork in range(7)),
        # holesky
        *(f"{fork:02x}017000" for fork in range(1, 8)),
        # hoodi
        *(f"{fork}0000910" for fork in range(1, 8)),
        # goerli
        *(f"{fork:02x}001020" for fork in range(5)),
        # gnosis, chiado
        *(f"{fork:02x}000064" for fork in range(7)),
        *(f"{fork:02x}00006f" for fork in range(7)),
    )
)


@container
@dataclass(frozen=True, slots=True, kw_only=True)
class ForkData:
    current_version: Annotated[bytes, ByteVector(4)]
    genesis_validators_root: SszRoot


@container
@dataclass(frozen=True, slots=True, kw_only=True)
class SigningData:
    object_root: SszRoot
    domain: Bytes32


@container
@dataclass(frozen=True, slots=True, kw_only=True)
class ChainIdentity:
    """What a chain *is*, for ever: the leaves of its genesis validators root."""

    chain_id: Uint64
    l2_genesis_hash: SszHash
    group_public_key: SszPubkey


def compute_fork_version(chain_id: int) -> bytes:
    """4 bytes from the chain id: 0xd5 and three bytes of its hash. Raises: BadConfig if L1 uses the
    version.
    """
    digest = sha256(b"dst/fork-version/1" + chain_id.to_bytes(8, "big")).digest()
    return refuse_l1_fork_version(FORK_VERSION_PREFIX + digest[:3])


def refuse_l1_fork_version(version: bytes) -> bytes:
    """Return `version` unless an L1 network uses it: an L2 signature must never be usable (or
    slashable) on L1.
    """
    if version in KNOWN_L1_FORK_VERSIONS:
        raise BadConfig(f"fork version 0x{version.hex()} belongs to an L1 network; choose another")
    return version


def compute_genesis_validators_root(
    chain_id: int, l2_genesis_hash: Hash32, group_public_key: BLSPubkey
) -> Root:
    """Root over (chain id, L2 genesis hash, group public key)."""
    return hash_tree_root(
        ChainIdentity(
            chain_id=chain_id, l2_genesis_hash=l2_genesis_hash, group_public_key=group_public_key
        )
    )


def compute_domain(
    domain_type: bytes, chain_id: int, l2_genesis_hash: Hash32, group_public_key: BLSPubkey
) -> Domain:
    fork_data = ForkData(
        current_version=compute_fork_version(chain_id),
        genesis_validators_root=compute_genesis_validators_root(
            chain_id, l2_genesis_hash, group_public_key
        ),
    )
    return Domain(domain_type + hash_tree_root(fork_data)[:28])


def proposer_domain(chain_id: int, l2_genesis_hash: Hash32, group_public_key: BLSPubkey) -> Domain:
    """Domain of block signatures, partial and combined."""
    return compute_domain(DOMAIN_BEACON_PROPOSER, chain_id, l2_genesis_hash, group_public_key)


def randao_domain(chain_id: int, l2_genesis_hash: Hash32, group_public_key: BLSPubkey) -> Domain:
    """Domain of validator clients' RANDAO reveals."""
    return compute_domain(DOMAIN_RANDAO, chain_id, l2_genesis_hash, group_public_key)


def signing_root(object_root: Root, domain: Domain) -> Root:
    """The 32 bytes that are signed. Source: compute_signing_root."""
    return hash_tree_root(SigningData(object_root=object_root, domain=domain))


def randao_signing_root(epoch: int, domain: Domain) -> Root:
    """Signing root of a RANDAO reveal: the epoch as uint64, which is its own root."""
    return signing_root(Root(epoch.to_bytes(8, "little").ljust(32, b"\0")), domain)
