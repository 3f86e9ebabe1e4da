"""Each chain rule is broken once, and named; a right block passes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dst.spec import rules
from dst.spec.beacon import (
    BeaconBlock,
    ExecutionPayload,
    L1Origin,
    SyncAggregate,
    Withdrawal,
)
from dst.spec.cluster import membership_root
from dst.spec.judgement import Verdict
from dst.spec.primitives import (
    ZERO_ADDRESS,
    ZERO_ROOT,
    BLSSignature,
    Gwei,
    Hash32,
    Root,
    Slot,
)
from dst.spec.rules import L1View
from dst.spec.ssz import hash_tree_root
from dst.spec.state import compute_state_root
from tests.unit.spec.sample_blocks import unsigned_lock

LOCK = unsigned_lock()
CHAIN = LOCK.chain
ORIGIN = L1Origin(number=103, hash=Hash32(b"\x20" * 32))
ORIGIN_TIME, PARENT_ORIGIN_TIME = 1_000_000, 999_990


class GenesisHeader:
    hash = b"\x11" * 32
    state_root = b"\x12" * 32


PARENT = rules.genesis_block(LOCK, GenesisHeader())


def seal_state(block: BeaconBlock) -> BeaconBlock:
    """The block with the state root that its content calls for."""
    root = compute_state_root(block.l1_origin, block.body.execution_payload, membership_root(LOCK))
    return replace(block, state_root=root)


def child(slot: int = 3) -> BeaconBlock:
    payload = ExecutionPayload(
        parent_hash=PARENT.body.execution_payload.block_hash,
        fee_recipient=CHAIN.fee_recipient,
        state_root=Hash32(b"\x13" * 32),
        receipts_root=Hash32(bytes(32)),
        logs_bloom=bytes(256),
        prev_randao=rules.prev_randao(ORIGIN.hash, slot),
        block_number=1,
        gas_limit=CHAIN.gas_limit,
        gas_used=0,
        timestamp=rules.timestamp_at(CHAIN, slot),
        extra_data=CHAIN.extra_data,
        base_fee_per_gas=7,
        block_hash=Hash32(b"\x14" * 32),
        transactions=(b"\x02\x01",),
        withdrawals=(),
        blob_gas_used=0,
        excess_blob_gas=0,
    )
    block = BeaconBlock(
        slot=Slot(slot),
        proposer_index=0,
        parent_root=hash_tree_root(PARENT),
        state_root=ZERO_ROOT,
        body=rules.compose_body(CHAIN, ORIGIN, payload),
    )
    return seal_state(block)


def check(block: BeaconBlock, origin_time: int = ORIGIN_TIME) -> str | None:
    return rules.check_deterministic(LOCK, PARENT, block, origin_time, PARENT_ORIGIN_TIME)


def with_body(**changes: Any) -> BeaconBlock:
    block = child()
    return seal_state(replace(block, body=replace(block.body, **changes)))


def with_payload(**changes: Any) -> BeaconBlock:
    return with_body(execution_payload=replace(child().body.execution_payload, **changes))


def with_origin(**changes: Any) -> BeaconBlock:
    origin = replace(ORIGIN, **changes)
    randao = rules.prev_randao(origin.hash, 3)
    payload = replace(child().body.execution_payload, prev_randao=randao)
    return with_body(eth1_data=origin.eth1_data, execution_payload=payload)


WITHDRAWAL = Withdrawal(index=0, validator_index=0, address=ZERO_ADDRESS, amount=Gwei(1))


def test_a_right_block_passes() -> None:
    assert check(child()) is None
    assert check(with_payload(transactions=(b"\x02",) * 476)) is None


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: replace(child(), slot=Slot(0)), "not after the parent's"),
        (lambda: replace(child(), proposer_index=1), "proposer_index"),
        (lambda: replace(child(), parent_root=Root(b"\x01" * 32)), "parent_root"),
        (lambda: with_body(randao_reveal=BLSSignature(bytes(96))), "randao_reveal"),
        (lambda: with_body(graffiti=bytes(32)), "graffiti"),
        (
            lambda: with_body(sync_aggregate=SyncAggregate(sync_committee_bits=b"\1" * 64)),
            "sync_aggregate",
        ),
        (
            lambda: with_body(eth1_data=replace(ORIGIN.eth1_data, deposit_root=Root(b"\x01" * 32))),
            "deposit_root",
        ),
        (lambda: with_payload(parent_hash=Hash32(bytes(32))), "does not extend"),
        (lambda: with_payload(block_number=2), "block_number"),
        (lambda: with_payload(timestamp=1_000_007), "timestamp"),
        (lambda: with_payload(prev_randao=bytes(32)), "prev_randao"),
        (lambda: with_payload(gas_limit=1), "gas_limit"),
        (lambda: with_payload(fee_recipient=ZERO_ADDRESS), "fee_recipient"),
        (lambda: with_payload(extra_data=b""), "extra_data"),
        (lambda: with_payload(blob_gas_used=1), "blob gas"),
        (lambda: with_payload(excess_blob_gas=1), "blob gas"),
        (lambda: with_payload(transactions=(b"\x03\x01",)), "blob transactions"),
        (lambda: with_payload(transactions=(b"\x02",) * 477), "the gas limit allows 476"),
        (lambda: with_payload(withdrawals=(WITHDRAWAL,)), "withdrawals"),
        (lambda: with_origin(number=99), "number goes backwards"),
        (lambda: with_origin(number=100), "hash changes"),
        (lambda: replace(child(), state_root=ZERO_ROOT), "state_root"),
        (lambda: with_payload(transactions=(b"\x02" * 524288,)), "long, more than"),
    ],
)
def test_each_rule(make: Callable[[], BeaconBlock], complaint: str) -> None:
    reason = check(make())
    assert reason is not None
    assert complaint in reason


def test_origin_time_may_not_go_backwards() -> None:
    assert "time goes backwards" in str(check(child(), origin_time=PARENT_ORIGIN_TIME - 1))


def test_beyond_the_drift_only_empty_blocks() -> None:
    chain_late = child(slot=400)
    assert "mempool transactions" in str(check(chain_late))
    empty = replace(
        chain_late,
        body=replace(
            chain_late.body,
            execution_payload=replace(chain_late.body.execution_payload, transactions=()),
        ),
    )
    assert check(seal_state(empty)) is None


def test_slots_and_timestamps() -> None:
    assert rules.timestamp_at(CHAIN, 5) == 1_000_010
    assert rules.slot_at(CHAIN, 1_000_010.0) == 5
    assert rules.slot_at(CHAIN, 1_000_011.99) == 5
    assert rules.slot_at(CHAIN, 999_999.9) == -1


def test_genesis_names_the_l2_genesis_block() -> None:
    payload = PARENT.body.execution_payload
    assert (PARENT.slot, payload.block_number) == (0, 0)
    assert (payload.block_hash, payload.state_root) == (b"\x11" * 32, b"\x12" * 32)
    assert PARENT.l1_origin.number == 100


GOOD_VIEW = L1View(head_number=107, hash_at_origin=ORIGIN.hash)
IN_SLOT_3 = 1_000_006.5


@pytest.mark.parametrize(
    ("now", "l1", "verdict", "reason"),
    [
        (IN_SLOT_3, GOOD_VIEW, Verdict.VALID, ""),
        (IN_SLOT_3 + 2, GOOD_VIEW, Verdict.VALID, ""),
        (IN_SLOT_3 + 4, GOOD_VIEW, Verdict.INVALID, "behind"),
        (IN_SLOT_3 - 2, GOOD_VIEW, Verdict.HOLD, "not begun"),
        (IN_SLOT_3 - 4, GOOD_VIEW, Verdict.INVALID, "ahead"),
        (IN_SLOT_3, L1View(head_number=102, hash_at_origin=None), Verdict.HOLD, "not seen"),
        (
            IN_SLOT_3,
            L1View(head_number=107, hash_at_origin=Hash32(bytes(32))),
            Verdict.INVALID,
            "not canonical",
        ),
        (
            IN_SLOT_3,
            L1View(head_number=106, hash_at_origin=ORIGIN.hash),
            Verdict.HOLD,
            "lacks confirmations",
        ),
        (
            IN_SLOT_3,
            L1View(head_number=103 + 64 + 4, hash_at_origin=ORIGIN.hash),
            Verdict.VALID,
            "",
        ),
        (
            IN_SLOT_3,
            L1View(head_number=103 + 64 + 5, hash_at_origin=ORIGIN.hash),
            Verdict.INVALID,
            "lags too far",
        ),
        (
            IN_SLOT_3 - 2,
            L1View(head_number=107, hash_at_origin=Hash32(bytes(32))),
            Verdict.INVALID,
            "not canonical",
        ),
    ],
)
def test_view_rules(now: float, l1: L1View, verdict: Verdict, reason: str) -> None:
    result = rules.check_view(CHAIN, child(), now=now, l1=l1)
    assert result.status is verdict
    assert reason in result.reason


def test_genesis_origin_needs_no_depth() -> None:
    block = with_origin(number=100, hash=CHAIN.l1_genesis.hash)
    view = L1View(head_number=100, hash_at_origin=CHAIN.l1_genesis.hash)
    assert rules.check_view(CHAIN, block, now=IN_SLOT_3, l1=view).status is Verdict.VALID
