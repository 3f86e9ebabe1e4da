from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

from devnet.faults import keys, lost
from devnet.faults.base import Fault, Plane, Sight, Site
from devnet.faults.dice import Dice
from devnet.faults.surface import World
from devnet.faults.targets import misfit_of_program
from devnet.model.terms import Target
from devnet.model.topology import Role, Topology
from dst.spec.drills import CRASH_EXIT_CODE, CRASH_POINTS, CRASH_VARIABLE
from dst.spec.errors import BadConfig

SCHEMA: Final[dict[str, Any]] = {"enum": list(CRASH_POINTS)}
MEANS: Final = "where: " + "; ".join(
    f"`{name}` ({point.role}: {point.means})" for name, point in CRASH_POINTS.items()
)


def read_point(value: object, where: str) -> str:
    """Raises: BadConfig."""
    if isinstance(value, str) and value in CRASH_POINTS:
        return value
    raise BadConfig(f"{where}: expected one of {', '.join(CRASH_POINTS)}; got {value!r}")


@dataclass(frozen=True, kw_only=True)
class Crash(Fault):
    """The program is killed and started to end at one very place of its own code, as if killed
    there. Taken back by starting it again: what it promised is on disk, or was never said (S12)."""

    name: ClassVar = "crash"
    plane: ClassVar = Plane.PROCESSES
    proof: ClassVar = "the backend reports the exit code that only this place has"
    at_once: ClassVar = False
    weight: ClassVar = 3
    seen_within_s: ClassVar = 45.0
    """It starts, catches up and takes part first."""
    healed_within_s: ClassVar = 60.0

    target: Target = keys.target("whose program")
    point: str = keys.key(read_point, SCHEMA, MEANS)
    count: int = keys.integer(1, 1000, "the time that it comes by at which it ends", default=1)

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        """One operator: more at once may leave no quorum to come by the place with."""
        return cls(target=dice.one_of(dice.operators), point=dice.one_of(list(CRASH_POINTS)))

    def misfit(self, topology: Topology) -> str:
        return misfit_of_program(self.target, self._role, topology)

    @property
    def _role(self) -> str:
        return CRASH_POINTS[self.point].role

    def _program(self, node: str) -> str:
        return f"{node}.{self._role}"

    def aim(self, sight: Sight) -> Site:
        found = sight.resolve(self.target)
        return Site(targets=found, programs=tuple(self._program(node) for node in found))

    async def inject(self, site: Site, world: World) -> None:
        await world.programs.kill(site.programs)
        await world.programs.start(
            site.programs,
            environment={CRASH_VARIABLE: f"{self.point}:{self.count}"},
            ends_with=CRASH_EXIT_CODE,
        )

    async def missing(self, site: Site, world: World) -> str:
        return await world.programs.not_ended_with(site.programs, CRASH_EXIT_CODE)

    async def take_back(self, site: Site, world: World) -> None:
        await world.programs.kill(site.programs)  # where it did not come to the place
        await world.programs.start(site.programs)

    async def remaining(self, site: Site, world: World) -> str:
        return await world.programs.not_up(site.programs)

    async def not_back(self, site: Site, world: World, busy: frozenset[str]) -> tuple[str, ...]:
        return await lost.not_up(site.programs, world)

    def silences(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        return () if self._role == Role.VALIDATOR else site.targets

    def told(self, site: Site) -> str:
        return f"{', '.join(site.programs)} at {self.point}"
