from dataclasses import dataclass
from typing import ClassVar

from devnet.faults.base import Site
from devnet.faults.stopped import Stopped
from devnet.faults.surface import World


@dataclass(frozen=True, kw_only=True)
class Stop(Stopped):
    """SIGTERM to the programs of the node, as in a planned restart; one that does not end within
    ten seconds is an error. Taken back by starting them again."""

    name: ClassVar = "stop"

    async def inject(self, site: Site, world: World) -> None:
        await world.programs.stop(site.programs)

    async def take_back(self, site: Site, world: World) -> None:
        await world.programs.start(site.programs)
