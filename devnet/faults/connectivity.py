"""What follows from cut links: who can take no part, and who still reaches whom. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final

from dst.spec.primitives import quorum

_LIFELINES: Final = (
    "{0}.rollup>{0}.engine",
    "{0}.middleware>{0}.rollup",
)
"""Without one of them an operator cannot execute, and so not vote."""


def mute(links: Iterable[str], nodes: Iterable[str]) -> frozenset[str]:
    """Nodes that cannot execute."""
    cut = frozenset(links)
    return frozenset(node for node in nodes if any(line.format(node) in cut for line in _LIFELINES))


def components(links: Iterable[str], operators: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Operators that can vote, by connected component: two are joined while each hears the other.
    Empty when all are."""
    cut = frozenset(links)
    alive = [name for name in operators if name not in mute(cut, operators)]
    left, found = set(alive), []
    while left:
        group, edge = set[str](), {min(left, key=alive.index)}
        while edge:
            group |= edge
            edge = {b for a in edge for b in left - group if _hear_each_other(a, b, cut)}
        left -= group
        found.append(tuple(name for name in alive if name in group))
    return () if found == [tuple(operators)] else tuple(found)


def _hear_each_other(one: str, other: str, cut: frozenset[str]) -> bool:
    return not {f"{one}>{other}.consensus", f"{other}>{one}.consensus"} & cut


def silenced(links: Iterable[str], operators: Sequence[str]) -> tuple[str, ...]:
    """Operators that can take no part: they cannot execute, or are in a component without a
    quorum."""
    groups = components(links, operators)
    if not groups:
        return ()
    needed = quorum(len(operators))
    active = {name for group in groups if len(group) >= needed for name in group}
    return tuple(name for name in operators if name not in active)
