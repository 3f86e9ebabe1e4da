"""One run in a few figures, from its record alone. Pure.

A wait that had not ended when the watch did is *censored*: it took so long at least.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

import msgspec

from devnet.model.history import Answer, EventKind, History
from devnet.model.timeline import first_sealed, last_heal, last_moment, worst_gap
from devnet.report.statistics import censored_quantile
from devnet.report.summary import recovery_of

INCLUSION: Final = 0.95
LEAST_SLOTS: Final = 2
"""For a figure of CPU time: below, one block more or less is half of it."""
SIGNED: Final = frozenset({EventKind.SEALED, EventKind.IMPORTED})


class Measures(msgspec.Struct, frozen=True, kw_only=True):
    """None: there was nothing to measure."""

    gap: float | None = None
    """Seconds: the longest wait for a sealed block while faults stood."""
    detection: float | None = None
    """Seconds from a fault that silenced an operator to the first change of round; of several the
    longest. Censored when one was healed before that."""
    recovery: float | None = None
    """Seconds from the last proven heal to the next sealed block."""
    inclusion: float | None = None
    """Seconds from first sending to the sealed block with it, of 95 in 100 transactions of the
    run. Censored when more than five in 100 are in none."""
    rounds: float | None = None
    """The highest round that anybody came to."""
    cpu: float | None = None
    """Share of the machine's CPU time in use, on average."""
    cpu_block: float | None = None
    """CPU seconds of all programs that sequence, for each slot before the first fault."""
    lost: float | None = None
    """Signed blocks in whose place another one was signed: somebody saw a block that is gone, or
    will be."""
    censored: tuple[str, ...] = ()
    """Names of those above that are only known to be no less."""


MEANS: Final = {
    "gap": "longest wait for a sealed block while faults stood",
    "detection": "from a fault that silenced an operator to the first change of round",
    "recovery": "from the last proven heal to the next sealed block",
    "inclusion": "from first sending to a sealed block, of 95 in 100 transactions of a run",
    "rounds": "highest round that anybody came to",
    "cpu": "share of the machine's CPU time in use",
    "cpu_block": "CPU time of all programs that sequence, for each slot before the first fault",
    "lost": "signed blocks in whose place another one was signed",
}
NAMES: Final = tuple(MEANS)

_Wait = tuple[float, bool]
"""Seconds, and whether it is censored."""


def measures_of(history: History) -> Measures:
    gap = worst_gap(history)
    busy = [look.busy for look in history.machine if look.busy is not None]
    known = [event.round for event in history.events if event.round is not None]
    waits: dict[str, _Wait | None] = {
        "gap": None if gap is None else (gap.seconds, gap.goes_on),
        "detection": _detection(history),
        "recovery": _recovery(history),
        "inclusion": _inclusion(history),
    }
    seconds = {name: wait[0] for name, wait in waits.items() if wait is not None}
    return Measures(
        gap=seconds.get("gap"),
        detection=seconds.get("detection"),
        recovery=seconds.get("recovery"),
        inclusion=seconds.get("inclusion"),
        rounds=float(max(known)) if known else None,
        cpu=sum(busy) / len(busy) if busy else None,
        cpu_block=_cpu_of_a_slot(history),
        lost=_lost(history),
        censored=tuple(name for name, wait in waits.items() if wait is not None and wait[1]),
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


def _detection(history: History) -> _Wait | None:
    """Baselines have no rounds that could change."""
    found = [] if history.setup.cluster.is_baseline else list(_detections(history))
    if not found:
        return None
    return max(seconds for seconds, _ in found), any(censored for _, censored in found)


def _detections(history: History) -> Iterator[_Wait]:
    changes = [e.monotonic for e in history.events if e.kind is EventKind.ROUND_CHANGE]
    for fault in history.faults:
        if not fault.silenced or fault.applied is None:
            continue
        until = last_moment(history) if fault.healed is None else fault.healed
        during = [moment for moment in changes if fault.applied <= moment <= until]
        yield min(during, default=until) - fault.applied, not during


def _recovery(history: History) -> _Wait | None:
    seconds, healed = recovery_of(history), last_heal(history)
    if seconds is not None:
        return seconds, False
    return None if healed is None else (last_moment(history) - healed, True)


def _inclusion(history: History) -> _Wait | None:
    """By hash, whatever a client was answered but a refusal: one that got no answer has sent it
    all the same, and waits."""
    sealed = {event.height: event.monotonic for event in first_sealed(history)}
    where = {
        transaction: block.height for block in history.blocks for transaction in block.transactions
    }
    watched = _blocks_known_until(history, sealed)
    ended, waiting = [], []
    for transaction, sent in _first_sent(history).items():
        height = where.get(transaction)
        if height is None:
            waiting.append(watched - sent)
        elif height in sealed:
            ended.append(sealed[height] - sent)
    # What was sent after the last block that was read can be in none of them.
    waiting = [seconds for seconds in waiting if seconds > 0]
    if not ended and not waiting:
        return None
    found = censored_quantile(ended, waiting, INCLUSION)
    return (max(*ended, *waiting, 0.0), True) if found is None else (found, False)


def _first_sent(history: History) -> dict[str, float]:
    first: dict[str, float] = {}
    for item in history.transactions:
        if item.answer is not Answer.REFUSED:
            first[item.hash] = min(item.sent, first.get(item.hash, item.sent))
    return first


def _blocks_known_until(history: History, sealed: dict[int, float]) -> float:
    """A chain that stands still has no block after the last one that was read, to the end of the
    record."""
    read = max((block.height for block in history.blocks), default=0)
    later = [moment for height, moment in sealed.items() if height > read]
    return sealed.get(read, min(later)) if later else last_moment(history)
