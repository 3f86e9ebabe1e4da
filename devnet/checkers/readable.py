"""Every node serves at the end: no fault stands any more, so one that cannot be read has not come
back.

Unless this machine stood still while it was waited for, for long enough to be why.
"""

from typing import Final

from devnet.checkers.base import inconclusive, judge
from devnet.checkers.sound_machine import excused, may_explain
from devnet.model.history import History, NodeUnread
from devnet.model.verdict import Verdict, Violation

NAME: Final = "every node serves at the end"


def check(history: History) -> Verdict:
    late = {unread: _late(history, unread) for unread in history.unread}
    blamed = [unread for unread in history.unread if not late[unread]] or list(late)
    found = [_violation(unread) for unread in blamed]
    nodes = {block.node for block in history.blocks} | {unread.node for unread in history.unread}
    every = (*history.setup.operators, *history.setup.followers)
    unasked = [node for node in every if node not in nodes]
    if nodes and unasked and not found:
        return inconclusive(NAME, f"{', '.join(unasked)}: nobody looked")
    verdict = judge(NAME, found, looked_at=len(nodes), what="node{s}")
    return excused(verdict, max(late.values())) if late and all(late.values()) else verdict


def _late(history: History, unread: NodeUnread) -> float:
    """Seconds of stalls that may be why."""
    if unread.since is None:
        return 0.0
    short_of = unread.missing * history.setup.slot_seconds if unread.missing else None
    return may_explain(history, (unread.since, unread.monotonic), short_of)


def _violation(unread: NodeUnread) -> Violation:
    return Violation(
        checker=NAME,
        summary=f"{unread.node} cannot be read: {unread.why}",
        monotonic=unread.monotonic,
        witness=(unread,),
    )
