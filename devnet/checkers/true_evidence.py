"""S15 evidence is true: whoever is accused has done it.

A node that accuses another of two votes, a forged partial or an unjustified proposal keeps proof of
it and says so. Where nobody lies, nobody may be accused: a restart, a cut or a slow disk is no lie.
`guilty` names the operators that do lie, or did, or that forgot what they had signed. Two group
signatures of one height accuse nobody by name: it takes liars all the same.
"""

from collections.abc import Iterable
from typing import Final

from devnet.checkers.base import judge, replay
from devnet.model.history import Event, EventKind, FaultReceipt, History, Record, Setup
from devnet.model.verdict import Verdict, Violation

NAME: Final = "S15 evidence is true"


class LiveTrueEvidence:
    def __init__(self, guilty: Iterable[str] = ()) -> None:
        self.guilty = set(guilty)
        self.events = 0
        self._one_key = False
        """On a baseline evidence names no operator, so it accuses none."""

    def feed(self, record: Record) -> list[Violation]:
        if isinstance(record, Setup):
            self._one_key = record.cluster.is_baseline
        if isinstance(record, FaultReceipt):
            self.guilty.update(record.lying)
        if not isinstance(record, Event):
            return []
        self.events += 1
        if record.kind is not EventKind.EVIDENCE or self._one_key:
            return []
        culprit = record.detail.get("culprit")
        if (culprit is None and self.guilty) or f"op{culprit}" in self.guilty:
            return []
        accused, reason = f"op{culprit}", record.detail.get("reason")
        if culprit is None:
            accused, reason = "the group", record.detail.get("what")
        return [
            Violation(
                checker=NAME,
                summary=f"{record.node} accuses {accused} of {reason}: nobody lies there",
                monotonic=record.monotonic,
                height=record.height,
                witness=(record,),
            )
        ]


def check(history: History) -> Verdict:
    live = LiveTrueEvidence(each for fault in history.faults for each in fault.lying)
    found = replay(live, history)
    return judge(NAME, found, looked_at=live.events, what="event{s}")
