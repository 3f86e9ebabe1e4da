from dataclasses import dataclass
from typing import ClassVar, Final, Self

from devnet.faults.base import Plane, Site
from devnet.faults.dice import Dice
from devnet.faults.stopped import Part, Stopped
from devnet.faults.surface import World
from devnet.model.topology import Topology

LOSING: Final = (Part.ALL, Part.EXECUTION, Part.ROLLUP)
"""Of the others nothing would be lost, whatever they had flushed: what they hold back from the disk
by mistake is not known from outside."""


@dataclass(frozen=True, kw_only=True)
class PowerLoss(Stopped):
    """The programs are killed, and what they had not flushed to disk is gone: of the rollup node
    what it wrote since its last checkpoint, of the execution layer its last commit, of middleware
    and validator nothing, for they flush before they promise: alone they are refused here. Taken
    back by starting them again, as ever: what is missing is refilled, and no promise is forgotten
    (S12)."""

    name: ClassVar = "power-loss"
    plane: ClassVar = Plane.STORAGE
    loses: ClassVar = True
    proof: ClassVar = (
        "the programs do not run, something was lost, and their files are as the loss left them"
    )

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        """Half of the time one of its programs alone."""
        return cls(target=dice.victims(), role=dice.one_of([Part.ALL, *LOSING]))

    def misfit(self, topology: Topology) -> str:
        if self.role not in LOSING:
            return f"{self.role} flushes before it promises, and would lose nothing: give `kill`"
        return super().misfit(topology)

    async def inject(self, site: Site, world: World) -> None:
        await world.programs.kill(site.programs)
        await world.stores.lose_unsynced(site.programs)

    async def missing(self, site: Site, world: World) -> str:
        return await super().missing(site, world) or await world.stores.not_touched(site.programs)

    async def take_back(self, site: Site, world: World) -> None:
        await world.programs.start(site.programs)
