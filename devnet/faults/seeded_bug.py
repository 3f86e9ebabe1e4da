from dataclasses import dataclass
from typing import ClassVar, Final

from devnet.bugs.names import IS_SEEDED, KNOWN, PREFIX, SHOWN, Bug, table
from devnet.faults import keys, lost
from devnet.faults.base import Fault, Plane, Sight, Site
from devnet.faults.surface import World
from devnet.faults.targets import misfit_of_program, possible
from devnet.model.terms import Target
from devnet.model.topology import Role, Topology

MODULE: Final = "devnet.bugs"


@dataclass(frozen=True, kw_only=True)
class SeededBug(Fault):
    """A node's program is stopped, and runs as one with a known bug: a control of the checkers, one
    of which has to say so (`expect.fails`; refused elsewhere). Nothing is forgiven the node
    meanwhile: it counts as honest, and as if nothing had been done to it. Taken back by starting
    the shipped program on the same store."""

    name: ClassVar = "seeded-bug"
    plane: ClassVar = Plane.PROCESSES
    proof: ClassVar = "the program runs, and has counted that the bug showed"
    more: ClassVar = table()
    seen_within_s: ClassVar = 30.0
    """It starts, and somebody asks what it answers wrongly."""
    healed_within_s: ClassVar = 60.0
    at_once: ClassVar = False
    weight: ClassVar = 0
    breaks: ClassVar = True

    bug: Bug = keys.choice(Bug, "which one, see below")
    target: Target = keys.target("whose program")

    def misfit(self, topology: Topology) -> str:
        for role in KNOWN[self.bug].roles:
            if complaint := misfit_of_program(self.target, role, topology):
                return complaint
        followers = set(possible(self.target, topology)) - set(topology.operator_names)
        if self.bug is Bug.LOST_TRANSACTIONS and followers:
            return f"target {self.target}: clients send to operators, and a follower has none"
        return ""

    def aim(self, sight: Sight) -> Site:
        found, roles = sight.resolve(self.target), KNOWN[self.bug].roles
        return Site(
            targets=found,
            programs=tuple(f"{node}.{role}" for node in found for role in roles),
        )

    async def inject(self, site: Site, world: World) -> None:
        await world.programs.stop(site.programs)
        for name in site.programs:
            flags = ("--bug", str(self.bug), "--role", name.partition(".")[2])
            await world.programs.start((name,), module=MODULE, flags=flags)

    async def take_back(self, site: Site, world: World) -> None:
        await world.programs.stop(site.programs)
        await world.programs.start(site.programs)

    async def missing(self, site: Site, world: World) -> str:
        if down := await world.programs.not_up(site.programs):
            return down
        shown = await self._counted(SHOWN, site, world)
        quiet = [node for node in site.targets if not shown.get(node)]
        return f"{', '.join(quiet)} has not shown {self.bug} yet" if quiet else ""

    async def remaining(self, site: Site, world: World) -> str:
        if down := await world.programs.not_up(site.programs):
            return down
        marks = await self._counted(IS_SEEDED, site, world)
        left = [node for node in site.targets if marks.get(node, 1.0)]
        return f"{', '.join(left)} still has {self.bug}, or does not answer" if left else ""

    async def not_back(self, site: Site, world: World, busy: frozenset[str]) -> tuple[str, ...]:
        return await lost.not_up(site.programs, world)

    async def _counted(self, name: str, site: Site, world: World) -> dict[str, float]:
        role = Role(KNOWN[self.bug].roles[0])
        labels = {"bug": str(self.bug)}
        return dict(await world.telling.counted(site.targets, PREFIX + name, labels, role=role))

    def disturbs(self, site: Site, operators: object) -> tuple[str, ...]:
        """Nobody: who is judged is the node as it is."""
        return ()

    def told(self, site: Site) -> str:
        return f"{', '.join(site.targets)}: {self.bug}"
