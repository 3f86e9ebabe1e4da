from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from devnet.faults import keys
from devnet.faults.dice import Dice
from devnet.faults.on_links import Shaping


@dataclass(frozen=True, kw_only=True)
class Bandwidth(Shaping):
    """Each stream of the links is held to a rate."""

    name: ClassVar = "bandwidth"
    weight: ClassVar = 2
    toxic: ClassVar = "bandwidth"

    kilobytes: int = keys.integer(1, 1_000_000, "KB/s of each stream")

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        return cls(kilobytes=dice.integer(300, 5000), **cls.drawn_shape(dice))

    def attributes(self) -> Mapping[str, int]:
        return {"rate": self.kilobytes}

    def shape_told(self) -> str:
        return f"{self.kilobytes} KB/s"
