from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from devnet.faults import keys
from devnet.faults.base import Fault, Plane, Sight, Site
from devnet.faults.surface import World
from devnet.faults.targets import (
    is_follower,
    isolate,
    links_between,
    misfit_of,
    resolve_target,
)
from devnet.model.terms import Duration, Target
from devnet.model.topology import Topology


class Which(StrEnum):
    CONSENSUS = "consensus"
    """Between operators (all of them, or those of the target alone)."""
    ENGINE = "engine"
    """Between the target's rollup node and its execution layer."""


@dataclass(frozen=True, kw_only=True)
class Latency(Fault):
    """A fixed delay added to both streams of a class of links."""

    name: ClassVar = "latency"
    plane: ClassVar = Plane.LINKS
    proof: ClassVar = "the Toxiproxies list the delay on both streams of every link"
    healed_within_s: ClassVar = 5.0

    target: Target | None = keys.target("only its links", default=None)
    links: Which = keys.choice(
        Which,
        "`consensus`: between operators; `engine`: between the target's rollup node and execution"
        " layer",
        default=Which.CONSENSUS,
    )
    one_way: Duration = keys.duration("added to each direction")

    def nonsense(self) -> str:
        if self.links is Which.ENGINE and self.target is None:
            return "engine links need a target, the operator they belong to"
        return "" if self.milliseconds else "needs a one_way of at least 1 ms"

    @property
    def milliseconds(self) -> int:
        return round(self.one_way.seconds * 1000)

    def misfit(self, topology: Topology) -> str:
        if self.links is Which.CONSENSUS and is_follower(self.target, topology):
            return f"target {self.target} has no consensus links; give an operator"
        return misfit_of(self.target, topology)

    def aim(self, sight: Sight) -> Site:
        targets: tuple[str, ...] = ()
        if self.target is not None:
            targets = resolve_target(
                self.target, sight.topology, next_height=sight.next_height, rng=sight.rng
            )
        if self.links is Which.ENGINE:
            links = tuple(f"{node}.rollup>{node}.engine" for node in targets)
        else:
            alone = isolate(targets, sight.operators) if targets else _each(sight.operators)
            links = links_between(sight.topology, alone)
        return Site(targets=targets, links=links)

    async def inject(self, site: Site, world: World) -> None:
        await world.links.delay(site.links, self.milliseconds)

    async def take_back(self, site: Site, world: World) -> None:
        await world.links.delay(site.links, 0)

    async def missing(self, site: Site, world: World) -> str:
        return await world.links.not_delayed(site.links, self.milliseconds)

    async def remaining(self, site: Site, world: World) -> str:
        return await world.links.not_delayed(site.links, 0)

    def told(self, site: Site) -> str:
        what = f"{self.milliseconds} ms each way on {len(site.links)} links"
        return f"{what} {super().told(site)}".strip()


def _each(operators: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple((name,) for name in operators)
