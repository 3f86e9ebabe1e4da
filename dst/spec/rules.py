"""Chain rules as pure functions: what a block must be (deterministic), and what a voter must see
(view).

Deterministic rules depend on the block and its decided ancestors alone and bind for ever; view
rules depend on the voter's clock and L1, and bind fresh proposals only (rules 11 and 48 of
docs/consensus-rules.md). That the payload executes is the execution layer's verdict and not decided
here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Protocol

from dst.spec.beacon import (
    BeaconBlock,
    BeaconBlockBody,
    ExecutionPayload,
    L1Origin,
    SyncAggregate,
)
from dst.spec.cluster import ChainConfig, ClusterLock, membership_root
from dst.spec.judgement import Judgement, Verdict
from dst.spec.primitives import (
    G2_POINT_AT_INFINITY,
    ZERO_HASH,
    ZERO_ROOT,
    Hash32,
    Root,
    Slot,
)
from dst.spec.ssz import encode, hash_tree_root
from dst.spec.state import compute_state_root

PROPOSER_INDEX: Final = 0
"""The distributed validator; it proposes every slot."""
BLOB_TX_TYPE: Final = 0x03
TX_BASE_GAS: Final = 21_000
"""Gas of the cheapest transaction there is (Yellow Paper, G_transaction)."""


def timestamp_at(chain: ChainConfig, slot: int) -> int:
    """Unix seconds at which `slot` begins."""
    return chain.genesis_time + slot * chain.seconds_per_slot


def slot_at(chain: ChainConfig, unix_time: float) -> Slot:
    """The slot that `unix_time` falls in; negative before genesis."""
    return Slot(int((unix_time - chain.genesis_time) // chain.seconds_per_slot))


def prev_randao(origin_hash: Hash32, slot: int) -> bytes:
    """SHA-256(L1 origin hash, slot as 8 bytes big-endian): known to voters, followers and
    derivation alike.
    """
    return sha256(origin_hash + slot.to_bytes(8, "big")).digest()


class GenesisHeader(Protocol):
    """What the execution layer says about the L2 genesis block."""

    @property
    def hash(self) -> bytes: ...

    @property
    def state_root(self) -> bytes: ...


def genesis_block(lock: ClusterLock, l2_genesis: GenesisHeader) -> BeaconBlock:
    """Slot 0: never signed, the same for everybody, its root is the first block's `parent_root`.

    Its payload names the L2 genesis block by hash, state root and number 0; it is not meant for
    newPayload.
    """
    chain = lock.chain
    payload = _genesis_payload(chain, l2_genesis)
    origin = L1Origin(number=chain.l1_genesis.number, hash=chain.l1_genesis.hash)
    return BeaconBlock(
        slot=Slot(0),
        proposer_index=PROPOSER_INDEX,
        parent_root=ZERO_ROOT,
        state_root=compute_state_root(origin, payload, membership_root(lock)),
        body=compose_body(chain, origin, payload),
    )


def _genesis_payload(chain: ChainConfig, l2_genesis: GenesisHeader) -> ExecutionPayload:
    return ExecutionPayload(
        parent_hash=ZERO_HASH,
        fee_recipient=chain.fee_recipient,
        state_root=Hash32(bytes(l2_genesis.state_root)),
        receipts_root=ZERO_HASH,
        logs_bloom=bytes(256),
        prev_randao=bytes(32),
        block_number=0,
        gas_limit=chain.gas_limit,
        gas_used=0,
        timestamp=chain.genesis_time,
        extra_data=chain.extra_data,
        base_fee_per_gas=0,
        block_hash=Hash32(bytes(l2_genesis.hash)),
        transactions=(),
        withdrawals=(),
        blob_gas_used=0,
        excess_blob_gas=0,
    )


def compose_body(
    chain: ChainConfig, origin: L1Origin, payload: ExecutionPayload
) -> BeaconBlockBody:
    """The wrapper's body around a payload, without execution requests; every other field is a
    constant of the chain.
    """
    return BeaconBlockBody(
        randao_reveal=G2_POINT_AT_INFINITY,
        eth1_data=origin.eth1_data,
        graffiti=chain.graffiti,
        execution_payload=payload,
    )


# --- Deterministic rules --------------------------------------------------------------------------


def check_deterministic(
    lock: ClusterLock,
    parent: BeaconBlock,
    block: BeaconBlock,
    origin_time: int,
    parent_origin_time: int,
    *,
    parent_root: Root | None = None,
) -> str | None:
    """The first rule that `block` breaks on `parent`, in words, or None.

    Args:
        origin_time, parent_origin_time: unix seconds of the L1 blocks that both name as origin
        (found by hash).
        parent_root: root of `parent`, from whoever knows it already: hashing a full block takes
        tens of milliseconds.
    """
    chain = lock.chain
    root = hash_tree_root(parent) if parent_root is None else parent_root
    return (
        _first_broken(_wrapper_rules(chain, parent, root, block))
        or _first_broken(_payload_rules(chain, parent, block))
        or _first_broken(_origin_rules(chain, parent, block, origin_time, parent_origin_time))
        or _first_broken(_content_rules(lock, block))
    )


_Rules = Iterator[tuple[bool, str]]


def _first_broken(rules: _Rules) -> str | None:
    return next((complaint for holds, complaint in rules if not holds), None)


def _wrapper_rules(
    chain: ChainConfig, parent: BeaconBlock, parent_root: Root, block: BeaconBlock
) -> _Rules:
    body = block.body
    yield block.slot > parent.slot, f"slot {block.slot} is not after the parent's {parent.slot}"
    yield block.proposer_index == PROPOSER_INDEX, "proposer_index is not 0"
    yield block.parent_root == parent_root, "parent_root is not the decided parent"
    yield body.randao_reveal == G2_POINT_AT_INFINITY, "randao_reveal is not the point at infinity"
    yield body.graffiti == chain.graffiti, "graffiti differs from the chain's constant"
    yield body.sync_aggregate == SyncAggregate(), "sync_aggregate is not empty"
    yield body.eth1_data.deposit_root == ZERO_ROOT, "eth1_data.deposit_root is not zero"


def _payload_rules(chain: ChainConfig, parent: BeaconBlock, block: BeaconBlock) -> _Rules:
    payload, before = block.body.execution_payload, parent.body.execution_payload
    yield payload.parent_hash == before.block_hash, "payload does not extend the parent's payload"
    yield payload.block_number == before.block_number + 1, "block_number is not the parent's + 1"
    yield payload.timestamp == timestamp_at(chain, block.slot), "timestamp does not fit the slot"
    yield (
        payload.prev_randao == prev_randao(block.l1_origin.hash, block.slot),
        "prev_randao does not fit origin and slot",
    )
    yield payload.gas_limit == chain.gas_limit, "gas_limit differs from the chain's constant"
    yield payload.fee_recipient == chain.fee_recipient, "fee_recipient differs from the chain's"
    yield payload.extra_data == chain.extra_data, "extra_data differs from the chain's constant"
    # Execution would refuse it too, after the cost of decoding each of them.
    most = chain.gas_limit // TX_BASE_GAS
    yield (
        len(payload.transactions) <= most,
        f"{len(payload.transactions)} transactions, where the gas limit allows {most}",
    )
    yield payload.blob_gas_used == 0 == payload.excess_blob_gas, "blob gas is not zero"
    yield (
        not any(tx[:1] == bytes([BLOB_TX_TYPE]) for tx in payload.transactions),
        "blob transactions are refused",
    )
    # Deposits from L1 arrive as withdrawals; this release has none, so any would be minted out of
    # thin air.
    yield payload.withdrawals == (), "withdrawals are not enabled on this chain"


def _origin_rules(
    chain: ChainConfig,
    parent: BeaconBlock,
    block: BeaconBlock,
    origin_time: int,
    parent_origin_time: int,
) -> _Rules:
    origin, before = block.l1_origin, parent.l1_origin
    payload = block.body.execution_payload
    yield origin.number >= before.number, "L1 origin number goes backwards"
    yield (
        origin.number > before.number or origin.hash == before.hash,
        "L1 origin hash changes at the same number",
    )
    yield origin_time >= parent_origin_time, "L1 origin time goes backwards"
    drift = payload.timestamp - origin_time
    # Forced transactions would be allowed beyond the drift; there are none in this release.
    yield (
        drift <= chain.max_sequencer_drift or payload.transactions == (),
        f"{drift} s after its L1 origin a block may not carry mempool transactions",
    )


def _content_rules(lock: ClusterLock, block: BeaconBlock) -> _Rules:
    body = block.body
    state_root = compute_state_root(block.l1_origin, body.execution_payload, membership_root(lock))
    yield block.state_root == state_root, "state_root does not fit the block"
    size = len(encode(block))
    limit = lock.chain.max_block_bytes
    yield size <= limit, f"block is {size} bytes long, more than {limit}"


# --- View rules -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class L1View:
    """What the voter's own L1 node says. `hash_at_origin`: canonical hash at the block's origin
    number, None above head.
    """

    head_number: int
    hash_at_origin: Hash32 | None


def check_view(
    chain: ChainConfig, block: BeaconBlock, *, now: float, l1: L1View | None
) -> Judgement:
    """Rules for a fresh proposal that depend on the voter: the slot is the current one +-1, the
    origin fits my L1.

    One slot early, or an origin that my L1 has not (or not deep enough): HOLD. Args: now: unix
    seconds; l1: None for an origin that needs no look.
    """
    slot = _check_slot(chain, block.slot, slot_at(chain, now))
    if slot.status is Verdict.INVALID or l1 is None:
        return slot
    origin = _check_origin(chain, block.l1_origin, l1)
    return slot if origin.is_valid else origin


def _check_slot(chain: ChainConfig, slot: Slot, current: Slot) -> Judgement:
    if slot > current + 1:
        return Judgement(Verdict.INVALID, f"slot {slot} is ahead of {current}")
    if slot < current - 1:
        return Judgement(Verdict.INVALID, f"slot {slot} is behind {current}")
    if slot == current + 1:
        return Judgement(Verdict.HOLD, f"slot {slot} has not begun")
    return Judgement(Verdict.VALID)


def _check_origin(chain: ChainConfig, origin: L1Origin, l1: L1View) -> Judgement:
    number = origin.number
    deepest_usable = l1.head_number - chain.l1_confirmations
    if l1.hash_at_origin is None:
        return Judgement(Verdict.HOLD, f"L1 origin {number} not seen yet")
    if l1.hash_at_origin != origin.hash:
        return Judgement(Verdict.INVALID, f"L1 origin {number} is not canonical")
    # The genesis origin may be used before it is deep: otherwise no chain could start on a young
    # L1.
    if number > max(deepest_usable, chain.l1_genesis.number):
        return Judgement(Verdict.HOLD, f"L1 origin {number} lacks confirmations")
    if deepest_usable - number > chain.max_origin_lag:
        return Judgement(Verdict.INVALID, f"L1 origin {number} lags too far")
    return Judgement(Verdict.VALID)


def block_root(block: BeaconBlock) -> Root:
    """The 32 bytes by which consensus, signatures and `parent_root` name a block."""
    return hash_tree_root(block)
