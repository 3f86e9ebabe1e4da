"""The shape of a checker, and the few words all of them share.

A *checker* is a pure function `History -> Verdict`. A *live checker* is fed one record at a time
and answers with the violations that this record completes; fed the same records in the same order
it says the same. Where an invariant can be watched live, its checker is the live one fed with the
whole history: one definition of correct for the simulator, the running network and the report.

A history is of one chain, `Setup.chain_id`, and so is what a live checker is fed: where checkers
say (term, height), the chain is the history's. Whoever watches two chains keeps two journals.
"""

from collections.abc import Callable, Iterable
from typing import Final, Protocol, TypeAlias

import msgspec

from devnet.model.history import History, Record, records_of
from devnet.model.verdict import Outcome, Verdict, Violation

Checker: TypeAlias = Callable[[History], Verdict]

MAX_VIOLATIONS: Final = 16
"""Kept per verdict: the first ones explain a broken run, the thousandth explains nothing."""


class LiveChecker(Protocol):
    """Watches one invariant while the run goes on; its memory grows with heights only."""

    def feed(self, record: Record) -> list[Violation]: ...


def counted(number: int, what: str) -> str:
    """`1 height`, `2 heights` of `height{s}`; `crash{es}` likewise."""
    one = number == 1
    return (
        f"{number} {what.replace('{s}', '' if one else 's').replace('{es}', '' if one else 'es')}"
    )


def amount(value: float, unit: str) -> str:
    """`1.58 s`, `1 height`, `4 heights`."""
    if unit == "s":
        return f"{value:.2f} s"
    return f"{value:g} {unit.removesuffix('s') if value == 1 else unit}"


def inconclusive(checker: str, note: str) -> Verdict:
    return Verdict(checker=checker, outcome=Outcome.INCONCLUSIVE, note=note)


def judge(checker: str, violations: Iterable[Violation], *, looked_at: int, what: str) -> Verdict:
    """Fail on any violation, else pass; vacuous when nothing was looked at. `what` as for
    `counted`."""
    found = tuple(violations)
    seen = counted(looked_at, what)
    if found:
        note = f"{counted(len(found), 'violation{s}')} in {seen}"
        kept = found[:MAX_VIOLATIONS]
        return Verdict(checker=checker, outcome=Outcome.FAIL, violations=kept, note=note)
    outcome = Outcome.PASS if looked_at else Outcome.VACUOUS
    return Verdict(checker=checker, outcome=outcome, note=seen)


def judge_within(
    checker: str,
    worst: tuple[float, Violation] | None,
    *,
    bound: float,
    note: str = "",
    unit: str = "s",
) -> Verdict:
    """A verdict on a measured amount (`worst` with the violation it would be, whose summary ends
    with what was measured) against its bound."""
    found = [] if worst is None else [worst]
    return judge_each_within(checker, found, bound=bound, note=note, unit=unit)


def judge_each_within(
    checker: str,
    found: Iterable[tuple[float, Violation]],
    *,
    bound: float,
    note: str = "",
    unit: str = "s",
) -> Verdict:
    """As `judge_within`, of many amounts: the worst is what was measured, and those above the bound
    are the violations, the first first."""
    every = list(found)
    broken = [
        msgspec.structs.replace(
            violation, summary=f"{violation.summary}, allowed {amount(bound, unit)}"
        )
        for measured, violation in every
        if measured > bound
    ]
    broken.sort(key=lambda each: float("inf") if each.monotonic is None else each.monotonic)
    outcome = Outcome.FAIL if broken else Outcome.PASS if every else Outcome.VACUOUS
    return Verdict(
        checker=checker,
        outcome=outcome,
        violations=tuple(broken[:MAX_VIOLATIONS]),
        note=note,
        measured=max((measured for measured, _ in every), default=None),
        bound=bound,
        unit=unit,
    )


def replay(live: LiveChecker, history: History) -> list[Violation]:
    """Feed a whole history to a live checker, in order of time."""
    return [violation for record in records_of(history) for violation in live.feed(record)]
