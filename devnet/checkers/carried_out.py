"""Was the run carried out to its end? Where the harness itself failed, or its record was cut off,
nothing was shown: what the rest would have said is not known."""

from typing import Final

import msgspec

from devnet.checkers import inclusion, progress_under_fault, rejoin, votes_again
from devnet.checkers.base import inconclusive
from devnet.model.history import History
from devnet.model.verdict import Outcome, Verdict

NAME: Final = "the run was carried out"
WAIT_FOR_THE_END: Final = (
    inclusion.NAME,
    progress_under_fault.NAME,
    rejoin.NAME,
    votes_again.NAME,
)
"""What may come as late as the run's last moment: where that did not come, nothing is missing."""


def check(history: History) -> Verdict:
    if history.broken:
        return inconclusive(NAME, "; ".join(broken.why for broken in history.broken))
    if history.events and not history.run_ended:
        return inconclusive(NAME, "the record does not come to the end of the run: it was cut off")
    outcome = Outcome.PASS if history.events else Outcome.VACUOUS
    return Verdict(checker=NAME, outcome=outcome, note="")


def excused(verdict: Verdict, history: History) -> Verdict:
    """A verdict that blames nobody for what a longer run might have shown."""
    if history.run_ended or verdict.outcome is not Outcome.FAIL:
        return verdict
    if verdict.checker not in WAIT_FOR_THE_END:
        return verdict
    note = f"the run did not come to its end: {verdict.violations[0].summary}"
    return msgspec.structs.replace(verdict, outcome=Outcome.INCONCLUSIVE, note=note, violations=())
