"""L2 gap between sealed blocks: the chain stalls no longer than this while faults stand."""

from typing import Final

from devnet.checkers.base import amount, judge_within
from devnet.checkers.sound_machine import Measured, judge_in_time
from devnet.model.history import History
from devnet.model.terms import Duration
from devnet.model.timeline import Gap, gaps
from devnet.model.verdict import Verdict, Violation

NAME: Final = "L2 gap between sealed blocks"


def check(history: History, limit: Duration) -> Verdict:
    bound = limit.in_seconds(history.setup.slot_seconds)
    found = gaps(history)
    if not found:
        return judge_within(NAME, None, bound=bound, note="fewer than two sealed blocks")
    worst = max(found, key=lambda each: each.seconds)
    return judge_in_time(NAME, history, map(_measured, found), bound=bound, note=worst.where)


def _measured(gap: Gap) -> Measured:
    violation = Violation(
        checker=NAME,
        summary=f"time {gap.where}: {amount(gap.seconds, 's')}",
        monotonic=gap.block.monotonic,
        height=gap.block.height,
        witness=(gap.block,),
    )
    return Measured(gap.seconds, violation, (gap.since, gap.since + gap.seconds))
