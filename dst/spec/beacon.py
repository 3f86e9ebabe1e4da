"""Electra beacon containers (mainnet preset) as the rollup uses them.

Names and limits are those of consensus-specs; lists which a rollup block never fills must be empty.
The L1 origin sits in `body.eth1_data` (`L1Origin`).
Source: consensus-specs `electra/beacon-chain.md`, `deneb/beacon-chain.md`,
`capella/beacon-chain.md`.
"""

from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

from dst.spec.primitives import (
    G2_POINT_AT_INFINITY,
    ZERO_ROOT,
    Address,
    BLSPubkey,
    BLSSignature,
    Gwei,
    Hash32,
    Root,
    Slot,
    to_hex,
)
from dst.spec.ssz import (
    ByteList,
    ByteVector,
    EmptyList,
    ListOf,
    Uint,
    container,
    container_type,
    from_json,
    hash_tree_root,
    to_json,
)

__all__ = [
    "BeaconBlock",
    "BeaconBlockBody",
    "BeaconBlockHeader",
    "ConsolidationRequest",
    "DepositRequest",
    "Eth1Data",
    "ExecutionPayload",
    "ExecutionRequests",
    "L1Origin",
    "SignedBeaconBlock",
    "SignedBeaconBlockHeader",
    "SyncAggregate",
    "Withdrawal",
    "WithdrawalRequest",
    "from_json",
    "header_of",
    "to_json",
]

SLOTS_PER_EPOCH: Final = 32
MAX_BYTES_PER_TRANSACTION: Final = 2**30
MAX_TRANSACTIONS_PER_PAYLOAD: Final = 2**20
"""Shapes the tree, as on L1."""
MAX_BLOCK_TRANSACTIONS: Final = 2**11
"""The most transactions of one block, whatever its gas limit. Each costs some 26 hashes before
anything else about a block can be checked, so a message of empty ones could stall whoever reads it;
2048 are 30 ms. They fill 43 M gas at 21,000 each; `rules` has the exact bound of a chain."""
MAX_WITHDRAWALS_PER_PAYLOAD: Final = 16

UINT64: Final = Uint(8)
UINT256: Final = Uint(32)
BYTES32: Final = ByteVector(32)

Uint64: TypeAlias = Annotated[int, UINT64]
Bytes32: TypeAlias = Annotated[bytes, BYTES32]
SszAddress: TypeAlias = Annotated[Address, ByteVector(20)]
SszHash: TypeAlias = Annotated[Hash32, BYTES32]
SszRoot: TypeAlias = Annotated[Root, BYTES32]
SszPubkey: TypeAlias = Annotated[BLSPubkey, ByteVector(48)]
SszSignature: TypeAlias = Annotated[BLSSignature, ByteVector(96)]


@container
@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """EIP-4895. A deposit from L1 arrives in this form."""

    index: Uint64
    validator_index: Uint64
    address: SszAddress
    amount: Annotated[Gwei, UINT64]


@container
@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionPayload:
    """The L2 block as the Engine API carries it (`ExecutionPayloadV3`); transactions are their
    EIP-2718 bytes.
    """

    parent_hash: SszHash
    fee_recipient: SszAddress
    state_root: SszHash
    receipts_root: SszHash
    logs_bloom: Annotated[bytes, ByteVector(256)]
    prev_randao: Bytes32
    block_number: Uint64
    gas_limit: Uint64
    gas_used: Uint64
    timestamp: Uint64
    extra_data: Annotated[bytes, ByteList(32)]
    base_fee_per_gas: Annotated[int, UINT256]
    block_hash: SszHash
    transactions: Annotated[
        tuple[bytes, ...],
        ListOf(
            ByteList(MAX_BYTES_PER_TRANSACTION),
            MAX_TRANSACTIONS_PER_PAYLOAD,
            most=MAX_BLOCK_TRANSACTIONS,
        ),
    ]
    withdrawals: Annotated[
        tuple[Withdrawal, ...], ListOf(container_type(Withdrawal), MAX_WITHDRAWALS_PER_PAYLOAD)
    ]
    blob_gas_used: Uint64
    excess_blob_gas: Uint64


@container
@dataclass(frozen=True, slots=True, kw_only=True)
class DepositRequest:
    """EIP-6110."""

    pubkey: SszPubkey
    withdrawal_credentials: Bytes32
    amount: Annotated[Gwei, UINT64]
    signature: SszSignature
    index: Uint64


@container
@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalRequest:
    """EIP-7002."""

    source_address: SszAddress
    validator_pubkey: SszPubkey
    amount: Annotated[Gwei, UINT64]


