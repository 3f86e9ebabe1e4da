from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from devnet.faults import keys
from devnet.faults.dice import Dice
from devnet.faults.on_links import Shaping
from devnet.model.terms import Duration


@dataclass(frozen=True, kw_only=True)
class Latency(Shaping):
    """A delay added to what flows over the links, fixed or drawn for each piece; their order is
    kept, so with dense traffic a jitter drifts to its upper end."""

    name: ClassVar = "latency"
    toxic: ClassVar = "latency"

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

    def shape_told(self) -> str:
        latency, jitter = self.attributes().values()
        return f"{latency} ± {jitter} ms each way" if jitter else f"{latency} ms each way"
