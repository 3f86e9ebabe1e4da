"""How long round 0 waits for its proposal, measured: from the moment a block is due until it came.

A timer that ran out says nothing about how much longer it would have taken, so after one the
configured timeout holds for some heights, in which slower proposals can be seen. No clock here; the
bounds are the core's (`qbft.rounds`).
"""

import math
from typing import Final

from dst.runtime.estimate import Estimate
from dst.spec.primitives import Height, Round

HEIGHTS_TO_KNOW: Final = 8
"""Proposals before the measure is believed."""
HEIGHTS_OF_DOUBT: Final = 4
"""Proposals of round 0 after a timer ran out, before it is believed again."""


class Pace:
    """`now` in seconds of any one clock."""

    def __init__(self) -> None:
        self._needed = Estimate()
        self._due: tuple[Height, float] | None = None
        self._doubts = HEIGHTS_TO_KNOW

    @property
    def proposal_within_ms(self) -> int | None:
        """None: not known (yet, or at present)."""
        return None if self._doubts else math.ceil(self._needed.bound_s * 1000)

    def due(self, height: Height, now: float) -> None:
        self._due = (height, now)

    def proposed(self, height: Height, round_: Round, now: float) -> None:
        """Accepted here, our own too: the builders are equals."""
        if self._due is None or self._due[0] != height or round_ > 0:
            return
        self._needed.add(now - self._due[1])
        self._doubts = max(0, self._doubts - 1)

    def expired(self) -> None:
        """A round timer ran out."""
        self._doubts = max(self._doubts, HEIGHTS_OF_DOUBT)
