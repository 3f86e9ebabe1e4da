"""One run in a few figures, from its record alone. Pure."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

import msgspec

from devnet.model.history import Answer, EventKind, History
from devnet.model.timeline import first_sealed, worst_gap
from devnet.report.summary import percentile, recovery_of

INCLUSION_PERCENT: Final = 95.0
LEAST_SLOTS: Final = 2
"""For a figure of CPU time: below, one block more or less is half of it."""
SIGNED: Final = frozenset({EventKind.SEALED, EventKind.IMPORTED})


class Measures(msgspec.Struct, frozen=True, kw_only=True):
    """None: there was nothing to measure."""

    gap: float | None = None
    """Seconds: the longest wait for a sealed block while faults stood."""
    detection: float | None = None
    """Seconds from a fault that silenced an operator to the first change of round; of several the
    longest."""
    recovery: float | None = None
    """Seconds from the last proven heal to the next sealed block."""
    inclusion: float | None = None
    """Seconds from sending to the sealed block with it, of 95 in 100 transactions of the run."""
    rounds: float | None = None
    """The highest round that anybody came to."""
    cpu: float | None = None
    """Share of the machine's CPU time in use, on average."""
    cpu_block: float | None = None
    """CPU seconds of all programs that sequence, for each slot before the first fault."""
    lost: float | None = None
    """Signed blocks in whose place another one was signed: somebody saw a block that is gone, or
    will be."""


NAMES: Final = Measures.__struct_fields__
MEANS: Final = {
    "gap": "longest wait for a sealed block while faults stood",
    "detection": "from a fault that silenced an operator to the first change of round",
    "recovery": "from the last proven heal to the next sealed block",
    "inclusion": "from sending to a sealed block, of 95 in 100 transactions of a run",
    "rounds": "highest round that anybody came to",
    "cpu": "share of the machine's CPU time in use",
    "cpu_block": "CPU time of all programs that sequence, for each slot before the first fault",
    "lost": "signed blocks in whose place another one was signed",
}


def measures_of(history: History) -> Measures:
    gap = worst_gap(history)
    inclusions = list(_inclusions(history))
    busy = [look.busy for look in history.machine if look.busy is not None]
    known = [event.round for event in history.events if event.round is not None]
    return Measures(
        gap=None if gap is None else gap.seconds,
        detection=max(_detections(history), default=None),
        recovery=recovery_of(history),
        inclusion=percentile(inclusions, INCLUSION_PERCENT),
        rounds=float(max(known)) if known else None,
        cpu=sum(busy) / len(busy) if busy else None,
        cpu_block=_cpu_of_a_slot(history),
        lost=_lost(history),
    )


def _cpu_of_a_slot(history: History) -> float | None:
    """While nothing is disturbed yet: starting programs again costs more than blocks do."""
    first = min((fault.requested for fault in history.faults), default=float("inf"))
    quiet = [look for look in history.cpu if look.monotonic < first]
    span = quiet[-1].monotonic - quiet[0].monotonic if quiet else 0.0
    if span < LEAST_SLOTS * history.setup.slot_seconds:
        return None
    return (quiet[-1].seconds - quiet[0].seconds) / span * history.setup.slot_seconds


def _lost(history: History) -> float | None:
    """Of several at one height all but one are, whichever it will be."""
    signed: defaultdict[int, set[str]] = defaultdict(set)
    for event in history.events:
        if event.root is not None and event.kind in SIGNED:
            signed[event.height].add(event.root)
    for seen in history.group_signatures:
        signed[seen.height].add(seen.root)
    return float(sum(len(roots) - 1 for roots in signed.values())) if signed else None


def _detections(history: History) -> Iterator[float]:
    changes = [e.monotonic for e in history.events if e.kind is EventKind.ROUND_CHANGE]
    for fault in history.faults:
        if not fault.silenced or fault.applied is None:
            continue
        until = float("inf") if fault.healed is None else fault.healed
        during = [moment for moment in changes if fault.applied <= moment <= until]
        if during:
            yield min(during) - fault.applied


def _inclusions(history: History) -> Iterator[float]:
    sealed = {event.height: event.monotonic for event in first_sealed(history)}
    where = {
        transaction: block.height for block in history.blocks for transaction in block.transactions
    }
    for item in history.transactions:
        height = where.get(item.hash)
        if item.answer is Answer.OK and height is not None and height in sealed:
            yield sealed[height] - item.sent
