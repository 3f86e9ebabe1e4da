"""What a leg ran and what came of it: passed, failed with a reproducer, skipped with a reason.

Nothing is dropped without a count: whoever leaves a case out says why.
"""

from collections import Counter
from dataclasses import dataclass, field

MAX_SHOWN = 20


@dataclass(slots=True)
class Tally:
    leg: str
    passed: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    """(case, what was wrong)."""
    skipped: Counter[str] = field(default_factory=Counter)
    """reason -> cases."""
    notes: Counter[str] = field(default_factory=Counter)
    """What is worth a count beside the verdicts."""

    def ok(self) -> None:
        self.passed += 1

    def fail(self, case: str, why: str) -> None:
        self.failures.append((case, why))

    def skip(self, reason: str) -> None:
        self.skipped[reason] += 1

    def lines(self) -> list[str]:
        """The counts, then at most twenty failures."""
        counts = f"{self.passed} passed, {len(self.failures)} failed"
        lines = [f"{self.leg}: {counts}, {self.skipped.total()} skipped"]
        lines += [f"    skipped {count}: {reason}" for reason, count in self.skipped.most_common()]
        lines += [f"    {text}: {count}" for text, count in self.notes.most_common()]
        lines += [f"    FAILED {case}: {why}" for case, why in self.failures[:MAX_SHOWN]]
        if len(self.failures) > MAX_SHOWN:
            lines.append(f"    … and {len(self.failures) - MAX_SHOWN} more")
        return lines

    def check(self) -> None:
        """For a test: fail with every line when anything failed, and when nothing ran."""
        told = "\n".join(self.lines())
        assert not self.failures, told
        assert self.passed, f"nothing ran:\n{told}"
