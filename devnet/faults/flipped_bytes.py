from dataclasses import dataclass
from typing import ClassVar, Final

from devnet.faults import lost
from devnet.faults.base import Site
from devnet.faults.restored import Restored
from devnet.faults.stopped import Part
from devnet.faults.surface import World
from devnet.model.topology import Topology

REFUSED: Final = 2
"""Exit code of a role that finds its configuration or its store wrong."""


@dataclass(frozen=True, kw_only=True)
class FlippedBytes(Restored):
    """The programs are killed, a bit is flipped in each half KiB of what they keep, and they are
    started: they must notice and say so, and serve none of it. Taken back by starting them on
    nothing, middleware and validator with `--rejoin`. Not of the execution layer, whose store has
    no checksums."""

    name: ClassVar = "flipped-bytes"
    proof: ClassVar = "the programs end with the exit code of those that refuse their store"
    seen_within_s: ClassVar = 20.0

    def misfit(self, topology: Topology) -> str:
        if self.role in (Part.ALL, Part.EXECUTION):
            return "the store of the execution layer has no checksums: it notices a part of it"
        return super().misfit(topology)

    async def inject(self, site: Site, world: World) -> None:
        await world.programs.kill(site.programs)
        await world.stores.flip(site.programs)
        await world.programs.start(site.programs, ends_with=REFUSED)

    async def missing(self, site: Site, world: World) -> str:
        return await world.programs.not_ended_with(site.programs, REFUSED)

    async def unmoved(self, site: Site, world: World) -> tuple[str, ...]:
        """Who serves on what was damaged. One that is slow to start serves nothing yet."""
        up = [name for name in site.programs if not await world.programs.not_up((name,))]
        return lost.nodes_of(up)

    async def take_back(self, site: Site, world: World) -> None:
        await world.programs.kill(site.programs)  # where it was not noticed
        await world.stores.lose(site.programs)
        await super().take_back(site, world)
