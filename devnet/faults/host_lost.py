from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from devnet.faults import keys, lost
from devnet.faults.base import Fault, Plane, Sight, Site
from devnet.faults.surface import World
from devnet.faults.targets import misfit_of
from devnet.model.cut import CutMode
from devnet.model.terms import Target
from devnet.model.topology import Topology


@dataclass(frozen=True, kw_only=True)
class HostLost(Fault):
    """The whole host of the node is gone, as when its power is: all containers of its pod are
    killed at once, its Toxiproxy too, and the pod's network ends with them. Who dials it gets no
    answer, where after `kill` the host still takes connections and closes them. Taken back by
    starting the host, setting its links up as they are meant to be by then, and starting its
    programs."""

    name: ClassVar = "host-lost"
    plane: ClassVar = Plane.PROCESSES
    backends: ClassVar = ("docker",)
    proof: ClassVar = (
        "the backend reports every container of the pod ended, nothing answers on the host's"
        " control port, and each operator that dials it reports that link down"
    )
    seen_within_s: ClassVar = 10.0
    healed_within_s: ClassVar = 60.0
    """As of programs that were killed: they start on two cores, too."""

    target: Target = keys.target("whose host")

    def misfit(self, topology: Topology) -> str:
        return misfit_of(self.target, topology)

    def aim(self, sight: Sight) -> Site:
        found = sight.resolve(self.target)
        return Site(
            targets=found,
            programs=tuple(name for node in found for name in sight.topology.pod(node).programs),
            links=tuple(
                link.name
                for link in sight.topology.consensus_links
                if link.source in found or link.target in found
            ),
        )

    async def inject(self, site: Site, world: World) -> None:
        await world.hosts.lose(site.targets)

    async def missing(self, site: Site, world: World) -> str:
        there = await world.hosts.not_lost(site.targets)
        return there or await world.links.not_cut(site.links, CutMode.REFUSE)

    async def take_back(self, site: Site, world: World) -> None:
        await world.hosts.bring_back(site.targets)

    async def remaining(self, site: Site, world: World) -> str:
        down = await world.programs.not_up(site.programs)
        return down or await world.links.not_whole(site.links)

    async def not_back(self, site: Site, world: World, busy: frozenset[str]) -> tuple[str, ...]:
        """Its Toxiproxy is the harness's: while it is not up, nothing is known of the node."""
        proxies = {world.topology.pod(node).programs[0] for node in site.targets}
        if await world.programs.not_up(sorted(proxies)):
            return ()
        down = await lost.not_up([name for name in site.programs if name not in proxies], world)
        return down or await lost.not_dialled(site.links, world, busy)

    def silences(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        return site.targets
