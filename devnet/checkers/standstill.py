"""The cluster was really without a quorum, for longer than the in-flight grace: else S14 proved
nothing."""

from typing import Final

from devnet.checkers.no_quorum_no_progress import GRACE_SECONDS, breaks_quorum
from devnet.model.history import History
from devnet.model.verdict import Outcome, Verdict

NAME: Final = "standstill was looked at"


def check(history: History) -> Verdict:
    operators = len(history.setup.operators)
    looked = [
        fault.revert_requested - fault.verified - GRACE_SECONDS
        for fault in history.faults
        if fault.verified is not None
        and fault.revert_requested is not None
        and breaks_quorum(fault, operators)
    ]
    longest = max(looked, default=0.0)
    outcome = Outcome.PASS if longest > 0 else Outcome.VACUOUS
    note = f"{max(longest, 0.0):.2f} s without a quorum beyond the grace of {GRACE_SECONDS:.0f} s"
    return Verdict(checker=NAME, outcome=outcome, note=note)
