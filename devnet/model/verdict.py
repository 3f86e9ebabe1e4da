"""What a checker says: an outcome, its violations with their witnesses, and the figure it measured.

Frozen values, written to `verdicts.json` as they are. Four outcomes, never two: a run in which the
fault was not proven or nothing happened has not passed.
"""

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from devnet.model.command import Exit
from devnet.model.history import Record


class Outcome(StrEnum):
    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    """A fault was not proven by its probe, or the evidence needed was not collected."""
    VACUOUS = "vacuous"
    """Nothing happened that could have failed."""


class Violation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One breach, with the records that prove it."""

    checker: str
    """Name of the invariant, such as `S1 agreement`."""
    summary: str
    """One sentence for a person."""
    monotonic: float | None = None
    """When the breach became visible, seconds; None when it is known only at the end."""
    height: int | None = None
    witness: tuple[Record, ...] = ()


class Verdict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    checker: str
    outcome: Outcome
    violations: tuple[Violation, ...] = ()
    note: str = ""
    """What was looked at (`31 heights at 5 nodes`), or why there is no clear answer."""
    measured: float | None = None
    """Worst value seen, in `unit`; printed beside the bound."""
    bound: float | None = None
    unit: str = "s"


def worst(verdicts: Iterable[Verdict]) -> Outcome:
    """One outcome for a run: a breach outranks doubt, doubt outranks emptiness."""
    outcomes = {verdict.outcome for verdict in verdicts}
    for outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.VACUOUS, Outcome.PASS):
        if outcome in outcomes:
            return outcome
    return Outcome.VACUOUS


def exit_code(outcome: Outcome) -> Exit:
    return {Outcome.PASS: Exit.OK, Outcome.FAIL: Exit.FAILED}.get(outcome, Exit.NOTHING_SHOWN)
