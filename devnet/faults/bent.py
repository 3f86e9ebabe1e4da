"""What faults that bend answers have in common: a program between a link's Toxiproxy and the
service, and a victim that says what became of it."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

from devnet.faults import keys
from devnet.faults.base import Fault, Plane, Sight, Site
from devnet.faults.surface import World
from devnet.faults.targets import misfit_of, possible
from devnet.model.bend import Bend
from devnet.model.terms import Target
from devnet.model.topology import Topology


@dataclass(frozen=True, kw_only=True)
class Bent(Fault):
    plane: ClassVar = Plane.DEPENDENCIES
    seen_within_s: ClassVar = 20.0
    """The bender starts, and the victim asks a few times before it says what is wrong."""
    healed_within_s: ClassVar = 30.0

    target: Target = keys.target("whose answers are bent; nobody else's are")

    @abstractmethod
    def bends(self) -> tuple[Bend, ...]: ...

    @abstractmethod
    def links_of(self, topology: Topology, node: str) -> tuple[str, ...]:
        """On which its answers come."""

    @abstractmethod
    async def unfelt(self, site: Site, world: World) -> str:
        """A look at the victims: who does not say that it gets such answers."""

    @abstractmethod
    async def felt(self, site: Site, world: World) -> str:
        """A look at the victims after the heal: who still says so."""

    def misfit(self, topology: Topology) -> str:
        if complaint := misfit_of(self.target, topology):
            return complaint
        nodes = possible(self.target, topology)
        without = [node for node in nodes if not self.links_of(topology, node)]
        return f"{', '.join(without)} asks for no such answers" if without else ""

    def aim(self, sight: Sight) -> Site:
        targets = sight.resolve(self.target)
        links = (link for node in targets for link in self.links_of(sight.topology, node))
        return Site(targets=targets, links=tuple(links))

    async def inject(self, site: Site, world: World) -> None:
        await world.bends.bend(site.links, self.bends())

    async def take_back(self, site: Site, world: World) -> None:
        await world.bends.straighten(site.links)

    async def missing(self, site: Site, world: World) -> str:
        return await world.bends.not_bent(site.links) or await self.unfelt(site, world)

    async def remaining(self, site: Site, world: World) -> str:
        return await world.bends.not_straight(site.links) or await self.felt(site, world)

    async def not_back(self, site: Site, world: World, busy: frozenset[str]) -> tuple[str, ...]:
        if await world.bends.not_straight(site.links):
            return ()
        alone = (replace(site, targets=(node,)) for node in site.targets)
        told = {one.targets[0]: await self.felt(one, world) for one in alone}
        silent = await unheard(site, world)
        return tuple(node for node, words in told.items() if words and node not in silent)

    def claims(self, site: Site) -> frozenset[str]:
        return frozenset(f"{link} (answers)" for link in site.links)


def present(topology: Topology, *names: str) -> tuple[str, ...]:
    """Those of the links that this network has."""
    known = {link.name for link in topology.links}
    return tuple(name for name in names if name in known)


async def lacking(site: Site, world: World, words: str) -> str:
    """Who does not say that it waits for something like that."""
    told = {node: await world.telling.waits_for(node) or () for node in site.targets}
    silent = [node for node, lines in told.items() if not any(words in line for line in lines)]
    return f"{', '.join(silent)} waits for no '{words}'" if silent else ""


async def waiting(site: Site, world: World, words: str) -> str:
    """Who says that it waits for something like that, and who says nothing at all: silence is no
    word of a node that is whole."""
    told = {node: await world.telling.waits_for(node) for node in site.targets}
    found = [f"{n}: {line}" for n, lines in told.items() for line in lines or () if words in line]
    silent = [node for node, lines in told.items() if lines is None]
    return "; ".join([*found, *([f"no answer from {', '.join(silent)}"] if silent else [])])


async def unheard(site: Site, world: World) -> frozenset[str]:
    """Who does not say what it waits for."""
    told = {node: await world.telling.waits_for(node) for node in site.targets}
    return frozenset(node for node, lines in told.items() if lines is None)
