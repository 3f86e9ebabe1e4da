"""The chain goes on while a quorum can: where the run waited for it in vain, it stood still no
longer than any number of lost leaders explains.

Asked only where something was waited for and did not come, which is where a run ends early: a chain
that stands still then is no failure of the harness. Time in which more than f operators were
disturbed does not count, nor what such a fault left behind until its heal.
"""

from collections.abc import Sequence
from typing import Final

from devnet.checkers.base import amount, counted, judge_within
from devnet.checkers.sound_machine import timing
from devnet.model.history import Event, History, WaitedInVain
from devnet.model.terms import Duration
from devnet.model.timeline import disturbed, is_sealed_there
from devnet.model.verdict import Verdict, Violation
from dst.spec.primitives import faults_tolerated

NAME: Final = "the chain goes on"
BOUND: Final = Duration(seconds=10.0, slots=5.0)
"""Ten operators of whom three lead in turn and are gone cost a second, two and four."""


@timing
def check(history: History) -> Verdict:
    bound = BOUND.in_seconds(history.setup.slot_seconds)
    stills = [_still(history, wait) for wait in history.waited]
    worst = max(stills, key=lambda still: still[0], default=None)
    return judge_within(NAME, worst, bound=bound, note=counted(len(stills), "wait{s} in vain"))


def _still(history: History, wait: WaitedInVain) -> tuple[float, Violation]:
    """Seconds to the end of the wait without a block sealed where it was waited for, while the
    cluster had to seal some."""
    sealed = [
        event
        for event in history.events
        if event.monotonic <= wait.monotonic and is_sealed_there(event, history.setup.operators)
    ]
    last = min(_last(sealed, (node,)) for node in wait.nodes) if wait.nodes else _last(sealed)
    able = _able_since(history, wait.monotonic)
    still = max(0.0, wait.monotonic - max(last, able, wait.since))
    where = f" at {', '.join(wait.nodes)}" if wait.nodes else ""
    summary = f"{wait.what}: it did not come, and nothing was sealed{where} for"
    violation = Violation(
        checker=NAME,
        summary=f"{summary} {amount(still, 's')}",
        monotonic=wait.monotonic,
        witness=(wait,),
    )
    return still, violation


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
