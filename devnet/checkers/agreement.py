"""S1 agreement: one block root per (term, height), over all nodes, all times and all sources.

Not the final heads but every root ever reported counts: a fork that healed was still a fork.
"""

from typing import Final

from devnet.checkers.base import judge, replay
from devnet.model.history import BlockRead, Event, EventKind, GroupSignatureSeen, History, Record
from devnet.model.verdict import Verdict, Violation

NAME: Final = "S1 agreement"
BINDING: Final = frozenset({EventKind.DECIDED, EventKind.SEALED, EventKind.IMPORTED})
"""Events that say "this is the block of the height"; a proposal or a lock does not."""


class LiveAgreement:
    def __init__(self) -> None:
        self._first: dict[tuple[int, int], tuple[str, Record]] = {}

    @property
    def heights(self) -> int:
        return len(self._first)

    def feed(self, record: Record) -> list[Violation]:
        match record:
            case Event() if record.kind in BINDING and record.root is not None:
                return self._claim(record, record.root)
            case GroupSignatureSeen():
                return self._claim(record, record.root)
            case _:
                return []

    def _claim(self, record: Event | GroupSignatureSeen, root: str) -> list[Violation]:
        term, height = record.term, record.height
        first_root, first = self._first.setdefault((term, height), (root, record))
        if first_root == root:
            return []
        summary = f"height {height} (term {term}) has two roots: {first_root} and {root}"
        return [
            Violation(
                checker=NAME,
                summary=summary,
                monotonic=record.monotonic,
                height=height,
                witness=(first, record),
            )
        ]


def check(history: History) -> Verdict:
    live = LiveAgreement()
    found = [*replay(live, history), *_block_hashes(history)]
    return judge(NAME, found, looked_at=live.heights, what="height{s} with a reported root")


def _block_hashes(history: History) -> list[Violation]:
    """The execution layers' answers at the end must agree too: a root commits to its block hash."""
    first: dict[int, BlockRead] = {}
    found = []
    for block in history.blocks:
        other = first.setdefault(block.height, block)
        if other.block_hash != block.block_hash:
            summary = f"height {block.height}: {other.node} and {block.node} serve different blocks"
            found.append(
                Violation(
                    checker=NAME, summary=summary, height=block.height, witness=(other, block)
                )
            )
    return found
