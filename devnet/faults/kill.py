from dataclasses import dataclass
from typing import ClassVar

from devnet.faults.base import Site
from devnet.faults.stopped import Stopped
from devnet.faults.surface import World


@dataclass(frozen=True, kw_only=True)
class Kill(Stopped):
    """SIGKILL to the programs of the node, all at once; its Toxiproxy, which stands for the host's
    address, lives on. Taken back by starting them again."""

    name: ClassVar = "kill"
    weight: ClassVar = 10

    async def inject(self, site: Site, world: World) -> None:
        await world.programs.kill(site.programs)

    async def take_back(self, site: Site, world: World) -> None:
        await world.programs.start(site.programs)