@container
@dataclass(frozen=True, slots=True, kw_only=True)
class ConsolidationRequest:
    """EIP-7251."""

    source_address: SszAddress
    source_pubkey: SszPubkey
    target_pubkey: SszPubkey


@container
@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionRequests:
    """What the execution layer asks of the consensus layer (EIP-7685); carried in the wrapper and
    in the batch.
    """

    deposits: Annotated[
        tuple[DepositRequest, ...], ListOf(container_type(DepositRequest), 8192)
    ] = ()
    withdrawals: Annotated[
        tuple[WithdrawalRequest, ...], ListOf(container_type(WithdrawalRequest), 16)
    ] = ()
    consolidations: Annotated[
        tuple[ConsolidationRequest, ...], ListOf(container_type(ConsolidationRequest), 2)
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class L1Origin:
    """The L1 block that an L2 block builds on. The beacon block has no field of that name: it
    stands in `Eth1Data`, its number as `deposit_count`, with a `deposit_root` of zero."""

    number: int
    hash: Hash32

    def __str__(self) -> str:
        return f"{self.number} {to_hex(self.hash)}"

    @property
    def eth1_data(self) -> "Eth1Data":
        return Eth1Data(deposit_root=ZERO_ROOT, deposit_count=self.number, block_hash=self.hash)


@container
@dataclass(frozen=True, slots=True, kw_only=True)
class Eth1Data:
    """Where the standard has a vote on deposits, a block here names its `L1Origin`."""

    deposit_root: SszRoot
    deposit_count: Uint64
    block_hash: SszHash


@container
@dataclass(frozen=True, slots=True, kw_only=True)
class SyncAggregate:
    """No sync committee here: zero bits (512) and the point at infinity, nothing else."""

    sync_committee_bits: Annotated[bytes, ByteVector(64)] = bytes(64)
    sync_committee_signature: SszSignature = G2_POINT_AT_INFINITY


@container
@dataclass(frozen=True, slots=True, kw_only=True)
class BeaconBlockBody:
    """Electra body. The empty lists exist for their roots only."""

    randao_reveal: SszSignature
    eth1_data: Eth1Data
    graffiti: Bytes32
    proposer_slashings: Annotated[tuple[()], EmptyList(16)] = ()
    attester_slashings: Annotated[tuple[()], EmptyList(1)] = ()
    attestations: Annotated[tuple[()], EmptyList(8)] = ()
    deposits: Annotated[tuple[()], EmptyList(16)] = ()
    voluntary_exits: Annotated[tuple[()], EmptyList(16)] = ()
    sync_aggregate: SyncAggregate = SyncAggregate()
    execution_payload: ExecutionPayload
    bls_to_execution_changes: Annotated[tuple[()], EmptyList(16)] = ()
    blob_kzg_commitments: Annotated[tuple[()], EmptyList(4096)] = ()
    execution_requests: ExecutionRequests = ExecutionRequests()


@container
@dataclass(frozen=True, slots=True, kw_only=True)
class BeaconBlock:
    """One L2 block in its wrapper. `parent_root` names the previous *decided* beacon block."""

    slot: Annotated[Slot, UINT64]
    proposer_index: Uint64
    parent_root: SszRoot
    state_root: SszRoot
    body: BeaconBlockBody

    @property
    def l1_origin(self) -> L1Origin:
        named = self.body.eth1_data
        return L1Origin(number=named.deposit_count, hash=named.block_hash)


@container
@dataclass(frozen=True, slots=True, kw_only=True)
class SignedBeaconBlock:
    """Sealed when `signature` is the group's; the point at infinity stands for 'decided, not sealed
    yet'.
    """

    message: BeaconBlock
    signature: SszSignature


@container
@dataclass(frozen=True, slots=True, kw_only=True)
class BeaconBlockHeader:
    """Same root as the block it is of, so five fields are what a signature covers."""

    slot: Annotated[Slot, UINT64]
    proposer_index: Uint64
    parent_root: SszRoot
    state_root: SszRoot
    body_root: SszRoot


@container
@dataclass(frozen=True, slots=True, kw_only=True)
class SignedBeaconBlockHeader:
    message: BeaconBlockHeader
    signature: SszSignature


def header_of(block: BeaconBlock) -> BeaconBlockHeader:
    """The header with the same hash tree root as `block`."""
    return BeaconBlockHeader(
        slot=block.slot,
        proposer_index=block.proposer_index,
        parent_root=block.parent_root,
        state_root=block.state_root,
        body_root=hash_tree_root(block.body),
    )
