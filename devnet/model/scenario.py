"""A scenario as frozen values: which network, which load, which faults when and until when, and
what must hold.

The written form is YAML (`devnet/scenarios/*.yaml`, read by `devnet.scenarios.parse`). Durations
may be given in slots and counts of heights as `n` (the number of operators), so that one file fits
a cluster of 4 at 1 s and one of 7 at 2 s. Targets are roles ("leader", "random"): they become names
only when the fault fires, and then stand in `resolved.yaml`.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from devnet.model.fault import CutMode, FaultKind

SCHEMA_VERSION = 1


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


class Role(StrEnum):
    LEADER = "leader"
    """Leader of round 0 of the next height."""
    NOT_LEADER = "not-leader"
    """A seeded choice among the operators that lead neither the next height nor the one after."""
    RANDOM = "random"
    FOLLOWER = "follower"
    ALL_OPERATORS = "all-operators"


Target = Role | str
"""A role, or a node's own name ("op2", "f1")."""


class LinkClass(StrEnum):
    CONSENSUS = "consensus"
    """Every operator-to-operator consensus link (or those of the target alone)."""
    ENGINE = "engine"
    """The Engine API link between rollup node and execution layer of the target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. Which of the optional fields apply follows from `kind` (the parser refuses the
    others)."""

    id: str
    kind: FaultKind
    at: At = At()
    until: Until = Until()
    target: Target | None = None
    split: tuple[int, ...] = ()
    """Partition: sizes of the groups; members are drawn from the seed."""
    mode: CutMode = CutMode.DROP
    links: LinkClass = LinkClass.CONSENSUS
    one_way: Duration = Duration()
    """Latency: added to each direction."""


class RoundChanges(StrEnum):
    ANY = "any"
    REQUIRED = "required"
    """A run without one proves nothing: *vacuous*."""
    FORBIDDEN = "forbidden"
    FORBIDDEN_FOR_OTHERS = "forbidden-for-others"
    """None at heights whose first leader is not a target of the fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """What this scenario asks beyond the safety checks, which always run."""

    round_changes: RoundChanges = RoundChanges.ANY
    settle_in: Count = Count()
    """Heights after the fault's proof in which a forbidden round change is still forgiven (a timer
    may be running)."""
    no_progress: bool = False
    """The faults leave no quorum, and the proven span is long enough to show that nothing is
    decided (S14)."""
    progress: Count = Count()
    """Heights that must be sealed while the faults stand; fewer is a fail of liveness."""
    gap: Duration | None = None
    """Longest time between consecutive sealed blocks while faults stand (None: not bounded)."""
    rejoin: Duration | None = None
    """From the revert until every target has caught up, and (operators) votes again. None: not
    asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Signed transfers, open loop. `rate` in transactions per second over all senders."""

    rate: float = 5.0
    senders: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """Transactions that each spend their gas on what is slowest for its price, sent in turn, beside
    the load: the next one goes when the fate of the one before is known."""

    kinds: tuple[str, ...] = ()
    """Names of `devnet.workload.hostile.catalogue`; empty: all of them."""
    gas: int = 10_000_000
    """Of each."""
    patience: Duration = Duration(seconds=30.0)
    """How long a sender waits to learn the fate of one."""
    timeout: Duration = Duration(seconds=600.0)
    """For all of them; what was not sent by then counts against the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What is done is faults, hostile transactions, or both."""

    name: str
    about: str
    faults: tuple[Fault, ...] = ()
    hostile: Hostile | None = None
    operators: int = 4
    followers: int = 1
    min_operators: int = 4
    """Below this the scenario makes no sense (a leader cannot be replaced at n = 1)."""
    load: Load = field(default_factory=Load)
    start: Count = Count(plain=3)
    """Heights sealed everywhere before the first fault."""
    settle: Count = Count(plain=2)
    """Heights sealed everywhere after the last revert, before the end state is read."""
    settle_timeout: Duration = Duration(seconds=60.0)
    expect: Expect = field(default_factory=Expect)
