from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from devnet.faults import keys
from devnet.faults.dice import Dice
from devnet.faults.on_links import Shaping
from devnet.model.terms import Duration


@dataclass(frozen=True, kw_only=True)
class SlowClose(Shaping):
    """The end of a connection reaches its other end late."""

    name: ClassVar = "slow-close"
    weight: ClassVar = 2
    toxic: ClassVar = "slow_close"

    delay: Duration = keys.duration("how late", default=Duration(seconds=1.0))

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        return cls(delay=dice.milliseconds(100, 2000, 100), **cls.drawn_shape(dice))

    def attributes(self) -> Mapping[str, int]:
        return {"delay": round(self.delay.seconds * 1000)}

    def shape_told(self) -> str:
        return f"closes {self.delay.seconds:g} s late"
