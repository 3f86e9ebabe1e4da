"""Proof by a counter: it stands above what it was when the fault began."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from devnet.faults.surface import CannotInject, World

ASKED: Final = 3
"""Times, at the start: without a mark nothing that comes later is a proof."""


@dataclass(slots=True)
class Rise:
    """Of one counter at some nodes, since one fault began. Who was seen to have counted has, also
    when it is started anew; its counter begins at 0 then, and is compared from there."""

    _before: dict[str, float] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    def note(self, counts: Mapping[str, float]) -> None:
        """Before it begins; who is not among them proves nothing later. Raises: CannotInject."""
        if not counts:
            raise CannotInject("nobody says what it has counted so far")
        self._before = dict(counts)
        self._seen.clear()

    def look(self, counts: Mapping[str, float]) -> frozenset[str]:
        """Who has counted since then."""
        for node, count in counts.items():
            before = self._before.get(node, count)
            if count > before:
                self._seen.add(node)
            elif count < before:
                self._before[node] = count
        return frozenset(self._seen)


async def told_by(world: World, nodes: Sequence[str], name: str) -> dict[str, float]:
    """A metric of their rollup nodes, of those that answer."""
    found = await asyncio.gather(*(world.telling.metric(node, name) for node in nodes))
    return {node: value for node, value in zip(nodes, found, strict=True) if value is not None}


async def note_each(rise: Rise, world: World, nodes: Sequence[str], name: str) -> None:
    """Where every one of them has to count. Raises: CannotInject when one does not answer."""
    silent = list(nodes)
    counts: dict[str, float] = {}
    for _ in range(ASKED):
        counts |= await told_by(world, silent, name)
        silent = [node for node in nodes if node not in counts]
        if not silent:
            return rise.note(counts)
    raise CannotInject(f"{', '.join(silent)} does not say what it has counted so far ({name})")
