"""Strategies for beacon containers, and one lock without valid signatures."""

from hypothesis import strategies as st

from dst.spec import beacon
from dst.spec.cluster import (
    ChainConfig,
    ClusterDefinition,
    ClusterLock,
    L1Genesis,
    OperatorRecord,
)
from dst.spec.primitives import (
    Address,
    BLSPubkey,
    BLSSignature,
    Gwei,
    Hash32,
    Root,
    Slot,
)

uint64 = st.integers(min_value=0, max_value=2**64 - 1)


def fixed(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size)


hashes = fixed(32).map(Hash32)
roots = fixed(32).map(Root)
addresses = fixed(20).map(Address)
pubkeys = fixed(48).map(BLSPubkey)
signatures = fixed(96).map(BLSSignature)
gwei = uint64.map(Gwei)

withdrawals = st.builds(
    beacon.Withdrawal, index=uint64, validator_index=uint64, address=addresses, amount=gwei
)
payloads = st.builds(
    beacon.ExecutionPayload,
    parent_hash=hashes,
    fee_recipient=addresses,
    state_root=hashes,
    receipts_root=hashes,
    logs_bloom=fixed(256),
    prev_randao=fixed(32),
    block_number=uint64,
    gas_limit=uint64,
    gas_used=uint64,
    timestamp=uint64,
    extra_data=st.binary(max_size=32),
    base_fee_per_gas=st.integers(min_value=0, max_value=2**256 - 1),
    block_hash=hashes,
    transactions=st.lists(st.binary(max_size=200), max_size=5).map(tuple),
    withdrawals=st.lists(withdrawals, max_size=16).map(tuple),
    blob_gas_used=uint64,
    excess_blob_gas=uint64,
)
requests = st.builds(
    beacon.ExecutionRequests,
    deposits=st.lists(
        st.builds(
            beacon.DepositRequest,
            pubkey=pubkeys,
            withdrawal_credentials=fixed(32),
            amount=gwei,
            signature=signatures,
            index=uint64,
        ),
        max_size=2,
    ).map(tuple),
    withdrawals=st.lists(
        st.builds(
            beacon.WithdrawalRequest,
            source_address=addresses,
            validator_pubkey=pubkeys,
            amount=gwei,
        ),
        max_size=2,
    ).map(tuple),
    consolidations=st.lists(
        st.builds(
            beacon.ConsolidationRequest,
            source_address=addresses,
            source_pubkey=pubkeys,
            target_pubkey=pubkeys,
        ),
        max_size=2,
    ).map(tuple),
)
bodies = st.builds(
    beacon.BeaconBlockBody,
    randao_reveal=signatures,
    eth1_data=st.builds(
        beacon.Eth1Data, deposit_root=roots, deposit_count=uint64, block_hash=hashes
    ),
    graffiti=fixed(32),
    sync_aggregate=st.builds(
        beacon.SyncAggregate, sync_committee_bits=fixed(64), sync_committee_signature=signatures
    ),
    execution_payload=payloads,
    execution_requests=requests,
)
blocks = st.builds(
    beacon.BeaconBlock,
    slot=uint64.map(Slot),
    proposer_index=uint64,
    parent_root=roots,
    state_root=roots,
    body=bodies,
)
signed_blocks = st.builds(beacon.SignedBeaconBlock, message=blocks, signature=signatures)


def chain_config(**changes: object) -> ChainConfig:
    fields: dict[str, object] = {
        "chain_id": 901,
        "l1_chain_id": 31337,
        "genesis_time": 1_000_000,
        "seconds_per_slot": 2,
        "l1_genesis": L1Genesis(number=100, hash=Hash32(b"\x10" * 32)),
        "fee_recipient": Address(b"\xfe" * 20),
        "extra_data": b"dst",
        "graffiti": b"g" * 32,
        "batch_inbox": Address(b"\xff" * 20),
        "round_timeout_ms": 1000,
        "l2_genesis_hash": Hash32(b"\x11" * 32),
    }
    return ChainConfig(**{**fields, **changes})  # type: ignore[arg-type]


def unsigned_lock(n: int = 4, **chain: object) -> ClusterLock:
    """Right in structure but for its hash and signatures, which are zero."""
    operators = tuple(
        OperatorRecord(
            index=i,
            name=f"op{i}",
            identity=bytes([2, i]) + bytes(31),
            transport_spki=bytes([i]) * 32,
        )
        for i in range(1, n + 1)
    )
    return ClusterLock(
        definition=ClusterDefinition(
            name="test",
            n=n,
            threshold=n - (n - 1) // 3,
            operators=operators,
            chain=chain_config(**chain),
        ),
        group_public_key=BLSPubkey(b"\xa0" * 48),
        share_public_keys=tuple(BLSPubkey(bytes([i]) * 48) for i in range(1, n + 1)),
        lock_hash=bytes(32),
        operator_signatures=(bytes(64),) * n,
        group_signature=BLSSignature(bytes(96)),
    )
