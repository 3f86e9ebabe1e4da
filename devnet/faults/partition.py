from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from devnet.faults import keys
from devnet.faults.base import Fault, Plane, Sight, Site
from devnet.faults.surface import World
from devnet.faults.targets import (
    draw_groups,
    is_follower,
    isolate,
    links_between,
    misfit_of,
    resolve_target,
)
from devnet.model.cut import CutMode
from devnet.model.terms import Aim, Target
from devnet.model.topology import Topology
from dst.spec.errors import BadConfig
from dst.spec.primitives import quorum

_SPLIT_SHAPE = "expected sizes of the groups such as [2, 2]"


def read_split(value: object, where: str) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(item) is int and item > 0 for item in value):
        raise BadConfig(f"{where}: {_SPLIT_SHAPE}, got {value!r}")
    if len(value) == 1:
        raise BadConfig(f"{where}: {_SPLIT_SHAPE}: one group is no partition")
    return tuple(value)


_SPLIT: dict[str, Any] = {
    "type": "array",
    "minItems": 2,
    "items": {"type": "integer", "minimum": 1},
}


@dataclass(frozen=True, kw_only=True)
class Partition(Fault):
    """Consensus links between groups of operators cut, both directions."""

    name: ClassVar = "partition"
    plane: ClassVar = Plane.LINKS
    proof: ClassVar = (
        "every cut link is reported down by the end that dials it"
        " (each pair has a link in either direction)"
    )
    seen_within_s: ClassVar = 10.0
    """Silent cuts (hold, blackhole) end a link only after three seconds of missed pings."""

    target: Target | None = keys.target("the operator that is cut off alone", default=None)
    split: tuple[int, ...] = keys.key(
        read_split, _SPLIT, "sizes of the groups, members drawn; instead of `target`", default=()
    )
    mode: CutMode = keys.choice(CutMode, "how the cut looks, below", default=CutMode.DROP)

    def nonsense(self) -> str:
        if (self.target is None) == (not self.split):
            return "needs either target (isolated alone) or split"
        return ""

    def misfit(self, topology: Topology) -> str:
        operators = len(topology.operator_names)
        if self.split and sum(self.split) != operators:
            wanted = f"split {list(self.split)} is for {sum(self.split)} operators"
            return f"{wanted}, the network has {operators}"
        if self.target is Aim.ALL_OPERATORS:
            return "target all-operators leaves nobody to be cut off from; give split, or one node"
        if is_follower(self.target, topology):
            return f"target {self.target} has no consensus links; give an operator"
        return misfit_of(self.target, topology)

    def aim(self, sight: Sight) -> Site:
        targets: tuple[str, ...] = ()
        if self.target is None:
            groups = draw_groups(self.split, sight.operators, sight.rng)
        else:
            targets = resolve_target(
                self.target, sight.topology, next_height=sight.next_height, rng=sight.rng
            )
            groups = isolate(targets, sight.operators)
        return Site(targets=targets, groups=groups, links=links_between(sight.topology, groups))

    async def inject(self, site: Site, world: World) -> None:
        await world.links.cut(site.links, self.mode)

    async def take_back(self, site: Site, world: World) -> None:
        await world.links.heal(site.links, self.mode)

    async def missing(self, site: Site, world: World) -> str:
        return await world.links.not_cut(site.links)

    async def remaining(self, site: Site, world: World) -> str:
        return await world.links.not_whole(site.links)

    def silences(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        """Those left in a group without a quorum."""
        needed = quorum(len(operators))
        return tuple(name for group in site.groups if len(group) < needed for name in group)

    def components(self, site: Site, operators: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        return site.groups
