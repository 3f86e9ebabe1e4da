"""S12 sign-once: an operator's own words never contradict each other, restarts included.

Partial signatures: one root per (operator, term, height). Votes, where a tap saw them: one root per
(operator, step, term, height, round). Only honest operators are bound; `forgiven` names the others.
"""

from typing import Final

from devnet.checkers.base import judge, replay
from devnet.model.history import Event, EventKind, History, Record, VoteSeen
from devnet.model.verdict import Verdict, Violation

NAME: Final = "S12 sign-once"


class LiveSignOnce:
    def __init__(self, forgiven: frozenset[str] = frozenset()) -> None:
        self._forgiven = forgiven
        self._first: dict[tuple[str | int, ...], tuple[str, Record]] = {}

    @property
    def signings(self) -> int:
        return len(self._first)

    def feed(self, record: Record) -> list[Violation]:
        match record:
            case Event(kind=EventKind.SIGNED) if record.root is not None:
                key: tuple[str | int, ...] = (record.node, "partial", record.term, record.height)
                root = record.root
            case VoteSeen():
                key = (record.node, record.step, record.term, record.height, record.round)
                root = record.root
            case _:
                return []
        if record.node in self._forgiven:
            return []
        return self._say(key, root, record)

    def _say(
        self, key: tuple[str | int, ...], root: str, record: Event | VoteSeen
    ) -> list[Violation]:
        first_root, first = self._first.setdefault(key, (root, record))
        if first_root == root:
            return []
        node, what, term, height, *rest = key
        where = f"height {height} (term {term})" + (f", round {rest[0]}" if rest else "")
        return [
            Violation(
                checker=NAME,
                summary=f"{node} made two {what}s at {where}: {first_root} and {root}",
                monotonic=record.monotonic,
                height=record.height,
                witness=(first, record),
            )
        ]


def check(history: History) -> Verdict:
    live = LiveSignOnce()
    found = replay(live, history)
    return judge(NAME, found, looked_at=live.signings, what="signature{s} or vote{s} seen")
