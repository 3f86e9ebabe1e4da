"""What a history says about time: when heights were sealed, when faults stood, who was back when.

Spans come from the fault receipts (verified to revert requested, and to healed), never from a plan.
Pure.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from devnet.model.history import (
    BlockRead,
    Event,
    EventKind,
    Fate,
    FaultReceipt,
    History,
    record_time,
    records_of,
)
from dst.spec.primitives import faults_tolerated

VOTES: Final = frozenset({EventKind.PREPARED, EventKind.SIGNED})
"""What only an operator that votes again reports."""
_SEALS: Final = frozenset({EventKind.SEALED, EventKind.IMPORTED})
IN_A_ROW: Final = 3
"""Heights at which somebody is seen before it is back: one vote may be its last, and of two one may
be what it was asked for when it came."""

Span = tuple[float, float]


def disturbed_span(history: History) -> Span | None:
    """From the first request to the last proven heal (or revert), and from the first hostile
    transaction to the fate of the last: where gaps are the scenario's doing. None when nothing was
    done, or it was not proven."""
    return _span_of(history, history.faults)


def tested_span(history: History) -> Span | None:
    """As `disturbed_span`, without what stands around all of it, to the end: these are the
    surroundings, under which the scenario does the rest. Where it does nothing else, with them."""
    ending = tuple(fault for fault in history.faults if not fault.forever)
    return _span_of(history, ending if ending or history.hostile else history.faults)


def _span_of(history: History, faults: Sequence[FaultReceipt]) -> Span | None:
    if any(fault.verified is None for fault in history.faults):
        return None
    sent = [item for item in history.hostile if item.fate is not Fate.UNSENT]
    starts = [fault.requested for fault in faults] + [item.sent for item in sent]
    ends = [fault.healed or fault.reverted for fault in faults]
    known = [end for end in ends if end is not None] + [item.settled for item in sent]
    return (min(starts), max(known)) if starts and known else None


def is_sealed_there(event: Event, operators: Sequence[str]) -> bool:
    """Whether this event says that its node has the block with its group signature.

    An operator imports what is decided and seals it later; a follower imports only what is sealed.
    """
    if event.kind is EventKind.SEALED:
        return True
    return event.kind is EventKind.IMPORTED and event.node not in operators


def first_sealed(history: History) -> list[Event]:
    """The first report of each sealed height, in order of time: when the chain as a whole moved
    on."""
    first: dict[int, Event] = {}
    for event in history.events:
        if event.kind is EventKind.SEALED:
            first.setdefault(event.height, event)
    return sorted(first.values(), key=lambda event: event.monotonic)


class Had:
    """When a node had a height, as far as events tell: for what is only read at the end."""

    def __init__(self, history: History) -> None:
        self._at: dict[tuple[str, int], float] = {}
        self._anywhere: dict[int, float] = {}
        for event in history.events:
            if event.kind in (EventKind.DECIDED, *_SEALS):
                self._at.setdefault((event.node, event.height), event.monotonic)
                self._anywhere.setdefault(event.height, event.monotonic)

    def at(self, node: str, height: int) -> float | None:
        """Where the node did not say, when the first did."""
        return self._at.get((node, height), self._anywhere.get(height))

    def both(self, one: BlockRead, other: BlockRead) -> float | None:
        """When both were there: from then on they could contradict each other."""
        moments = [self.at(block.node, block.height) for block in (one, other)]
        return max((moment for moment in moments if moment is not None), default=None)


def sealed_heights(history: History, span: Span) -> set[int]:
    """Heights first sealed within the span."""
    return {e.height for e in first_sealed(history) if span[0] <= e.monotonic <= span[1]}


def last_moment(history: History) -> float:
    """When the record ends: until then somebody looked."""
    moments = (record_time(record) for record in records_of(history))
    return max((moment for moment in moments if math.isfinite(moment)), default=-math.inf)


def last_heal(history: History) -> float | None:
    """Of what the scenario did. What stands around all of it, to the end, is the surroundings."""
    heals = [f.healed for f in history.faults if f.healed is not None and not f.forever]
    return max(heals, default=None)


def disturbed(history: History, moment: float) -> int:
    """How many operators were, until that moment."""
    return len(
        {
            name
            for fault in history.faults
            if fault.requested < moment and (fault.healed is None or fault.healed >= moment)
            for name in fault.targets
            if name in history.setup.operators
        }
    )


def able_spans(history: History, span: Span) -> list[Span]:
    """When in it no more than f operators were disturbed, in order: while more are, the chain owes
    nobody anything, whichever fault was healed meanwhile."""
    start, end = span
    moments = [m for f in history.faults for m in (f.requested, f.healed) if m is not None]
    tolerated = faults_tolerated(len(history.setup.operators))
    found: list[Span] = []
    for one, other in pairwise(sorted({start, end, *(m for m in moments if start < m < end)})):
        if disturbed(history, (one + other) / 2) > tolerated:
            continue
        begins = found.pop()[0] if found and found[-1][1] == one else one
        found.append((begins, other))
    return found


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without a newly sealed block. `where` names it by the block after it, or, when the
    chain stood still to the end, by the last one. `goes_on`: nothing was sealed after the faults
    any more, so that the longest gap is this long at least."""

    since: float
    """Monotonic seconds."""
    seconds: float
    block: Event
    where: str
    goes_on: bool = False


