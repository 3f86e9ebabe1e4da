"""The shape of a checker, and the few words all of them share.

A *checker* is a pure function `History -> Verdict`. A *live checker* is fed one record at a time
and answers with the violations that this record completes; fed the same records in the same order
it says the same. Where an invariant can be watched live, its checker is the live one fed with the
whole history: one definition of correct for the simulator, the running network and the report.
"""

from collections.abc import Callable, Iterable
from typing import Final, Protocol, TypeAlias

from devnet.model.history import History, Record, records_of
from devnet.model.verdict import Outcome, Verdict, Violation

Checker: TypeAlias = Callable[[History], Verdict]

MAX_VIOLATIONS: Final = 16
"""Kept per verdict: the first ones explain a broken run, the thousandth explains nothing."""


class LiveChecker(Protocol):
    """Watches one invariant while the run goes on; its memory grows with heights only."""

    def feed(self, record: Record) -> list[Violation]: ...


def judge(checker: str, violations: Iterable[Violation], *, looked_at: int, what: str) -> Verdict:
    """Fail on any violation, else pass; vacuous when nothing was looked at."""
    found = tuple(violations)
    if found:
        note = f"{len(found)} violation(s) in {looked_at} {what}"
        kept = found[:MAX_VIOLATIONS]
        return Verdict(checker=checker, outcome=Outcome.FAIL, violations=kept, note=note)
    outcome = Outcome.PASS if looked_at else Outcome.VACUOUS
    return Verdict(checker=checker, outcome=outcome, note=f"{looked_at} {what}")


def judge_within(
    checker: str, worst: tuple[float, Violation] | None, *, bound: float, note: str = ""
) -> Verdict:
    """A verdict on a measured time (`worst` with the violation it would be) against its bound."""
    if worst is None:
        return Verdict(checker=checker, outcome=Outcome.VACUOUS, note=note, bound=bound)
    measured, violation = worst
    failed = measured > bound
    return Verdict(
        checker=checker,
        outcome=Outcome.FAIL if failed else Outcome.PASS,
        violations=(violation,) if failed else (),
        note=note,
        measured=measured,
        bound=bound,
    )


def replay(live: LiveChecker, history: History) -> list[Violation]:
    """Feed a whole history to a live checker, in order of time."""
    return [violation for record in records_of(history) for violation in live.feed(record)]
