"""What faults on clocks have in common: whose, and who tells the time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from devnet.faults import keys
from devnet.faults.base import Fault, Plane, Sight, Site
from devnet.faults.surface import World
from devnet.faults.targets import misfit_of
from devnet.model.terms import Target
from devnet.model.topology import Topology

LEAST_OFF_S: Final = 0.1
"""By how much a clock is set off at least: less is not told from the time that an answer takes."""


@dataclass(frozen=True, kw_only=True)
class OnClocks(Fault):
    """One wall clock for all programs of a host; L1's and the harness's own stay right. Whatever
    it shows, safety holds (S1, S12): no vote depends on it. An operator whose clock is off by
    more than half a slot may miss its turn, and others then change the round."""

    plane: ClassVar = Plane.CLOCKS
    proof: ClassVar = (
        "execution layer, rollup node and middleware, each of them, tell the time that was set, to"
        " the hundredth of a second, and no right clock would tell it; the validator, which listens"
        " nowhere, reads the same file"
    )

    target: Target = keys.target("whose clock")

    def misfit(self, topology: Topology) -> str:
        return misfit_of(self.target, topology)

    def aim(self, sight: Sight) -> Site:
        found = sight.resolve(self.target)
        programs = (name for node in found for name in sight.topology.pod(node).programs[1:])
        return Site(targets=found, programs=tuple(programs))

    def silences(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        """It goes on taking decisions, and votes where the slot is not in doubt."""
        return ()

    async def take_back(self, site: Site, world: World) -> None:
        await world.machines.change(site.programs, ahead_s=0.0, drift=0.0, since=0.0)

    async def remaining(self, site: Site, world: World) -> str:
        return await world.machines.not_telling(site.programs, ahead_s=0.0, drift=0.0)

    def claims(self, site: Site) -> frozenset[str]:
        return frozenset(f"{node} (clock)" for node in site.targets)
