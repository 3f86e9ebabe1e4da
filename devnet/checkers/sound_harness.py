"""Did the harness itself hold? A Toxiproxy, the L1 or a bender that ended on its own is no fault
that anybody asked for and none of the cluster's: what waited then shows nothing. What broke safety
broke it all the same."""

from typing import Final

import msgspec

from devnet.checkers.base import counted, inconclusive
from devnet.model.history import History, ProgramEnded
from devnet.model.verdict import Outcome, Verdict

NAME: Final = "the harness was well"
HOST: Final = "toxiproxy"
"""Stands for a node's host."""
PARTS: Final = (HOST, "anvil", "bender", "firewall")
"""Roles that are no part of the cluster."""


def is_part(program: str) -> bool:
    return program.rpartition(".")[2] in PARTS


def ended(history: History) -> list[ProgramEnded]:
    return [each for each in history.ended if is_part(each.program)]


def check(history: History) -> Verdict:
    """Never a fail."""
    found = ended(history)
    if found:
        return inconclusive(NAME, _told(found))
    return Verdict(checker=NAME, outcome=Outcome.PASS, note="none of its parts ended on its own")


def excused(verdict: Verdict, history: History) -> Verdict:
    """A verdict that is not about safety, which accuses nobody of what the harness did."""
    found = ended(history)
    if verdict.outcome is not Outcome.FAIL or not found:
        return verdict
    note = f"{_told(found)}: {verdict.violations[0].summary}"
    return msgspec.structs.replace(verdict, outcome=Outcome.INCONCLUSIVE, note=note, violations=())


def _told(found: list[ProgramEnded]) -> str:
    first, more = found[0], len(found) - 1
    rest = f", and {counted(more, 'more part{s}')}" if more else ""
    return f"{first.program}, a part of the harness, ended on its own ({first.detail}){rest}"
