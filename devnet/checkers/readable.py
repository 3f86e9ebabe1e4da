"""Every node serves at the end: no fault stands any more, so one that cannot be read has not come
back, and one that lacks a height of the run has lost it.

Unless this machine stood still while it was waited for, for long enough to be why.
"""

from collections.abc import Iterator
from typing import Final

from devnet.checkers.base import inconclusive, judge
from devnet.checkers.goes_on import to_explain
from devnet.checkers.sound_machine import excused, may_explain
from devnet.model.history import EventKind, History, NodeUnread, RunEnded
from devnet.model.timeline import is_sealed_there
from devnet.model.verdict import Verdict, Violation

NAME: Final = "every node serves at the end"


def check(history: History) -> Verdict:
    late = {unread: _late(history, unread) for unread in history.unread}
    blamed = [unread for unread in history.unread if not late[unread]] or list(late)
    lost = [hole for ended in history.run_ended for hole in _holes(history, ended)]
    found = [*(_violation(unread) for unread in blamed), *lost]
    nodes = {block.node for block in history.blocks} | {unread.node for unread in history.unread}
    every = (*history.setup.operators, *history.setup.followers)
    unasked = [node for node in every if node not in nodes]
    if nodes and unasked and not found:
        return inconclusive(NAME, f"{', '.join(unasked)}: nobody looked")
    verdict = judge(NAME, found, looked_at=len(nodes), what="node{s}")
    explained = late and all(late.values()) and not lost
    return excused(verdict, max(late.values())) if explained else verdict


def _holes(history: History, ended: RunEnded) -> Iterator[Violation]:
    """Who could be read, came to the last height, and does not serve all of them."""
    if ended.first is None or ended.last is None:
        return
    wanted = range(ended.first, ended.last + 1)
    told = {unread.node for unread in history.unread}
    for node in (*history.setup.operators, *history.setup.followers):
        served = {block.height for block in history.blocks if block.node == node}
        missing = [height for height in wanted if height not in served]
        if missing and node not in told:
            yield Violation(
                checker=NAME,
                summary=f"{node} serves {len(wanted) - len(missing)} of the heights {ended.first} "
                f"to {ended.last}: the first that it lacks is {missing[0]}",
                monotonic=ended.monotonic,
                height=missing[0],
                witness=(ended,),
            )


def _late(history: History, unread: NodeUnread) -> float:
    """Seconds of stalls that may be why."""
    if unread.since is None:
        return 0.0
    span = (unread.since, unread.monotonic)
    if not unread.missing:
        return may_explain(history, span)
    wanted = max(unread.missing, _waited_for(history, unread) - _sealed_by(history, unread.since))
    short_of = to_explain(history, span, wanted=wanted, missing=unread.missing)
    return may_explain(history, span, short_of)


def _waited_for(history: History, unread: NodeUnread) -> int:
    """The height that it was to have."""
    there = (
        event.height
        for event in history.events
        if event.node == unread.node
        and event.monotonic <= unread.monotonic
        and is_sealed_there(event, history.setup.operators)
    )
    return max(there, default=0) + unread.missing


def _sealed_by(history: History, moment: float) -> int:
    """The highest anywhere."""
    sealed = (
        event.height
        for event in history.events
        if event.kind is EventKind.SEALED and event.monotonic <= moment
    )
    return max(sealed, default=0)


def _violation(unread: NodeUnread) -> Violation:
    return Violation(
        checker=NAME,
        summary=f"{unread.node} cannot be read: {unread.why}",
        monotonic=unread.monotonic,
        witness=(unread,),
    )
