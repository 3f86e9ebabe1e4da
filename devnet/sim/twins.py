"""Twins: one operator runs twice under one key, and the network is cut anew in each round.

Both instances run the correct code, so each is as credible as an operator can be, and together
they equivocate wherever they are told apart: other blocks, other votes, other locks (Bano et al.,
*Twins: BFT Systems Made Robust*). A scenario is the twin's place in the rotation of leaders and,
for each round, who hears whom; then the heal (`synchrony`), with the twins playing on.

Who hears whom is either a *partition* of the instances into one or two parts, all of them
enumerated, or drawn as *overlapping* sets, where one operator sits in both halves: disjoint ones
find bugs in quorums and little else. Two scenarios that differ in which of the twins is called the
first are one. A seed of the enumeration is the number of its scenario.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from random import Random
from typing import Final, TypeAlias

from devnet.model.verdict import Violation
from devnet.sim.lockstep import HEIGHT, Actor, Stage
from devnet.sim.story import Story
from devnet.sim.synchrony import Synchrony
from devnet.sim.tape import Digits, chance
from dst.qbft import inputs
from dst.spec.errors import InvalidInput
from dst.spec.primitives import faults_tolerated

ROUNDS: Final = 3
Sets: TypeAlias = tuple[frozenset[int], ...]
"""Instances that hear each other; 0 to n - 1 are the operators, n is the twin's other instance."""
Scenario: TypeAlias = tuple[int, tuple[Sets, ...]]
"""(the twin, its rounds)."""


@cache
def partitions(instances: int) -> tuple[Sets, ...]:
    """Into one part or two: 2^(instances - 1), each once."""
    everybody = frozenset(range(instances))
    found = []
    for mask in range(1 << (instances - 1)):
        part = frozenset(each for each in range(instances - 1) if mask >> each & 1)
        found.append((part, everybody - part) if part else (everybody,))
    return tuple(found)


def scenarios(n: int = 4) -> Iterator[int]:
    """Their numbers, those that are others' with the twins swapped left out: 9,216 for n = 4."""
    for number in range(n * len(partitions(n + 1)) ** ROUNDS):
        twin, rounds = draw_partitions(Digits(number), n)
        if _shape(rounds) <= _shape(tuple(_swapped(sets, twin, n) for sets in rounds)):
            yield number


def draw_partitions(rng: Random, n: int) -> Scenario:
    return rng.randrange(n), tuple(rng.choice(partitions(n + 1)) for _ in range(ROUNDS))


def draw_overlapping(rng: Random, n: int) -> Scenario:
    """Two or three sets a round, as large as they come."""
    drawn = []
    for _ in range(ROUNDS):
        count = rng.randint(2, 3)
        sets = [frozenset(i for i in range(n + 1) if not chance(rng, 0.4)) for _ in range(count)]
        drawn.append(tuple(sets))
    return rng.randrange(n), tuple(drawn)


def _swapped(sets: Sets, twin: int, clone: int) -> Sets:
    names = {twin: clone, clone: twin}
    return tuple(frozenset(names.get(each, each) for each in part) for part in sets)


def _shape(rounds: tuple[Sets, ...]) -> list[list[list[int]]]:
    return [sorted(sorted(part) for part in sets) for sets in rounds]


class Twins:
    """One scenario, played."""

    def __init__(
        self,
        n: int,
        twin: int,
        rounds: Sequence[Sets],
        rng: Random,
        *,
        story: Story | None = None,
    ) -> None:
        if not faults_tolerated(n):
            raise InvalidInput(f"a twin is a fault, and {n} operators bear none")
        self.stage = Stage(n, (twin,), withholding=True, story=story)
        self.stage.puppets.clear()
        self.honest = sorted(self.stage.actors)
        self.stage.actors[twin] = Actor(twin, n, self.stage)
        self.stage.actors[n] = Actor(twin, n, self.stage, name=f"{twin}'")
        self.rounds, self.rng = rounds, rng
        self.synchrony: Synchrony | None = None

    def play(self) -> list[Violation]:
        for actor in self.stage.actors.values():
            actor.feed(inputs.HeightDue(height=HEIGHT))
        for sets in self.rounds:
            self._play_round(sets)
            if self.stage.violations:
                return self.stage.violations
        self.synchrony = Synchrony(self.stage, self.honest, self.rng)
        return self.synchrony.play()

    def _play_round(self, sets: Sets) -> None:
        """All is heard within the sets, nothing beyond; then every timer that runs ends."""
        actors = self.stage.actors
        self.stage.tell(f"these hear each other: {self._told(sets)}")
        for actor in actors.values():
            actor.feed(inputs.RetransmitDue(height=HEIGHT, round=actor.state.round))
        while said := list(self.stage.collect()):
            self.rng.shuffle(said)
            for source, target, message in said:
                heard_by = frozenset().union(*(part for part in sets if source in part))
                for key in sorted(heard_by - {source}):
                    if target in (None, actors[key].index):
                        actors[key].hear(actors[source].index, message)
        for actor in actors.values():
            actor.time_out()

    def _told(self, sets: Sets) -> str:
        """`op1 op2 op2' | op3 op4`."""
        actors = self.stage.actors
        return " | ".join(" ".join(sorted(actors[each].label for each in part)) for part in sets)


def seeded(seed: int) -> tuple[Random, Random]:
    """What draws the scenario of that number, and what its play draws from."""
    return Digits(seed), Random(f"twins {seed}")


def in_partitions(
    seed: int,
    n: int = 4,
    *,
    draws: tuple[Random, Random] | None = None,
    story: Story | None = None,
) -> Twins:
    numbers, rng = draws or seeded(seed)
    return Twins(n, *draw_partitions(numbers, n), rng, story=story)


def in_overlapping_sets(
    seed: int, n: int = 4, *, rng: Random | None = None, story: Story | None = None
) -> Twins:
    rng = rng or overlapping(seed, n)
    return Twins(n, *draw_overlapping(rng, n), rng, story=story)


def overlapping(seed: int, n: int) -> Random:
    """What both its scenario and its play draw from."""
    return Random(f"overlapping {seed} {n}")
