"""Our codec against remerkleable, and against everything that is not an encoding."""

import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dst.spec import ssz
from dst.spec.beacon import (
    MAX_BLOCK_TRANSACTIONS,
    BeaconBlock,
    BeaconBlockBody,
    ExecutionPayload,
    SignedBeaconBlock,
    Withdrawal,
    from_json,
    header_of,
    to_json,
)
from dst.spec.errors import InvalidInput
from dst.spec.primitives import ZERO_ADDRESS, Gwei, Slot
from dst.spec.rules import genesis_block
from dst.spec.ssz import decode, encode, hash_tree_root
from tests.unit.spec import remerkleable_electra as oracle
from tests.unit.spec.sample_blocks import blocks, signed_blocks, unsigned_lock

quick = settings(max_examples=25, deadline=None)


@quick
@given(block=signed_blocks)
def test_bytes_and_roots_equal_remerkleables(block: SignedBeaconBlock) -> None:
    data = encode(block)
    view = oracle.SignedBeaconBlock.decode_bytes(data)
    assert view.encode_bytes() == data
    assert hash_tree_root(block) == bytes(view.hash_tree_root())
    assert hash_tree_root(block.message) == bytes(view.message.hash_tree_root())
    assert hash_tree_root(block.message.body.execution_payload) == bytes(
        view.message.body.execution_payload.hash_tree_root()
    )


@quick
@given(block=signed_blocks)
def test_round_trip(block: SignedBeaconBlock) -> None:
    assert decode(SignedBeaconBlock, encode(block)) == block
    assert from_json(SignedBeaconBlock, json.loads(json.dumps(to_json(block)))) == block


@quick
@given(block=blocks)
def test_header_has_the_blocks_root(block: BeaconBlock) -> None:
    assert hash_tree_root(header_of(block)) == hash_tree_root(block)


@quick
@given(block=blocks, data=st.data())
def test_truncated_or_extended_is_refused_or_differs(
    block: BeaconBlock, data: st.DataObject
) -> None:
    whole = encode(block)
    cut = whole[: data.draw(st.integers(min_value=0, max_value=len(whole) - 1))]
    for changed in (cut, whole + b"\0"):
        try:
            other = decode(BeaconBlock, changed)
        except InvalidInput:
            continue
        # A cut inside the last transaction is an encoding too, of another block.
        assert other != block
        assert encode(other) == changed


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=400))
def test_garbage_gives_nothing_but_invalid_input(data: bytes) -> None:
    for kind in (BeaconBlock, SignedBeaconBlock, BeaconBlockBody, Withdrawal):
        try:
            value = decode(kind, data)
        except InvalidInput:
            continue
        assert encode(value) == data


@settings(max_examples=60, deadline=None)
@given(block=blocks, data=st.data())
def test_flipped_byte_is_refused_or_another_block(block: BeaconBlock, data: st.DataObject) -> None:
    mutable = bytearray(encode(block))
    mutable[data.draw(st.integers(min_value=0, max_value=len(mutable) - 1))] ^= data.draw(
        st.integers(min_value=1, max_value=255)
    )
    try:
        other = decode(BeaconBlock, bytes(mutable))
    except InvalidInput:
        return
    assert encode(other) == bytes(mutable)
    assert hash_tree_root(other) != hash_tree_root(block)


class GenesisHeader:
    hash = b"\x11" * 32
    state_root = b"\x12" * 32


def _some_block() -> BeaconBlock:
    return genesis_block(unsigned_lock(), GenesisHeader())


def test_huge_first_list_offset_builds_no_list() -> None:
    block = _some_block()
    payload = replace(block.body.execution_payload, transactions=(b"\xff" * 8,))
    good = encode(replace(block, body=replace(block.body, execution_payload=payload)))
    place = good.index((4).to_bytes(4, "little") + b"\xff" * 8)
    for offset in (0, 3, 5, 2**32 - 4, 2**31):
        bad = good[:place] + offset.to_bytes(4, "little") + good[place + 4 :]
        with pytest.raises(InvalidInput):
            decode(BeaconBlock, bad)


def test_more_transactions_than_a_block_may_have_are_refused_unhashed() -> None:
    """Of no bytes each: small messages whose root would take seconds."""
    kind = dict(ssz.container_type(ExecutionPayload).fields)["transactions"]
    most = MAX_BLOCK_TRANSACTIONS
    assert kind.decode((4 * most).to_bytes(4, "little") * most) == (b"",) * most
    count = most + 1
    with pytest.raises(InvalidInput, match="at most 2048 list elements"):
        kind.decode((4 * count).to_bytes(4, "little") * count)
    with pytest.raises(InvalidInput, match="at most 2048 list elements"):
        kind.root((b"",) * count)


def test_a_small_list_costs_one_hash_a_level(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[bytes] = []

    def counting(data: bytes) -> Any:
        hashed.append(data)
        return sha256(data)

    monkeypatch.setattr(ssz, "sha256", counting)
    assert ssz.merkleize([bytes(32)] * 3, 2**25) == _slow_root([bytes(32)] * 3, 25)
    assert len(hashed) == 2 + 1 + 23


def _slow_root(chunks: list[bytes], depth: int) -> bytes:
    """By the definition, but for trees of zero."""
    zero = bytes(32)
    for _ in range(depth):
        chunks = [*chunks, zero] if len(chunks) % 2 else chunks
        chunks = [sha256(a + b).digest() for a, b in zip(chunks[::2], chunks[1::2], strict=True)]
        zero = sha256(zero + zero).digest()
    return chunks[0]


@quick
@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40), st.integers(6, 25))
def test_merkleize_equals_its_definition(chunks: list[bytes], depth: int) -> None:
    assert ssz.merkleize(chunks, 2**depth) == _slow_root(chunks, depth)


def test_forbidden_lists_must_be_empty() -> None:
    tree: Any = to_json(_some_block())
    tree["body"]["deposits"] = [{}]
    with pytest.raises(InvalidInput, match="must be empty"):
        from_json(BeaconBlock, tree)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda tree: tree.pop("slot"), "missing fields"),
        (lambda tree: tree.update(extra="1"), "unknown fields"),
        (lambda tree: tree.update(slot=5), "decimal string"),
        (lambda tree: tree.update(slot="-1"), "decimal string"),
        (lambda tree: tree.update(slot="9" * 79), "decimal string"),
        (lambda tree: tree.update(slot=str(2**64)), "does not fit"),
        (lambda tree: tree.update(parent_root="0x00"), "expected 32 bytes"),
        (lambda tree: tree.update(parent_root="00" * 32), "0x-prefixed"),
        (lambda tree: tree.update(body=[]), "expected an object"),
        (lambda tree: tree["body"]["execution_payload"].update(transactions="0x"), "a list"),
        (lambda tree: tree["body"]["execution_payload"].update(extra_data="0x" + "00" * 33), "32"),
    ],
)
def test_json_of_a_wrong_shape_names_the_field(change: Any, complaint: str) -> None:
    tree = to_json(_some_block())
    change(tree)
    with pytest.raises(InvalidInput, match=complaint):
        from_json(BeaconBlock, tree)


def test_values_that_do_not_fit_are_not_encoded() -> None:
    block = _some_block()
    with pytest.raises(InvalidInput, match="uint64"):
        encode(replace(block, slot=Slot(2**64)))
    withdrawal = Withdrawal(index=0, validator_index=0, address=ZERO_ADDRESS, amount=Gwei(0))
    crowded = replace(block.body.execution_payload, withdrawals=(withdrawal,) * 17)
    with pytest.raises(InvalidInput, match="at most 16"):
        encode(crowded)
