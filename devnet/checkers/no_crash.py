"""S17 no program ends on its own: programs die when they are killed, and otherwise not."""

from typing import Final

from devnet.checkers.base import judge
from devnet.model.history import History
from devnet.model.verdict import Verdict, Violation

NAME: Final = "S17 no program ends on its own"


def check(history: History) -> Verdict:
    found = [
        Violation(
            checker=NAME,
            summary=f"{ended.program} ended on its own: {ended.detail}",
            monotonic=ended.monotonic,
            witness=(ended,),
        )
        for ended in history.ended
    ]
    nodes = {event.node for event in history.events}
    return judge(NAME, found, looked_at=len(nodes), what="node{s}")
