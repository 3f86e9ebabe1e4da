from dataclasses import dataclass
from typing import ClassVar

from devnet.faults.base import Plane, Site
from devnet.faults.stopped import Stopped
from devnet.faults.surface import World


@dataclass(frozen=True, kw_only=True)
class PowerLoss(Stopped):
    """The programs are killed, and what they had not flushed to disk is gone: of the rollup node
    what it wrote since its last checkpoint, of the execution layer its last commit, of middleware
    and validator nothing, for they flush before they promise. Taken back by starting them again,
    as ever: what is missing is refilled, and no promise is forgotten (S12)."""

    name: ClassVar = "power-loss"
    plane: ClassVar = Plane.STORAGE
    loses: ClassVar = True
    proof: ClassVar = "the programs do not run, and their files are as the loss left them"

    async def inject(self, site: Site, world: World) -> None:
        await world.programs.kill(site.programs)
        await world.stores.lose_unsynced(site.programs)

    async def missing(self, site: Site, world: World) -> str:
        return await super().missing(site, world) or await world.stores.not_touched(site.programs)

    async def take_back(self, site: Site, world: World) -> None:
        await world.programs.start(site.programs)
