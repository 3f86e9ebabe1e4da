"""S10 well-formed chain: each node serves heights without a hole, each linked to the one below."""

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
    return judge(NAME, found, looked_at=live.links, what="parent link{s}")


def _broken(below: BlockRead, block: BlockRead) -> list[Violation]:
    if block.height == below.height + 1 and block.parent_hash == below.block_hash:
        return []
    summary = f"{block.node}: height {block.height} does not follow height {below.height}"
    return [Violation(checker=NAME, summary=summary, height=block.height, witness=(below, block))]
