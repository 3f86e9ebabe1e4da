"""What faults on stores have in common: programs end, something happens to what they keep, and they
are started again as their operator would."""

from dataclasses import dataclass
from typing import ClassVar, Final

from devnet.faults import keys
from devnet.faults.base import Plane, Site
from devnet.faults.stopped import Part, Stopped
from devnet.faults.surface import World
from devnet.faults.targets import how_many, possible
from devnet.model.topology import Role, Topology

VOTING: Final = (Role.MIDDLEWARE, Role.VALIDATOR)
"""Their stores hold what they promised: without it they start with `--rejoin` alone."""
REJOIN: Final = "--rejoin"


@dataclass(frozen=True, kw_only=True)
class Restored(Stopped):
    """The store is not what it was: who votes by it is started with `--rejoin`."""

    plane: ClassVar = Plane.STORAGE
    loses: ClassVar = True
    weight: ClassVar = 0
    """Who rejoins takes part again after two heights of the others: schedules do not wait for
    that, and with the next operator away there would be none."""

    role: Part = keys.choice(Part, "`all` of its programs, or one", default=Part.MIDDLEWARE)

    def misfit(self, topology: Topology) -> str:
        if complaint := super().misfit(topology):
            return complaint
        votes = self.role in (Part.ALL, Part.MIDDLEWARE)
        operators = set(possible(self.target, topology)) & set(topology.operator_names)
        if not votes or not operators:
            return ""
        if len(topology.operator_names) == 1:
            return "a single operator has nobody to rejoin: bring its store back"
        if how_many(self.target, topology) == len(topology.operator_names):
            return "who rejoins asks the others how far they are, and none would be left to say"
        return ""

    def doubtful(self, site: Site) -> tuple[str, ...]:
        """A quorum is made of what middlewares promised."""
        voting = (name.partition(".") for name in site.programs)
        return tuple(node for node, _, role in voting if role == Role.MIDDLEWARE)

    async def take_back(self, site: Site, world: World) -> None:
        voting = [name for name in site.programs if name.partition(".")[2] in VOTING]
        others = [name for name in site.programs if name not in voting]
        await world.programs.start(others)
        await world.programs.start(voting, flags=(REJOIN,))
