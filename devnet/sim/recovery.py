"""What a fault costs: drills with one fault each on an otherwise calm network, in virtual time.

`python -m devnet.sim.recovery [--seeds 50] [--jobs 2] [--long]` prints two tables (Markdown): the
worst gap between sealed heights around a fault of the leader, and the time from the heal of a 2|2
split to the next height that everybody decided. Each as the operators are, and with timers alone:
nobody is told of links, and T0 is the configured one. `docs/simulation.md` has the last ones.
"""

import argparse
import logging
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Final
from unittest.mock import PropertyMock, patch

from devnet.model.command import escape_what_cannot_be_shown
from devnet.sim.loop import VirtualLoop, play
from devnet.sim.operator import Operator
from devnet.sim.params import SLOT_US, Behaviour, CutMode, Params
from devnet.sim.world import Breach, World
from dst.middleware.pace import HEIGHTS_TO_KNOW, Pace
from dst.sealing.messages import GroupSignature
from dst.spec.primitives import Height, Round, leader_of

N: Final = 4
WARM_UP: Final = Height(HEIGHTS_TO_KNOW + 3)
"""Heights before the fault, after which the measured wait is in force."""
FOR_EVER_US: Final = 10**13
BOUND_US: Final = 120_000_000
DRAIN_LOOK_US: Final = 100_000
"""As `dst drain` looks."""

