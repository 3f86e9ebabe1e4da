"""L9 progress under fault: so many heights are sealed while the faults stand."""

from typing import Final

from devnet.checkers.base import counted, inconclusive
from devnet.model.history import History
from devnet.model.timeline import disturbed_span, sealed_heights
from devnet.model.verdict import Outcome, Verdict, Violation

NAME: Final = "L9 progress under fault"


def check(history: History, wanted: int) -> Verdict:
    span = disturbed_span(history)
    if span is None:
        return inconclusive(NAME, "no fault was proven")
    sealed = len(sealed_heights(history, span))
    note = f"{counted(sealed, 'height{s}')} sealed while the faults stood, {wanted} required"
    if sealed >= wanted:
        return Verdict(checker=NAME, outcome=Outcome.PASS, note=note)
    violation = Violation(checker=NAME, summary=note, witness=history.faults)
    return Verdict(checker=NAME, outcome=Outcome.FAIL, violations=(violation,), note=note)
