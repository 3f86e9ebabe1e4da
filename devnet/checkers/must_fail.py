"""A positive control: the scenario is made to break an invariant, and passes when the checker of
just that one says so.

What else broke is named beside it and does not count: what follows from a broken promise is
anybody's guess. That the fault was proven, and the run carried out, is asked as ever; that
something happened is not, since where a chain has to stand still nothing does.
"""

from collections.abc import Iterable
from typing import Final

from devnet.checkers import (
    agreement,
    equal_states,
    exactly_once,
    gap,
    goes_on,
    inclusion,
    known_fate,
    linearizable,
    linked_chain,
    no_crash,
    no_quorum_no_progress,
    one_group_signature,
    progress_under_fault,
    readable,
    recovery,
    rejoin,
    rounds_as_promised,
    sign_once,
    stable_receipts,
    true_evidence,
)
from devnet.model.verdict import Outcome, Verdict, Violation

NAME: Final = "fails as it must"
CHECKERS: Final[tuple[str, ...]] = tuple(
    module.NAME
    for module in (
        agreement,
        one_group_signature,
        stable_receipts,
        exactly_once,
        equal_states,
        linked_chain,
        linearizable,
        sign_once,
        no_quorum_no_progress,
        true_evidence,
        no_crash,
        gap,
        recovery,
        rejoin,
        inclusion,
        progress_under_fault,
        known_fate,
        readable,
        goes_on,
        rounds_as_promised,
    )
)
"""What a scenario may ask to fail; the others judge the experiment."""


def judged(verdicts: Iterable[Verdict], wanted: str) -> tuple[Verdict, ...]:
    """The verdicts of a run that must fail `wanted`."""
    every = tuple(verdicts)
    experiment = tuple(
        verdict
        for verdict in every
        if verdict.checker not in CHECKERS and verdict.outcome is not Outcome.VACUOUS
    )
    found = next((verdict for verdict in every if verdict.checker == wanted), None)
    others = [
        verdict.checker
        for verdict in every
        if verdict.outcome is Outcome.FAIL and verdict.checker != wanted
    ]
    doubt = [v.note for v in experiment if v.outcome is Outcome.INCONCLUSIVE]
    return (_control(found, wanted, others, doubt), *experiment)


def _control(found: Verdict | None, wanted: str, others: list[str], doubt: list[str]) -> Verdict:
    """doubt: why what held may have had nothing to hold against."""
    beside = f"; beside it: {', '.join(others)}" if others else ""
    if found is not None and found.outcome is Outcome.FAIL:
        note = f"{wanted}: {found.violations[0].summary}{beside}"
        return Verdict(checker=NAME, outcome=Outcome.PASS, note=note)
    if found is not None and found.outcome is Outcome.INCONCLUSIVE:
        note = f"{wanted}: {found.note}{beside}"
        return Verdict(checker=NAME, outcome=Outcome.INCONCLUSIVE, note=note)
    if doubt:
        note = f"{wanted} did not break: {doubt[0]}{beside}"
        return Verdict(checker=NAME, outcome=Outcome.INCONCLUSIVE, note=note)
    what = "nothing to look at" if found is None else f"{found.outcome} ({found.note})"
    violation = Violation(checker=NAME, summary=f"{wanted} had to fail, and is: {what}{beside}")
    return Verdict(checker=NAME, outcome=Outcome.FAIL, violations=(violation,))
