"""Frames: round trips, and every way a stranger can lie in one."""

import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dst.derivation.batch import DerivedHead, extend
from dst.derivation.frame import (
    FIXED_BYTES,
    MAX_BLOCK_BYTES,
    MAX_BLOCKS,
    MAX_UNCOMPRESSED_BYTES,
    Batch,
    decode_frame,
    encode_frame,
    split_frame,
)
from dst.spec import ssz
from dst.spec.beacon import BeaconBlock, header_of
from dst.spec.errors import InvalidInput
from dst.spec.primitives import BLSSignature, Height, Root
from tests.unit.rollup.rollup_bench import make_block, make_chain, make_genesis, make_lock

LOCK = make_lock()
BLOCKS = make_chain(LOCK, 8)
SIGNATURE = BLSSignature(b"\x0a" * 96)
CHAIN_ID = LOCK.chain.chain_id


def frame(blocks: Sequence[BeaconBlock]) -> bytes:
    return encode_frame(
        CHAIN_ID, [ssz.encode(block) for block in blocks], header_of(blocks[-1]), SIGNATURE
    )


def accept(_: Root, signature: BLSSignature) -> bool:
    return signature == SIGNATURE


def decode(data: bytes) -> Batch:
    return decode_frame(data, chain_id=CHAIN_ID, verify=accept)


@settings(max_examples=30)
@given(
    contents=st.lists(
        st.lists(st.binary(min_size=1, max_size=200).map(lambda b: b"\x02" + b), max_size=4),
        min_size=1,
        max_size=8,
    )
)
def test_what_is_posted_is_what_is_read(contents: list[list[bytes]]) -> None:
    parent, blocks = make_genesis(LOCK), []
    for transactions in contents:
        parent = make_block(LOCK, parent, transactions=transactions)
        blocks.append(parent)
    batch = decode(frame(blocks))
    assert batch.blocks == tuple(blocks)
    assert batch.messages == tuple(ssz.encode(block) for block in blocks)
    assert batch.roots == tuple(ssz.hash_tree_root(block) for block in blocks)
    assert (batch.last_root, batch.signature) == (ssz.hash_tree_root(blocks[-1]), SIGNATURE)


@settings(max_examples=200)
@given(data=st.binary(max_size=400))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        decode(data)


@settings(max_examples=200)
@given(position=st.integers(0, 10**9), change=st.integers(1, 255), cut=st.booleans())
def test_no_changed_byte_goes_unnoticed(position: int, change: int, cut: bool) -> None:
    good = frame(BLOCKS[:2])
    at = position % len(good)
    bad = good[:at] if cut else good[:at] + bytes([good[at] ^ change]) + good[at + 1 :]
    try:
        batch = decode(bad)
    except InvalidInput:
        return
    # Some bits of a zlib header say nothing about the content.
    assert batch == decode(good)


def test_nothing_is_decompressed_before_the_signature_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def boom(*_: object) -> None:
        raise AssertionError("decompressed an unauthenticated frame")

    monkeypatch.setattr(zlib, "decompressobj", boom)
    with pytest.raises(InvalidInput, match="did not sign"):
        decode_frame(frame(BLOCKS), chain_id=CHAIN_ID, verify=lambda *_: False)


def test_another_chain_is_refused() -> None:
    with pytest.raises(InvalidInput, match="chain"):
        decode_frame(frame(BLOCKS), chain_id=CHAIN_ID + 1, verify=accept)


def test_a_stream_longer_than_stated_is_cut_off() -> None:
    good = frame(BLOCKS[:1])
    bomb = good[:FIXED_BYTES] + zlib.compress(bytes(50_000_000))
    with pytest.raises(InvalidInput, match="stated length"):
        decode(bomb)


def test_an_absurd_stated_length_is_refused_before_anything_else() -> None:
    good = frame(BLOCKS[:1])
    length = (MAX_UNCOMPRESSED_BYTES + 1).to_bytes(4, "big")
    with pytest.raises(InvalidInput, match="uncompressed"):
        split_frame(good[:9] + length + good[13:])


def test_blocks_of_another_header_are_refused() -> None:
    stolen = frame(BLOCKS[:2])[:FIXED_BYTES]
    other = frame([make_block(LOCK, make_genesis(LOCK), transactions=[b"\x02x"])])
    parts = split_frame(other)
    mixed = stolen[:9] + parts.uncompressed_length.to_bytes(4, "big") + stolen[13:]
    with pytest.raises(InvalidInput, match="do not lead"):
        decode(mixed + parts.compressed)


def behind_a_copied_header(contents: Sequence[bytes]) -> bytes:
    """A frame with the header and signature of a real one, and other blocks."""
    return encode_frame(CHAIN_ID, contents, header_of(BLOCKS[0]), SIGNATURE)


def test_garbage_behind_a_copied_header_costs_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    other = make_block(LOCK, make_genesis(LOCK), transactions=[b"\x02x"])
    data = behind_a_copied_header([ssz.encode(other)] * MAX_BLOCKS)
    decoded: list[bytes] = []
    real = ssz.decode

    def counting(cls: type, message: bytes) -> object:
        decoded.append(message)
        return real(cls, message)

    monkeypatch.setattr(ssz, "decode", counting)
    with pytest.raises(InvalidInput, match="do not lead"):
        decode(data)
    assert len(decoded) == 2, "the header and the last block"


def test_a_part_longer_than_any_block_is_not_decoded() -> None:
    with pytest.raises(InvalidInput, match="too long"):
        decode(behind_a_copied_header([bytes(MAX_BLOCK_BYTES + 1)]))


def test_batches_extend_overlap_and_gap() -> None:
    genesis = DerivedHead(height=Height(0), root=ssz.hash_tree_root(make_genesis(LOCK)))
    third = DerivedHead(height=Height(3), root=ssz.hash_tree_root(BLOCKS[2]))
    batch = decode(frame(BLOCKS[1:6]))
    assert extend(third, batch) == tuple(BLOCKS[3:6])
    assert "gap" in str(extend(genesis, batch))
    assert "nothing new" in str(extend(third, decode(frame(BLOCKS[:2]))))
    foreign = DerivedHead(height=Height(3), root=Root(bytes(32)))
    assert "does not extend" in str(extend(foreign, batch))
