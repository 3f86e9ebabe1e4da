"""Messages that no core ever sees: undecodable ones, false answers, too many questions."""

from enum import StrEnum

from dst.runtime.metrics import Metrics
from dst.spec.errors import InvalidInput
from dst.spec.primitives import OperatorIndex


class Reason(StrEnum):
    """A closed set: `messages_refused_total` counts each, and `docs/refusals.md` is made from it.
    First sentence: when; then what it says of the sender."""

    UNDECODABLE = "undecodable"
    """Not exactly one of our messages: unknown, a field missing, surplus or out of bounds.
    The sender is faulty, hostile, or of a release that says more."""
    BAD_CERTIFICATE = "bad_certificate"
    """A certificate, asked for or not, whose votes prove no decision of this cluster's term.
    The peer lies: it is not listened to for 5 s."""
    WRONG_BLOCK = "wrong_block"
    """A block that does not hash to the root that its certificate or our question named.
    The peer lies: it is not listened to for 5 s."""
    OVERSIZED_BLOCK = "oversized_block"
    """A block larger than `max_block_bytes`; it is not hashed.
    The peer lies: it is not listened to for 5 s."""
    DISTRUSTED = "distrusted"
    """An answer from a peer that lied in the last 5 s.
    Nothing new; it is not looked at."""
    UNASKED = "unasked"
    """Decided blocks that nobody asked for, sooner than 50 ms after the last such.
    Honest peers help a laggard less often."""
    TOO_OFTEN = "too_often"
    """A question sooner than 50 ms after the last of its kind.
    Honest peers hardly ever do; it is not answered."""


class Untrue(InvalidInput):
    """A message that can be read, and lies."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def count(metrics: Metrics, peer: OperatorIndex, reason: Reason) -> None:
    metrics.inc("messages_refused_total", peer=f"op{peer + 1}", reason=reason)
