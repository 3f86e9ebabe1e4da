from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, Self

from devnet.faults.base import Sight, Site
from devnet.faults.cut_links import Parted
from devnet.faults.dice import Dice
from devnet.faults.targets import pair_links
from devnet.model.cut import CutMode
from devnet.model.topology import Topology


@dataclass(frozen=True, kw_only=True)
class Bridge(Parted):
    """Two halves that reach each other through one operator alone; members are drawn. Operators do
    not relay votes, so there is a quorum only where a half and the bridge are one: at n = 4, not at
    n = 7 or 10."""

    name: ClassVar = "bridge"
    weight: ClassVar = 1

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        return cls(mode=dice.one_of(list(CutMode)))

    def misfit(self, topology: Topology) -> str:
        n = len(topology.operator_names)
        return "" if n >= 4 else f"a bridge needs 4 operators, the network has {n}"

    def aim(self, sight: Sight) -> Site:
        dealt = list(sight.operators)
        sight.rng.shuffle(dealt)
        bridge, rest = dealt[0], dealt[1:]
        half = len(rest) // 2
        left, right = sorted(rest[:half]), sorted(rest[half:])
        pairs = frozenset(frozenset(pair) for pair in product(left, right))
        groups = ((*left, bridge), (bridge, *right))
        return Site(groups=groups, links=pair_links(sight.topology, pairs))

    def disturbs(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        return tuple(operators)
