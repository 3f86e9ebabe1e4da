"""L7 safe head: L1 holds the chain up to a batch interval and an inclusion below its head, and
after an outage the backlog is gone as fast as if it were posted at twice the rate it grows at.

Measured at each node, in heights, at each newly sealed block while nothing disturbs the network:
from when all was posted that had to be, which the node shows by coming within an inclusion of the
head. It has to come there, from the last heal or the beginning of the run, within the time of L4,
one interval for the next batch to be due, an inclusion, and the backlog's own length in block
times. A run that ends before says nothing.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Final

from devnet.checkers.base import counted
from devnet.checkers.recovery import MARGIN_SECONDS
from devnet.checkers.sound_machine import Measured, judge_in_time
from devnet.model.history import Event, Genesis, History, SafeHeadSeen
from devnet.model.timeline import Span, calm_spans, first_sealed
from devnet.model.verdict import Outcome, Verdict, Violation

NAME: Final = "L7 safe head"
L1_BLOCKS: Final = 2
"""Of an inclusion: the batch just missed one."""
LOOK_SECONDS: Final = 2.0
"""To post it, to find it, and to be seen to have found it: three loops of a second or less."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """What follows from the chain's constants. Heights."""

    interval: int
    inclusion: int
    settling: int

    @property
    def lag(self) -> int:
        return self.interval + self.inclusion

    def drain(self, backlog: int) -> int:
        return self.settling + self.lag + backlog


@dataclass(frozen=True, slots=True)
class Lag:
    """How far below a newly sealed block a node's safe head was."""

    heights: int
    block: Event
    seen: SafeHeadSeen


def allowed(history: History, genesis: Genesis) -> Allowed:
    slot = history.setup.slot_seconds
    return Allowed(
        interval=genesis.batch_interval,
        inclusion=ceil((L1_BLOCKS * genesis.l1_block_seconds + LOOK_SECONDS) / slot),
        settling=ceil((slot + MARGIN_SECONDS) / slot),
    )


def check(history: History) -> Verdict:
    genesis = history.setup.genesis
    if genesis is None or not history.safe_heads:
        return Verdict(checker=NAME, outcome=Outcome.VACUOUS, note="nobody told of a safe head")
    limits = allowed(history, genesis)
    calm = calm_spans(history, 0.0)
    found = [
        judged
        for span in calm
        for node in dict.fromkeys(seen.node for seen in history.safe_heads)
        for judged in _judged(node, list(_lags(history, node, span)), limits, span[0])
    ]
    note = counted(len(found), "block{s} seen from a node")
    return judge_in_time(
        NAME,
        history,
        found,
        bound=limits.lag,
        note=note,
        unit="heights",
        unit_seconds=history.setup.slot_seconds,
    )


def _lags(history: History, node: str, span: Span) -> Iterator[Lag]:
    """At each newly sealed block of the span, of a node that had told of its safe head."""
    told = [seen for seen in history.safe_heads if seen.node == node]
    moments = [seen.monotonic for seen in told]
    highest = 0
    for event in first_sealed(history):
        highest = max(highest, event.height)
        known = bisect_right(moments, event.monotonic)
        if known and span[0] <= event.monotonic <= span[1]:
            seen = told[known - 1]
            yield Lag(max(0, highest - seen.height), event, seen)


def _judged(node: str, lags: list[Lag], limits: Allowed, since: float) -> Iterator[Measured]:
    """since: from when on nothing is done to the network. A lag has come about since all was posted
    last: a batch that is late makes those after it late."""
    near = next((i for i, lag in enumerate(lags) if lag.heights <= limits.inclusion), len(lags))
    if lags:
        due = limits.drain(max(0, lags[0].heights - limits.lag))
        for lag in lags[due:near]:
            violation = _violation(node, lag, f"{due} heights after the last heal")
            yield Measured(lag.heights, violation, (since, lag.block.monotonic))
    for lag in lags[near:]:
        if lag.heights <= limits.inclusion:
            since = lag.block.monotonic
        violation = _violation(node, lag, "with nothing done to the network")
        yield Measured(lag.heights, violation, (since, lag.block.monotonic))


def _violation(node: str, lag: Lag, when: str) -> Violation:
    summary = f"{node}'s safe head is {lag.seen.height} when height {lag.block.height} is sealed, "
    return Violation(
        checker=NAME,
        summary=f"{summary}{when}: {counted(lag.heights, 'height{s}')}",
        monotonic=lag.block.monotonic,
        height=lag.block.height,
        witness=(lag.seen, lag.block),
    )
