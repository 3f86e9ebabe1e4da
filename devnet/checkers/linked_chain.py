"""S10 well-formed chain: each node serves heights without a hole, each linked to the one below, a
whole number of block times later; and the L1 blocks that signed blocks name never go back."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from devnet.checkers.base import judge
from devnet.model.history import BlockRead, History, Record
from devnet.model.verdict import Verdict, Violation

NAME: Final = "S10 linked chain"


class LiveLinkedChain:
    """Fed each node's blocks from the bottom up; what was read before may come again."""

    def __init__(self) -> None:
        self.links = 0
        self._read: dict[tuple[str, int], BlockRead] = {}
        self._last: dict[str, BlockRead] = {}

    def feed(self, record: Record) -> list[Violation]:
        if not isinstance(record, BlockRead):
            return []
        node, height = record.node, record.height
        below = self._read.get((node, height - 1), self._last.get(node))
        self._read[node, height] = self._last[node] = record
        if below is None:
            return []
        self.links += 1
        return _broken(below, record)


def check(history: History) -> Verdict:
    live = LiveLinkedChain()
    ordered = sorted(history.blocks, key=lambda block: (block.node, block.height))
    found = [violation for block in ordered for violation in live.feed(block)]
    found += [*_wrong_times(ordered, history.setup.slot_seconds), *_origins_back(history)]
    return judge(NAME, found, looked_at=live.links, what="parent link{s}")


def _broken(below: BlockRead, block: BlockRead) -> list[Violation]:
    if block.height == below.height + 1 and block.parent_hash == below.block_hash:
        return []
    summary = f"{block.node}: height {block.height} does not follow height {below.height}"
    return [Violation(checker=NAME, summary=summary, height=block.height, witness=(below, block))]


def _wrong_times(ordered: list[BlockRead], slot: float) -> Iterator[Violation]:
    """Slots may be missed, and no two blocks share one."""
    for below, block in pairwise(ordered):
        if below.node != block.node or below.timestamp is None or block.timestamp is None:
            continue
        passed = block.timestamp - below.timestamp
        if (block.height > below.height and passed <= 0) or passed % slot:
            yield Violation(
                checker=NAME,
                summary=f"{block.node}: height {block.height} comes {passed} s after height "
                f"{below.height}, with a block time of {slot:g} s",
                height=block.height,
                witness=(below, block),
            )


def _origins_back(history: History) -> Iterator[Violation]:
    signed = [seen for seen in history.group_signatures if seen.l1_origin is not None]
    for below, seen in pairwise(sorted(signed, key=lambda each: each.height)):
        if (seen.l1_origin or 0) < (below.l1_origin or 0):
            yield Violation(
                checker=NAME,
                summary=f"height {seen.height} builds on L1 block {seen.l1_origin}, height "
                f"{below.height} on {below.l1_origin}",
                monotonic=seen.monotonic,
                height=seen.height,
                witness=(below, seen),
            )
