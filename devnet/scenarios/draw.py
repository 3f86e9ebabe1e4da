"""Random schedules: valid ones, the same for a seed, that never disturb more operators at once than
asked for.

Faults are drawn into lanes, in each of which one comes after the heal of the other; a lane has room
for so many disturbed operators, and the rooms add up to f (beyond f to n, half of the time in one
lane; else what leaves a quorum in each of two lanes may leave none together). What surely keeps
apart is thus written in the file, whatever a run does. One lane more, without room, is for what
disturbs nobody, such as distances; no two lanes touch the same link or program.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from devnet.faults import KINDS
from devnet.faults.base import Fault, Site
from devnet.faults.dice import Dice
from devnet.model.expect import Expect
from devnet.model.terms import At, Count, Delay, Duration, Moment, Trigger, Until
from devnet.model.topology import OPERATOR_COUNTS, Topology, compute_topology
from devnet.scenarios.scenario import Scenario, Scheduled
from devnet.scenarios.sense import possible_sites
from dst.spec.errors import BadConfig
from dst.spec.primitives import faults_tolerated

BUDGET_S: Final = 60.0
MAX_FAULTS: Final = 16
THROWS: Final = 400
"""Of all faults together; the most that a schedule of ten operators was seen to need is a tenth."""
LEAST_OPERATORS: Final = 4
LONGER_S: Final = (4, 10)
"""Beyond a second for each operator, in which each leads once."""
PAUSE_SLOTS: Final = (4, 8)
"""From a heal to the next fault of the lane: who was away takes part again."""

ENDS: Final = (None, None, None, Trigger.PREPARED, Trigger.DECIDED, Trigger.SEALED)
"""Where in a height it is healed: half of the time wherever it happens to be."""


@dataclass(slots=True)
class _Lane:
    room: int
    faults: list[Scheduled] = field(default_factory=list)
    claims: set[str] = field(default_factory=set)
    doubtful: int = 0
    """The most of one of its faults."""


def draw_schedule(
    seed: int,
    *,
    operators: int = LEAST_OPERATORS,
    budget: float = BUDGET_S,
    beyond_f: bool = False,
    kinds: Mapping[str, type[Fault]] = KINDS,
) -> Scenario:
    """Args: budget: seconds that faults stand, all together. beyond_f: up to all operators at once,
    and then nothing but safety and recovery is expected.

    Raises: BadConfig when nothing can be drawn.
    """
    if operators < LEAST_OPERATORS or operators not in OPERATOR_COUNTS:
        sizes = ", ".join(str(n) for n in OPERATOR_COUNTS if n >= LEAST_OPERATORS)
        raise BadConfig(f"a random schedule needs {sizes} operators, not {operators}")
    topology = compute_topology(operators=operators, followers=1)
    rng = random.Random(f"{seed}/schedule")
    tolerated = faults_tolerated(operators)
    whole = beyond_f and rng.random() < 0.5
    rooms = [operators] if whole else _parts(operators if beyond_f else tolerated, rng)
    lanes = [_Lane(room) for room in (*rooms, 0)]
    drawing = _Drawing(topology, rng, kinds, beyond_f)
    left = budget
    for _ in range(THROWS):
        faults = sum(len(lane.faults) for lane in lanes)
        if left < drawing.least_s or faults == MAX_FAULTS:
            break
        lane = rng.choice(lanes)
        beside = [each for each in lanes if each is not lane]
        left -= drawing.into(lane, beside, number=faults + 1, left=left)
    drawn = tuple(fault for lane in lanes for fault in lane.faults)
    if not drawn:
        raise BadConfig(
            f"nothing was drawn for {operators} operators in {budget:g} s: "
            f"one fault takes {drawing.least_s} s at least"
        )
    usual = Expect(rejoin=Duration(seconds=50.0, slots=10.0))
    within = replace(usual, progress=Count(plain=1), gap=Duration(seconds=20.0, slots=10.0))
    room = "any number of" if beyond_f else f"at most {tolerated}"
    return Scenario(
        name=name_of(seed, operators=operators, budget=budget, beyond_f=beyond_f),
        about=f"Drawn from seed {seed}: {budget:g} s of faults, {room} operators at once.",
        faults=drawn,
        operators=operators,
        min_operators=operators,
        expect=usual if beyond_f else within,
    )


def name_of(seed: int, *, operators: int, budget: float, beyond_f: bool) -> str:
    """Other than that of any other schedule: what is usual is left out."""
    parts = [f"random-{seed}"]
    parts += [f"n{operators}"] if operators != LEAST_OPERATORS else []
    parts += [f"{budget:.10g}".replace(".", "-") + "s"] if budget != BUDGET_S else []
    parts += ["beyond-f"] * beyond_f
    return "-".join(parts)


def disturbed_by(do: Fault, sites: Sequence[Site], operators: Sequence[str]) -> int:
    """Most operators that it may disturb."""
    return max(len(set(do.disturbs(site, operators)) & set(operators)) for site in sites)


def _parts(total: int, rng: random.Random) -> list[int]:
    """Rooms that add up to `total`."""
    found = []
    while total:
        found.append(rng.randint(1, total))
        total -= found[-1]
    return found


@dataclass(frozen=True, slots=True)
class _Drawing:
    topology: Topology
    rng: random.Random
    kinds: Mapping[str, type[Fault]]
    beyond_f: bool

    @property
    def tolerated(self) -> int:
        return faults_tolerated(len(self.topology.operator_names))

    @property
    def least_s(self) -> int:
        return len(self.topology.operator_names) + LONGER_S[0]

    def into(self, lane: _Lane, beside: Sequence[_Lane], *, number: int, left: float) -> float:
        """One throw; the seconds that it takes of the budget, 0 when nothing fits."""
        do = self._throw(lane.room)
        if do is None or do.nonsense() or do.misfit(self.topology):
            return 0.0
        sites = possible_sites(do, self.topology)
        disturbed = disturbed_by(do, sites, self.topology.operator_names)
        if disturbed > lane.room or (lane.room and not disturbed):
            return 0.0
        claims = {each for site in sites for each in do.claims(site)}
        if any(claims & other.claims for other in beside):
            return 0.0
        doubtful = max(lane.doubtful, *(len(do.doubtful(site)) for site in sites))
        if doubtful + sum(other.doubtful for other in beside) > self.tolerated:
            return 0.0  # they would break what is promised, not try it
        lane.claims |= claims
        lane.doubtful = doubtful
        n = len(self.topology.operator_names)
        hold = float(min(n + self.rng.randint(*LONGER_S), int(left)))
        lane.faults.append(
            Scheduled(
                id=f"{do.name}-{number}",
                do=do,
                at=self._at(lane.faults),
                until=Until(
                    heights=Count() if self.beyond_f else Count(operators=1),
                    hold=Duration(seconds=hold),
                    trigger=None if self.beyond_f else self.rng.choice(ENDS),
                    timeout=Duration(slots=2 * hold),
                ),
            )
        )
        return hold

    def _throw(self, room: int) -> Fault | None:
        names = list(self.kinds)
        weights = [self.kinds[name].weight for name in names]
        name = self.rng.choices(names, weights)[0]
        return self.kinds[name].drawn(Dice(rng=self.rng, topology=self.topology, most=room))

    def _at(self, before: Sequence[Scheduled]) -> At:
        """Beyond f nothing waits for an event: another lane may keep it from coming."""
        if before:
            pause = Duration(slots=float(self.rng.randint(*PAUSE_SLOTS)))
            return At(after=Moment(fault=before[-1].id), delay=Delay(fixed=pause))
        events = () if self.beyond_f else (Trigger.PROPOSAL, Trigger.DECIDED)
        trigger = self.rng.choice((Trigger.START, *events))
        return At(trigger=trigger, delay=Delay(upto=Duration(slots=2.0)))
