"""What a scenario asks beyond the safety checks, which always run."""

from dataclasses import dataclass
from enum import StrEnum

from devnet.model.terms import Count, Duration


class RoundChanges(StrEnum):
    ANY = "any"
    REQUIRED = "required"
    """A run without one proves nothing: *vacuous*."""
    FORBIDDEN = "forbidden"
    FORBIDDEN_FOR_OTHERS = "forbidden-for-others"
    """None at heights whose first leader is not a target of the fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
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
    fails: str = ""
    """A positive control: the checker of this name has to fail. Empty: none has to."""
