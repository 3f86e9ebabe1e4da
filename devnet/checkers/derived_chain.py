"""S9 derived from L1: the batches on L1 hold, block for block, the chain that the operators
sealed.

The harness derives it once more at the end, from L1 alone, with code of its own; each height must
be the one that every node serves and that the group signed. And L1 holds all that a node calls
safe.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from devnet.checkers.base import inconclusive, judge
from devnet.model.history import (
    BlockRead,
    DerivedBlock,
    GroupSignatureSeen,
    History,
    Record,
    SafeHeadSeen,
)
from devnet.model.verdict import Verdict, Violation

NAME: Final = "S9 derived from L1"


def check(history: History) -> Verdict:
    derived = {block.height: block for block in history.derived}
    judged_from = min((block.height for block in history.blocks), default=0)
    safe = list(_last_told(history))
    claimed = [seen for seen in safe if seen.height >= judged_from > 0]
    if claimed and not derived:
        return inconclusive(NAME, f"{claimed[0].node} calls heights safe, and L1 was not read")
    found = [*_unlinked(history), *_different(history, derived)]
    found += [
        _violation(
            f"{seen.node} calls height {seen.height} safe, and L1 holds the chain up to "
            f"{max(derived)}",
            seen.height,
            seen,
        )
        for seen in claimed
        if seen.height > max(derived)
    ]
    return judge(NAME, found, looked_at=len(derived), what="derived height{s}")


def _last_told(history: History) -> Iterator[SafeHeadSeen]:
    """Of each node, before L1 was read: what came later may be newer than that."""
    read_at = min((block.monotonic for block in history.derived), default=float("inf"))
    last = {seen.node: seen for seen in history.safe_heads if seen.monotonic <= read_at}
    yield from last.values()


def _unlinked(history: History) -> Iterator[Violation]:
    for below, block in pairwise(sorted(history.derived, key=lambda each: each.height)):
        if (block.height, block.parent_root) != (below.height + 1, below.root):
            told = f"derived height {block.height} does not follow derived height {below.height}"
            yield _violation(told, block.height, below, block)


def _different(history: History, derived: dict[int, DerivedBlock]) -> Iterator[Violation]:
    served: list[BlockRead | GroupSignatureSeen] = [*history.blocks, *history.group_signatures]
    for other in served:
        block = derived.get(other.height)
        if block is None:
            continue
        if isinstance(other, BlockRead):
            whose, theirs, ours = f"{other.node} serves", other.block_hash, block.block_hash
        else:
            whose, theirs, ours = "the group signed", other.root, block.root
        if theirs != ours:
            told = (
                f"height {block.height}: {whose} {theirs}, L1 block {block.l1_block} holds {ours}"
            )
            yield _violation(told, block.height, block, other)


def _violation(summary: str, height: int, *witness: Record) -> Violation:
    moments = [item.monotonic for item in witness if isinstance(item, DerivedBlock | SafeHeadSeen)]
    return Violation(
        checker=NAME,
        summary=summary,
        monotonic=min(moments, default=None),
        height=height,
        witness=witness,
    )
