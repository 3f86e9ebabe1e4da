"""Waiting longer after each failure, up to a cap, with jitter from the caller's generator."""

import random
from typing import Final

FIRST_DELAY_S: Final = 0.05
CAP_S: Final = 0.5
"""Reconnects are at most half a second apart: recovery after a heal must not
wait for back-off."""


class Backoff:
    def __init__(
        self, first_s: float = FIRST_DELAY_S, cap_s: float = CAP_S, rng: random.Random | None = None
    ) -> None:
        self._first, self._cap = first_s, cap_s
        self._rng = rng or random.Random()
        self._delay = first_s

    def reset(self) -> None:
        self._delay = self._first

    def next_delay(self) -> float:
        """Seconds to wait now: the current step times a factor in [0.5, 1]; the step then doubles
        up to the cap."""
        delay = self._delay * (0.5 + self._rng.random() / 2)
        self._delay = min(self._delay * 2, self._cap)
        return delay
