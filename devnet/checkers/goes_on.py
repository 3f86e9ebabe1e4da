"""The chain goes on while a quorum can: where the run waited for it in vain, it stood still no
longer than any number of lost leaders explains.

Asked only where something was waited for and did not come, which is where a run ends early: a chain
that stands still then is no failure of the harness. Time in which more than f operators were
disturbed does not count, nor what such a fault left behind until its heal.
"""

from collections.abc import Sequence
from typing import Final

from devnet.checkers.base import amount, counted
from devnet.checkers.sound_machine import Measured, judge_in_time
from devnet.model.history import Event, History, WaitedInVain
from devnet.model.terms import Duration
from devnet.model.timeline import Span, disturbed, is_sealed_there
from devnet.model.verdict import Verdict, Violation
from dst.spec.primitives import faults_tolerated

NAME: Final = "the chain goes on"
BOUND: Final = Duration(seconds=10.0, slots=5.0)
"""Ten operators of whom three lead in turn and are gone cost a second, two and four."""


def check(history: History) -> Verdict:
    bound = BOUND.in_seconds(history.setup.slot_seconds)
    stills = [_still(history, wait) for wait in history.waited]
    note = counted(len(stills), "wait{s} in vain")
    return judge_in_time(NAME, history, stills, bound=bound, note=note)


def to_explain(history: History, span: Span, *, wanted: int, missing: int) -> float:
    """Seconds that stalls have to explain where so many of the heights wanted in a span did not
    come: what these would have taken, and all of it that neither those wanted nor any number of
    lost leaders can account for."""
    slot = history.setup.slot_seconds
    still = span[1] - span[0] - wanted * slot - BOUND.in_seconds(slot)
    return max(missing * slot, still)


def _still(history: History, wait: WaitedInVain) -> Measured:
    """Seconds to the end of the wait without a block sealed where it was waited for, while the
    cluster had to seal some."""
    sealed = [
        event
        for event in history.events
        if event.monotonic <= wait.monotonic and is_sealed_there(event, history.setup.operators)
    ]
    last = min(_last(sealed, (node,)) for node in wait.nodes) if wait.nodes else _last(sealed)
    able = _able_since(history, wait.monotonic)
    since = max(last, able, wait.since)
    still = max(0.0, wait.monotonic - since)
    where = f" at {', '.join(wait.nodes)}" if wait.nodes else ""
    summary = f"{wait.what}: it did not come, and nothing was sealed{where} for"
    violation = Violation(
        checker=NAME,
        summary=f"{summary} {amount(still, 's')}",
        monotonic=wait.monotonic,
        witness=(wait,),
    )
    return Measured(still, violation, (since, wait.monotonic))


def _last(sealed: Sequence[Event], nodes: Sequence[str] = ()) -> float:
    """The latest there; of no nodes in particular, anywhere."""
    return max((e.monotonic for e in sealed if not nodes or e.node in nodes), default=0.0)


def _able_since(history: History, end: float) -> float:
    """From when on no more than f operators were disturbed, at `end` looking back."""
    moments = [fault.healed for fault in history.faults if fault.healed is not None]
    tolerated = faults_tolerated(len(history.setup.operators))
    if disturbed(history, end) > tolerated:
        return end
    return max((m for m in moments if m <= end and disturbed(history, m) > tolerated), default=0.0)
