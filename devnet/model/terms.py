"""The words of a scenario: lengths of time, numbers of heights, when something happens, and to
whom.

Durations may be given in slots and counts of heights as `n` (the number of operators), so that one
file fits a cluster of 4 at 1 s and one of 7 at 2 s. Aims ("leader", "random") become names only
when the fault fires, and then stand in `resolved.yaml`.
"""

from dataclasses import dataclass
from enum import StrEnum

from dst.spec.primitives import faults_tolerated


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """`seconds` plus `slots` block times."""

    seconds: float = 0.0
    slots: float = 0.0

    def in_seconds(self, slot_seconds: float) -> float:
        return self.seconds + self.slots * slot_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """A number of heights: `plain` plus `operators` times the size of the cluster."""

    plain: int = 0
    operators: int = 0

    def for_operators(self, n: int) -> int:
        return self.plain + self.operators * n


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """A fixed wait, or a seeded one drawn evenly from [0, upto)."""

    fixed: Duration = Duration()
    upto: Duration | None = None


class Trigger(StrEnum):
    START = "start"
    """As soon as the load runs and the start heights are sealed."""
    PROPOSAL = "proposal"
    PREPARED = "prepared"
    DECIDED = "decided"
    """On the first `decided` event any stream reports after that: the next height's leader is then
    known. The other phases likewise."""
    SEALED = "sealed"
    ROUND_CHANGE = "round_change"


class Edge(StrEnum):
    """Moments of a fault that another can wait for."""

    INJECT = "inject"
    """It was proven to stand (or could not be injected)."""
    HEAL = "heal"
    """It was taken back; of one that repeats, the last time."""
    REJOIN = "rejoin"
    """After that, whom it silenced has caught up and votes again, as `expect.rejoin` asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    fault: str
    edge: Edge = Edge.HEAL

    def __str__(self) -> str:
        return f"{self.edge} of {self.fault}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """Again and again, `times` in all: from beginning to beginning so many heights decided, or so
    long, and never before the one before was healed."""

    times: int = 1
    heights: Count = Count()
    pause: Duration = Duration()


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """When a fault fires: each part is waited for in turn, from the start heights on."""

    after: Moment | None = None
    heights: Count = Count()
    """So many decided after that."""
    trigger: Trigger = Trigger.START
    leader: str = ""
    """Of `decided` events, the next one after which this operator leads; empty: whoever does."""
    delay: Delay = Delay()
    repeat: Repeat = Repeat()


@dataclass(frozen=True, slots=True, kw_only=True)
class Until:
    """When a fault is reverted: `heights` decided from the height it hit on, at least `hold` after
    its proof, `total` after its request, and not before `after`. `forever`: not before all others
    that have an end. `trigger`: with the next event of this kind after all that.

    `timeout` bounds the wait for heights, and that for the event: a chain that stands still must
    not leave the fault standing for ever.
    """

    heights: Count = Count()
    hold: Duration = Duration()
    total: Duration = Duration()
    after: Moment | None = None
    forever: bool = False
    trigger: Trigger | None = None
    leader: str = ""
    """As in `At`."""
    timeout: Duration = Duration(seconds=30.0, slots=30.0)


class Aim(StrEnum):
    """Whom a fault is meant for, before anybody knows who that will be."""

    LEADER = "leader"
    """Leader of round 0 of the next height."""
    NOT_LEADER = "not-leader"
    """A seeded choice among the operators that lead neither the next height nor the one after."""
    RANDOM = "random"
    FOLLOWER = "follower"
    ALL_OPERATORS = "all-operators"
    BYZANTINE = "byzantine"
    """The operators that a fault has made liars by then, still lying or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Several:
    """`random(2)`, `random(f)`, `random(f+1)`: so many operators, each another, drawn."""

    plain: int = 0
    tolerated: bool = False
    """And as many as the cluster survives."""

    def for_operators(self, n: int) -> int:
        return self.plain + (faults_tolerated(n) if self.tolerated else 0)

    def __str__(self) -> str:
        parts = ["f"] if self.tolerated else []
        parts += [str(self.plain)] if self.plain or not parts else []
        return f"random({'+'.join(parts)})"


Target = Aim | Several | str
"""An aim, so many of them, or a node's own name ("op2", "f1")."""
