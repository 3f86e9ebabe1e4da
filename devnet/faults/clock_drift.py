import time
from dataclasses import dataclass
from typing import ClassVar, Final

from devnet.faults import keys
from devnet.faults.base import Site
from devnet.faults.on_clocks import OnClocks
from devnet.faults.surface import World

MILLION: Final = 1_000_000


@dataclass(frozen=True, kw_only=True)
class ClockDrift(OnClocks):
    """The wall clock of the node goes too fast or too slow, from the right time on. Taken back by
    setting it right, at its right speed."""

    name: ClassVar = "clock-drift"

    ppm: int = keys.integer(
        -500_000, 500_000, "microseconds that it gains in a second; below 0: loses"
    )

    def nonsense(self) -> str:
        return "" if self.ppm else "ppm: 0 is no drift"

    async def inject(self, site: Site, world: World) -> None:
        await world.machines.change(site.programs, drift=self.ppm / MILLION, since=time.time())

    async def missing(self, site: Site, world: World) -> str:
        return await world.machines.not_telling(
            site.programs, ahead_s=0.0, drift=self.ppm / MILLION
        )

    def told(self, site: Site) -> str:
        return f"{super().told(site)} by {self.ppm:+} ppm"
