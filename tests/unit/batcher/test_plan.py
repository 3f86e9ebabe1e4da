"""Whose turn it is, and how blocks are split."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from dst.batcher.plan import MAX_FRAME_BYTES, BatchBlock, is_interval_end, poster_of, split
from dst.derivation.frame import MAX_UNSEALED_RUN, decode_frame
from dst.spec import ssz
from dst.spec.primitives import BLSSignature
from tests.unit.rollup.rollup_bench import make_block, make_chain, make_genesis, make_lock

LOCK = make_lock()
NOISE = random.Random(7)
SIGNATURE = BLSSignature(b"\x0a" * 96)
BLOCKS = [
    BatchBlock(height=i + 1, message=ssz.encode(block), signature=None)
    for i, block in enumerate(make_chain(LOCK, 70))
]


def with_seals(count: int, sealed: set[int]) -> list[BatchBlock]:
    return [
        BatchBlock(
            height=block.height,
            message=block.message,
            signature=SIGNATURE if block.height in sealed else None,
        )
        for block in BLOCKS[:count]
    ]


def heights(frames: list[bytes]) -> list[list[int]]:
    batches = [
        decode_frame(each, chain_id=LOCK.chain.chain_id, verify=lambda *_: True) for each in frames
    ]
    return [list(range(b.first_height, b.last_height + 1)) for b in batches]


@settings(max_examples=25, deadline=None)
@given(sealed=st.sets(st.integers(1, 20)), count=st.integers(0, 20))
def test_every_block_up_to_the_last_seal_is_posted_once_and_in_order(
    sealed: set[int], count: int
) -> None:
    frames = heights(split(LOCK.chain.chain_id, with_seals(count, sealed)))
    last = max((height for height in sealed if height <= count), default=0)
    assert [height for each in frames for height in each] == list(range(1, last + 1))
    assert all(each[-1] in sealed for each in frames)


def test_large_batches_are_split_by_blocks() -> None:
    random_blocks, parent = [], make_genesis(LOCK)
    for i in range(6):
        parent = make_block(LOCK, parent, transactions=[b"\x02" + NOISE.randbytes(40_000)])
        random_blocks.append(
            BatchBlock(height=i + 1, message=ssz.encode(parent), signature=SIGNATURE)
        )
    frames = split(LOCK.chain.chain_id, random_blocks)
    assert heights(frames) == [[1, 2], [3, 4], [5, 6]]
    assert all(len(frame) <= MAX_FRAME_BYTES for frame in frames)


def test_a_block_that_is_too_large_alone_gets_its_own_frame() -> None:
    block = make_block(LOCK, make_genesis(LOCK), transactions=[b"\x02" + NOISE.randbytes(150_000)])
    lone = BatchBlock(height=1, message=ssz.encode(block), signature=SIGNATURE)
    assert heights(split(LOCK.chain.chain_id, [lone])) == [[1]]


def test_no_frame_covers_more_than_a_seal_may() -> None:
    covered = split(LOCK.chain.chain_id, with_seals(70, {MAX_UNSEALED_RUN + 1}))
    assert heights(covered) == [list(range(1, 66))]
    assert split(LOCK.chain.chain_id, with_seals(70, {MAX_UNSEALED_RUN + 2})) == []


def test_the_turn_follows_the_leader_and_passes_over_who_cannot_post() -> None:
    assert [h for h in range(20) if is_interval_end(h, 8)] == [8, 16]
    assert poster_of(8, 0, 0, 8, 4) == 0
    assert poster_of(8, 1, 0, 8, 4) == 1, "the leader that got it decided"
    assert poster_of(16, 0, 8, 8, 4) == 0
    assert poster_of(16, 0, 0, 8, 4) == 1, "one interval is missing on L1"
    assert {poster_of(8 * k, 0, 0, 8, 4) for k in range(1, 5)} == {0, 1, 2, 3}
