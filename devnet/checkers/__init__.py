"""Checkers: pure functions `History -> Verdict`, a file per invariant, for sim and live runs alike.

agreement S1, one_group_signature S2, valid_certificates S3, stable_receipts S4/S5,
exactly_once S6, stable_order S7, equal_states S8, derived_chain S9, linked_chain S10, sign_once
S12, justified_votes S13, no_quorum_no_progress S14, true_evidence S15, no_crash S17, linearizable
S18, normal_gap L1, gap L2, recovery L4, rejoin L5, inclusion L6, safe_head L7, steady_state L8,
progress_under_fault L9, no_round_change L10, known_fate L11;
readable, goes_on and votes_again ask for every node and operator, notices for those that a fault
hit; faults_happened and standstill judge the experiment. `expectations` says which of them a
scenario asks for, `honest` what liars say of themselves, which none of them is told, `must_fail`
judges a positive control. Their forged histories, which each must fail, are in tests/unit/checkers.
"""

from typing import Final

from devnet.checkers import (
    agreement,
    carried_out,
    derived_chain,
    equal_states,
    exactly_once,
    faults_happened,
    goes_on,
    inclusion,
    justified_votes,
    linearizable,
    linked_chain,
    no_crash,
    no_quorum_no_progress,
    normal_gap,
    notices,
    one_group_signature,
    readable,
    recovery,
    safe_head,
    sign_once,
    sound_harness,
    sound_machine,
    stable_order,
    stable_receipts,
    steady_state,
    true_evidence,
    valid_certificates,
    votes_again,
)
from devnet.checkers.agreement import LiveAgreement
from devnet.checkers.base import Checker, LiveChecker
from devnet.checkers.honest import Believed, believed
from devnet.checkers.no_crash import LiveNoCrash
from devnet.checkers.no_quorum_no_progress import LiveNoQuorumNoProgress
from devnet.checkers.one_group_signature import LiveOneGroupSignature
from devnet.checkers.sign_once import LiveSignOnce
from devnet.checkers.true_evidence import LiveTrueEvidence
from devnet.model.history import History
from devnet.model.verdict import Outcome, Verdict

__all__ = [
    "LIVENESS",
    "SAFETY",
    "Checker",
    "LiveAgreement",
    "LiveChecker",
    "LiveNoCrash",
    "LiveNoQuorumNoProgress",
    "LiveOneGroupSignature",
    "LiveSignOnce",
    "LiveTrueEvidence",
    "check_all",
    "live_checkers",
]

SAFETY: Final[tuple[Checker, ...]] = (
    agreement.check,
    one_group_signature.check,
    valid_certificates.check,
    stable_receipts.check,
    exactly_once.check,
    stable_order.check,
    equal_states.check,
    derived_chain.check,
    linked_chain.check,
    linearizable.check,
    sign_once.check,
    justified_votes.check,
    no_quorum_no_progress.check,
    true_evidence.check,
    no_crash.check,
)
"""Run on every history; those that find nothing to look at answer vacuous, which is no blame."""

LIVENESS: Final[tuple[Checker, ...]] = (
    normal_gap.check,
    recovery.check,
    inclusion.check,
    safe_head.check,
    steady_state.check,
    readable.check,
    goes_on.check,
    votes_again.check,
    notices.check,
)

RESTS_ON_CUTS: Final = (no_quorum_no_progress.check, *LIVENESS)
"""What the end of a Toxiproxy may break, without anybody's fault."""


NOT_ON_BASELINES: Final = (
    no_quorum_no_progress.check,
    true_evidence.check,
    justified_votes.check,
    recovery.check,
    inclusion.check,
    votes_again.check,
    notices.check,
)
"""A baseline has no quorum (S14), no votes (S13), nobody to accuse but its one key (S15), and
promises neither when it is back (L4), nor what it notices, nor a turn to everybody (L6): what it
took is a figure."""


OWED: Final = (
    one_group_signature.check,
    stable_receipts.check,
    exactly_once.check,
    equal_states.check,
    linked_chain.check,
    linearizable.check,
    inclusion.check,
)
"""What finds something to look at in any run under load that came to its end: where it does not,
nobody looked."""


def live_checkers() -> list[LiveChecker]:
    """Fresh live checkers for one run; feed `Setup` first."""
    checkers: tuple[LiveChecker, ...] = (
        LiveAgreement(),
        LiveOneGroupSignature(),
        LiveSignOnce(),
        LiveNoQuorumNoProgress(),
        LiveTrueEvidence(),
        LiveNoCrash(),
    )
    return [Believed(checker) for checker in checkers]


def check_all(history: History, extra: tuple[Checker, ...] = ()) -> tuple[Verdict, ...]:
    """Every standing checker, then `extra` ones of the scenario, then whether the faults happened
    and the run came to its end.

    A checker without anything to look at is left out of the answer's weight: its verdict is kept as
    `vacuous` only when it is an `extra` one, which the scenario asked for by name, or `OWED`.
    """
    history = believed(history)

    def excused(verdict: Verdict) -> Verdict:
        return sound_harness.excused(carried_out.excused(verdict, history), history)

    standing = [
        checker
        for checker in (*SAFETY, *LIVENESS)
        if not (history.setup.cluster.is_baseline and checker in NOT_ON_BASELINES)
    ]
    owed = _owed(history)
    said = [
        excused(checker(history)) if checker in RESTS_ON_CUTS else checker(history)
        for checker in standing
    ]
    kept = zip(standing, said, strict=True)
    told = [v for checker, v in kept if v.outcome is not Outcome.VACUOUS or checker in owed]
    named = [excused(checker(history)) for checker in extra]
    experiment = [
        faults_happened.check(history),
        sound_harness.check(history),
        carried_out.check(history),
    ]
    if history.machine:
        experiment.append(sound_machine.check(history))
    return (*told, *named, *experiment)


def _owed(history: History) -> tuple[Checker, ...]:
    """Of `OWED`, those that this run had something for."""
    whole = any(ended.last is not None for ended in history.run_ended)
    if not (whole and history.setup.load):
        return ()
    setup = history.setup
    hit = {node for fault in history.faults for node in fault.targets}
    nothing_for: list[Checker] = []
    if len((*setup.operators, *setup.followers)) == 1:
        nothing_for.append(equal_states.check)
    if hit.issuperset(setup.operators):  # it judges what was sent by way of those left alone
        nothing_for.append(inclusion.check)
    return tuple(checker for checker in OWED if checker not in nothing_for)
