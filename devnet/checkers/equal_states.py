"""S8 execution equality: at each height the state roots of all operators and followers are equal.

A history with blocks of fewer than two nodes proves nothing and is vacuous.
"""

from typing import Final

from devnet.checkers.base import judge
from devnet.model.history import BlockRead, History
from devnet.model.timeline import Had
from devnet.model.verdict import Verdict, Violation

NAME: Final = "S8 equal states"


def check(history: History) -> Verdict:
    first: dict[int, BlockRead] = {}
    compared = set()
    found, had = [], Had(history)
    for block in history.blocks:
        other = first.setdefault(block.height, block)
        if other.node == block.node:
            continue
        compared.add(block.height)
        if other.state_root != block.state_root:
            summary = (
                f"height {block.height}: state root {other.state_root} at {other.node}, "
                f"{block.state_root} at {block.node}"
            )
            found.append(
                Violation(
                    checker=NAME,
                    summary=summary,
                    monotonic=had.both(other, block),
                    height=block.height,
                    witness=(other, block),
                )
            )
    return judge(NAME, found, looked_at=len(compared), what="height{s} compared between nodes")
