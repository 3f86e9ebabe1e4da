"""S17 isolation of harm: no program of the cluster ends on its own, outlives SIGTERM, or leaves an
exception unhandled."""

from typing import Final

import msgspec

from devnet.checkers.base import judge
from devnet.checkers.sound_harness import HOST, ended, is_part
from devnet.checkers.sound_machine import excused, may_explain
from devnet.model.history import (
    ExceptionLogged,
    History,
    ProgramEnded,
    ProgramRanOn,
    Record,
    Setup,
)
from devnet.model.verdict import Verdict, Violation

NAME: Final = "S17 no program ends on its own"


APART: Final = ("process",)
"""Backends on which a Toxiproxy is a neighbour like any other, and takes nobody along."""
TOGETHER_S: Final = 30.0
"""From one end to another that has the same cause: a Docker daemon that stops gives its containers
some ten seconds, and tells of some of them only once it is back."""


class LiveNoCrash:
    """A node whose Toxiproxy ended may have ended with it, or just before: its host did, or the
    Docker daemon."""

    def __init__(self) -> None:
        self._apart = False
        self._lost: dict[str, float] = {}
        """Pod -> when it did first."""

    def feed(self, record: Record) -> list[Violation]:
        match record:
            case Setup():
                self._apart = record.backend in APART
                return []
            case ProgramEnded() if is_part(record.program):
                if record.program.endswith(f".{HOST}") and not self._apart:
                    self._lost.setdefault(_pod(record), record.monotonic)
                return []
            case ProgramEnded() if self._fell_with_its_host(record):
                return []
            case ProgramEnded():
                summary = f"{record.program} ended on its own: {record.detail}"
            case ProgramRanOn():
                summary = f"{record.program} ran on {record.seconds:.0f} s after SIGTERM"
            case ExceptionLogged():
                summary = f"{record.program} did not handle an exception: {record.told}"
            case _:
                return []
        moment = record.monotonic
        return [Violation(checker=NAME, summary=summary, monotonic=moment, witness=(record,))]

    def _fell_with_its_host(self, record: ProgramEnded) -> bool:
        lost = self._lost.get(_pod(record))
        return lost is not None and record.monotonic >= lost - TOGETHER_S


def check(history: History) -> Verdict:
    nodes = {event.node for event in history.events}
    live = LiveNoCrash()
    live.feed(history.setup)
    for part in ended(history):  # whichever of a pod was told first
        live.feed(part)
    in_time: list[Record] = [*history.ended, *history.exceptions]
    late = {
        each: may_explain(history, (each.monotonic - each.seconds, each.monotonic))
        for each in history.ran_on
    }
    in_time += [record for record in history.ran_on if not late[record]]
    found = [breach for each in in_time for breach in live.feed(each)]
    found.sort(key=lambda breach: breach.monotonic or 0.0)
    verdict = judge(NAME, found, looked_at=len(nodes), what="node{s}")
    if found or not any(late.values()):
        return verdict
    breaches = tuple(breach for record in history.ran_on for breach in live.feed(record))
    blamed = msgspec.structs.replace(verdict, violations=breaches)
    return excused(blamed, sum(late.values()))


def _pod(record: ProgramEnded) -> str:
    return record.program.partition(".")[0]
