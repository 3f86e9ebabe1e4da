"""S2 one group signature: at a (term, height) only one root ever carries a valid group signature.

BLS signatures are unique, so two different signatures over one root are a broken recovery and fail
too. Collected from every API, every tap and the batches on L1.
"""

from typing import Final

from devnet.checkers.base import judge, replay
from devnet.model.history import GroupSignatureSeen, History, Record
from devnet.model.verdict import Verdict, Violation

NAME: Final = "S2 one group signature"


class LiveOneGroupSignature:
    def __init__(self) -> None:
        self._first: dict[tuple[int, int], GroupSignatureSeen] = {}

    @property
    def heights(self) -> int:
        return len(self._first)

    def feed(self, record: Record) -> list[Violation]:
        if not isinstance(record, GroupSignatureSeen):
            return []
        first = self._first.setdefault((record.term, record.height), record)
        if (first.root, first.signature) == (record.root, record.signature):
            return []
        what = "group-signed roots" if first.root != record.root else "group signatures on one root"
        return [
            Violation(
                checker=NAME,
                summary=f"height {record.height} (term {record.term}) has two {what}",
                monotonic=record.monotonic,
                height=record.height,
                witness=(first, record),
            )
        ]


def check(history: History) -> Verdict:
    live = LiveOneGroupSignature()
    found = replay(live, history)
    return judge(NAME, found, looked_at=live.heights, what="height{s} with a group signature")
