"""What happens in a run, as sentences for a reader: faults, lies, and how far everybody gets."""

from dataclasses import dataclass, field
from typing import Final

from dst.apis.dst_v1 import EventKind, Scalar
from dst.middleware.wire_messages import WireMessage, decode_message
from dst.qbft.messages import (
    CommitMessage,
    PassMessage,
    PrepareMessage,
    ProposalMessage,
    RoundChangeMessage,
)
from dst.sealing.messages import GroupSignature, PartialSignature
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Height, Root, Round

FIRST_LINES: Final = 90
LAST_LINES: Final = 20
"""Of a long story, its beginning and its end are shown."""

VERBS: Final = {
    EventKind.PREPARED: "locked",
    EventKind.DECIDED: "decided",
    EventKind.ROUND_CHANGE: "asked for another round",
    EventKind.EVIDENCE: "caught somebody",
    EventKind.RESET: "stopped for an L1 reset",
    EventKind.RESET_ENDED: "went on after an L1 reset",
}
"""What is told of an operator; the rest goes without saying."""


@dataclass
class Line:
    """whom: who it is about -> how often it was said of them."""

    when: str
    text: str
    whom: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        names = ", ".join(sorted(self.whom))
        times = max(self.whom.values(), default=1)
        again = f" ({times} times)" if times > 1 else ""
        return f"{self.when}  {self.text.replace('@', names)}{again}"


@dataclass
class Story:
    """Sentences in order. What is said of several, or again, becomes one."""

    _lines: dict[object, Line] = field(default_factory=dict)

    def tell(self, when: str, text: str) -> None:
        self._lines[len(self._lines)] = Line(when, text)

    def tell_of(self, when: str, text: str, name: str) -> None:
        """`@` in the text stands for the names."""
        whom = self._lines.setdefault(text, Line(when, text)).whom
        whom[name] = whom.get(name, 0) + 1

    def lines(self) -> list[str]:
        lines = [str(line) for line in self._lines.values()]
        left = len(lines) - FIRST_LINES - LAST_LINES
        if left <= 1:
            return lines
        return [*lines[:FIRST_LINES], f"... {left} more ...", *lines[-LAST_LINES:]]


def told(
    kind: EventKind,
    height: Height | None,
    round_: Round | None,
    root: Root | None,
    extra: dict[str, Scalar],
) -> str | None:
    """`@ decided block 4fa1 (3/0)`: height and round."""
    if kind not in VERBS:
        return None
    text = f"@ {VERBS[kind]}"
    if root is not None:
        text += f" block {short(root)}"
    if height is not None:
        text += f" ({height})" if round_ is None else f" ({height}/{round_})"
    reason = extra.get("cause") or extra.get("reason")
    return f"{text}: {reason}" if reason else text


def lie(name: str, instead_of: WireMessage | None, words: tuple[WireMessage, ...]) -> str:
    spoken = " and ".join(map(worded, words)) or "nothing"
    if instead_of is None:
        return f"{name} tells @, unasked: {spoken}"
    return f"{name} tells @ {spoken} instead of {worded(instead_of)}"


def described(body: bytes) -> str:
    """A message as it went over a link."""
    try:
        return worded(decode_message(body))
    except InvalidInput:
        return f"{len(body)} bytes of nonsense"


def worded(message: WireMessage) -> str:
    """`PREPARE of block 4fa1 (3/0)`."""
    match message:
        case ProposalMessage() | PrepareMessage() | CommitMessage():
            vote = message.signed.payload
            kind = type(vote).__name__.upper()
            return f"{kind} of block {short(vote.root)} ({vote.height}/{vote.round})"
        case RoundChangeMessage():
            claim = message.signed.payload
            lock = "no lock"
            if claim.prepared_root is not None:
                lock = f"a lock on block {short(claim.prepared_root)} in round "
                lock += f"{claim.prepared_round}"
            return f"ROUND-CHANGE to {claim.height}/{claim.round} with {lock}"
        case PassMessage():
            lead = message.signed.payload
            return f"PASS ({lead.height}/{lead.round})"
        case PartialSignature() | GroupSignature():
            return f"{type(message).__name__} of block {short(message.root)} ({message.height})"
        case _:
            return type(message).__name__


def short(root: Root) -> str:
    return root.hex()[:4]
