"""Whose turn it is to post, and how blocks become frames. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dst.derivation.frame import MAX_BLOCKS, encode_frame
from dst.spec import ssz
from dst.spec.beacon import BeaconBlock, header_of
from dst.spec.primitives import BLSSignature, Height, OperatorIndex, Round, leader_of

MAX_FRAME_BYTES: Final = 110_000
"""L1 nodes take transactions of up to 128 KiB; this leaves room for the envelope."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchBlock:
    """A decided block as the batcher sees it."""

    height: int
    message: bytes
    """SSZ of the unsigned BeaconBlock."""
    signature: BLSSignature | None


def poster_of(height: int, round_: int, safe_height: int, interval: int, n: int) -> OperatorIndex:
    """0-based operator that posts after the block of this height (a multiple of the interval).

    It is the leader that got the height decided; each whole interval that
    L1 already lacks moves the duty to the next operator, so one that cannot reach L1 is passed over
    even where the interval is a multiple of n.
    """
    missed = max(0, height - 1 - safe_height) // interval
    return leader_of(Height(height), Round(round_ + missed), n)


def is_interval_end(height: int, interval: int) -> bool:
    return height > 0 and height % interval == 0


def split(chain_id: int, blocks: Sequence[BatchBlock]) -> list[bytes]:
    """Frames that carry these blocks (ascending, linked), each ending in a sealed block.

    What follows the last sealed block is left for the next batch; so is everything after 64 blocks
    in a row without a seal, which no reader may accept. A block that alone is above the frame size
    gets a frame of its own.
    """
    frames: list[bytes] = []
    rest = list(blocks)
    while rest:
        ends = _sealed_ends(rest)
        if not ends:
            break
        frame, used = _largest_frame(chain_id, rest, ends)
        frames.append(frame)
        rest = rest[used:]
    return frames


def _sealed_ends(blocks: Sequence[BatchBlock]) -> list[int]:
    """Lengths of prefixes that end in a sealed block and are within what one seal may cover."""
    numbered = enumerate(blocks[:MAX_BLOCKS], start=1)
    return [count for count, block in numbered if block.signature is not None]


def _largest_frame(
    chain_id: int, blocks: Sequence[BatchBlock], ends: Sequence[int]
) -> tuple[bytes, int]:
    """The longest prefix whose frame fits, by bisection over its possible ends; else the
    shortest."""
    low, high = 0, len(ends) - 1
    best = _frame(chain_id, blocks[: ends[0]])
    while low < high:
        middle = (low + high + 1) // 2
        frame = _frame(chain_id, blocks[: ends[middle]])
        if len(frame) <= MAX_FRAME_BYTES:
            low, best = middle, frame
        else:
            high = middle - 1
    return best, ends[low]


def _frame(chain_id: int, blocks: Sequence[BatchBlock]) -> bytes:
    last = blocks[-1]
    assert last.signature is not None, "a frame ends in a sealed block"
    header = header_of(ssz.decode(BeaconBlock, last.message))
    return encode_frame(chain_id, [block.message for block in blocks], header, last.signature)
