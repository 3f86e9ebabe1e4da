"""How much CPU time a block of ours may take to build (docs/heavy-transactions.md).

What limits it is not the builder: every other operator executes the proposal before round 0's timer
runs out, and on one machine they do it side by side. So the time is what is left of the round when
they need `contention` seconds for each second of ours, as this node sees it when it validates; at
most a share of the slot; and less for a while when a proposal of ours lost its round.
"""

from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Final

ROUND_PART: Final = 0.5
"""Of round 0's timer, for building and validating; the rest is for messages, signatures and disks,
and for the moments in which the machine does something else."""
LEAST_S: Final = 0.02
"""Whatever was lost: twenty transfers, or the chain would carry nothing any more."""
LEAST_FACTOR: Final = 1 / 8
GAIN: Final = 1 / 16
"""Half is taken when a proposal is lost, this much is added when one is decided (additive increase,
multiplicative decrease): eight blocks of ours to come back from one loss."""
LEAST_SAMPLE_S: Final = 0.005
"""A shorter validation tells of the scheduler, not of the machine."""
SAMPLES: Final = 9
"""The contention is the median of so many validations: a quorum decides, not the slowest, and one
moment in which the machine slept says nothing."""
GUESSES: Final = 3
"""How many validations the guess at the start is worth."""
HEAVY_ENOUGH: Final = 0.25
"""Part of the time that a lost proposal must have used before its loss is put down to that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundTimes:
    """Constants of the network."""

    slot_s: float
    round_timeout_s: float
    share: float
    """Part of a slot that building may take at most."""
    operators: int


class Allowance:
    def __init__(self, times: RoundTimes, *, cores: int) -> None:
        """cores: of this machine, from which the first guess is made: all operators on it."""
        self._times = times
        guess = max(1.0, (times.operators - 1) / cores) if times.operators > 1 else 0.0
        self._samples = deque([guess] * GUESSES, maxlen=SAMPLES)
        self._contention = guess
        self._factor = 1.0

    @property
    def contention(self) -> float:
        """Seconds until one of the others has executed one second of our work."""
        return self._contention

    @property
    def factor(self) -> float:
        """1, less after lost proposals."""
        return self._factor

    @property
    def seconds(self) -> float:
        """CPU time for the next block, all its transactions together."""
        return max(LEAST_S, self._factor * self.undiminished_seconds)

    @property
    def undiminished_seconds(self) -> float:
        """The same, whatever was lost lately."""
        times = self._times
        by_round = ROUND_PART * times.round_timeout_s / (1 + self._contention)
        return max(LEAST_S, min(by_round, times.share * times.slot_s))

    def note_validation(self, *, wall_s: float, cpu_s: float) -> None:
        """A block of another operator was executed and stored here."""
        if cpu_s < LEAST_SAMPLE_S or self._times.operators == 1:
            return
        self._samples.append(max(1.0, wall_s / cpu_s))
        self._contention = median(self._samples)

    def note_decided(self) -> None:
        """A block of ours became the head."""
        self._factor = min(1.0, self._factor + GAIN)

    def note_lost(self, cpu_s: float) -> None:
        """Another block took the place of one of ours that took `cpu_s` to execute."""
        if cpu_s >= HEAVY_ENOUGH * self.seconds:
            self._factor = max(LEAST_FACTOR, self._factor / 2)
