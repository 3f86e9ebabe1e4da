"""What a duration usually is and how much it varies, from samples. No clock here."""

from typing import Final

MEAN_GAIN: Final = 1 / 8
DEVIATION_GAIN: Final = 1 / 4
DEVIATIONS: Final = 4
"""RFC 6298 section 2: smoothed mean, mean deviation, and how many of it are within reason."""


class Estimate:
    """Seconds."""

    __slots__ = ("_deviation", "mean_s", "samples")

    def __init__(self) -> None:
        self.samples = 0
        self.mean_s = self._deviation = 0.0

    def add(self, sample_s: float) -> None:
        self.samples += 1
        if self.samples == 1:
            self.mean_s, self._deviation = sample_s, sample_s / 2
            return
        self._deviation += DEVIATION_GAIN * (abs(sample_s - self.mean_s) - self._deviation)
        self.mean_s += MEAN_GAIN * (sample_s - self.mean_s)

    @property
    def bound_s(self) -> float:
        """What a further sample is unlikely to exceed; 0 before the first."""
        return self.mean_s + DEVIATIONS * self._deviation
