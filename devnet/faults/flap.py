import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Self

from devnet.faults import keys, lost
from devnet.faults.base import Site
from devnet.faults.dice import Dice
from devnet.faults.on_links import WINDOW_S, OnLinks, consensus_of, ends_of
from devnet.faults.surface import CannotInject, World
from devnet.model.cut import CutMode
from devnet.model.terms import Duration


class FlapMode(StrEnum):
    """Those in which connections end; the silent ones need three seconds to be felt."""

    DROP = "drop"
    REFUSE = "refuse"


@dataclass(frozen=True, kw_only=True)
class Flap(OnLinks):
    """Links that go down and come up again, over and over."""

    name: ClassVar = "flap"
    weight: ClassVar = 2
    repeats: ClassVar = True
    proof: ClassVar = (
        "after each change the Toxiproxies report its state; the receipt counts them; every"
        " consensus link is dialled again and again, within each 10 s and a cycle by an end that"
        " answers"
    )
    seen_within_s: ClassVar = 10.0

    mode: FlapMode = keys.choice(FlapMode, "how they go down", default=FlapMode.REFUSE)
    down: Duration = keys.duration("how long", default=Duration(seconds=0.5))
    up: Duration = keys.duration("how long", default=Duration(seconds=0.5))

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        """Between two operators."""
        one, other = dice.rng.sample(dice.operators, 2)
        return cls(
            links=f"{one}>{other}.consensus",
            down=dice.milliseconds(100, 1000),
            up=dice.milliseconds(100, 1000),
        )

    def nonsense(self) -> str:
        short = min(self.down.seconds, self.up.seconds) < 0.02
        return super().nonsense() or ("down and up need 20 ms at least" if short else "")

    @property
    def _cut(self) -> CutMode:
        return CutMode(self.mode.value)

    @property
    def period_s(self) -> float:
        return self.down.seconds + self.up.seconds

    async def inject(self, site: Site, world: World) -> None:
        await site.felt.note(site.links, world)
        await world.links.cut(site.links, self._cut)

    async def missing(self, site: Site, world: World) -> str:
        """Whether links go down is seen by `keep_up`; here, whether anybody feels it."""
        return await site.felt.not_failing(
            site.links, world, within_s=WINDOW_S + self.period_s, must=consensus_of(site, world)
        )

    def witness(self, site: Site) -> str:
        return site.felt.words

    async def keep_up(self, site: Site, world: World, seen: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(self.down.seconds)
            await world.links.heal(site.links, self._cut)
            await asyncio.sleep(self.up.seconds)
            await world.links.cut(site.links, self._cut)
            if complaint := await world.links.not_set(site.links, self._cut):
                raise CannotInject(complaint)
            seen()

    async def take_back(self, site: Site, world: World) -> None:
        await world.links.heal(site.links, self._cut)

    async def remaining(self, site: Site, world: World) -> str:
        return await world.links.not_whole(site.links)

    async def not_back(self, site: Site, world: World, busy: frozenset[str]) -> tuple[str, ...]:
        return await lost.not_dialled(site.links, world, busy)

    def disturbs(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        return ends_of(site.links, operators)

    def told(self, site: Site) -> str:
        return f"{super().told(site)}, {self.down.seconds:g} s down, {self.up.seconds:g} s up"
