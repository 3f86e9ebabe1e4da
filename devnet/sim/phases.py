"""Losses that know the protocol: who hears what is drawn for each (height, round, kind of message).

Loss drawn message by message seldom takes a whole phase from just one operator, round after round,
as it takes to leave two locks behind; repeating what was said undoes the rest. Here a phase reaches
everybody, nobody, one, all but one, or some, and the same ones again when it is repeated.
"""

from random import Random

from dst.middleware.wire_messages import WireMessage
from dst.qbft.messages import (
    CommitMessage,
    PassMessage,
    PrepareMessage,
    ProposalMessage,
    RoundChangeMessage,
)


class Phases:
    """Of the kinds of consensus messages; the rest arrives."""

    def __init__(self, n: int, rng: Random) -> None:
        self._n, self._rng = n, rng
        self._hear: dict[object, frozenset[int]] = {}

    def reaches(self, target: int, message: WireMessage) -> bool:
        match message:
            case (
                ProposalMessage()
                | PrepareMessage()
                | CommitMessage()
                | RoundChangeMessage()
                | PassMessage()
            ):
                payload = message.signed.payload
                phase = type(message), payload.height, payload.round
                if phase not in self._hear:
                    self._hear[phase] = self._draw()
                return target in self._hear[phase]
            case _:
                return True

    def _draw(self) -> frozenset[int]:
        everybody = range(self._n)
        one = self._rng.randrange(self._n)
        match self._rng.randrange(6):
            case 0 | 1:
                return frozenset(everybody)
            case 2:
                return frozenset()
            case 3:
                return frozenset({one})
            case 4:
                return frozenset(everybody) - {one}
            case _:
                return frozenset(each for each in everybody if self._rng.random() < 0.5)
