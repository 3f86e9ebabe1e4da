"""The words of a scenario: lengths of time, numbers of heights, when something happens, and to
whom.

Durations may be given in slots and counts of heights as `n` (the number of operators), so that one
file fits a cluster of 4 at 1 s and one of 7 at 2 s. Aims ("leader", "random") become names only
when the fault fires, and then stand in `resolved.yaml`.
"""

from dataclasses import dataclass
from enum import StrEnum


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
    DECIDED = "decided"
    """On the first `decided` event any stream reports after that: the next height's leader is then
    known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """When a fault fires: the trigger, or the revert of the fault named by `after`; then the
    delay."""

    trigger: Trigger = Trigger.START
    after: str | None = None
    delay: Delay = Delay()


@dataclass(frozen=True, slots=True, kw_only=True)
class Until:
    """When a fault is reverted: `heights` decided from the height it hit on, and at least `hold`
    after its proof.

    `timeout` bounds the wait for heights: a chain that stands still must not leave the fault
    standing for ever.
    """

    heights: Count = Count()
    hold: Duration = Duration()
    timeout: Duration = Duration(seconds=60.0)


class Aim(StrEnum):
    """Whom a fault is meant for, before anybody knows who that will be."""

    LEADER = "leader"
    """Leader of round 0 of the next height."""
    NOT_LEADER = "not-leader"
    """A seeded choice among the operators that lead neither the next height nor the one after."""
    RANDOM = "random"
    FOLLOWER = "follower"
    ALL_OPERATORS = "all-operators"


Target = Aim | str
"""An aim, or a node's own name ("op2", "f1")."""
