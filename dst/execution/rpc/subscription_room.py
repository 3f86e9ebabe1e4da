"""The room that all subscriptions of a node share: what a block costs to tell and what they hold of
memory is bounded."""

from typing import Final

from dst.apis.jsonrpc.errors import RpcError
from dst.apis.jsonrpc.ws import Session
from dst.execution.call_workers import LIMIT_EXCEEDED

MAX_WEIGHT: Final = 65_536
"""About as many entries in the index of logs (25 MB): 4,096 subscriptions of the common kind, or 64
of the widest, which are checked log by log."""
MAX_WEIGHT_OF_ONE: Final = 16_384
"""Of one connection."""
WEIGHT_OF_HASHES: Final = 128
"""Of a subscription to pending transactions, which is told of each: 512 of them take below a
millisecond of the event loop for a transaction."""
WEIGHT_OF_WHOLE: Final = 512
"""The same with whole transactions, of which one may have 260 KB: one for each WebSocket."""


class SubscriptionRoom:
    """On the event loop alone."""

    def __init__(self) -> None:
        self._of: dict[Session, int] = {}
        self.taken = 0

    def make_for(self, session: Session, weight: int) -> None:
        """See that so much more fits; ends the connection that holds most when it holds more than
        `session` will. Raises: RpcError."""
        own = self._of.get(session, 0) + weight
        if own > MAX_WEIGHT_OF_ONE:
            raise RpcError(LIMIT_EXCEEDED, "too many subscriptions on one connection")
        while self.taken + weight > MAX_WEIGHT:
            heaviest = max(self._of, key=lambda each: self._of[each])
            if heaviest is session or self._of[heaviest] <= own:
                raise RpcError(LIMIT_EXCEEDED, "too many subscriptions of all clients")
            heaviest.drop("others need the room of its subscriptions")
            heaviest.finish()

    def take(self, session: Session, weight: int) -> None:
        self._of[session] = self._of.get(session, 0) + weight
        self.taken += weight

    def give(self, session: Session, weight: int) -> None:
        self._of[session] -= weight
        self.taken -= weight
        if not self._of[session]:
            del self._of[session]
