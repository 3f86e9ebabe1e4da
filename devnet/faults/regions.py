from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final, Self

from devnet.faults import keys
from devnet.faults.base import Fault, Plane, Sight, Site
from devnet.faults.dice import Dice
from devnet.faults.felt import FELT
from devnet.faults.surface import World
from devnet.model.shape import Shape
from devnet.model.topology import Topology

_Matrix = Mapping[tuple[str, str], int]


class Matrix(StrEnum):
    CONTINENT = "continent"
    COASTS = "coasts"
    WORLD = "world"


def _both_ways(places: Sequence[str], rows: Sequence[Sequence[int]]) -> _Matrix:
    """Rows of a lower triangle: row i has the round trips to places 0..i-1."""
    return {
        pair: rtt
        for i, row in enumerate(rows)
        for j, rtt in enumerate(row)
        for pair in ((places[i], places[j]), (places[j], places[i]))
    }


PLACES: Final[Mapping[Matrix, tuple[str, ...]]] = {
    Matrix.CONTINENT: ("dublin", "london", "frankfurt", "milan"),
    Matrix.COASTS: ("virginia", "ohio", "oregon", "california"),
    Matrix.WORLD: ("virginia", "frankfurt", "singapore", "tokyo", "sao-paulo"),
}
"""Operators are spread over them in turn."""

RTT_MS: Final[Mapping[Matrix, _Matrix]] = {
    Matrix.CONTINENT: _both_ways(PLACES[Matrix.CONTINENT], [[], [12], [26, 16], [34, 24, 10]]),
    Matrix.COASTS: _both_ways(PLACES[Matrix.COASTS], [[], [12], [66, 52], [62, 52, 22]]),
    Matrix.WORLD: _both_ways(
        PLACES[Matrix.WORLD], [[], [90], [220, 160], [160, 230, 70], [120, 200, 330, 260]]
    ),
}
"""Round trips between large data centres, in milliseconds, rounded: what public measurements of
such routes agree on, not those of one day."""


def _late(milliseconds: int) -> Shape:
    return Shape(attributes={"latency": milliseconds, "jitter": 0})


@dataclass(frozen=True, kw_only=True)
class Regions(Fault):
    """Operators spread over the places of a matrix of round trips: half of one on each stream of
    the consensus links and of those that forward transactions."""

    name: ClassVar = "regions"
    weight: ClassVar = 2
    lets_back: ClassVar = True
    plane: ClassVar = Plane.LINKS
    proof: ClassVar = f"the Toxiproxies list the delay on both streams of every link; {FELT}"
    seen_within_s: ClassVar = 10.0
    healed_within_s: ClassVar = 15.0

    matrix: Matrix = keys.choice(
        Matrix,
        "; ".join(f"`{name}`: {', '.join(places)}" for name, places in PLACES.items()),
    )

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        return cls(matrix=dice.one_of(list(Matrix)))

    def misfit(self, topology: Topology) -> str:
        n = len(topology.operator_names)
        return "" if n > 1 else "regions need two operators, the network has one"

    def place_of(self, operators: Sequence[str], name: str) -> str:
        places = PLACES[self.matrix]
        return places[operators.index(name) % len(places)]

    def aim(self, sight: Sight) -> Site:
        return Site(
            links=tuple(
                link.name
                for link in sight.topology.links
                if link.source in sight.operators
                and link.target in sight.operators
                and self._one_way_ms(link.name, sight.operators)
            )
        )

    def _one_way_ms(self, link: str, operators: Sequence[str]) -> int:
        """0 within a place, and within a pod."""
        one, other = (end.partition(".")[0] for end in link.split(">"))
        ends = self.place_of(operators, one), self.place_of(operators, other)
        return RTT_MS[self.matrix].get(ends, 0) // 2

    def _by_delay(self, site: Site, world: World) -> Mapping[int, tuple[str, ...]]:
        operators = world.topology.operator_names
        found: dict[int, tuple[str, ...]] = {}
        for link in site.links:
            delay = self._one_way_ms(link, operators)
            found[delay] = (*found.get(delay, ()), link)
        return found

    def _asked_s(self, site: Site, world: World) -> Mapping[str, float]:
        operators = world.topology.operator_names
        return {link: 2 * self._one_way_ms(link, operators) / 1000 for link in site.links}

    async def inject(self, site: Site, world: World) -> None:
        await site.felt.note(site.links, world)
        for delay, links in self._by_delay(site, world).items():
            await world.links.shape(links, "latency", _late(delay))

    async def take_back(self, site: Site, world: World) -> None:
        await world.links.shape(site.links, "latency", None)

    async def missing(self, site: Site, world: World) -> str:
        for delay, links in self._by_delay(site, world).items():
            if complaint := await world.links.not_shaped(links, "latency", _late(delay)):
                return complaint
        return await site.felt.not_late(self._asked_s(site, world), world)

    async def remaining(self, site: Site, world: World) -> str:
        listed = await world.links.not_shaped(site.links, "latency", None)
        return listed or await site.felt.still_late(self._asked_s(site, world), world)

    def witness(self, site: Site) -> str:
        return site.felt.words

    def claims(self, site: Site) -> frozenset[str]:
        return frozenset(f"{link} (latency)" for link in site.links)

    def told(self, site: Site) -> str:
        return f"{self.matrix}, {len(site.links)} links"
