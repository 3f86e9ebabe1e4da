from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

from devnet.faults import keys
from devnet.faults.base import Site
from devnet.faults.on_disks import OnDisks
from devnet.faults.surface import World
from devnet.model.terms import Duration, Target

LEAST_S: Final = 0.05
"""Less is what a disk takes by itself."""
MOST_S: Final = 10.0
"""A slow flush is seen when it is over."""


class Flushing(StrEnum):
    """Those that flush each commit, and tell how long it took."""

    EXECUTION = "execution"
    MIDDLEWARE = "middleware"


@dataclass(frozen=True, kw_only=True)
class SlowFsync(OnDisks):
    """Each flush to disk takes so much longer, in the program that waits for it. An operator that
    persists before it sends votes late; where that is after the round's end, others go on without
    it."""

    name: ClassVar = "slow-fsync"
    proof: ClassVar = "the program tells how long its last flush took, one after the fault began"
    seen_within_s: ClassVar = 15.0

    target: Target = keys.target("the node")
    role: Flushing = keys.choice(Flushing, "whose disk", default=Flushing.MIDDLEWARE)
    by: Duration = keys.duration("in seconds, at most 10", default=Duration(seconds=0.2))

    def nonsense(self) -> str:
        if not self.by.seconds or self.by.slots:
            return "by: give seconds, not slots, and not none"
        if self.by.seconds < LEAST_S:
            return f"by: at least {LEAST_S * 1000:g}ms"
        return f"by: at most {MOST_S:g} s" if self.by.seconds > MOST_S else ""

    def whose(self) -> tuple[Target, str]:
        return self.target, self.role

    async def inject(self, site: Site, world: World) -> None:
        await world.machines.change(site.programs, flush_s=self.by.seconds)

    async def missing(self, site: Site, world: World) -> str:
        return await world.machines.not_slow(site.programs, self.by.seconds)

    async def take_back(self, site: Site, world: World) -> None:
        await world.machines.change(site.programs, flush_s=0.0)

    async def remaining(self, site: Site, world: World) -> str:
        return await world.machines.not_quick(site.programs, self.by.seconds)

    def told(self, site: Site) -> str:
        return f"{super().told(site)} by {self.by.seconds:g} s"
