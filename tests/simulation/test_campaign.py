"""The campaign: many seeds of swarm chaos over the real cores; safety always, liveness after heal.

SIM_SEEDS_N4, SIM_SEEDS_N7, SIM_SEEDS_N10 and SIM_SEEDS_OTHER (n = 2, 3, 5, 6) change how many,
SIM_FIRST_SEED where they begin, SIM_JOBS the workers.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from devnet.checkers.recovery import MARGIN_SECONDS
from devnet.sim.campaign import Tally, reproduction, run_campaign
from devnet.sim.findings import explain
from devnet.sim.params import SLOT_US
from devnet.sim.world import run_seed
from tests.simulation.conftest import Bar

FIRST = int(os.environ.get("SIM_FIRST_SEED", "0"))
JOBS = int(os.environ.get("SIM_JOBS", "2"))
ROOT = Path(__file__).parents[2]
CORPUS = json.loads((ROOT / "fixtures/schedules/seeds.json").read_text())["seeds"]


def failures_of(tally: Tally) -> str:
    """All of them, and the steps of the first one."""
    lines = [f"{each.failure}\n  again: {reproduction(each, None)}" for each in tally.failures]
    return "\n".join([*lines, explain("chaos", tally.failures[0].seed, tally.n)])


@pytest.mark.parametrize(
    ("n", "count"),
    [
        (4, int(os.environ.get("SIM_SEEDS_N4", "1500"))),
        (7, int(os.environ.get("SIM_SEEDS_N7", "150"))),
        *((n, int(os.environ.get("SIM_SEEDS_OTHER", "30"))) for n in (2, 3, 5, 6)),
        (10, int(os.environ.get("SIM_SEEDS_N10", "8"))),
    ],
    ids=str,
)
def test_no_seed_breaks_an_invariant(n: int, count: int, bar: Bar) -> None:
    with bar(f"n = {n}", "seeds", count) as advance:
        tally = run_campaign(
            range(FIRST, FIRST + count),
            n,
            jobs=JOBS,
            shown=lambda tally: advance(tally.seeds, len(tally.failures)),
        )
    print(tally.summary())
    if tally.failures:
        pytest.fail(failures_of(tally))
    assert tally.seeds == count
    if count >= 1000:
        assert tally.never_reached() == []
        assert tally.recovery_at(0.99) <= SLOT_US / 1e6 + MARGIN_SECONDS


@pytest.mark.parametrize("entry", CORPUS, ids=lambda entry: f"n{entry['n']}-{entry['seed']}")
def test_corpus(entry: dict[str, int | str]) -> None:
    outcome = run_seed(int(entry["seed"]), int(entry["n"]))
    assert not outcome.failure, f"{entry['why']}: {reproduction(outcome, None)}"


def test_one_operator_alone_goes_on() -> None:
    outcome = run_seed(FIRST, 1)
    assert not outcome.failure
    assert outcome.heights >= 3


@pytest.mark.parametrize(("seed", "n"), [(1, 4), (2, 4), (3, 7)])
def test_the_same_seed_tells_the_same_story(seed: int, n: int) -> None:
    assert run_seed(seed, n) == run_seed(seed, n)


def test_the_story_does_not_depend_on_the_process() -> None:
    """Set order and string hashes differ between processes: nothing may lean on them."""
    script = "from devnet.sim.world import run_seed; print(run_seed(5, 4).trace)"
    traces = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": salt, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for salt in ("1", "2")
    }
    assert traces == {f"{run_seed(5, 4).trace}\n"}


def test_different_seeds_tell_different_stories() -> None:
    assert len({run_seed(seed, 4).trace for seed in range(5)}) == 5


def test_the_command_prints_how_to_repeat_a_failure() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "devnet.sim",
            "--seeds",
            "0:4",
            "--mutant",
            "partials-not-resent",
            "--jobs",
            "1",
            "--budget",
            "5",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done
    assert "again: python -m devnet.sim --seeds" in done.stdout
    assert "--mutant partials-not-resent" in done.stdout
