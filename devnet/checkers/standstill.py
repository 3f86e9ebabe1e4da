"""The cluster was really without a quorum, for longer than the in-flight grace: else S14 proved
nothing."""

from typing import Final

from devnet.checkers.quorum import GRACE_SECONDS, spans_without_quorum
from devnet.model.history import History
from devnet.model.timeline import last_moment
from devnet.model.verdict import Outcome, Verdict

NAME: Final = "standstill was looked at"


def check(history: History) -> Verdict:
    end = last_moment(history)
    spans = spans_without_quorum(history.faults, history.setup.operators)
    longest = max((min(last, end) - first for first, last in spans), default=0.0)
    outcome = Outcome.PASS if longest > 0 else Outcome.VACUOUS
    note = f"{max(longest, 0.0):.2f} s without a quorum beyond the grace of {GRACE_SECONDS:.0f} s"
    return Verdict(checker=NAME, outcome=outcome, note=note)
