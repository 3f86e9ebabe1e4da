"""One run in six figures, from its record alone. Pure."""

from collections.abc import Iterator
from typing import Final

import msgspec

from devnet.model.history import Answer, EventKind, History
from devnet.model.timeline import first_sealed, worst_gap
from devnet.report.summary import percentile, recovery_of

INCLUSION_PERCENT: Final = 95.0


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


NAMES: Final = Measures.__struct_fields__
MEANS: Final = {
    "gap": "longest wait for a sealed block while faults stood",
    "detection": "from a fault that silenced an operator to the first change of round",
    "recovery": "from the last proven heal to the next sealed block",
    "inclusion": "from sending to a sealed block, of 95 in 100 transactions of a run",
    "rounds": "highest round that anybody came to",
    "cpu": "share of the machine's CPU time in use",
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
    )


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
