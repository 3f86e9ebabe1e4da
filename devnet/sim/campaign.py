"""Many seeds, here or on other machines; one line that repeats each failure.

Seeds go out in batches of a fixed size and are counted in their order, so that a campaign comes to
the same tally wherever it runs, also when it ends at a number of heights.
"""

import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from devnet.model.verdict import Violation
from devnet.sim import lockstep, sometimes, synchrony, twins
from devnet.sim.minority import run_minority
from devnet.sim.mutants import mutated
from devnet.sim.world import Outcome, run_seed

SIZES: Final = (1, 2, 3, 4, 5, 6, 7, 10)
"""Clusters that are simulated. Two and three tolerate no fault: no liar, and nobody is silent."""
BATCH: Final = {
    "chaos": 8,
    "minority": 4,
    "lockstep": 200,
    "synchrony": 150,
    "twins": 400,
    "twins-overlapping": 300,
}
"""Generator -> seeds that go to a worker at once: half a second of work."""
AHEAD: Final = 3
"""Batches for each worker that are out at the same time: none waits, and little is thrown away."""


@dataclass
class Tally:
    """What a campaign found. `counts` sums those of its seeds."""

    n: int
    seeds: int = 0
    heights: int = 0
    virtual_us: int = 0
    seconds: float = field(default=0.0, compare=False)
    failures: list[Outcome] = field(default_factory=list)
    recoveries_us: list[int] = field(default_factory=list)
    slowest: Outcome | None = None
    counts: dict[str, int] = field(default_factory=dict)
    interrupted: bool = False
    """By Ctrl-C: the seeds up to here are counted whole."""

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.heights += outcome.heights
        self.virtual_us += outcome.virtual_us
        if outcome.failure:
            self.failures.append(outcome)
        if outcome.recovery_us is not None:
            self.recoveries_us.append(outcome.recovery_us)
            self._may_be_slowest(outcome)
        self._count(outcome.counts)

    def merge(self, later: "Tally") -> None:
        """That of the seeds that follow."""
        self.seeds += later.seeds
        self.heights += later.heights
        self.virtual_us += later.virtual_us
        self.failures += later.failures
        self.recoveries_us += later.recoveries_us
        if later.slowest is not None:
            self._may_be_slowest(later.slowest)
        self._count(later.counts)

    def _may_be_slowest(self, outcome: Outcome) -> None:
        slowest = -1 if self.slowest is None else self.slowest.recovery_us or 0
        if (outcome.recovery_us or 0) > slowest:
            self.slowest = outcome

    def _count(self, counts: dict[str, int]) -> None:
        for name, count in counts.items():
            self.counts[name] = self.counts.get(name, 0) + count

    def recovery_at(self, share: float) -> float:
        """Quantile of the time from heal to the next decided height, seconds."""
        ordered = sorted(self.recoveries_us)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1e6 if ordered else 0.0

    def never_reached(self) -> list[str]:
        return sometimes.never_reached(self.counts)

    def rate(self, count: int) -> float:
        """Of so many, a second."""
        return count / max(self.seconds, 1e-9)

    def summary(self) -> str:
        return (
            f"n={self.n}: {self.seeds} seeds, {self.heights} heights, "
            f"{self.virtual_us / 1e6:.0f} virtual s in {self.seconds:.1f} s "
            f"({self.rate(self.seeds):.0f} seeds/s, {self.rate(self.heights):.0f} heights/s); "
            f"heal to next height p50 {self.recovery_at(0.5):.2f} s "
            f"p99 {self.recovery_at(0.99):.2f} s max {self.recovery_at(1.0):.2f} s "
            f"(seed {self.slowest.seed if self.slowest else '-'}); "
            f"{len(self.failures)} failures"
        )


