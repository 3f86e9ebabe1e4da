"""What faults that cut links have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from devnet.faults import keys, lost
from devnet.faults.base import Fault, Plane, Site
from devnet.faults.connectivity import components, silenced, without_quorum
from devnet.faults.surface import World
from devnet.model.cut import CutMode
from devnet.model.topology import LinkClass


@dataclass(frozen=True, kw_only=True)
class CutLinks(Fault):
    plane: ClassVar = Plane.LINKS
    proof: ClassVar = "every cut link is reported down by the end that dials it"
    seen_within_s: ClassVar = 10.0
    """Silent cuts (hold, blackhole) end a link only after three seconds of missed pings."""

    mode: CutMode = keys.choice(
        CutMode,
        "how the cut looks to both ends (scenarios.md): `drop`, `hold`, `refuse`, `blackhole`",
        default=CutMode.DROP,
    )

    async def inject(self, site: Site, world: World) -> None:
        await site.felt.note(others_of(site, world), world)
        await world.links.cut(site.links, self.mode)

    async def take_back(self, site: Site, world: World) -> None:
        await world.links.heal(site.links, self.mode)

    async def missing(self, site: Site, world: World) -> str:
        return await world.links.not_cut(site.links, self.mode) or await answered(site, world)

    def witness(self, site: Site) -> str:
        return site.felt.words

    async def remaining(self, site: Site, world: World) -> str:
        return await world.links.not_whole(site.links)

    async def not_back(self, site: Site, world: World, busy: frozenset[str]) -> tuple[str, ...]:
        return await lost.not_dialled(site.links, world, busy)

    def silences(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        return silenced(site.links, operators)

    def components(self, site: Site, operators: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        return components(site.links, operators)

    def cuts(self, site: Site) -> tuple[str, ...]:
        return site.links


def others_of(site: Site, world: World) -> tuple[str, ...]:
    """Links that are no consensus links."""
    known = {link.name for link in world.topology.consensus_links}
    return tuple(link for link in site.links if link not in known)


async def answered(site: Site, world: World) -> str:
    """A look: of links that are no consensus links, those over which calls are answered. Only L1 is
    asked all the time: there somebody must miss it."""
    others = others_of(site, world)
    kinds = {link: world.topology.link(link).kind for link in others}
    must = [link for link, kind in kinds.items() if kind is LinkClass.L1]
    return await site.felt.not_silent(others, world, must=must) if others else ""


@dataclass(frozen=True, kw_only=True)
class Parted(CutLinks):
    """Those that part operators into groups; an operator may be in two."""

    def silences(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        return without_quorum(site.groups, operators) if site.groups else ()

    def components(self, site: Site, operators: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        return site.groups
