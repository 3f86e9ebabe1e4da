"""What faults on programs have in common: they are stopped, and later run again."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final, Self

from devnet.faults import keys, lost
from devnet.faults.base import Fault, Plane, Sight, Site
from devnet.faults.dice import Dice
from devnet.faults.surface import World
from devnet.faults.targets import misfit_of, possible
from devnet.model.terms import Target
from devnet.model.topology import Topology


class Part(StrEnum):
    """What of a node."""

    ALL = "all"
    EXECUTION = "execution"
    ROLLUP = "rollup"
    MIDDLEWARE = "middleware"
    VALIDATOR = "validator"


_CHAIN: Final = (Part.EXECUTION, Part.ROLLUP)
"""Who of them keep blocks."""


@dataclass(frozen=True, kw_only=True)
class Stopped(Fault):
    loses: ClassVar[bool] = False
    """Of what they keep."""
    plane: ClassVar = Plane.PROCESSES
    proof: ClassVar = "the backend reports every program ended or stopped, and none of them answers"
    healed_within_s: ClassVar = 60.0
    """Sixteen Python programs that start at once need about ten seconds on two cores."""

    target: Target = keys.target("the node")
    role: Part = keys.choice(
        Part,
        "`all` of its programs, or one: `execution`, `rollup`, `middleware`, `validator` (of a "
        "follower the first two); never its Toxiproxy",
        default=Part.ALL,
    )

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        """Half of the time one of its programs alone."""
        parts = [Part.ALL] * (len(Part) - 1) + [part for part in Part if part is not Part.ALL]
        return cls(target=dice.victims(), role=dice.one_of(parts))

    def misfit(self, topology: Topology) -> str:
        if complaint := misfit_of(self.target, topology):
            return complaint
        without = [n for n in possible(self.target, topology) if not self._programs(topology, n)]
        return f"{', '.join(without)} has no {self.role}" if without else ""

    def _programs(self, topology: Topology, node: str) -> tuple[str, ...]:
        names = topology.pod(node).programs[1:]
        return (
            names
            if self.role is Part.ALL
            else tuple(name for name in names if name == f"{node}.{self.role}")
        )

    def aim(self, sight: Sight) -> Site:
        found = sight.resolve(self.target)
        programs = (name for node in found for name in self._programs(sight.topology, node))
        return Site(targets=found, programs=tuple(programs))

    async def missing(self, site: Site, world: World) -> str:
        return await world.programs.not_down(site.programs)

    async def remaining(self, site: Site, world: World) -> str:
        return await world.programs.not_up(site.programs)

    async def not_back(self, site: Site, world: World, busy: frozenset[str]) -> tuple[str, ...]:
        return await lost.not_up(site.programs, world)

    def silences(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        """Without its validator alone an operator votes on, and signs nothing."""
        return () if self.role is Part.VALIDATOR else site.targets

    def forgets(self, site: Site) -> tuple[str, ...]:
        split = (name.partition(".") for name in site.programs if self.loses)
        return tuple(dict.fromkeys(node for node, _, role in split if role in _CHAIN))

    def told(self, site: Site) -> str:
        return ", ".join(site.targets if self.role is Part.ALL else site.programs)
