"""A block's way from the leader's payload to sealed everywhere, cut into phases by the events' own
timestamps. Pure.

ready     the leader's `proposal`: its payload is built and wrapped
execute   until the first `prepared` anywhere: a quorum has executed the block and voted for it
vote      until a quorum reported `decided`
sign      until a quorum reported `signed` (own partial signature made)
combine   until the first `sealed`
publish   until every operator reported `sealed` and every follower `imported`
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from devnet.faults.targets import leader_name
from devnet.model.history import Event, EventKind
from dst.spec.primitives import quorum

PHASES: Final = ("execute", "vote", "sign", "combine", "publish")


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockTimes:
    """Seconds of one height; `phases` in the order of PHASES, their sum is `total`."""

    height: int
    total: float
    at_operators: float
    """Until all operators had it: the figure of docs/benchmarks.md that has a target."""
    phases: tuple[float, ...]


def times_of(
    events: Iterable[Event], height: int, operators: Sequence[str], followers: Sequence[str]
) -> BlockTimes | None:
    """None unless the height went through in round 0 and every node reported it."""
    mine = [event for event in events if event.height == height]
    if any((event.round or 0) > 0 for event in mine):
        return None
    leader = leader_name(operators, height)
    ready = first_by_node(mine, {EventKind.PROPOSAL}).get(leader)
    prepared = sorted(first_by_node(mine, {EventKind.PREPARED}).values())
    decided = sorted(first_by_node(mine, {EventKind.DECIDED}, operators).values())
    signed = sorted(first_by_node(mine, {EventKind.SIGNED}).values())
    seen = {
        **first_by_node(mine, {EventKind.SEALED, EventKind.IMPORTED}, followers),
        **first_by_node(mine, {EventKind.SEALED}, operators),
    }
    needed = quorum(len(operators))
    everybody = (*operators, *followers)
    complete = (
        ready is not None
        and prepared
        and len(decided) >= needed
        and len(signed) >= needed
        and all(name in seen for name in everybody)
    )
    if not complete or ready is None:
        return None
    sealed = first_by_node(mine, {EventKind.SEALED})
    marks = (
        ready,
        prepared[0],
        decided[needed - 1],
        signed[needed - 1],
        min(sealed.values(), default=max(seen.values())),
        max(seen[name] for name in everybody),
    )
    # Stamps of different processes may cross by microseconds; a phase is never shorter than
    # nothing.
    ordered = [max(marks[: index + 1]) for index in range(len(marks))]
    return BlockTimes(
        height=height,
        total=ordered[-1] - ready,
        at_operators=max(seen[name] for name in operators) - ready,
        phases=tuple(after - before for before, after in pairwise(ordered)),
    )


def first_by_node(
    events: Iterable[Event], kinds: set[EventKind], nodes: Sequence[str] | None = None
) -> dict[str, float]:
    """When each node first reported one of the kinds."""
    found: dict[str, float] = {}
    for event in events:
        if event.kind in kinds and (nodes is None or event.node in nodes):
            found[event.node] = min(event.monotonic, found.get(event.node, event.monotonic))
    return found


def all_times(
    events: Sequence[Event], operators: Sequence[str], followers: Sequence[str]
) -> list[BlockTimes]:
    """Every complete height, in order."""
    by_height: dict[int, list[Event]] = {}
    for event in events:
        by_height.setdefault(event.height, []).append(event)
    found = (times_of(by_height[h], h, operators, followers) for h in sorted(by_height))
    return [times for times in found if times is not None]