def gaps(history: History) -> list[Gap]:
    """All that touch the disturbed span, in order; where nothing was sealed after that, the last
    reaches to the end of the record. None where nothing was disturbed, or fewer than two blocks
    were sealed."""
    span = disturbed_span(history)
    sealed = first_sealed(history)
    if span is None or len(sealed) < 2:
        return []
    found = [
        Gap(
            before.monotonic,
            after.monotonic - before.monotonic,
            after,
            f"before height {after.height} was sealed",
        )
        for before, after in pairwise(sealed)
        if after.monotonic >= span[0] and before.monotonic <= span[1]
    ]
    last = sealed[-1]
    if last.monotonic <= span[1]:
        still = last_moment(history) - last.monotonic
        where = f"after height {last.height}, the last sealed"
        found.append(Gap(last.monotonic, still, last, where))
        return [replace(gap, goes_on=True) for gap in found]
    return found


def worst_gap(history: History) -> Gap | None:
    """The longest of `gaps`."""
    return max(gaps(history), key=lambda gap: gap.seconds, default=None)


def rejoined_at(history: History, fault: FaultReceipt, node: str) -> float | None:
    """When `node` had caught up with what was decided at the heal and, if an operator, voted above
    it, at heights in a row as far as the record goes: whoever misses one with another after it has
    begun anew."""
    known = max((event.height for event in history.events), default=0)
    return _back(history, fault, node, needed=known - 1)


def keeps_up(history: History, fault: FaultReceipt, node: str) -> bool:
    """Whether it has rejoined, and was seen at all the heights in a row that it takes."""
    return _back(history, fault, node, needed=None) is not None


def _back(history: History, fault: FaultReceipt, node: str, *, needed: int | None) -> float | None:
    """needed: up to this height it must not miss any; None: none at all."""
    assert fault.healed is not None, "asked about healed faults only"
    healed = fault.healed
    head = max((e.height for e in history.events if e.monotonic <= healed), default=0)
    mine = [e for e in history.events if e.node == node and e.monotonic >= healed]
    caught_up = next((e.monotonic for e in mine if e.kind in _SEALS and e.height >= head), None)
    if caught_up is None:
        return None
    told_by = VOTES if node in history.setup.operators else _SEALS
    seen: dict[int, float] = {}
    for event in mine:
        if event.kind in told_by and event.height > head:
            seen.setdefault(event.height, event.monotonic)
    for first, moment in seen.items():
        row = range(first, first + IN_A_ROW)
        if all(h in seen or (needed is not None and h > needed) for h in row):
            return max(caught_up, moment) if told_by is VOTES else caught_up
    if told_by is VOTES or needed is None:
        return None
    return caught_up if head >= needed else None


def observed_span(history: History) -> Span | None:
    """From the first look of this run to its last event; what a node told of before is not of this
    run. None when nothing was seen."""
    looks = [seen.monotonic for seen in history.machine]
    looks += [transaction.sent for transaction in history.transactions]
    events = [event.monotonic for event in history.events]
    if not events:
        return None
    return (min(looks, default=min(events)), max(events))


def calm_spans(history: History, settling: float) -> list[Span]:
    """When nothing was done to the network, everybody was back, and that for `settling` seconds;
    in order. None at all where a program ended on its own: nobody knows since when."""
    whole = observed_span(history)
    if whole is None or history.ended:
        return []
    done = [(fault.requested, _over(history, fault)) for fault in history.faults]
    done += [(item.sent, item.settled) for item in history.hostile if item.fate is not Fate.UNSENT]
    calm, start = [], whole[0]
    for begins, ends in sorted(done, key=lambda each: each[0]):
        calm.append((start, min(begins, whole[1])))
        start = max(start, float("inf") if ends is None else ends + settling)
    return [(a, b) for a, b in [*calm, (start, whole[1])] if a < b]


def _over(history: History, fault: FaultReceipt) -> float | None:
    """When whoever it silenced was back; None when that was not seen."""
    if fault.healed is None:
        return None
    back = [rejoined_at(history, fault, node) for node in fault.returning]
    known = [moment for moment in back if moment is not None]
    return None if len(known) < len(back) else max([fault.healed, *known])
