from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from devnet.faults.base import Sight, Site
from devnet.faults.cut_links import CutLinks
from devnet.faults.dice import Dice
from devnet.faults.targets import pair_links
from devnet.model.cut import CutMode
from devnet.model.topology import Topology
from dst.spec.primitives import faults_tolerated


@dataclass(frozen=True, kw_only=True)
class Overlap(CutLinks):
    """Overlapping majorities: every operator still reaches a quorum, and no two the same one.
    Around a drawn circle each loses the f that are farthest from it. Operators do not relay votes,
    so nobody can decide."""

    name: ClassVar = "overlap"
    weight: ClassVar = 1

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        return cls(mode=dice.one_of(list(CutMode)))

    def misfit(self, topology: Topology) -> str:
        n = len(topology.operator_names)
        return "" if n >= 4 else f"overlapping majorities need 4 operators, the network has {n}"

    def aim(self, sight: Sight) -> Site:
        circle = list(sight.operators)
        sight.rng.shuffle(circle)
        pairs = farthest_pairs(circle, faults_tolerated(len(circle)))
        return Site(links=pair_links(sight.topology, pairs))

    def disturbs(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        return tuple(operators)

    def told(self, site: Site) -> str:
        return f"{len(site.links) // 2} pairs of operators"


def farthest_pairs(circle: Sequence[str], each: int) -> frozenset[frozenset[str]]:
    """Pairs such that every member is in `each` of them, its partners as far away around the circle
    as they can be."""
    n = len(circle)
    pairs: set[frozenset[str]] = set()
    degree = 0
    for step in range(n // 2, 0, -1):
        adds = 1 if 2 * step == n else 2
        if degree + adds <= each:
            pairs |= {frozenset((circle[i], circle[(i + step) % n])) for i in range(n)}
            degree += adds
    return frozenset(pairs)
