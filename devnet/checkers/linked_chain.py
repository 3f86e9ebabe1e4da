"""S10 well-formed chain: each node serves heights without a hole, each linked to the one below."""

from itertools import groupby, pairwise
from typing import Final

from devnet.checkers.base import judge
from devnet.model.history import BlockRead, History
from devnet.model.verdict import Verdict, Violation

NAME: Final = "S10 linked chain"


def check(history: History) -> Verdict:
    found: list[Violation] = []
    links = 0
    ordered = sorted(history.blocks, key=lambda block: (block.node, block.height))
    for _, group in groupby(ordered, key=lambda block: block.node):
        chain = list(group)
        for below, block in pairwise(chain):
            links += 1
            found += _broken(below, block)
    return judge(NAME, found, looked_at=links, what="parent link{s}")


def _broken(below: BlockRead, block: BlockRead) -> list[Violation]:
    if block.height == below.height + 1 and block.parent_hash == below.block_hash:
        return []
    summary = f"{block.node}: height {block.height} does not follow height {below.height}"
    return [Violation(checker=NAME, summary=summary, height=block.height, witness=(below, block))]
