"""What faults on whole nodes have in common: the node is stopped, and later runs again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from devnet.faults import keys
from devnet.faults.base import Fault, Plane, Sight, Site
from devnet.faults.surface import World
from devnet.faults.targets import misfit_of, resolve_target
from devnet.model.terms import Target
from devnet.model.topology import Topology


@dataclass(frozen=True, kw_only=True)
class Stopped(Fault):
    plane: ClassVar = Plane.PROCESSES
    proof: ClassVar = "the backend reports every program ended or stopped, and the node is silent"
    healed_within_s: ClassVar = 60.0
    """Sixteen Python programs that start at once need about ten seconds on two cores."""

    target: Target = keys.target("the node")

    def misfit(self, topology: Topology) -> str:
        return misfit_of(self.target, topology)

    def aim(self, sight: Sight) -> Site:
        found = resolve_target(
            self.target, sight.topology, next_height=sight.next_height, rng=sight.rng
        )
        return Site(targets=found)

    async def missing(self, site: Site, world: World) -> str:
        return await world.nodes.not_down(site.targets)

    async def remaining(self, site: Site, world: World) -> str:
        return await world.nodes.not_up(site.targets)

    def silences(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        return site.targets