CALM: Final = Params(
    n=N,
    byzantine={},
    chaos_us=FOR_EVER_US,
    latency_us=(1_000, 20_000),
    ordered=True,
    loss_rate=0.0,
    duplicate_rate=0.0,
    cut_every_us=0,
    cut_for_us=1,
    cut_mode=CutMode.DROP,
    one_way=False,
    crash_rate=0.0,
    crash_every_us=0,
    down_us=FOR_EVER_US,
    freeze_rate=0.0,
    validate_us=30_000,
    engine_fails=0.0,
    signing_us=20_000,
    l1_lag_us=0,
    l1_reorgs=0,
    skew_us=20_000,
    full_every_us=0,
    full_for_us=1,
    clock_steps_us=0,
    rollup_loss_us=0,
    l1_fork_us=0,
    slow_links=0.0,
    slow_us=1,
    loss=None,
    flap_every_us=0,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """seconds: the worst gap or the recovery; None: it did not go on within the bound.

    round_changes: per honest operator and height, from the fault on.
    """

    seconds: float | None
    round_changes: float


class Drill(World):
    """One fault at a random moment of the slot of the coming leader."""

    def __init__(self, loop: VirtualLoop, seed: int, params: Params) -> None:
        super().__init__(loop, seed, params.n, params=params)
        self.sealed_at: dict[Height, float] = {}

    def sealed(self, node: Operator, message: GroupSignature) -> None:
        self.sealed_at.setdefault(message.height, self.loop.seconds)
        super().sealed(node, message)

    async def warm_up(self) -> None:
        for operator in self._all():
            self.loop.after(self.rng.randrange(SLOT_US), self._boot, operator)
        if not await self._until(lambda: self.top >= WARM_UP, BOUND_US):
            raise Breach([self._stuck(WARM_UP)])

    async def gap(self, strike: "Strike") -> Cost:
        """The worst one from the fault on, until every operator has had its turn once more."""
        await self.warm_up()
        leader = leader_of(Height(self.top + 1), Round(0), self.n)
        self.loop.after(self.rng.randrange(SLOT_US), strike, self, leader)
        first, changes = self.top, self.counts.get("round_change", 0)
        last = Height(first + self.n + 1)
        done = await self._until(lambda: last in self.sealed_at, BOUND_US)
        changes = self.counts.get("round_change", 0) - changes
        seconds = None
        if done:
            times = [self.sealed_at[Height(each)] for each in range(first, last + 1)]
            seconds = max(after - before for before, after in pairwise(times))
        share = changes / len(self.honest) / (last - first)
        return Cost(seconds=seconds, round_changes=share)

    async def recovery(self, split_us: int) -> Cost:
        """From the heal of a 2|2 split to the next height that every honest operator decided."""
        await self.warm_up()
        sides = [(a, b) for a in range(self.n) for b in range(self.n) if a // 2 != b // 2]
        await self._until(lambda: False, self.rng.randrange(SLOT_US))
        self.network.cut(sides, CutMode.DROP)
        await self._until(lambda: False, split_us)
        changes = self.counts.get("round_change", 0)
        self.network.mend()
        healed_at, target = self.loop.seconds, Height(self.top + 1)
        done = await self._until(
            lambda: all(node.disk.head() >= target for node in self.honest), BOUND_US
        )
        share = (self.counts.get("round_change", 0) - changes) / len(self.honest)
        return Cost(seconds=self.loop.seconds - healed_at if done else None, round_changes=share)

    # ---------------------------------------------------------------- what may happen

    def kill(self, leader: int) -> None:
        self._nodes[leader][0].crash()

    def kill_two(self, leader: int) -> None:
        """And the one that would follow it."""
        self.kill(leader)
        self.kill((leader + 1) % self.n)

    def freeze(self, leader: int) -> None:
        self._nodes[leader][0].frozen_until = FOR_EVER_US

    def black_hole(self, leader: int) -> None:
        self.network.cut(self._links_of(leader), CutMode.HOLD)

    def isolate(self, leader: int) -> None:
        self.network.cut(self._links_of(leader), CutMode.DROP)

    def mute(self, leader: int) -> None:
        """Nobody hears the leader, who hears everybody."""
        links = [(leader, each) for each in range(self.n) if each != leader]
        self.network.cut(links, CutMode.HOLD)

    def flap(self, leader: int) -> None:
        """All its connections end, every 50 to 300 ms."""
        self.network.flap(self._links_of(leader))
        self.loop.after(self.rng.randrange(50_000, 300_000), self.flap, leader)

    def drain(self, leader: int) -> None:
        """It is told to leave, and stays up."""
        life = self._nodes[leader][0].life
        assert life is not None, "warmed up"
        life.shells.consensus.leave(True)

    def drain_and_stop(self, leader: int) -> None:
        """As a person does: stopped as soon as nothing is under way."""
        self.drain(leader)
        self._stop_when_drained(leader)

    def _stop_when_drained(self, leader: int) -> None:
        life = self._nodes[leader][0].life
        assert life is not None, "nobody else stops it"
        if life.shells.consensus.drain().is_drained:
            return self.kill(leader)
        self.loop.after(DRAIN_LOOK_US, self._stop_when_drained, leader)

    def nothing(self, leader: int) -> None:
        """For comparison, and for liars."""

    def _links_of(self, whose: int) -> list[tuple[int, int]]:
        pairs = [(a, b) for a in range(self.n) for b in range(self.n) if a != b]
        return [pair for pair in pairs if whose in pair]


TWO: Final = "two leaders in a row killed, n = 7"
Strike = Callable[[Drill, int], None]

FAULTS: Final[dict[str, tuple[Strike, dict[int, Behaviour]]]] = {
    "none": (Drill.nothing, {}),
    "leader killed": (Drill.kill, {}),
    TWO: (Drill.kill_two, {}),
    "leader's links closed": (Drill.isolate, {}),
    "leader drained": (Drill.drain, {}),
    "leader drained, then stopped": (Drill.drain_and_stop, {}),
    "leader frozen": (Drill.freeze, {}),
    "leader in a black hole": (Drill.black_hole, {}),
    "leader unheard (one-way cut)": (Drill.mute, {}),
    "leader's links flap": (Drill.flap, {}),
    "liar who closes his links": (Drill.nothing, {1: Behaviour.CLOSER}),
    "liar who passes his lead on": (Drill.nothing, {1: Behaviour.PASSER}),
    "silent liar, links open": (Drill.nothing, {1: Behaviour.SILENT}),
    "silent liar, another's links flap": (Drill.flap, {1: Behaviour.SILENT}),
}
SPLITS_S: Final = (10, 60, 600)
LONG_SPLIT_S: Final = 3600


@contextmanager
def timers_alone(wanted: bool) -> Iterator[None]:
    """T0 as configured, never measured."""
    if not wanted:
        yield
        return
    with patch.object(Pace, "proposal_within_ms", PropertyMock(return_value=None)):
        yield


def drill_gap(seed: int, *, fault: str, timers: bool) -> Cost:
    strike, byzantine = FAULTS[fault]
    params = replace(CALM, n=7 if fault == TWO else N, byzantine=byzantine, watches=not timers)
    with timers_alone(timers):
        return play(lambda loop: Drill(loop, seed, params).gap(strike))


def drill_recovery(seed: int, *, split_s: int, silent: bool, timers: bool) -> Cost:
    byzantine = {seed % N: Behaviour.SILENT} if silent else {}
    params = replace(CALM, byzantine=byzantine, watches=not timers)
    with timers_alone(timers):
        return play(lambda loop: Drill(loop, seed, params).recovery(split_s * 1_000_000))


def told(costs: list[Cost]) -> str:
    """`1.02 / 1.10 / 1.12 (0.3)`: p50, p99 and maximum in seconds, round changes per height."""
    seconds = sorted(each.seconds for each in costs if each.seconds is not None)
    if len(seconds) < len(costs):
        return f"stuck in {len(costs) - len(seconds)} of {len(costs)}"
    changes = sum(each.round_changes for each in costs) / len(costs)
    p99 = seconds[min(len(seconds) - 1, int(0.99 * len(seconds)))]
    return f"{seconds[len(seconds) // 2]:.2f} / {p99:.2f} / {seconds[-1]:.2f} ({changes:.2f})"


def main() -> int:
    escape_what_cannot_be_shown()
    parser = argparse.ArgumentParser(prog="devnet.sim.recovery", description=__doc__)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--long", action="store_true", help="splits of an hour, too")
    arguments = parser.parse_args()
    with multiprocessing.get_context("spawn").Pool(arguments.jobs, _be_quiet) as pool:

        def row(name: str, drill: Callable[..., Cost], seeds: int, **how: object) -> None:
            cells = [
                told(pool.map(partial(drill, timers=timers, **how), range(seeds)))
                for timers in (True, False)
            ]
            print(f"| {name} | {cells[0]} | {cells[1]} |", flush=True)

        print(f"Worst gap between sealed heights, n = {N}, {arguments.seeds} seeds a row: s\n")
        _head("fault")
        for fault in FAULTS:
            row(fault, drill_gap, arguments.seeds, fault=fault)
        print("\nFrom the heal of a 2|2 split to the next height decided by all honest: s\n")
        _head("split for")
        for split_s in (*SPLITS_S, *([LONG_SPLIT_S] if arguments.long else [])):
            seeds = max(5, arguments.seeds * 60 // max(60, split_s))
            for silent in (False, True):
                name = f"{split_s} s{', one silent' if silent else ''} ({seeds} seeds)"
                row(name, drill_recovery, seeds, split_s=split_s, silent=silent)
    return 0


def _head(first: str) -> None:
    how = "p50 / p99 / max (round changes a height)"
    print(f"| {first} | timers alone: {how} | links and measured wait: {how} |")
    print("|---|---|---|", flush=True)


def _be_quiet() -> None:
    logging.disable(logging.CRITICAL)


if __name__ == "__main__":
    sys.exit(main())
