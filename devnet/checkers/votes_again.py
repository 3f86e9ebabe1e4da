"""Every operator votes between the last heal and the end of the run, whether a fault hit it or
not.

A quorum decides without f of them, so that nothing else would miss one that fell silent. Not asked
of those that a fault disturbs to the very end, nor of one operator alone, without whose vote
nothing is sealed, nor where too little was sealed since; nor blamed where this machine stood still
for long enough to be why. The runner waits for what is asked here.
"""

from collections.abc import Collection
from typing import Final

from devnet.checkers.base import judge
from devnet.checkers.sound_machine import excused, may_explain
from devnet.model.history import History
from devnet.model.timeline import VOTES, Span, last_heal, observed_span, sealed_heights
from devnet.model.verdict import Verdict, Violation

NAME: Final = "every operator votes at the end"
HEIGHTS: Final = 2
"""Sealed since the last heal: one may have been voted on before it."""


def check(history: History) -> Verdict:
    span = _calm(history)
    heights = 0 if span is None else len(sealed_heights(history, span))
    if span is None or heights < HEIGHTS:
        return judge(NAME, (), looked_at=0, what="operator{s}")
    found = [_violation(history, node, span, heights) for node in silent(history)]
    verdict = judge(NAME, found, looked_at=len(_asked(history)), what="operator{s}")
    late = may_explain(history, span) if found else 0.0
    return excused(verdict, late) if late else verdict


def silent(history: History) -> list[str]:
    """Who has to vote, and has not since the last heal."""
    span = _calm(history)
    if span is None:
        return []
    voted = {e.node for e in history.events if e.kind in VOTES and span[0] <= e.monotonic}
    return [node for node in _asked(history) if node not in voted]


def _asked(history: History) -> Collection[str]:
    operators = history.setup.operators
    hit = {
        node
        for fault in history.faults
        if fault.forever or (fault.healed is None and not fault.unreturned)
        for node in (*fault.targets, *fault.silenced, *fault.lying)
    }
    return [node for node in operators if node not in hit] if len(operators) > 1 else ()


def _calm(history: History) -> Span | None:
    """From the last heal to the last event."""
    seen = observed_span(history)
    return None if seen is None else (last_heal(history) or seen[0], seen[1])


def _violation(history: History, node: str, span: Span, heights: int) -> Violation:
    own = [event for event in history.events if event.node == node and event.kind in VOTES]
    last = f"the last time at height {own[-1].height}" if own else "not once"
    return Violation(
        checker=NAME,
        summary=f"{node} voted {last}, and {heights} heights were sealed since the last heal",
        monotonic=span[1],
        witness=tuple(own[-1:]) or history.run_ended[-1:],
    )
