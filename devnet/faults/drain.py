import asyncio
from dataclasses import dataclass
from typing import ClassVar, Final

from devnet.faults.base import Site
from devnet.faults.stop import Stop
from devnet.faults.surface import World
from devnet.faults.targets import misfit_of_program
from devnet.model.topology import Role, Topology

FIRST: Final = (Role.EXECUTION, Role.ROLLUP)
LOOK_S: Final = 0.2
LOOKS: Final = 150


@dataclass(frozen=True, kw_only=True)
class Drain(Stop):
    """An operator is stopped as its people should do it: it is told to leave (`dst drain`),
    finishes what it is proposing and passes on what it would lead next; then SIGTERM. It is not
    stopped where the others alone are no quorum, or where it leads for 20 s. Taken back by starting
    execution layer and rollup node, and the others once these serve: from the moment that its
    middleware is heard, its peers wait for it where it leads."""

    name: ClassVar = "drain"
    weight: ClassVar = 0
    """Beside another fault the others may be no quorum."""
    proof: ClassVar = (
        "its middleware says that it leads nothing and that the others are a quorum; then the"
        " backend reports every program ended, and none of them answers"
    )

    def misfit(self, topology: Topology) -> str:
        return super().misfit(topology) or misfit_of_program(self.target, Role.MIDDLEWARE, topology)

    async def inject(self, site: Site, world: World) -> None:
        await world.programs.hand_over(site.targets)
        await super().inject(site, world)

    async def take_back(self, site: Site, world: World) -> None:
        first = [name for name in site.programs if name.partition(".")[2] in FIRST]
        await world.programs.start(first)
        for _ in range(LOOKS):  # in vain: the look after the heal says so
            if not await world.programs.not_up(first):
                break
            await asyncio.sleep(LOOK_S)
        await world.programs.start([name for name in site.programs if name not in first])
