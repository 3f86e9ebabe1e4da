"""What follows from cut links, and from faults that stand together: who can take no part, and who
still reaches whom. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final

from dst.spec.primitives import quorum

_LIFELINES: Final = (
    "{0}.rollup>{0}.engine",
    "{0}.middleware>{0}.rollup",
    "{0}.sequencer>{0}.rollup",
)
"""Without one of them an operator cannot execute, and so not vote."""


def mute(links: Iterable[str], nodes: Iterable[str]) -> frozenset[str]:
    """Nodes that cannot execute."""
    cut = frozenset(links)
    return frozenset(node for node in nodes if any(line.format(node) in cut for line in _LIFELINES))


def components(links: Iterable[str], operators: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Operators that can decide together: by connected component, two being joined while each hears
    the other; each alone where no leader can bring a decision about. Empty when all are one; one
    of nobody where nobody can execute."""
    cut, needed = frozenset(links), quorum(len(operators))
    alive = [name for name in operators if name not in mute(cut, operators)]
    if not alive:
        return ((),)
    left, found = set(alive), []
    while left:
        group, edge = set[str](), {min(left, key=alive.index)}
        while edge:
            group |= edge
            edge = {b for a in edge for b in left - group if _joined(a, b, cut)}
        left -= group
        found.append(tuple(name for name in alive if name in group))
    if any(len(group) >= needed for group in found) and not can_decide(cut, alive, needed):
        return tuple((name,) for name in alive)
    return () if found == [tuple(operators)] else tuple(found)


def _joined(one: str, other: str, cut: frozenset[str]) -> bool:
    return _hears(one, other, cut) and _hears(other, one, cut)


def can_decide(cut: frozenset[str], alive: Sequence[str], needed: int) -> bool:
    """Whether some leader's block can be decided. Operators do not pass on what they hear: who did
    not hear the leader does not prepare, who hears too few of those that do does not commit."""
    for leader in alive:
        prepare = {name for name in alive if _hears(name, leader, cut)}
        commit = {name for name in alive if len(_heard(name, prepare, cut)) >= needed}
        if any(len(_heard(name, commit, cut)) >= needed for name in alive):
            return True
    return False


def _heard(name: str, others: set[str], cut: frozenset[str]) -> set[str]:
    return {other for other in others if _hears(name, other, cut)}


def _hears(one: str, other: str, cut: frozenset[str]) -> bool:
    """An operator dials those that it talks to."""
    return one == other or f"{other}>{one}.consensus" not in cut


def silenced(links: Iterable[str], operators: Sequence[str]) -> tuple[str, ...]:
    """Operators that can take no part: they cannot execute, or are in a component without a
    quorum."""
    groups = components(links, operators)
    return without_quorum(groups, operators) if groups else ()


def without_quorum(groups: Iterable[Sequence[str]], operators: Sequence[str]) -> tuple[str, ...]:
    """Those that are in no group with a quorum."""
    needed = quorum(len(operators))
    active = {name for group in groups if len(group) >= needed for name in group}
    return tuple(name for name in operators if name not in active)


def has_quorum(
    parted: Iterable[Sequence[Sequence[str]]], links: Iterable[str], operators: Sequence[str]
) -> bool:
    """Whether somebody can still decide while several faults stand: `parted` are the components
    that each leaves by itself, `links` what all of them cut. Two that each leave a quorum may leave
    none together."""
    apart = [groups for groups in parted if groups]
    silent = {name for groups in apart for name in set(operators).difference(*groups)}
    # Who is silent hears nobody and is heard by nobody: as if it could not execute.
    down = {*links, *(_LIFELINES[0].format(name) for name in silent)}
    left = {frozenset(group) for group in components(down, operators) or (operators,)}
    for groups in apart:
        left = {one & frozenset(group) for one in left for group in groups}
    return max(map(len, left)) >= quorum(len(operators))
