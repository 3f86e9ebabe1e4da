from dataclasses import dataclass
from typing import ClassVar

from devnet.faults import keys
from devnet.faults.base import Site
from devnet.faults.on_clocks import LEAST_OFF_S, OnClocks
from devnet.faults.surface import World
from devnet.model.terms import Duration


@dataclass(frozen=True, kw_only=True)
class ClockOffset(OnClocks):
    """The wall clock of the node is set: it is so much ahead or behind. Taken back by setting it
    right. Of a host all our programs find it so, and no others: Toxiproxy and etcd are Go programs,
    which ask the kernel for the time themselves, so that no preloaded library (libfaketime) reaches
    them; L1's clock stays right."""

    name: ClassVar = "clock-offset"

    ahead: Duration | None = keys.duration("in seconds; or `behind`", default=None)
    behind: Duration | None = keys.duration("in seconds; or `ahead`", default=None)

    def nonsense(self) -> str:
        given = [each for each in (self.ahead, self.behind) if each is not None]
        if len(given) != 1:
            return "give ahead or behind, one of them"
        if not _seconds(given[0]):
            return "give seconds, not slots, and not none"
        return f"at least {LEAST_OFF_S * 1000:g}ms" if _seconds(given[0]) < LEAST_OFF_S else ""

    @property
    def ahead_s(self) -> float:
        """Below 0: behind."""
        return _seconds(self.ahead) - _seconds(self.behind)

    async def inject(self, site: Site, world: World) -> None:
        await world.machines.change(site.programs, ahead_s=self.ahead_s)

    async def missing(self, site: Site, world: World) -> str:
        return await world.machines.not_telling(site.programs, ahead_s=self.ahead_s, drift=0.0)

    def told(self, site: Site) -> str:
        return f"{super().told(site)} by {self.ahead_s:+g} s"


def _seconds(given: Duration | None) -> float:
    return 0.0 if given is None or given.slots else given.seconds
