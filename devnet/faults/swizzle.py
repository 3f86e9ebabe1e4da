import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from devnet.faults import keys
from devnet.faults.base import Sight, Site
from devnet.faults.cut import Cut
from devnet.faults.dice import Dice
from devnet.faults.surface import World
from devnet.model.terms import Duration


@dataclass(frozen=True, kw_only=True)
class Swizzle(Cut):
    """The links are cut one by one in a drawn order, and healed one by one in another."""

    name: ClassVar = "swizzle"
    weight: ClassVar = 1
    seen_within_s: ClassVar = 10.0

    step: Duration = keys.duration("between two links", default=Duration(seconds=0.2))

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        return cls(step=dice.milliseconds(50, 300))

    def aim(self, sight: Sight) -> Site:
        site = super().aim(sight)
        there, back = list(site.links), list(site.links)
        sight.rng.shuffle(there)
        sight.rng.shuffle(back)
        return replace(site, links=tuple(there), links_back=tuple(back))

    async def inject(self, site: Site, world: World) -> None:
        for link in site.links:
            await world.links.cut((link,), self.mode)
            await asyncio.sleep(self.step.seconds)

    async def take_back(self, site: Site, world: World) -> None:
        for link in site.links_back:
            await world.links.heal((link,), self.mode)
            await asyncio.sleep(self.step.seconds)

    def disturbs(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        return tuple(operators)
