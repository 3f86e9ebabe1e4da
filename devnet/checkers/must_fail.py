"""A positive control: the scenario is made to break an invariant, and passes when the checker of
just that one says so, of something that came with or after the fault: of the liars, where there are
some. What broke before it broke by itself, and shows nothing of the checker.

What else broke is named beside it and does not count: what follows from a broken promise is
anybody's guess. That the fault was proven, and the run carried out, is asked as ever; that
something happened is not, since where a chain has to stand still nothing does.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from devnet.checkers import (
    agreement,
    derived_chain,
    equal_states,
    exactly_once,
    gap,
    goes_on,
    inclusion,
    justified_votes,
    known_fate,
    linearizable,
    linked_chain,
    no_crash,
    no_quorum_no_progress,
    normal_gap,
    notices,
    one_group_signature,
    progress_under_fault,
    readable,
    recovery,
    rejoin,
    rounds_as_promised,
    safe_head,
    sign_once,
    stable_order,
    stable_receipts,
    steady_state,
    true_evidence,
    valid_certificates,
    votes_again,
)
from devnet.model.history import FaultReceipt, History
from devnet.model.verdict import Outcome, Verdict, Violation

NAME: Final = "fails as it must"
CHECKERS: Final[tuple[str, ...]] = tuple(
    module.NAME
    for module in (
        agreement,
        one_group_signature,
        valid_certificates,
        stable_receipts,
        exactly_once,
        stable_order,
        equal_states,
        derived_chain,
        linked_chain,
        linearizable,
        sign_once,
        justified_votes,
        no_quorum_no_progress,
        true_evidence,
        no_crash,
        normal_gap,
        gap,
        recovery,
        rejoin,
        inclusion,
        safe_head,
        steady_state,
        progress_under_fault,
        known_fate,
        readable,
        goes_on,
        votes_again,
        notices,
        rounds_as_promised,
    )
)
"""What a scenario may ask to fail; the others judge the experiment."""


def judged(verdicts: Iterable[Verdict], wanted: str, history: History) -> tuple[Verdict, ...]:
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
    return (_control(found, wanted, others, doubt, history), *experiment)


def _control(
    found: Verdict | None, wanted: str, others: list[str], doubt: list[str], history: History
) -> Verdict:
    """doubt: why what held may have had nothing to hold against."""
    beside = f"; beside it: {', '.join(others)}" if others else ""
    if found is not None and found.outcome is Outcome.FAIL:
        breach = next((each for each in found.violations if _may_follow(each, history)), None)
        if breach is not None:
            note = f"{wanted}: {breach.summary}{beside}"
            return Verdict(checker=NAME, outcome=Outcome.PASS, note=note)
        first = found.violations[0]
        early = msgspec.structs.replace(
            first, checker=NAME, summary=f"{wanted} broke, but before the fault: {first.summary}"
        )
        return Verdict(checker=NAME, outcome=Outcome.FAIL, violations=(early,))
    if found is not None and found.outcome is Outcome.INCONCLUSIVE:
        note = f"{wanted}: {found.note}{beside}"
        return Verdict(checker=NAME, outcome=Outcome.INCONCLUSIVE, note=note)
    if doubt:
        note = f"{wanted} did not break: {doubt[0]}{beside}"
        return Verdict(checker=NAME, outcome=Outcome.INCONCLUSIVE, note=note)
    what = "nothing to look at" if found is None else f"{found.outcome} ({found.note})"
    violation = Violation(checker=NAME, summary=f"{wanted} had to fail, and is: {what}{beside}")
    return Verdict(checker=NAME, outcome=Outcome.FAIL, violations=(violation,))


def _may_follow(breach: Violation, history: History) -> bool:
    """Whether it came with or after the fault, by its moment, or else by its height; what has
    neither is of the whole run."""
    cause = _cause(history)
    if cause is None:
        return not history.faults
    if breach.monotonic is not None:
        return breach.monotonic >= (cause.applied or 0.0)
    return breach.height is None or breach.height >= (cause.height or 0)


def _cause(history: History) -> FaultReceipt | None:
    """The first fault that took hold; where there are liars, theirs."""
    lying = [fault for fault in history.faults if fault.lying]
    applied = [fault for fault in lying or history.faults if fault.applied is not None]
    return min(applied, key=lambda fault: fault.applied or 0.0, default=None)
