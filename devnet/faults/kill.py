from dataclasses import dataclass
from typing import ClassVar

from devnet.faults.base import Site
from devnet.faults.stopped import Stopped
from devnet.faults.surface import World


@dataclass(frozen=True, kw_only=True)
class Kill(Stopped):
    """SIGKILL to every role of the node at once; its Toxiproxy, which stands for the host's
    address, lives on. Taken back by starting the roles again."""

    name: ClassVar = "kill"

    async def inject(self, site: Site, world: World) -> None:
        await world.nodes.kill(site.targets)

    async def take_back(self, site: Site, world: World) -> None:
        await world.nodes.start(site.targets)
