"""S6 exactly once: a transaction hash appears in at most one place of the chain a node serves."""

from typing import Final

from devnet.checkers.base import judge
from devnet.model.history import BlockRead, History
from devnet.model.timeline import Had
from devnet.model.verdict import Verdict, Violation

NAME: Final = "S6 exactly once"


def check(history: History) -> Verdict:
    first: dict[tuple[str, str], BlockRead] = {}
    found, had = [], Had(history)
    for block in history.blocks:
        for index, transaction in enumerate(block.transactions):
            key = (block.node, transaction)
            doubled = block.transactions.index(transaction) != index
            before = first.setdefault(key, block)
            if before.height == block.height and not doubled:
                continue
            summary = f"transaction {transaction} is in heights {before.height} and {block.height}"
            found.append(
                Violation(
                    checker=NAME,
                    summary=f"{block.node}: {summary}",
                    monotonic=had.both(before, block),
                    height=block.height,
                    witness=(before, block),
                )
            )
    return judge(NAME, found, looked_at=len(first), what="inclusion{s} at a node")
