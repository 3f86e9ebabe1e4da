import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from devnet.faults import keys
from devnet.faults.base import Site
from devnet.faults.stopped import Stopped
from devnet.faults.surface import CannotInject, World
from devnet.model.terms import Duration


@dataclass(frozen=True, kw_only=True)
class Restarts(Stopped):
    """The programs of the node are killed and started, over and over, whether or not they came up
    in between."""

    name: ClassVar = "restarts"
    repeats: ClassVar = True
    proof: ClassVar = (
        "the backend reports every program ended after each kill; the receipt counts them"
    )

    every: Duration = keys.duration("from kill to kill", default=Duration(seconds=4.0))
    down: Duration = keys.duration("how long they stay down", default=Duration(seconds=0.5))

    def nonsense(self) -> str:
        short = self.every.seconds <= self.down.seconds
        return "every must be longer than down" if short else ""

    @property
    def period_s(self) -> float:
        return self.every.seconds

    async def inject(self, site: Site, world: World) -> None:
        await world.programs.kill(site.programs)

    async def missing(self, site: Site, world: World) -> str:
        """It is seen to end first; what comes after is `keep_up`'s."""
        return ""

    async def keep_up(self, site: Site, world: World, seen: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(self.down.seconds)
            await world.programs.start(site.programs)
            await asyncio.sleep(self.every.seconds - self.down.seconds)
            await world.programs.kill(site.programs)
            if complaint := await world.programs.not_down(site.programs):
                raise CannotInject(complaint)
            seen()

    async def take_back(self, site: Site, world: World) -> None:
        await world.programs.start(site.programs)

    def told(self, site: Site) -> str:
        return f"{super().told(site)} every {self.every.seconds:g} s"
