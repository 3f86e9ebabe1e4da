"""The canonical L1 chain as one node sees it: a bounded run of linked blocks, its reorgs, and the
origin a leader may use. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from dst.l1.rpc import L1BlockRef
from dst.spec.beacon import L1Origin
from dst.spec.cluster import ChainConfig
from dst.spec.primitives import Hash32

WINDOW: Final = 1024
"""L1 blocks remembered. Origins in use lie at most max_origin_lag + l1_confirmations (68) below the
head; the rest is margin for late blocks and deep reorgs. 1024 blocks are 200 kB."""


@dataclass(frozen=True, slots=True)
class CanonicalChain:
    """Linked blocks, ascending, the newest last; never empty."""

    refs: tuple[L1BlockRef, ...]

    @property
    def head(self) -> L1BlockRef:
        return self.refs[-1]

    @property
    def tail_number(self) -> int:
        """Oldest number remembered."""
        return self.refs[0].number

    def at(self, number: int) -> L1BlockRef | None:
        """The block of a number, None above the head or below what is remembered."""
        position = number - self.refs[0].number
        return self.refs[position] if 0 <= position < len(self.refs) else None

    def contains(self, block_hash: Hash32, number: int) -> bool:
        ref = self.at(number)
        return ref is not None and ref.hash == block_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """A new view, and whether blocks that were canonical before are no longer."""

    chain: CanonicalChain
    reorged: bool


def is_linked(refs: Sequence[L1BlockRef]) -> bool:
    """Whether each block is the child of the one before."""
    return all(
        child.number == parent.number + 1 and child.parent_hash == parent.hash
        for parent, child in pairwise(refs)
    )


def advance(chain: CanonicalChain | None, segment: Sequence[L1BlockRef]) -> Advance:
    """Put a linked, ascending segment that ends at the new head on the chain.

    The segment joins where its first block's parent is known; a segment that joins nowhere replaces
    the chain, which counts as a reorg because nothing is known about what lies between.
    """
    assert segment, "an empty segment has no head"
    assert is_linked(segment), "a segment is linked"
    if chain is None:
        return Advance(chain=CanonicalChain(tuple(segment[-WINDOW:])), reorged=False)
    first = segment[0]
    if not chain.contains(first.parent_hash, first.number - 1):
        return Advance(chain=CanonicalChain(tuple(segment[-WINDOW:])), reorged=True)
    kept = chain.refs[: first.number - chain.tail_number]
    return Advance(
        chain=CanonicalChain((*kept, *segment)[-WINDOW:]), reorged=len(kept) < len(chain.refs)
    )


def deepest_usable(config: ChainConfig, head_number: int) -> int:
    """Newest L1 block number a leader may use: deep enough, or the genesis origin on a young L1."""
    return max(config.l1_genesis.number, head_number - config.l1_confirmations)


def select_origin(config: ChainConfig, chain: CanonicalChain, parent: L1Origin) -> L1Origin:
    """The origin for the next block: the deepest usable one, never below the parent's.

    An L1 node that fell behind, or a view that does not reach as far down, keeps the parent's.
    """
    number = deepest_usable(config, chain.head.number)
    ref = chain.at(number)
    if ref is None or number <= parent.number:
        return parent
    return L1Origin(number=ref.number, hash=ref.hash)
