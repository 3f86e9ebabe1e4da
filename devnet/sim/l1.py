"""L1 as the simulator sees it: one chain that grows and reorgs, and views of it that lag.

A block's hash is (number, fork): a reorg gives the blocks it replaces a new fork number. Each
operator looks at the chain as it was `lag` ago, so that views differ between voters.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from random import Random
from typing import Final

BLOCK_US: Final = 1_500_000
"""Time between L1 blocks; short, so that origins move within a run of seconds."""
CONFIRMATIONS: Final = 2
"""Blocks above a usable origin. Less than the devnet's 4, so that reorgs reach used origins."""


@dataclass
class L1:
    """`reorgs`: (time, first replaced number) in order of time."""

    reorgs: list[tuple[int, int]] = field(default_factory=list)

    def head(self, moment_us: int) -> int:
        """Number of the newest block at `moment_us`; negative times see genesis."""
        return max(0, moment_us // BLOCK_US)

    def fork(self, number: int, moment_us: int) -> int:
        """Which version of block `number` is canonical at `moment_us`: reorgs that replaced it so
        far.
        """
        known = bisect_right(self.reorgs, (moment_us, 1 << 60))
        return sum(1 for _, first in self.reorgs[:known] if first <= number)

    def usable(self, moment_us: int) -> int:
        """Deepest-confirmed number that a leader may use as origin."""
        return max(0, self.head(moment_us) - CONFIRMATIONS)


def draw_l1(rng: Random, *, reorg_count: int, until_us: int) -> L1:
    """A chain with `reorg_count` reorgs before `until_us`, each 1 to 5 blocks deep."""
    times = sorted(rng.randrange(1, until_us) for _ in range(reorg_count))
    return L1([(at, max(1, at // BLOCK_US - rng.randrange(5))) for at in times])
