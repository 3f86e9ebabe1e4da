import time
from dataclasses import dataclass
from typing import ClassVar, Final

from devnet.faults import keys
from devnet.faults.base import Site
from devnet.faults.on_clocks import OnClocks
from devnet.faults.surface import World

MILLION: Final = 1_000_000
LEAST_PPM: Final = 1000
"""A tenth of a second after 100: what is told from a right clock is there after 20, more or
less."""


@dataclass(frozen=True, kw_only=True)
class ClockDrift(OnClocks):
    """The wall clock of the node goes too fast or too slow, from the right time on. Taken back by
    setting it right, at its right speed."""

    name: ClassVar = "clock-drift"
    seen_within_s: ClassVar = 60.0

    ppm: int = keys.integer(
        -500_000, 500_000, "microseconds that it gains in a second; below 0: loses"
    )

    def nonsense(self) -> str:
        if abs(self.ppm) >= LEAST_PPM:
            return ""
        return f"ppm: {LEAST_PPM} at least, fast or slow: less is not seen within a minute"

    async def inject(self, site: Site, world: World) -> None:
        await world.machines.change(site.programs, drift=self.ppm / MILLION, since=time.time())

    async def missing(self, site: Site, world: World) -> str:
        return await world.machines.not_telling(
            site.programs, ahead_s=0.0, drift=self.ppm / MILLION
        )

    def told(self, site: Site) -> str:
        return f"{super().told(site)} by {self.ppm:+} ppm"
