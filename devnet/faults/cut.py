from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from devnet.faults import keys
from devnet.faults.base import Site
from devnet.faults.connectivity import components, silenced
from devnet.faults.on_links import OnLinks
from devnet.faults.surface import World
from devnet.model.cut import CutMode


@dataclass(frozen=True, kw_only=True)
class Cut(OnLinks):
    """Links cut: of a class, of one node, in one direction, or by name."""

    name: ClassVar = "cut"
    proof: ClassVar = (
        "every consensus link is reported down by the end that dials it; of other links the"
        " Toxiproxies report the state of the cut"
    )
    seen_within_s: ClassVar = 10.0
    """Silent cuts (hold, blackhole) end a link only after three seconds of missed pings."""

    mode: CutMode = keys.choice(CutMode, "how the cut looks", default=CutMode.DROP)

    async def inject(self, site: Site, world: World) -> None:
        await world.links.cut(site.links, self.mode)

    async def take_back(self, site: Site, world: World) -> None:
        await world.links.heal(site.links, self.mode)

    async def missing(self, site: Site, world: World) -> str:
        return await world.links.not_cut(site.links, self.mode)

    async def remaining(self, site: Site, world: World) -> str:
        return await world.links.not_whole(site.links)

    def silences(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        return silenced(site.links, operators)

    def disturbs(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*site.targets, *self.silences(site, operators))))

    def components(self, site: Site, operators: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        return components(site.links, operators)

    def told(self, site: Site) -> str:
        return f"{super().told(site)}, {self.mode}"
