"""A scenario as frozen values: which network, which load, which faults when and until when, and
what must hold. The written form is YAML (`devnet/scenarios/*.yaml`, read by
`devnet.scenarios.parse`).
"""

from dataclasses import dataclass, field

from devnet.faults.base import Fault
from devnet.model.expect import Expect
from devnet.model.terms import At, Count, Duration, Until
from devnet.model.work import Hostile, Load

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """A fault with its name in this scenario, its beginning and its end."""

    id: str
    do: Fault
    at: At = At()
    until: Until = Until()
    where: str = field(default="", compare=False)
    """`mine.yaml:7`, where it was read from a file."""

    @property
    def occurrences(self) -> tuple[str, ...]:
        """Ids of what it does, one after another: its own, or `kill-1`, `kill-2` when it
        repeats."""
        times = self.at.repeat.times
        return (self.id,) if times == 1 else tuple(f"{self.id}-{i}" for i in range(1, times + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What is done is faults, hostile transactions, or both."""

    name: str
    about: str
    faults: tuple[Scheduled, ...] = ()
    hostile: Hostile | None = None
    operators: int = 4
    followers: int = 1
    min_operators: int = 4
    """Below this the scenario makes no sense (a leader cannot be replaced at n = 1)."""
    load: Load = field(default_factory=Load)
    start: Count = Count(plain=3)
    """Heights sealed everywhere before the first fault."""
    settle: Count = Count(plain=3)
    """Heights sealed everywhere after the last revert, before the end state is read; no fewer than
    show that who is there stays there."""
    settle_timeout: Duration = Duration(seconds=30.0, slots=30.0)
    expect: Expect = field(default_factory=Expect)
