from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from devnet.faults import keys
from devnet.faults.dice import Dice
from devnet.faults.on_links import Shaping


@dataclass(frozen=True, kw_only=True)
class Slicer(Shaping):
    """What is sent arrives in small pieces: frames are torn at every place."""

    name: ClassVar = "slicer"
    weight: ClassVar = 2
    toxic: ClassVar = "slicer"

    bytes: int = keys.integer(1, 65_536, "of a piece, on average", default=64)
    variation: int = keys.integer(
        0, 65_535, "a piece has up to so many bytes more or less", default=0
    )
    microseconds: int = keys.integer(0, 1_000_000, "between two pieces", default=100)

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        size = dice.integer(16, 512)
        variation = dice.integer(1, size - 1) if dice.chance(0.5) else 0
        return cls(bytes=size, variation=variation, **cls.drawn_shape(dice))

    def nonsense(self) -> str:
        empty = "variation: less than bytes, or pieces would be empty"
        return super().nonsense() or (empty if self.variation >= self.bytes else "")

    def attributes(self) -> Mapping[str, int]:
        return {
            "average_size": self.bytes,
            "size_variation": self.variation,
            "delay": self.microseconds,
        }

    def shape_told(self) -> str:
        spread = f" ± {self.variation}" if self.variation else ""
        return f"pieces of {self.bytes}{spread} bytes"
