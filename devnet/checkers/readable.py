"""Every node serves at the end: no fault stands any more, so one that cannot be read has not come
back."""

from typing import Final

from devnet.checkers.base import inconclusive, judge
from devnet.model.history import History
from devnet.model.verdict import Verdict, Violation

NAME: Final = "every node serves at the end"


def check(history: History) -> Verdict:
    found = [
        Violation(
            checker=NAME, summary=f"{unread.node} cannot be read: {unread.why}", witness=(unread,)
        )
        for unread in history.unread
    ]
    nodes = {block.node for block in history.blocks} | {unread.node for unread in history.unread}
    every = (*history.setup.operators, *history.setup.followers)
    unasked = [node for node in every if node not in nodes]
    if nodes and unasked and not found:
        return inconclusive(NAME, f"{', '.join(unasked)}: nobody looked")
    return judge(NAME, found, looked_at=len(nodes), what="node{s}")
