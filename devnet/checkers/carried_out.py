"""Was the run carried out to its end? Where the harness itself failed, nothing was shown."""

from typing import Final

from devnet.model.history import History
from devnet.model.verdict import Outcome, Verdict

NAME: Final = "the run was carried out"


def check(history: History) -> Verdict:
    if history.broken:
        note = "; ".join(broken.why for broken in history.broken)
        return Verdict(checker=NAME, outcome=Outcome.INCONCLUSIVE, note=note)
    outcome = Outcome.PASS if history.events else Outcome.VACUOUS
    return Verdict(checker=NAME, outcome=outcome, note="")
