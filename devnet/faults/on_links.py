"""What faults on links have in common: which links, of whom."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from devnet.faults import keys
from devnet.faults.base import Fault, Plane, Sight, Site
from devnet.faults.dice import Dice
from devnet.faults.felt import LIST_ALONE
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
from devnet.model.shape import Shape, Streams
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


def ends_of(links: Iterable[str], operators: Sequence[str]) -> tuple[str, ...]:
    """Operators at either end: of `op1>op2.consensus`, `op1.rollup>op1.engine`."""
    touched = {end.partition(".")[0] for link in links for end in link.split(">")}
    return tuple(name for name in operators if name in touched)


def consensus_of(site: Site, world: World) -> tuple[str, ...]:
    """Those of its links whose ends tell how they are."""
    known = {link.name for link in world.topology.consensus_links}
    return tuple(link for link in site.links if link in known)


WINDOW_S: Final = 10.0
"""Whoever dials again waits half a second at most, and three for an answer that does not come."""
SPARING: Final = (0.25, 0.5, 0.75)
"""Toxicities that random schedules draw."""


@dataclass(frozen=True, kw_only=True)
class Shaping(OnLinks):
    """A toxic on one stream, or one on each, of every link."""

    listed: ClassVar = "the Toxiproxies list the toxic on every link, on each stream asked for"
    proof: ClassVar = f"{listed}; nobody else tells of it"
    healed_within_s: ClassVar = 5.0
    toxic: ClassVar[str]
    """Its type at Toxiproxy."""

    stream: Streams = keys.choice(
        Streams,
        "of each connection: `upstream` what the end that dials sends, `downstream` what it is"
        " answered",
        default=Streams.BOTH,
    )
    toxicity: float = keys.share(
        "the share of connections that it acts on, drawn for each and stream; for those that are"
        " open again when another fault begins or ends on the link",
        default=1.0,
    )

    @staticmethod
    def drawn_shape(dice: Dice) -> dict[str, Any]:
        """Now and then it is not on all streams of all connections."""
        found: dict[str, Any] = {}
        if dice.chance(0.2):
            found["stream"] = dice.one_of([Streams.UPSTREAM, Streams.DOWNSTREAM])
        if dice.chance(0.2):
            found["toxicity"] = dice.one_of(SPARING)
        return found

    @property
    def shape(self) -> Shape:
        return Shape(attributes=self.attributes(), streams=self.stream, toxicity=self.toxicity)

    def attributes(self) -> Mapping[str, int]:
        """Of the toxic, all that it has."""
        raise NotImplementedError

    async def inject(self, site: Site, world: World) -> None:
        await site.felt.note(site.links, world)
        await world.links.shape(site.links, self.toxic, self.shape)

    async def take_back(self, site: Site, world: World) -> None:
        await world.links.shape(site.links, self.toxic, None)

    async def missing(self, site: Site, world: World) -> str:
        unlisted = await world.links.not_shaped(site.links, self.toxic, self.shape)
        return unlisted or await self.unfelt(site, world)

    async def unfelt(self, site: Site, world: World) -> str:
        """A look: where those who dial the links tell of it, who does not feel it."""
        return ""

    def witness(self, site: Site) -> str:
        return site.felt.words or LIST_ALONE

    @property
    def spares(self) -> bool:
        """Some of the connections."""
        return self.toxicity < 1

    async def remaining(self, site: Site, world: World) -> str:
        return await world.links.not_shaped(site.links, self.toxic, None)

    def claims(self, site: Site) -> frozenset[str]:
        return frozenset(f"{link} ({self.toxic})" for link in site.links)

    def told(self, site: Site) -> str:
        way = f" {self.stream}" if self.stream is not Streams.BOTH else ""
        of = f" of {self.toxicity:.0%} of the connections" if self.toxicity < 1 else ""
        return f"{self.shape_told()}{way}{of} on {super().told(site)}"

    def shape_told(self) -> str:
        """`50 ms`."""
        raise NotImplementedError
