"""Liars who never stop: after the heal, every honest operator decides within k rounds.

The rest of the simulator asks whether the chain goes on after the heal; this asks how well it does
with f operators that stay what they are: silent, lying, two at once, closing their links.

*Bound.* Once the network has settled, a height is decided in round `rounds_owed` or earlier. Of its
rounds, at most f are led by somebody who does not want it to end. In any other the leader proposes,
and every honest operator votes, if the round lasts long enough for what may still lie between them:

- clocks that differ by up to twice the skew: they start round 0, and hold a block of a slot that
  has not begun here;
- above round 0, a lock whose block must be fetched, asking f liars first who do not answer;
- a build, a proposal, a judgement, votes, and their writes to disk.

Rounds double up to the cap, so only the first few can be too short, whoever leads them. The skip
and the quorum that arms timers bring all honest operators into one round (`synchrony`).
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from devnet.model.verdict import Violation
from devnet.sim.loop import VirtualLoop, play
from devnet.sim.operator import Operator
from devnet.sim.params import (
    DRAWN,
    ROUND_TIMEOUT_CAP_MS,
    ROUND_TIMEOUT_MS,
    SLOT_US,
    Loss,
    Params,
    draw_params,
)
from devnet.sim.story import Story
from devnet.sim.world import Breach, Outcome, World
from dst.apis.dst_v1 import EventKind, Scalar
from dst.middleware.catch_up import HOLDER_TIMEOUT_S
from dst.qbft.rounds import SHORTEST_WAIT_MS
from dst.spec.primitives import Height, Root, Round, faults_tolerated

NAME: Final = "L13 rounds after the heal"
SETTLED_AFTER_US: Final = 6_000_000
"""As in `haste`: reconnects are made, what lost blocks has them again, no call hangs any more."""
EXCHANGE_S: Final = 0.25
"""A build, four messages, a judgement and three writes of a calm machine, with room to spare."""
SHORTEST_WAIT_S: Final = SHORTEST_WAIT_MS / 1000
"""Round 0 may wait as little as this for its proposal."""
NO_ROUND: Final = Round(0)
ROUNDS_TO_CAP: Final = 8
"""From here on all last as long as they ever do."""


def rounds_owed(n: int, skew_us: int) -> Round:
    """The round in which a height is decided at the latest."""
    f = faults_tolerated(n)
    too_short = [
        each for each in range(ROUNDS_TO_CAP) if _lasts_s(each) < _needs_s(each, f, skew_us)
    ]
    return Round(f + len(too_short))


def _lasts_s(round_: int) -> float:
    timer_s = min(ROUND_TIMEOUT_MS << round_, ROUND_TIMEOUT_CAP_MS) / 1000
    return timer_s if round_ else SHORTEST_WAIT_S


def _needs_s(round_: int, f: int, skew_us: int) -> float:
    fetch_s = f * HOLDER_TIMEOUT_S if round_ else 0.0
    return 2 * skew_us / 1e6 + fetch_s + EXCHANGE_S


@dataclass
class Rounds:
    """The bound, as a checker: pure, fed with what honest operators enter and decide.

    first: the lowest height whose whole life lies after the settling; lower ones owe nothing.
    worst: the highest round of those that owe something.
    """

    bound: Round
    first: Height | None = None
    worst: Round = NO_ROUND

    def settled(self, open_heights: Iterable[Height]) -> None:
        self.first = Height(max(open_heights) + 1)

    def reached(self, who: str, height: Height, round_: Round, what: str) -> Violation | None:
        """`what`: entered or decided."""
        if self.first is None or height < self.first:
            return None
        self.worst = max(self.worst, round_)
        if round_ <= self.bound:
            return None
        summary = f"{who} {what} round {round_} of height {height}, {self.bound} is owed"
        return Violation(checker=NAME, summary=summary, height=height)


class Minority(World):
    """A short chaos, the heal, and then the liars until everybody has had two turns to lead."""

    def __init__(
        self,
        loop: VirtualLoop,
        seed: int,
        params: Params,
        *,
        verbose: bool = False,
        rng: Random | None = None,
        story: Story | None = None,
    ) -> None:
        super().__init__(loop, seed, params.n, params=params, verbose=verbose, rng=rng, story=story)
        self.rounds = Rounds(rounds_owed(params.n, params.skew_us))

    async def _play(self) -> None:
        await super()._play()
        await self._until(lambda: False, SETTLED_AFTER_US)
        self.rounds.settled(Height(node.disk.head() + 1) for node in self.honest)
        assert self.rounds.first is not None, "settled just now"
        self.tell(f"round {self.rounds.bound} is owed from height {self.rounds.first} on")
        target = Height(self.rounds.first + 2 * self.n - 1)
        bound_us = 2 * self.n * self._longest_us()
        if not await self._until(lambda: self._recovered(target), bound_us):
            raise Breach([self._stuck(target)])

    def _longest_us(self) -> int:
        """From one slot to the next, every round of the bound in between, and a seal."""
        timers_ms = sum(
            min(ROUND_TIMEOUT_MS << each, ROUND_TIMEOUT_CAP_MS)
            for each in range(self.rounds.bound + 1)
        )
        return 2 * SLOT_US + 1000 * timers_ms

    def saw(
        self,
        node: Operator,
        kind: EventKind,
        height: Height | None,
        round_: Round | None,
        root: Root | None,
        extra: dict[str, Scalar],
    ) -> None:
        super().saw(node, kind, height, round_, root, extra)
        if (
            node in self.honest
            and height is not None
            and kind in (EventKind.DECIDED, EventKind.ROUND_CHANGE)
        ):
            found = self.rounds.reached(node.name, height, round_ or Round(0), kind)
            self._judge(found)


def draw_minority(seed: int, n: int) -> Params:
    """As many faulty ones as may be: liars, each kind as likely, and where there are several, now
    and then one that lost its disk. The chaos before leaves locks and laggards."""
    rng = Random(f"minority {seed} {n}")
    params = draw_params(rng, n)
    faulty = sorted(rng.sample(range(n), faults_tolerated(n)))
    loses = len(faulty) > 1 and rng.random() < 0.3
    liars = faulty[1:] if loses else faulty
    return replace(
        params,
        byzantine={each: rng.choice(DRAWN) for each in liars},
        chaos_us=12_000_000 if loses else rng.choice((2_000_000, 4_000_000)),
        loss=rng.choice(list(Loss)) if loses else None,
        phases=not loses and rng.random() < 0.5,
        drift_ppm={},  # the bound counts with a known difference of clocks
    )


def run_minority(
    seed: int,
    n: int,
    *,
    params: Params | None = None,
    verbose: bool = False,
    rng: Random | None = None,
    story: Story | None = None,
) -> tuple[Outcome, Round]:
    """The outcome, and the highest round of a height that owed something."""
    drawn = params or draw_minority(seed, n)

    async def run(loop: VirtualLoop) -> tuple[Outcome, Round]:
        world = Minority(loop, seed, drawn, verbose=verbose, rng=rng, story=story)
        return await world.run(), world.rounds.worst

    logging.disable(logging.CRITICAL)
    try:
        return play(run)
    finally:
        logging.disable(logging.NOTSET)
