"""Blocks that are consistent in every root and hold one transaction that must not be there.

Each is made by a run whose validity check is switched off, so that only the check can refuse it:
with unmodified py-evm most of these blocks are accepted.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_keys.datatypes import PrivateKey

from dst.crypto.keccak import keccak256
from dst.execution.block import body
from dst.execution.chain import UnknownParent
from dst.execution.environment import InvalidBlock
from dst.execution.evm.computation import EvmComputation
from dst.execution.genesis import (
    CONSOLIDATION_REQUESTS_ADDRESS,
    WITHDRAWAL_REQUESTS_ADDRESS,
    read_genesis,
)
from dst.execution.interrupts import never
from dst.execution.state.trie import ordered_root
from dst.spec import rlp
from dst.spec.primitives import Address, Hash32, to_hex
from dst.transactions.transaction import Transaction, decode_transaction
from tests.unit.execution.worlds import (
    ADDRESSES,
    CHAIN_ID,
    GWEI,
    KEYS,
    RICH,
    World,
    address_of,
    genesis_file,
    make_world,
    signed,
    signed_raw,
)

POOR_KEY = b"\x77" * 32
POOR = Address(bytes.fromhex(Account.from_key(POOR_KEY).address[2:]))
BASE_FEE = GWEI * 7 // 8
"""Of the first block: genesis was empty."""


def self_signed(type_id: int, fields: list[rlp.Item]) -> bytes:
    """For transactions that signing libraries refuse to make."""
    digest = keccak256(bytes([type_id]) + rlp.encode(fields))
    signature = PrivateKey(KEYS[0]).sign_msg_hash(digest)
    tail: list[rlp.Item] = [
        rlp.int_to_bytes(number) for number in (signature.v, signature.r, signature.s)
    ]
    return bytes([type_id]) + rlp.encode([*fields, *tail])


def dynamic_fields(**changes: Any) -> list[rlp.Item]:
    values: dict[str, Any] = {
        "chain_id": CHAIN_ID,
        "nonce": 0,
        "tip": 1,
        "fee": 2 * GWEI,
        "gas": 60_000,
        "to": address_of(0xBB),
        "value": 1,
        "data": b"",
        **changes,
    }
    return [
        rlp.int_to_bytes(value) if isinstance(value, int) else value for value in values.values()
    ]


CASES: dict[str, tuple[Callable[[], Transaction], str]] = {
    "typed, another chain": (lambda: signed(chainId=CHAIN_ID + 1), "invalid chain id"),
    "legacy EIP-155, another chain": (
        lambda: signed(
            chainId=CHAIN_ID + 1,
            type=None,
            gasPrice=2 * GWEI,
            maxFeePerGas=None,
            maxPriorityFeePerGas=None,
        ),
        "invalid chain id",
    ),
    "balance covers the effective fee only": (
        lambda: signed(POOR_KEY, value=1),
        "insufficient funds",
    ),
    "tip above fee": (
        lambda: decode_transaction(self_signed(2, [*dynamic_fields(tip=3 * GWEI), []])),
        "max priority fee per gas higher",
    ),
    "below the calldata floor": (
        lambda: signed(data=b"\x01" * 1_000, gas=21_000 + 16 * 1_000),
        "floor data gas",
    ),
    "nonce too high": (lambda: signed(nonce=1), "nonce too high"),
    "fee below base fee": (
        lambda: signed(maxFeePerGas=BASE_FEE - 1, maxPriorityFeePerGas=0),
        "less than block base fee",
    ),
    "sender has code": (lambda: signed(KEYS[4], nonce=1), "sender not an eoa"),
    "no authorizations": (
        lambda: decode_transaction(self_signed(4, [*dynamic_fields(), [], []])),
        "empty auth list",
    ),
    "intrinsic gas": (lambda: signed(gas=20_999), "intrinsic gas too low"),
    "init code too long": (
        lambda: signed(to=b"", data=b"\x00" * 49_153, gas=5_000_000, value=0),
        "max initcode size",
    ),
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    balances = {**dict.fromkeys(ADDRESSES, RICH), POOR: 21_000 * 2 * GWEI}
    return make_world(tmp_path, {ADDRESSES[4]: b"\x00"}, balances=balances)


def unchecked(monkeypatch: pytest.MonkeyPatch, world: World, transaction: Transaction) -> Any:
    """The block as a node without the check would build it."""
    with monkeypatch.context() as patch:
        patch.setattr(body, "check_in_block", lambda *_, **__: None)
        patch.setattr(body, "intrinsic_gas", lambda tx: min(tx.gas, 21_000))
        patch.setattr(EvmComputation, "validate_create_message", lambda _: None)
        # A funded fee recipient can pay a negative tip: arithmetic must not stop the block.
        return world.build([transaction], suggested_fee_recipient=ADDRESSES[1]).block


@pytest.mark.parametrize("name", CASES)
def test_self_consistent_block_is_refused(
    monkeypatch: pytest.MonkeyPatch, world: World, name: str
) -> None:
    make, words = CASES[name]
    transaction = make()
    block = unchecked(monkeypatch, world, transaction)
    assert block.transactions == (transaction,), "the forgery must hold the transaction"
    with pytest.raises(InvalidBlock, match=words):
        world.execute(block)
    assert world.chain.header(block.hash) is None
    assert world.build([transaction]).block.transactions == (), "the builder refuses it too"


def test_block_gas_is_what_is_left(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    pair = [signed(gas=9_990_000), signed(KEYS[1], gas=9_990_000)]
    with monkeypatch.context() as patch:
        patch.setattr(body, "check_in_block", lambda *_, **__: None)
        block = world.build(pair).block
    assert len(block.transactions) == 2
    with pytest.raises(InvalidBlock, match="gas limit reached"):
        world.execute(block)


def test_blob_transactions_are_refused(world: World) -> None:
    fields: list[rlp.Item] = [*dynamic_fields(), [], rlp.int_to_bytes(1), [b"\x01" + bytes(31)]]
    raw = self_signed(3, fields)
    block = world.build().block
    header = replace(block.header, transactions_root=ordered_root([raw]))
    with pytest.raises(InvalidBlock, match="transaction type not supported"):
        world.chain.execute(header, [raw], (), never)


def test_delegated_sender_is_valid(world: World) -> None:
    """EIP-7702: a delegation designator is no reason of EIP-3607."""
    authorization = Account.from_key(KEYS[1]).sign_authorization(
        {"chainId": CHAIN_ID, "address": address_of(0xAB), "nonce": 0}
    )
    set_code = signed(type=4, authorizationList=[authorization], gas=100_000)
    world.extend([set_code])
    block = world.extend([signed(KEYS[1], nonce=1)])
    assert block.result.receipts[0].succeeded


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"state_root": b"\x01" * 32}, "state root"),
        ({"receipts_root": b"\x01" * 32}, "receipts root"),
        ({"logs_bloom": b"\x01" * 256}, "logs bloom"),
        ({"gas_used": 1}, "gas used"),
        ({"requests_hash": b"\x01" * 32}, "requests hash"),
        ({"base_fee_per_gas": 1}, "base fee"),
        ({"gas_limit": 20_000_000}, "gas limit"),
        ({"number": 2}, "block number"),
        ({"timestamp": 1_000}, "timestamp"),
        ({"blob_gas_used": 131_072}, "blob gas"),
    ],
)
def test_header_claims_are_checked(world: World, change: dict[str, Any], words: str) -> None:
    block = world.build([signed()]).block
    raws = [each.raw for each in block.transactions]
    with pytest.raises(InvalidBlock, match=words):
        world.chain.execute(replace(block.header, **change), raws, (), never)


def test_garbage_transaction_names_its_place(world: World) -> None:
    block = world.build().block
    with pytest.raises(InvalidBlock, match="transaction 1"):
        world.chain.execute(block.header, [signed_raw(), b"\xc0"], (), never)


def test_unknown_parent(world: World) -> None:
    header = replace(world.build().block.header, parent_hash=Hash32(b"\x09" * 32))
    with pytest.raises(UnknownParent):
        world.chain.execute(header, [], (), never)


def test_a_refused_transaction_leaves_no_trace(world: World) -> None:
    """Between two good ones: same roots as without it."""
    good = [signed(), signed(KEYS[1])]
    bad = signed(KEYS[2], nonce=7)
    assert world.build([good[0], bad, good[1]]).block == world.build(good).block


@pytest.mark.parametrize("missing", [WITHDRAWAL_REQUESTS_ADDRESS, CONSOLIDATION_REQUESTS_ADDRESS])
def test_no_block_is_valid_where_a_system_contract_is_missing(
    tmp_path: Path, missing: Address
) -> None:
    """EIP-7002, EIP-7251 §System Call: no code there, invalid block."""
    for name in ("whole", "lacking"):
        (tmp_path / name).mkdir()
    whole = make_world(tmp_path / "whole")
    empty = whole.build().block
    file = genesis_file()
    del file["alloc"][to_hex(missing)]
    lacking = World(tmp_path / "lacking", read_genesis(file))
    header = replace(empty.header, parent_hash=lacking.chain.genesis_hash)
    with pytest.raises(InvalidBlock, match=f"no system contract at {to_hex(missing)}"):
        lacking.chain.execute(header, [], (), never)
    for world in (whole, lacking):
        world.store.close()
