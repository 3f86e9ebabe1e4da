import asyncio
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

from devnet.faults import keys, lost
from devnet.faults.base import Site
from devnet.faults.restored import Restored
from devnet.faults.surface import NotBack, World
from devnet.model.terms import Duration

UP_POLL_SECONDS: Final = 0.2


class Rejoin(StrEnum):
    """What the operator does that brings the copy."""

    ASKED = "asked"
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, kw_only=True)
class OldCopy(Restored):
    """A backup is made (the programs stop for it, and go on), and later what they keep is replaced
    by it: votes and signatures given since are forgotten. Taken back by starting them on it:
    middleware and validator with `--rejoin`, so that none of these is given again for another block
    (S12). Where the operator forgets it, the middleware finds out by the first certificate that
    holds a vote which its log does not, and rejoins by itself; until then it counts as one of the
    f. The validator may sign again what it has signed, the same."""

    name: ClassVar = "old-copy"
    at_once: ClassVar = False
    proof: ClassVar = "the programs do not run, and their files are those of the copy"

    age: Duration = keys.duration("of the copy, in seconds", default=Duration(seconds=8.0))

    rejoin: Rejoin = keys.choice(
        Rejoin,
        "`forgotten`: started on the copy as if nothing had happened",
        default=Rejoin.ASKED,
    )

    def nonsense(self) -> str:
        whole = self.age.seconds and not self.age.slots
        return "" if whole else "age: give seconds, not slots, and not none"

    async def inject(self, site: Site, world: World) -> None:
        await world.programs.stop(site.programs)
        await world.stores.copy(site.programs)
        await world.programs.start(site.programs)
        await self._until_up(site, world)
        await asyncio.sleep(self.age.seconds)
        await world.programs.kill(site.programs)
        await world.stores.bring_copy(site.programs)

    async def _until_up(self, site: Site, world: World) -> None:
        deadline = time.monotonic() + self.healed_within_s
        while complaint := await world.programs.not_up(site.programs):
            if time.monotonic() > deadline:
                away = await lost.not_up(site.programs, world)
                raise NotBack(f"after the copy was made: {complaint}", nodes=away)
            await asyncio.sleep(UP_POLL_SECONDS)

    async def take_back(self, site: Site, world: World) -> None:
        await world.programs.kill(site.programs)  # broken off while the copy aged, they run
        if self.rejoin is Rejoin.ASKED:
            await super().take_back(site, world)
        else:
            await world.programs.start(site.programs)

    async def missing(self, site: Site, world: World) -> str:
        return await super().missing(site, world) or await world.stores.not_copy(site.programs)
