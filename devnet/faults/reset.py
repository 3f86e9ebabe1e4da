from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from devnet.faults import keys
from devnet.faults.base import Site
from devnet.faults.dice import Dice
from devnet.faults.on_links import WINDOW_S, Shaping, consensus_of
from devnet.faults.surface import World
from devnet.model.terms import Duration


@dataclass(frozen=True, kw_only=True)
class Reset(Shaping):
    """Connections are reset (RST) as soon as something is sent, or so long after it; those that
    were open before end as if closed."""

    name: ClassVar = "reset"
    weight: ClassVar = 2
    toxic: ClassVar = "reset_peer"
    proof: ClassVar = (
        f"{Shaping.listed}; every consensus link is dialled again and again: within each 10 s by an"
        " end that answers, unless connections are spared; of other links the receipt has the"
        " failures that are counted"
    )
    seen_within_s: ClassVar = 10.0

    after: Duration = keys.duration("how long a connection lives", default=Duration())

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        after = dice.milliseconds(0, 1000, 100)
        return cls(target=dice.victims(), after=after, **cls.drawn_shape(dice))

    def nonsense(self) -> str:
        # Toxiproxy cannot take the toxic out before that is over.
        long = "" if self.after.seconds <= 1.0 else "after: 1 s at most"
        return super().nonsense() or long

    def attributes(self) -> Mapping[str, int]:
        return {"timeout": round(self.after.seconds * 1000)}

    async def unfelt(self, site: Site, world: World) -> str:
        must = () if self.spares else consensus_of(site, world)
        return await site.felt.not_failing(
            site.links, world, within_s=WINDOW_S, must=must, spares=self.spares
        )

    def shape_told(self) -> str:
        return f"resets after {self.after.seconds:g} s"
