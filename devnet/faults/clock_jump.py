import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

from devnet.faults import keys
from devnet.faults.base import Site
from devnet.faults.on_clocks import LEAST_OFF_S, OnClocks
from devnet.faults.surface import CannotInject, World
from devnet.model.terms import Duration

LEAST_S: Final = 0.1
"""Each jump is seen at every program of the node before the next one."""


@dataclass(frozen=True, kw_only=True)
class ClockJump(OnClocks):
    """The wall clock of the node jumps ahead and back, over and over."""

    name: ClassVar = "clock-jump"
    repeats: ClassVar = True

    by: Duration = keys.duration("how far, in seconds", default=Duration(seconds=5.0))
    every: Duration = keys.duration(
        "from jump to jump, at least 100ms", default=Duration(seconds=1.0)
    )

    def nonsense(self) -> str:
        if self.by.slots or self.every.slots or not self.by.seconds:
            return "give seconds, not slots, and not none"
        if self.by.seconds < LEAST_OFF_S:
            return f"by: at least {LEAST_OFF_S * 1000:g}ms"
        return f"every: at least {LEAST_S:g} s" if self.every.seconds < LEAST_S else ""

    @property
    def period_s(self) -> float:
        return self.every.seconds

    async def inject(self, site: Site, world: World) -> None:
        await world.machines.change(site.programs, ahead_s=self.by.seconds)
        if complaint := await self._look(site, world, self.by.seconds):
            raise CannotInject(complaint)

    async def missing(self, site: Site, world: World) -> str:
        """It was seen ahead when it began; what comes after is `keep_up`'s."""
        return ""

    async def keep_up(self, site: Site, world: World, seen: Callable[[], None]) -> None:
        ahead = self.by.seconds
        while True:
            await asyncio.sleep(self.every.seconds)
            ahead = self.by.seconds - ahead
            await world.machines.change(site.programs, ahead_s=ahead)
            if complaint := await self._look(site, world, ahead):
                raise CannotInject(complaint)
            seen()

    async def _look(self, site: Site, world: World, ahead_s: float) -> str:
        return await world.machines.not_telling(site.programs, ahead_s=ahead_s, drift=0.0)

    def told(self, site: Site) -> str:
        return f"{super().told(site)} by {self.by.seconds:g} s every {self.every.seconds:g} s"