def reproduction(outcome: Outcome, mutant: str | None, generator: str = "chaos") -> str:
    """One line that plays a failure again."""
    if mutant is None and generator == "chaos":
        return f"make sim SEED={outcome.seed} N={outcome.n}"
    seeds = f"--seeds {outcome.seed}:{outcome.seed + 1} --n {outcome.n}"
    how = f" --generator {generator}" if generator != "chaos" else ""
    how += f" --mutant {mutant}" if mutant else ""
    return f"python -m devnet.sim {seeds}{how} --verbose"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Seeds for one worker."""

    generator: str
    n: int
    seeds: Sequence[int]
    mutant: str | None
    stop_at_failure: bool


def run_campaign(
    seeds: Sequence[int],
    n: int,
    *,
    generator: str = "chaos",
    jobs: int = 2,
    mutant: str | None = None,
    stop_at_failure: bool = False,
    heights: int | None = None,
    executor: Executor | None = None,
    shown: Callable[[Tally], None] = lambda tally: None,
) -> Tally:
    """Play `seeds`, in processes of this machine or by another `executor` with `jobs` workers.

    stop_at_failure: end with the first seed that fails, in order. heights: end with the batch that
    completes so many. shown: is called now and then. Ctrl-C ends it with what is counted by then.
    """
    tally = Tally(n=n)
    begun = time.monotonic()
    size = BATCH[generator]
    batches = (
        Batch(
            generator=generator,
            n=n,
            seeds=seeds[first : first + size],
            mutant=mutant,
            stop_at_failure=stop_at_failure,
        )
        for first in range(0, len(seeds), size)
    )
    with ExitStack() as stack:
        if executor is None and jobs > 1:
            spawn = multiprocessing.get_context("spawn")
            executor = ProcessPoolExecutor(jobs, spawn, initializer=_leave_interrupts)
            stack.callback(executor.shutdown, cancel_futures=True)
        parts = map(play, batches) if executor is None else _ahead(executor, batches, jobs)
        try:
            for part in parts:
                tally.merge(part)
                tally.seconds = time.monotonic() - begun
                shown(tally)
                if stop_at_failure and tally.failures:
                    break
                if heights is not None and tally.heights >= heights:
                    break
        except KeyboardInterrupt:
            tally.interrupted = True
    return tally


def _leave_interrupts() -> None:
    """Ctrl-C reaches the whole group; who counts decides what it means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _ahead(executor: Executor, batches: Iterator[Batch], workers: int) -> Iterator[Tally]:
    """Results in order of the batches, a bounded number of which are out."""
    out: deque[Future[Tally]] = deque()
    try:
        for batch in batches:
            out.append(executor.submit(play, batch))
            if len(out) > AHEAD * workers:
                yield out.popleft().result()
        while out:
            yield out.popleft().result()
    finally:
        for future in out:
            future.cancel()


def play(batch: Batch) -> Tally:
    """What a worker does."""
    tally = Tally(n=batch.n)
    with mutated(batch.mutant):
        for seed in batch.seeds:
            tally.add(_outcome(batch.generator, seed, batch.n))
            if tally.failures and batch.stop_at_failure:
                break
    return tally


def _outcome(generator: str, seed: int, n: int) -> Outcome:
    """What a run must not raise is a finding, too, and has a seed."""
    try:
        return _PLAYS[generator](seed, n)
    except Exception as error:
        return _nothing_but(seed, n, f"{type(error).__name__}: {error}")


def _lockstep(seed: int, n: int) -> Outcome:
    schedule = lockstep.Schedule(seed, n)
    failure = lockstep.told(schedule.play())
    decided = sum(actor.decided is not None for actor in schedule.stage.actors.values())
    return replace(_nothing_but(seed, n, failure), counts={"decided": decided})


def _on_stage(play: Callable[[int, int], Sequence[Violation]], seed: int, n: int) -> Outcome:
    return _nothing_but(seed, n, lockstep.told(play(seed, n)))


def _nothing_but(seed: int, n: int, failure: str) -> Outcome:
    return Outcome(
        seed=seed, n=n, failure=failure, heights=0, virtual_us=0, recovery_us=None, trace=0
    )


_PLAYS: Final[dict[str, Callable[[int, int], Outcome]]] = {
    "chaos": run_seed,
    "minority": lambda seed, n: run_minority(seed, n)[0],
    "lockstep": _lockstep,
    "synchrony": partial(_on_stage, lambda seed, n: synchrony.HealedSchedule(seed, n).play()),
    "twins": partial(_on_stage, lambda seed, n: twins.in_partitions(seed, n).play()),
    "twins-overlapping": partial(
        _on_stage, lambda seed, n: twins.in_overlapping_sets(seed, n).play()
    ),
}
