"""L9 progress under fault: so many heights are sealed while the faults stand.

Heights before and after them, under what stands around all of them, are none of these. Those that
the machine's stalls may have cost are nobody's fault.
"""

from typing import Final

from devnet.checkers.base import counted, inconclusive
from devnet.checkers.goes_on import to_explain
from devnet.checkers.sound_machine import excused, may_explain
from devnet.model.history import History
from devnet.model.timeline import sealed_heights, tested_span
from devnet.model.verdict import Outcome, Verdict, Violation

NAME: Final = "L9 progress under fault"


def check(history: History, wanted: int) -> Verdict:
    span = tested_span(history)
    if span is None:
        return inconclusive(NAME, "no fault was proven")
    sealed = len(sealed_heights(history, span))
    note = f"{counted(sealed, 'height{s}')} sealed while the faults stood, {wanted} required"
    if sealed >= wanted:
        return Verdict(checker=NAME, outcome=Outcome.PASS, note=note)
    # Up to the end it could have come, and then it had not.
    violation = Violation(checker=NAME, summary=note, monotonic=span[1], witness=history.faults)
    verdict = Verdict(checker=NAME, outcome=Outcome.FAIL, violations=(violation,), note=note)
    late = may_explain(
        history, span, to_explain(history, span, wanted=wanted, missing=wanted - sealed)
    )
    return excused(verdict, late) if late else verdict
