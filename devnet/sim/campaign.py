"""Many seeds over a few worker processes: progress, rate, one line that repeats each failure."""

import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from devnet.sim import sometimes
from devnet.sim.mutants import mutated
from devnet.sim.world import Outcome, run_seed

SIZES = (1, 2, 3, 4, 5, 6, 7, 10)
"""Clusters that are simulated. Two and three tolerate no fault: no liar, and nobody is silent."""
CHUNK = 4
"""Seeds handed to a worker at once: enough to hide the pipe, few enough to end together."""


@dataclass
class Tally:
    """What a campaign found. `counts` sums those of its seeds."""

    n: int
    seeds: int = 0
    heights: int = 0
    virtual_us: int = 0
    seconds: float = 0.0
    failures: list[Outcome] = field(default_factory=list)
    recoveries_us: list[int] = field(default_factory=list)
    slowest: Outcome | None = None
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.heights += outcome.heights
        self.virtual_us += outcome.virtual_us
        if outcome.failure:
            self.failures.append(outcome)
        if outcome.recovery_us is not None:
            self.recoveries_us.append(outcome.recovery_us)
            if outcome.recovery_us >= max(self.recoveries_us):
                self.slowest = outcome
        for name, count in outcome.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count

    def recovery_at(self, share: float) -> float:
        """Quantile of the time from heal to the next decided height, seconds."""
        ordered = sorted(self.recoveries_us)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1e6 if ordered else 0.0

    def never_reached(self) -> list[str]:
        return sometimes.never_reached(self.counts)

    def summary(self) -> str:
        rate = self.seeds / self.seconds if self.seconds else 0.0
        return (
            f"n={self.n}: {self.seeds} seeds, {self.heights} heights, "
            f"{self.virtual_us / 1e6:.0f} virtual s in {self.seconds:.1f} s "
            f"({rate:.0f} seeds/s, {self.heights / max(self.seconds, 1e-9):.0f} heights/s); "
            f"heal to next height p50 {self.recovery_at(0.5):.2f} s "
            f"p99 {self.recovery_at(0.99):.2f} s max {self.recovery_at(1.0):.2f} s "
            f"(seed {self.slowest.seed if self.slowest else '-'}); "
            f"{len(self.failures)} failures"
        )


def reproduction(outcome: Outcome, mutant: str | None) -> str:
    """One line that plays a failure again."""
    if mutant is not None:
        seeds = f"{outcome.seed}:{outcome.seed + 1}"
        return f"python -m devnet.sim --seeds {seeds} --n {outcome.n} --mutant {mutant} --verbose"
    return f"make sim SEED={outcome.seed} N={outcome.n}"


def run_campaign(
    seeds: Sequence[int],
    n: int,
    *,
    jobs: int = 2,
    mutant: str | None = None,
    stop_at_failure: bool = False,
    progress: bool = False,
) -> Tally:
    """Play `seeds`; with `stop_at_failure` end with the first one that fails, in order of seeds."""
    tally = Tally(n=n)
    begun = time.monotonic()
    for outcome in _outcomes(seeds, n, jobs, mutant):
        tally.add(outcome)
        tally.seconds = time.monotonic() - begun
        if progress:
            _show_progress(tally, len(seeds))
        if outcome.failure and stop_at_failure:
            break
    if progress:
        print(file=sys.stderr)
    return tally


def _outcomes(seeds: Sequence[int], n: int, jobs: int, mutant: str | None) -> Iterator[Outcome]:
    play = partial(_play, n=n, mutant=mutant)
    if jobs == 1:
        yield from map(play, seeds)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(jobs) as pool:
        yield from pool.imap(play, seeds, chunksize=CHUNK)


def _play(seed: int, *, n: int, mutant: str | None) -> Outcome:
    with mutated(mutant):
        return run_seed(seed, n)


def _show_progress(tally: Tally, wanted: int) -> None:
    if tally.seeds % 20 and tally.seeds != wanted:
        return
    rate = tally.seeds / tally.seconds if tally.seconds else 0.0
    line = f"\r{tally.seeds}/{wanted} seeds, {rate:.0f}/s, {len(tally.failures)} failures"
    print(line, end="", file=sys.stderr, flush=True)
