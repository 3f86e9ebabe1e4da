"""S17 no program of the cluster ends on its own: programs die when they are killed, and otherwise
not."""

from typing import Final

from devnet.checkers.base import judge
from devnet.checkers.sound_harness import HOST, ended, is_part
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
    lost = {_pod(each) for each in ended(history) if each.program.endswith(f".{HOST}")}
    live = LiveNoCrash()
    alone = [each for each in history.ended if _pod(each) not in lost]
    found = [breach for each in alone for breach in live.feed(each)]
    return judge(NAME, found, looked_at=len(nodes), what="node{s}")


def _pod(record: ProgramEnded) -> str:
    return record.program.partition(".")[0]
