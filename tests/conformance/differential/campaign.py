"""Seed after seed until the time is over: our engine against a judge; a difference is shrunk and
printed with the line that reproduces it."""

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.differential import ours, stock
from tests.conformance.differential.generator import GETH, STOCK, Profile, random_plan
from tests.conformance.differential.geth import GethJudge
from tests.conformance.differential.plan import Plan
from tests.conformance.differential.show import shown
from tests.conformance.differential.shrink import shrink
from tests.conformance.tally import Tally

TRIALS = 400
"""Of the shrinker; one takes 20 ms in process."""
GETH_TRIALS = 120
"""One takes two seconds: a geth starts for each."""

Judge = Callable[[Plan, ours.OurRun], str | None]
"""What it says against our blocks, or None."""


@dataclass(frozen=True, slots=True)
class Campaign:
    name: str
    profile: Profile
    judge: Judge
    seeds: Iterable[int]
    seconds: float
    trials: int = TRIALS
    explain: Judge | None = None
    """Asked once, about the shrunk plan: may take its time."""


def against_stock(seeds: Iterable[int], seconds: float) -> Campaign:
    return Campaign("stock_differential", STOCK, stock.disagreement, seeds, seconds)


def against_geth(binary: Path, seeds: Iterable[int], seconds: float) -> Campaign:
    return Campaign(
        name="geth_differential",
        profile=GETH,
        judge=GethJudge(binary),
        seeds=seeds,
        seconds=seconds,
        trials=GETH_TRIALS,
        explain=GethJudge(binary, traces=True),
    )


def first_seed() -> tuple[int, bool]:
    """Of `SEED=...`: that one alone; otherwise from 0."""
    given = os.environ.get("SEED")
    return (int(given), True) if given else (0, False)


def run(campaign: Campaign, tally: Tally) -> None:
    end = time.monotonic() + campaign.seconds
    for seed in campaign.seeds:
        if time.monotonic() > end:
            break
        plan = random_plan(seed, campaign.profile)
        problem = verdict(plan, campaign.judge)
        _count(plan, tally)
        if problem is None:
            tally.ok()
        else:
            tally.fail(f"seed {seed}", _reproducer(campaign, plan, seed, problem))


def verdict(plan: Plan, judge: Judge) -> str | None:
    try:
        made = ours.run(plan)
    except Exception as error:  # a crash of ours is a finding too
        return f"our engine: {type(error).__name__}: {error}"
    return judge(plan, made)


def _count(plan: Plan, tally: Tally) -> None:
    tally.notes["blocks"] += len(plan.blocks)
    tally.notes["transactions"] += sum(len(block.transactions) for block in plan.blocks)


def _reproducer(campaign: Campaign, plan: Plan, seed: int, problem: str) -> str:
    kind = problem.split(":")[0].startswith("our engine")

    def fails(candidate: Plan) -> bool:
        found = verdict(candidate, campaign.judge)
        return found is not None and found.startswith("our engine") == kind

    small = shrink(plan, fails, campaign.trials)
    try:
        made: ours.OurRun | None = ours.run(small)
    except Exception:
        made = None
    told = verdict(small, campaign.explain or campaign.judge)
    again = f"SEED={seed} pytest tests/conformance -k {campaign.name}"
    return f"{problem[:300]}\nshrunk to:\n{shown(small, made)}\n{told}\nagain: {again}"
