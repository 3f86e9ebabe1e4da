from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from devnet.faults import keys, lost
from devnet.faults.base import Site
from devnet.faults.stopped import Stopped
from devnet.faults.surface import World
from devnet.model.means import Means


@dataclass(frozen=True, kw_only=True)
class CpuStarved(Stopped):
    """Each of the programs gets so much of a processor and no more, as on a host with too many
    neighbours: all it does comes late, and what has its time may be over by then. Who is starved
    may vote or not; others do not wait for it. On processes where the kernel has control groups
    that we may write, which mostly takes root."""

    name: ClassVar = "cpu-starved"
    needs: ClassVar = frozenset({Means.CPU_QUOTA})
    weight: ClassVar = 0
    """Not every machine can, and a schedule is one for all."""
    proof: ClassVar = (
        "the kernel holds every program to its share, and counts the time that those of each node"
        " had to wait for it: more within each 5 s"
    )
    seen_within_s: ClassVar = 10.0

    percent: int = keys.integer(1, 90, "of one processor, each program", default=1)

    async def inject(self, site: Site, world: World) -> None:
        await world.programs.hold_cpu(site.programs, self.percent)

    async def missing(self, site: Site, world: World) -> str:
        return await world.programs.not_held(site.programs, self.percent)

    async def take_back(self, site: Site, world: World) -> None:
        await world.programs.hold_cpu(site.programs, None)

    async def remaining(self, site: Site, world: World) -> str:
        held = await world.programs.not_free(site.programs)
        return held or await world.programs.not_up(site.programs)

    async def not_back(self, site: Site, world: World, busy: frozenset[str]) -> tuple[str, ...]:
        if await world.programs.not_free(site.programs):
            return ()
        return await lost.not_up(site.programs, world)

    def claims(self, site: Site) -> frozenset[str]:
        """One that is killed and started meanwhile is held as before."""
        return frozenset(f"{program} (cpu)" for program in site.programs)

    def silences(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        return ()

    def told(self, site: Site) -> str:
        return f"{super().told(site)} to {self.percent} %"
