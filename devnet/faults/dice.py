"""What a kind of fault draws from when a random schedule asks for one of it: all from one seed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from devnet.model.terms import Aim, Duration, Several, Target
from devnet.model.topology import Topology

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dice:
    """most: operators that it may disturb; what disturbs more is thrown again."""

    rng: random.Random
    topology: Topology
    most: int

    @property
    def operators(self) -> tuple[str, ...]:
        return self.topology.operator_names

    def one_of(self, options: Sequence[_T]) -> _T:
        return self.rng.choice(options)

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def integer(self, low: int, high: int) -> int:
        return self.rng.randint(low, high)

    def milliseconds(self, low: int, high: int, step: int = 10) -> Duration:
        return Duration(seconds=self.rng.randrange(low, high + 1, step) / 1000)

    def victims(self) -> Target:
        """Operators: one, as a rule; the coming leader, a third of the time."""
        if self.most > 1 and self.chance(0.5):
            return Several(plain=self.integer(2, self.most))
        return Aim.LEADER if self.chance(1 / 3) else self.one_of(self.operators)
