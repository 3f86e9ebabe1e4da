from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from devnet.faults import keys
from devnet.faults.dice import Dice
from devnet.faults.on_links import Shaping


@dataclass(frozen=True, kw_only=True)
class LimitData(Shaping):
    """Each connection ends after so many bytes in one direction: in the middle of a frame, again
    and again."""

    name: ClassVar = "limit-data"
    weight: ClassVar = 2
    toxic: ClassVar = "limit_data"

    bytes: int = keys.integer(1, 1_000_000_000, "of a connection and direction")

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        limit = dice.integer(2_000, 200_000)
        return cls(target=dice.victims(), bytes=limit, **cls.drawn_shape(dice))

    def attributes(self) -> Mapping[str, int]:
        return {"bytes": self.bytes}

    def shape_told(self) -> str:
        return f"connections end after {self.bytes} bytes"
