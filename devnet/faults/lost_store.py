from dataclasses import dataclass
from typing import ClassVar

from devnet.faults.base import Site
from devnet.faults.restored import Restored
from devnet.faults.surface import World


@dataclass(frozen=True, kw_only=True)
class LostStore(Restored):
    """The programs are killed, and what they kept is gone, as with a new disk. Taken back by
    starting them on nothing: middleware and validator with `--rejoin`, which vote and sign only
    above all that they can have promised before (S12); the others are refilled."""

    name: ClassVar = "lost-store"
    proof: ClassVar = "the programs do not run, and their folders hold nothing"

    async def inject(self, site: Site, world: World) -> None:
        await world.programs.kill(site.programs)
        await world.stores.lose(site.programs)

    async def missing(self, site: Site, world: World) -> str:
        return await super().missing(site, world) or await world.stores.not_lost(site.programs)
