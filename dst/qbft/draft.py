"""One step in the making: the next state and the effects so far.

Rules work on a `Draft` that lives for one call of `step`; nothing of it escapes but the finished,
immutable Transition. A rule refuses by raising `Refusal`; `step` then puts the draft back to where
the rule began.
"""

from typing import Any

import msgspec

from dst.qbft.effects import Effect, Reason, Refused
from dst.qbft.inputs import MessageReceived
from dst.qbft.messages import Message, Signed
from dst.qbft.state import Config, State, Transition
from dst.spec.primitives import OperatorIndex


class Refusal(Exception):
    """The input is at fault; `culprit` signed what is wrong, when that is certain, and also
    `contradicts`, when the fault is in saying two things."""

    def __init__(
        self,
        reason: Reason,
        detail: str,
        culprit: OperatorIndex | None = None,
        contradicts: Signed | None = None,
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.culprit = culprit
        self.contradicts = contradicts

    def effect(self, link_peer: OperatorIndex | None, offence: Message | None = None) -> Refused:
        return Refused(
            reason=self.reason,
            link_peer=link_peer,
            culprit=self.culprit,
            detail=self.detail,
            offence=offence,
            contradicts=self.contradicts,
        )


class Draft:
    """replay: messages of the next height, handled once the rule that decided this one is done."""

    __slots__ = ("config", "effects", "replay", "state")

    def __init__(self, state: State, config: Config) -> None:
        self.state = state
        self.config = config
        self.effects: list[Effect] = []
        self.replay: list[MessageReceived] = []

    def update(self, **changes: Any) -> None:
        """Replace fields of the state; an unknown field is a TypeError."""
        self.state = msgspec.structs.replace(self.state, **changes)

    def emit(self, effect: Effect) -> None:
        self.effects.append(effect)

    def transition(self) -> Transition:
        return Transition(state=self.state, effects=tuple(self.effects))
