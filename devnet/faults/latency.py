from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from devnet.faults import keys
from devnet.faults.dice import Dice
from devnet.faults.on_links import Shaping
from devnet.model.terms import Duration


@dataclass(frozen=True, kw_only=True)
class Latency(Shaping):
    """A fixed delay added to both streams of the links."""

    name: ClassVar = "latency"
    toxic: ClassVar = "latency"

    one_way: Duration = keys.duration("added to each direction")

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        return cls(one_way=dice.milliseconds(5, 100, 5))

    def nonsense(self) -> str:
        short = "" if self.milliseconds else "needs a one_way of at least 1 ms"
        return super().nonsense() or short

    @property
    def milliseconds(self) -> int:
        return round(self.one_way.seconds * 1000)

    def attributes(self) -> Mapping[str, int]:
        return {"latency": self.milliseconds}

    def shape_told(self) -> str:
        return f"{self.milliseconds} ms each way"
