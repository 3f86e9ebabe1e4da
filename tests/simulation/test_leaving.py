"""Operators that leave, and liars who only say so: safe, and no worse than silence."""

import logging
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from statistics import mean

import pytest

from devnet.sim.loop import VirtualLoop, play
from devnet.sim.mutants import mutated
from devnet.sim.params import Behaviour, Params, draw_params
from devnet.sim.recovery import CALM, Cost, Drill, drill_gap
from devnet.sim.world import Outcome, run_seed, seeded

LONG = 10 if os.environ.get("SIM_LONG") else 1
SEEDS = range(20)
SLOT_S = 1.0
AT_ONCE_S = 0.1
"""A message delay of round-changes, and what a sealed gap varies by anyway."""
PASSED = "round change by leader_passed"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def drawn(seed: int, n: int, *, liars: bool) -> Params:
    """What the seed draws, with operators told to leave beside it; its liars pass, if any."""
    params = draw_params(seeded(seed, n), n)
    whose = params.byzantine or (0,)
    byzantine = dict.fromkeys(whose, Behaviour.PASSER) if liars else {}
    return replace(params, drain_every_us=700_000, byzantine=byzantine)


def played(seed: int, n: int, *, liars: bool) -> Outcome:
    return run_seed(seed, n, params=drawn(seed, n, liars=liars))


@pytest.mark.parametrize("liars", [False, True])
@pytest.mark.parametrize(("n", "count"), [(4, 40), (7, 6)])
def test_whoever_leaves_and_whoever_lies_about_it_nothing_breaks(
    n: int, count: int, liars: bool
) -> None:
    """In the middle of everything else; some are still leaving when all is healed."""
    met: Counter[str] = Counter()
    for seed in range(count * LONG):
        outcome = played(seed, n, liars=liars)
        assert outcome.failure == "", f"seed {seed}, n = {n}: {outcome.failure}"
        met.update(outcome.counts)
    assert met[PASSED] >= count, "else nothing was shown"
    assert (met["evidence not_the_leader"] > 0) is liars


def gaps(fault: str) -> list[float]:
    found = [drill_gap(seed, fault=fault, timers=False).seconds for seed in SEEDS]
    assert None not in found, f"stuck: {fault}"
    return sorted(each for each in found if each is not None)


@pytest.mark.parametrize("fault", ["leader drained", "leader drained, then stopped"])
def test_a_leader_that_leaves_costs_no_timer(fault: str) -> None:
    assert max(gaps(fault)) <= SLOT_S + AT_ONCE_S


def test_a_pass_that_is_a_lie_costs_no_more_than_silence() -> None:
    lies, silence = gaps("liar who passes his lead on"), gaps("silent liar, links open")
    assert mean(lies) <= mean(silence)
    assert max(lies) <= max(silence) + AT_ONCE_S


def test_all_may_leave_at_once() -> None:
    """Round 1 is led all the same."""

    for seed in SEEDS:
        cost = play(partial(all_leave, seed))
        assert cost.seconds is not None
        assert cost.seconds <= SLOT_S + 2 * AT_ONCE_S
        assert cost.round_changes <= 1.0


async def all_leave(seed: int, loop: VirtualLoop) -> Cost:
    def everybody(drill: Drill, leader: int) -> None:
        for index in range(drill.n):
            drill.drain(index)

    return await Drill(loop, seed, CALM).gap(everybody)


# ------------------------------------------------------ the bounds are watched, and are what binds


def broken_by_liars() -> str:
    found = (played(seed, 4, liars=True).failure for seed in range(40))
    return next(filter(None, found), "")


def test_a_pass_of_somebody_else_is_noticed() -> None:
    with mutated("pass-of-anybody"):
        assert "not passed by its leader" in broken_by_liars()
