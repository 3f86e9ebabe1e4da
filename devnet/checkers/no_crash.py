"""S17 no program of the cluster ends on its own: programs die when they are killed, and otherwise
not."""

from typing import Final

from devnet.checkers import sound_harness
from devnet.checkers.base import judge, replay
from devnet.checkers.sound_harness import is_part
from devnet.model.history import History, ProgramEnded, Record
from devnet.model.verdict import Verdict, Violation

NAME: Final = "S17 no program ends on its own"


class LiveNoCrash:
    def feed(self, record: Record) -> list[Violation]:
        if not isinstance(record, ProgramEnded) or is_part(record.program):
            return []
        summary = f"{record.program} ended on its own: {record.detail}"
        moment = record.monotonic
        return [Violation(checker=NAME, summary=summary, monotonic=moment, witness=(record,))]


def check(history: History) -> Verdict:
    """A node whose Toxiproxy ended may have ended with it: its host did, or the Docker daemon."""
    nodes = {event.node for event in history.events}
    hosts = {each.program.partition(".")[0] for each in sound_harness.ended(history)}
    found = [
        breach
        for breach in replay(LiveNoCrash(), history)
        if not any(
            isinstance(each, ProgramEnded) and each.program.partition(".")[0] in hosts
            for each in breach.witness
        )
    ]
    return judge(NAME, found, looked_at=len(nodes), what="node{s}")
