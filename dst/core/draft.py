"""One step in the making: the next state and the effects so far.

Rules work on a `Draft` that lives for one call of `step`; nothing of it escapes but the finished,
immutable transition. A rule refuses by raising `Refusal`.
"""

from typing import Any, Generic, TypeVar

import msgspec

from dst.spec.primitives import OperatorIndex

S = TypeVar("S", bound=msgspec.Struct)
C = TypeVar("C")
E = TypeVar("E")
R = TypeVar("R")


class Draft(Generic[S, C, E]):
    """Of a core with states S, constants C and effects E."""

    __slots__ = ("config", "effects", "state")

    def __init__(self, state: S, config: C) -> None:
        self.state = state
        self.config = config
        self.effects: list[E] = []

    def update(self, **changes: Any) -> None:
        """Replace fields of the state; an unknown field is a TypeError."""
        self.state = msgspec.structs.replace(self.state, **changes)

    def emit(self, effect: E) -> None:
        self.effects.append(effect)


class Refusal(Exception, Generic[R]):
    """The input is at fault, for one of the closed set of reasons R; `culprit` signed what is
    wrong, when that is certain."""

    def __init__(self, reason: R, detail: str, culprit: OperatorIndex | None = None) -> None:
        super().__init__(detail)
        self.reason, self.detail, self.culprit = reason, detail, culprit
