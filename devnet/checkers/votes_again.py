"""Every operator votes at the end of the run, at one of the last heights and after the last heal,
whether a fault hit it or not.

A quorum decides without f of them, so that nothing else would miss one that fell silent. The last
heights are those up to the one that every node has in the end, and all that came after it. Not
asked of those that a fault disturbs to the very end, nor of one operator alone, without whose vote
nothing is sealed, nor where too little was sealed since; nor blamed where this machine stood still
for long enough to be why. The runner waits for what is asked here.

That it voted is the operator's own word. Whether others take its votes is seen in the certificates
that they serve: one that is in none of them is told in the note, and not blamed. A certificate
holds the votes of the first quorum, and somebody may always be later.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import msgspec

from devnet.checkers.base import counted, judge
from devnet.checkers.sound_machine import excused, may_explain
from devnet.model.history import Event, FaultReceipt, History
from devnet.model.timeline import (
    IN_A_ROW,
    VOTES,
    Span,
    last_heal,
    observed_span,
    sealed_heights,
)
from devnet.model.verdict import Verdict, Violation

NAME: Final = "every operator votes at the end"
HEIGHTS: Final = 2
"""Sealed since the last heal: one may have been voted on before it."""


@dataclass(frozen=True, slots=True)
class _End:
    """Of a run: from the last heal to the last event, what was sealed in it, and the height above
    which a vote is asked for."""

    span: Span
    sealed: frozenset[int]
    above: int


def check(history: History) -> Verdict:
    end = _end(history)
    if end is None or len(end.sealed) < HEIGHTS:
        return judge(NAME, (), looked_at=0, what="operator{s}")
    late = {node: _late(history, node, end) for node in silent(history)}
    blamed = [node for node in late if not late[node]] or list(late)
    found = [_violation(history, node, end) for node in blamed]
    verdict = judge(NAME, found, looked_at=len(_asked(history)), what="operator{s}")
    if late and all(late.values()):
        return excused(verdict, max(late.values()))
    unheard = _in_no_certificate(history, end)
    if not unheard:
        return verdict
    told = f"no certificate of another holds a vote of {', '.join(unheard)}"
    return msgspec.structs.replace(verdict, note=f"{verdict.note}; {told}")


def silent(history: History) -> list[str]:
    """Who has to vote, and has not at the end."""
    end = _end(history)
    if end is None:
        return []
    voted = {
        event.node
        for event in history.events
        if event.kind in VOTES and event.height > end.above and event.monotonic >= end.span[0]
    }
    return [node for node in _asked(history) if node not in voted]


def _end(history: History) -> _End | None:
    seen = observed_span(history)
    if seen is None:
        return None
    span = (last_heal(history) or seen[0], seen[1])
    sealed = frozenset(sealed_heights(history, span))
    lasts = [ended.last for ended in history.run_ended if ended.last is not None]
    return _End(span, sealed, max(lasts or sealed, default=0) - IN_A_ROW)


def _in_no_certificate(history: History, end: _End) -> list[str]:
    """Of those that are asked, where others have told of so many heights that each had its turn."""
    operators = history.setup.operators
    found = []
    for node in _asked(history):
        told = [e for e in history.certificates if e.node != node and e.height in end.sealed]
        voters = {commit.operator for each in told for commit in each.commits}
        heights = {each.height for each in told}
        if len(heights) >= len(operators) and operators.index(node) not in voters:
            found.append(node)
    return found


def _asked(history: History) -> Collection[str]:
    operators = history.setup.operators
    hit = {
        node
        for fault in history.faults
        if _stood_to_the_end(history, fault)
        for node in (*fault.targets, *fault.silenced, *fault.lying)
    }
    return [node for node in operators if node not in hit] if len(operators) > 1 else ()


def _stood_to_the_end(history: History, fault: FaultReceipt) -> bool:
    """Where one that stands around all others was taken back in time, all heights that are asked
    for may have come after it."""
    if fault.healed is None:
        return not fault.unreturned  # it was taken back, and they did not come
    if not fault.forever:
        return False
    return len(sealed_heights(history, (fault.healed, math.inf))) < IN_A_ROW


def _late(history: History, node: str, end: _End) -> float:
    """Seconds of stalls that may be why it did not vote any more."""
    votes = (event.monotonic for event in _votes(history, node))
    return may_explain(history, (max([end.span[0], *votes]), end.span[1]))


def _votes(history: History, node: str) -> list[Event]:
    return [event for event in history.events if event.node == node and event.kind in VOTES]


def _violation(history: History, node: str, end: _End) -> Violation:
    own = _votes(history, node)
    last = f"the last time at height {own[-1].height}" if own else "not once"
    since = "the run began" if last_heal(history) is None else "the last heal"
    heights = counted(len(end.sealed), "height{s}")
    return Violation(
        checker=NAME,
        summary=f"{node} voted {last}, and {heights} were sealed since {since}, up to "
        f"{max(end.sealed)}",
        monotonic=end.span[1],
        witness=tuple(own[-1:]) or history.run_ended[-1:],
    )
