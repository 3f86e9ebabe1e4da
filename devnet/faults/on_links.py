"""What faults on links have in common: which links, of whom."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from devnet.faults import keys
from devnet.faults.base import Fault, Plane, Sight, Site
from devnet.faults.surface import World
from devnet.faults.targets import misfit_of, possible
from devnet.faults.which import (
    MEANS,
    SCHEMA,
    Direction,
    Kind,
    around,
    matching,
    misfit_of_links,
    read_which,
)
from devnet.model.terms import Target
from devnet.model.topology import Topology
from dst.spec.errors import BadConfig


@dataclass(frozen=True, kw_only=True)
class OnLinks(Fault):
    plane: ClassVar = Plane.LINKS

    target: Target | None = keys.target("only its links", default=None)
    links: str = keys.key(read_which, SCHEMA, MEANS, default=Kind.CONSENSUS.value)
    direction: Direction = keys.choice(
        Direction,
        "seen from the target: `out` what it dials (others do not hear it), `in` what others dial",
        default=Direction.BOTH,
    )

    def nonsense(self) -> str:
        if self.direction is not Direction.BOTH and self.target is None:
            return f"direction {self.direction} needs a target, from which it is seen"
        return ""

    def misfit(self, topology: Topology) -> str:
        return misfit_of(self.target, topology) or misfit_of_links(
            topology, self.links, self.target, possible(self.target, topology)
        )

    def aim(self, sight: Sight) -> Site:
        links = matching(sight.topology, self.links)
        targets: tuple[str, ...] = ()
        if self.target is not None:
            targets = sight.resolve(self.target)
            links = tuple(
                dict.fromkeys(
                    link for node in targets for link in around(links, node, self.direction)
                )
            )
        if not links:
            raise BadConfig(f"{', '.join(targets)} has no {self.links} links")
        return Site(targets=targets, links=tuple(link.name for link in links))

    def told(self, site: Site) -> str:
        """`12 consensus links`, `consensus links of op3 (out)`."""
        of = f" of {', '.join(site.targets)}" if site.targets else ""
        way = f" ({self.direction})" if self.direction is not Direction.BOTH else ""
        return f"{len(site.links)} {self.links} links{of}{way}"


@dataclass(frozen=True, kw_only=True)
class Shaping(OnLinks):
    """Those that let everything through, otherwise: a toxic on both streams of each link."""

    proof: ClassVar = "the Toxiproxies list the toxic on both streams of every link"
    healed_within_s: ClassVar = 5.0
    toxic: ClassVar[str]
    """Its type at Toxiproxy."""

    def attributes(self) -> Mapping[str, int]:
        """Of the toxic."""
        raise NotImplementedError

    async def inject(self, site: Site, world: World) -> None:
        await world.links.shape(site.links, self.toxic, self.attributes())

    async def take_back(self, site: Site, world: World) -> None:
        await world.links.shape(site.links, self.toxic, None)

    async def missing(self, site: Site, world: World) -> str:
        return await world.links.not_shaped(site.links, self.toxic, self.attributes())

    async def remaining(self, site: Site, world: World) -> str:
        return await world.links.not_shaped(site.links, self.toxic, None)

    def claims(self, site: Site) -> frozenset[str]:
        return frozenset(f"{link} ({self.toxic})" for link in site.links)

    def told(self, site: Site) -> str:
        return f"{self.shape_told()} on {super().told(site)}"

    def shape_told(self) -> str:
        """`50 ms each way`."""
        raise NotImplementedError
