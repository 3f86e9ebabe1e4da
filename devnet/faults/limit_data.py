from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from devnet.faults import keys
from devnet.faults.base import Site
from devnet.faults.dice import Dice
from devnet.faults.on_links import Shaping
from devnet.faults.surface import World
from devnet.model.shape import Streams

UNDER_WAY: Final = 1 << 16
"""What an operator keeps in a connection's buffer before it waits."""


@dataclass(frozen=True, kw_only=True)
class LimitData(Shaping):
    """Each connection ends after so many bytes in one direction: in the middle of a frame, again
    and again."""

    name: ClassVar = "limit-data"
    weight: ClassVar = 2
    toxic: ClassVar = "limit_data"
    proof: ClassVar = (
        f"{Shaping.listed}; where what it sends is limited and no connection spared, no operator"
        " sends more over a consensus link than these bytes and 64 KiB (what may be under way)"
        " without having to dial again; the receipt has how often those who dial had to"
    )

    bytes: int = keys.integer(1, 1_000_000_000, "of a connection and direction")

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        limit = dice.integer(2_000, 200_000)
        return cls(target=dice.victims(), bytes=limit, **cls.drawn_shape(dice))

    def attributes(self) -> Mapping[str, int]:
        return {"bytes": self.bytes}

    async def unfelt(self, site: Site, world: World) -> str:
        limited = not self.spares and self.stream is not Streams.DOWNSTREAM
        most = self.bytes + UNDER_WAY if limited else float("inf")
        return await site.felt.not_ended(site.links, world, sent=most)

    def shape_told(self) -> str:
        return f"connections end after {self.bytes} bytes"
