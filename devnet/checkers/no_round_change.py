"""L10 rounds in synchrony: slow but steady links cost no round change after the first heights.

For scenarios that promise it (`wan-50ms`); elsewhere a round change is what should happen.
"""

from collections.abc import Callable
from typing import Final

from devnet.checkers.base import judge
from devnet.model.history import Event, EventKind, History
from devnet.model.verdict import Verdict, Violation

NAME: Final = "L10 no round change"
SETTLING_HEIGHTS: Final = 3
"""Heights that may still change rounds while links and caches warm up."""


def no_round_change(first_judged: int = SETTLING_HEIGHTS + 1) -> Callable[[History], Verdict]:
    """A checker that allows no round change at `first_judged` and above."""

    def check(history: History) -> Verdict:
        judged = {event.height for event in history.events if event.height >= first_judged}
        found = [
            _violation(event)
            for event in history.events
            if event.kind is EventKind.ROUND_CHANGE and event.height >= first_judged
        ]
        return judge(NAME, found, looked_at=len(judged), what="height{s}")

    return check


check = no_round_change()


def _violation(event: Event) -> Violation:
    summary = f"{event.node} entered round {event.round} of height {event.height}"
    return Violation(
        checker=NAME,
        summary=summary,
        monotonic=event.monotonic,
        height=event.height,
        witness=(event,),
    )
