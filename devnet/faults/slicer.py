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

    bytes: int = keys.integer(1, 65_536, "of a piece", default=64)
    microseconds: int = keys.integer(0, 1_000_000, "between two pieces", default=100)

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        return cls(bytes=dice.integer(16, 512))

    def attributes(self) -> Mapping[str, int]:
        return {"average_size": self.bytes, "size_variation": 0, "delay": self.microseconds}

    def shape_told(self) -> str:
        return f"pieces of {self.bytes} bytes"
