from dataclasses import dataclass
from typing import ClassVar

from devnet.faults.base import Site
from devnet.faults.stopped import Stopped
from devnet.faults.surface import World


@dataclass(frozen=True, kw_only=True)
class Freeze(Stopped):
    """The programs of the node stand still as after SIGSTOP: the kernel goes on accepting
    connections. Taken back by letting them run on."""

    name: ClassVar = "freeze"
    weight: ClassVar = 6

    async def inject(self, site: Site, world: World) -> None:
        await world.programs.freeze(site.programs)

    async def take_back(self, site: Site, world: World) -> None:
        await world.programs.thaw(site.programs)
