from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from devnet.faults import keys
from devnet.faults.base import Site
from devnet.faults.dice import Dice
from devnet.faults.felt import FELT
from devnet.faults.on_links import Shaping
from devnet.faults.surface import World
from devnet.model.shape import Streams
from devnet.model.terms import Duration


@dataclass(frozen=True, kw_only=True)
class Latency(Shaping):
    """A delay added to what flows over the links, fixed or drawn for each piece; their order is
    kept, so with dense traffic a jitter drifts to its upper end."""

    name: ClassVar = "latency"
    toxic: ClassVar = "latency"
    proof: ClassVar = f"{Shaping.listed}; {FELT}"
    seen_within_s: ClassVar = 10.0
    healed_within_s: ClassVar = 15.0

    one_way: Duration = keys.duration("added to each stream")
    jitter: Duration = keys.duration("it varies by so much, both ways", default=Duration())

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        one_way = dice.milliseconds(5, 100, 5)
        some = dice.chance(0.3)
        jitter = dice.milliseconds(1, round(one_way.seconds * 1000), 1) if some else Duration()
        return cls(one_way=one_way, jitter=jitter, **cls.drawn_shape(dice))

    def nonsense(self) -> str:
        if complaint := super().nonsense():
            return complaint
        latency, jitter = self.attributes().values()
        if not latency:
            return "needs a one_way of at least 1 ms"
        return "" if jitter <= latency else "jitter: at most one_way, nothing arrives early"

    def attributes(self) -> Mapping[str, int]:
        return {
            "latency": round(self.one_way.seconds * 1000),
            "jitter": round(self.jitter.seconds * 1000),
        }

    def _asked_s(self, site: Site) -> Mapping[str, float]:
        """What an answer takes longer, at least."""
        latency, jitter = self.attributes().values()
        streams = 2 if self.stream is Streams.BOTH else 1
        return dict.fromkeys(site.links, streams * (latency - jitter) / 1000)

    async def unfelt(self, site: Site, world: World) -> str:
        return await site.felt.not_late(self._asked_s(site), world, spares=self.spares)

    async def remaining(self, site: Site, world: World) -> str:
        listed = await super().remaining(site, world)
        return listed or await site.felt.still_late(self._asked_s(site), world)

    def shape_told(self) -> str:
        latency, jitter = self.attributes().values()
        spread = f" ± {jitter}" if jitter else ""
        both = " each way" if self.stream is Streams.BOTH else ""
        return f"{latency}{spread} ms{both}"
