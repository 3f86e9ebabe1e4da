"""Twins: one operator runs twice under one key, and the network is cut anew in each round.

Both instances run the correct code, so each is as credible as an operator can be, and together
they equivocate wherever they are told apart: other blocks, other votes, other locks (Bano et al.,
*Twins: BFT Systems Made Robust*). A scenario is the twin's place in the rotation of leaders and,
for each round, who hears whom; then the heal (`synchrony`), with the twins playing on.

Who hears whom is either a *partition* of the instances into one or two parts, all of them
enumerated, or drawn as *overlapping* sets, where one operator sits in both halves: disjoint ones
find bugs in quorums and little else. Two scenarios that differ in which of the twins is called the
first are one.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from random import Random
from typing import Final, TypeAlias

from devnet.model.verdict import Violation
from devnet.sim.lockstep import HEIGHT, Actor, Stage
from devnet.sim.synchrony import Synchrony
from dst.qbft import inputs
from dst.spec.primitives import faults_tolerated

ROUNDS: Final = 3
Sets: TypeAlias = tuple[frozenset[int], ...]
"""Instances that hear each other; 0 to n - 1 are the operators, n is the twin's other instance."""


def partitions(instances: int) -> tuple[Sets, ...]:
    """Into one part or two: 2^(instances - 1), each once."""
    everybody = frozenset(range(instances))
    found = []
    for mask in range(1 << (instances - 1)):
        part = frozenset(each for each in range(instances - 1) if mask >> each & 1)
        found.append((part, everybody - part) if part else (everybody,))
    return tuple(found)


def scenarios(n: int = 4, rounds: int = ROUNDS) -> Iterator[tuple[int, tuple[Sets, ...]]]:
    """(the twin, its rounds): 9,216 for n = 4 and three rounds."""
    assert faults_tolerated(n) >= 1, "a twin is a fault"
    for twin in range(n):
        for drawn in product(partitions(n + 1), repeat=rounds):
            if _shape(drawn) <= _shape(tuple(_swapped(sets, twin, n) for sets in drawn)):
                yield twin, drawn


def draw_scenario(rng: Random, n: int, rounds: int = ROUNDS) -> tuple[int, tuple[Sets, ...]]:
    """Two or three sets a round, as large as they come."""
    drawn = []
    for _ in range(rounds):
        count = rng.randint(2, 3)
        sets = [frozenset(i for i in range(n + 1) if rng.random() < 0.6) for _ in range(count)]
        drawn.append(tuple(sets))
    return rng.randrange(n), tuple(drawn)


def _swapped(sets: Sets, twin: int, clone: int) -> Sets:
    names = {twin: clone, clone: twin}
    return tuple(frozenset(names.get(each, each) for each in part) for part in sets)


def _shape(rounds: tuple[Sets, ...]) -> list[list[list[int]]]:
    return [sorted(sorted(part) for part in sets) for sets in rounds]


class Twins:
    """One scenario, played."""

    def __init__(self, n: int, twin: int, rounds: Sequence[Sets], rng: Random) -> None:
        self.stage = Stage(n, (twin,), withholding=True)
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
