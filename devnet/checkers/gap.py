"""L2 gap between sealed blocks: the chain stalls no longer than this while faults stand."""

from typing import Final

from devnet.checkers.base import amount, judge_within
from devnet.checkers.sound_machine import timing
from devnet.model.history import History
from devnet.model.terms import Duration
from devnet.model.timeline import worst_gap
from devnet.model.verdict import Verdict, Violation

NAME: Final = "L2 gap between sealed blocks"


@timing
def check(history: History, limit: Duration) -> Verdict:
    bound = limit.in_seconds(history.setup.slot_seconds)
    found = worst_gap(history)
    if found is None:
        return judge_within(NAME, None, bound=bound, note="fewer than two sealed blocks")
    violation = Violation(
        checker=NAME,
        summary=f"time {found.where}: {amount(found.seconds, 's')}",
        monotonic=found.block.monotonic,
        height=found.block.height,
        witness=(found.block,),
    )
    return judge_within(NAME, (found.seconds, violation), bound=bound, note=found.where)
