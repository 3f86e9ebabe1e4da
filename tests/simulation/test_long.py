"""The long campaign: the same tally here and on other machines; what stands in its way is said."""

import argparse
import sys
from concurrent.futures import Executor
from typing import Any

import pytest

from devnet.runner.workers import HOW_TO_INSTALL, NoWorkers, code
from devnet.sim import long, machines
from devnet.sim.campaign import Tally, run_campaign
from devnet.sim.machines import connected

HEIGHTS, SCHEDULES = 150, 500


def small_campaigns(executor: Executor | None, jobs: int) -> list[Tally]:
    """Some that find nothing, and one that finds and must find the same."""
    found = long.campaigns(
        4, heights=HEIGHTS, schedules=SCHEDULES, first=7, jobs=jobs, executor=executor
    )
    killed = run_campaign(
        range(3000), 4, generator="lockstep", mutant="quorum-2f", jobs=jobs, executor=executor,
        stop_at_failure=True,
    )  # fmt: skip
    return [found["chaos"], found["lockstep"], killed]


@pytest.fixture(scope="module")
def here() -> list[Tally]:
    return small_campaigns(None, 1)


def test_machines_come_to_the_same_tally_as_this_one(here: list[Tally]) -> None:
    from distributed import LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,  # type: ignore[no-untyped-call]
        connected(cluster.scheduler_address) as there,
    ):
        assert there.workers == 2
        spread = small_campaigns(there.executor, there.workers)
    assert spread == here
    chaos, lockstep, killed = here
    assert HEIGHTS <= chaos.heights < HEIGHTS + 300, "it ends with the batch that gets there"
    assert lockstep.seeds == SCHEDULES
    assert not chaos.failures
    assert not lockstep.failures
    assert [failure.n for failure in killed.failures] == [4]


def test_processes_come_to_the_same_tally_too(here: list[Tally]) -> None:
    assert small_campaigns(None, 2) == here


def test_without_dask_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.setattr(sys, "argv", ["long", "--workers", "tcp://127.0.0.1:1"])
    assert long.main() == 2
    assert capsys.readouterr().err == f"error: {HOW_TO_INSTALL}\n"
    assert "pip install" in HOW_TO_INSTALL
    assert "machines" in HOW_TO_INSTALL


def test_no_scheduler_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "CONNECT_S", 0.5)
    with (
        pytest.raises(NoWorkers, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1"),
        connected("tcp://127.0.0.1:1"),
    ):
        pass


class Cluster:
    """A client of workers that run some code."""

    def __init__(self, codes: dict[str, str]) -> None:
        self.codes = codes

    def run(self, _: Any) -> dict[str, str]:
        return self.codes


@pytest.mark.parametrize(
    ("threads", "codes", "said"),
    [
        ({}, {}, "no workers"),
        ({"a": 1, "b": 4}, {"a": code(), "b": code()}, r"one thread each .*: b$"),
        ({"a": 1, "b": 1}, {"a": code(), "b": "older"}, r"other code .*: b$"),
    ],
)
def test_workers_that_would_come_to_something_else_are_refused(
    threads: dict[str, int], codes: dict[str, str], said: str
) -> None:
    with pytest.raises(NoWorkers, match=said):
        machines._require_ours(Cluster(codes), threads)


def test_workers_of_this_code_are_taken() -> None:
    machines._require_ours(Cluster({"a": code()}), {"a": 1})


def test_a_failure_is_told_with_the_command_that_repeats_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    monkeypatch.setattr("devnet.sim.findings.CORPUS", tmp_path)
    monkeypatch.setattr("dst.qbft.justification.quorum_size", lambda n: 2)
    words = "long --heights 0 --schedules 200 --jobs 1"
    monkeypatch.setattr(sys, "argv", words.split())
    assert long.main() == 1
    said = capsys.readouterr().out
    assert "again: python -m devnet.sim --seeds" in said
    assert "again: python -m devnet.sim --tape" in said
    assert "decided block" in said


def test_a_run_that_raises_is_a_failure_with_a_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Any) -> None:
        raise KeyError("spam")

    monkeypatch.setattr("devnet.sim.lockstep.Schedule._maybe_restart", broken)
    tally = run_campaign(range(3), 4, generator="lockstep", jobs=1)
    assert [(each.seed, each.failure) for each in tally.failures] == [
        (seed, "KeyError: 'spam'") for seed in range(3)
    ]


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupt_leaves_the_tally_and_the_command_that_goes_on(jobs: int) -> None:
    def interrupt(tally: Tally) -> None:
        if tally.seeds >= 400:
            raise KeyboardInterrupt

    tally = run_campaign(range(10**6), 4, generator="lockstep", jobs=jobs, shown=interrupt)
    assert tally.interrupted
    assert tally.seeds == 400
    tallies = {"chaos": Tally(n=4, seeds=5, heights=99), "lockstep": tally}
    arguments = argparse.Namespace(n=4, heights=99, schedules=1000, first_seed=7, workers="")
    assert long.rest(tallies, arguments) == "make sim-long N=4 HEIGHTS=0 SCHEDULES=600 SEED=407"
    del tallies["lockstep"]
    arguments.heights = 200
    assert long.rest(tallies, arguments) == "make sim-long N=4 HEIGHTS=101 SCHEDULES=1000 SEED=12"
