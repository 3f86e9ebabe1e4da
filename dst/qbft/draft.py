"""One consensus step in the making, and the refusal that ends one: `step` then puts the draft back
to where the rule began.
"""

from dst import core
from dst.qbft.effects import Effect, Reason, Refused
from dst.qbft.inputs import MessageReceived
from dst.qbft.messages import Message, Signed
from dst.qbft.state import Config, State, Transition
from dst.spec.primitives import OperatorIndex


class Refusal(core.Refusal[Reason]):
    """The culprit also signed `contradicts`, when the fault is in saying two things."""

    def __init__(
        self,
        reason: Reason,
        detail: str,
        culprit: OperatorIndex | None = None,
        contradicts: Signed | None = None,
    ) -> None:
        super().__init__(reason, detail, culprit)
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


class Draft(core.Draft[State, Config, Effect]):
    """replay: messages of the next height, handled once the rule that decided this one is done."""

    __slots__ = ("replay",)

    def __init__(self, state: State, config: Config) -> None:
        super().__init__(state, config)
        self.replay: list[MessageReceived] = []

    def transition(self) -> Transition:
        return Transition(state=self.state, effects=tuple(self.effects))
