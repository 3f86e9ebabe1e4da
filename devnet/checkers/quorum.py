"""When the faults that stand together leave no quorum.

Each of them alone may leave one: what counts is who can still decide together under all of them.
Judged on what the receipts prove: a fault certainly stands from its proof, decisions in flight
deducted, until its heal was requested. One that goes on and off is gone in between, and counts for
nothing here.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from devnet.faults import connectivity
from devnet.model.history import FaultReceipt
from devnet.model.timeline import Span

GRACE_SECONDS: Final = 1.0
"""In-flight votes of before the cut may still complete a certificate."""
LOOK_SECONDS: Final = 3.0
"""Before a fault is seen to have lapsed: a look a second, two that miss it, and their time."""


def has_quorum(faults: Iterable[FaultReceipt], operators: Sequence[str]) -> bool:
    """Whether anybody can decide while all of these stand."""
    standing = list(faults)
    links = (link for fault in standing for link in fault.cut)
    return connectivity.has_quorum([fault.components for fault in standing], links, operators)


def certain_span(fault: FaultReceipt) -> Span | None:
    """When it stood for certain, in-flight grace deducted; None: never."""
    if fault.verified is None or fault.repeats:
        return None
    start, ends = fault.verified + GRACE_SECONDS, [float("inf")]
    if fault.lapsed is not None:
        ends.append(fault.lapsed - LOOK_SECONDS)
    if fault.revert_requested is not None:
        ends.append(fault.revert_requested)
    return (start, min(ends)) if start < min(ends) else None


def standing_at(faults: Iterable[FaultReceipt], moment: float) -> tuple[FaultReceipt, ...]:
    """Those that part somebody, and certainly stood then."""
    return tuple(
        fault
        for fault in faults
        if fault.components or fault.cut
        if (span := certain_span(fault)) is not None and span[0] < moment < span[1]
    )


def spans_without_quorum(faults: Sequence[FaultReceipt], operators: Sequence[str]) -> list[Span]:
    """In order; the last one may have no end."""
    spans = [span for fault in faults if (span := certain_span(fault)) is not None]
    moments = sorted({moment for span in spans for moment in span})
    found: list[Span] = []
    for start, end in pairwise(moments):
        if has_quorum(standing_at(faults, _between(start, end)), operators):
            continue
        if found and found[-1][1] == start:
            start = found.pop()[0]
        found.append((start, end))
    return found


def _between(start: float, end: float) -> float:
    return start + 1.0 if end == float("inf") else (start + end) / 2
