"""A campaign of one place and one run, on the smallest network there is; and what can be asked of
its run afterwards, from its folder alone."""

from pathlib import Path

import msgspec
import pytest

from tests.e2e.conftest import Finished, run_devnet

OFFSET = "5000"
SCENARIO = """\
scenario: 1
name: alone
about: The only operator loses its validator to the next decision, then the L1 for a height.
followers: 0
min_operators: 1
start: {heights: 1}
faults:
  - {id: gone, do: kill, target: op1, role: validator, until: {event: decided}}
  - {id: l1, do: cut, links: l1, at: {after: gone}, until: {heights: 1, event: sealed}}
settle: {heights: 1}
"""
CAMPAIGN = """\
campaign: 1
name: one
scenarios: [alone.yaml]
operators: [1]
seeds: [7]
"""


def campaign(folder: Path, *more: str) -> Finished:
    words = ["chaos", "campaign", str(folder / "one.yaml"), "--backend", "process", "--json"]
    where = ["--port-offset", OFFSET, "--jobs", "1", "--out", str(folder / "campaigns")]
    return run_devnet([*words, *where, *more], folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("campaign")
    (made / "alone.yaml").write_text(SCENARIO)
    (made / "one.yaml").write_text(CAMPAIGN)
    done = campaign(made)
    log = made / "campaigns" / "one" / "network-1.log"
    assert done.code == 0, done.told + (log.read_text() if log.exists() else "")
    (cell,) = msgspec.json.decode(done.out)["cells"]
    assert (cell["scenario"], cell["operators"], cell["missing"]) == ("alone", 1, 0)
    assert [run["outcome"] for run in cell["runs"]] == ["pass"]
    return made


def run_of(folder: Path) -> Path:
    (manifest,) = folder.glob("campaigns/one/runs/*/alone/*/manifest.json")
    return manifest.parent


def test_what_was_run_is_not_run_again(folder: Path) -> None:
    run = run_of(folder)
    again = campaign(folder)
    assert again.code == 0, again.told
    assert run_of(folder) == run
    assert not list(folder.glob("campaigns/one/network-*/network.json"))


def test_its_run_is_judged_as_it_was(folder: Path) -> None:
    judged = run_devnet(["chaos", "judge", str(run_of(folder)), "--json"], folder)
    assert judged.code == 0, judged.told
    assert "not what the run said" not in judged.err
    checkers = {each["checker"] for each in msgspec.json.decode(judged.out)}
    assert {"S1 agreement", "the faults happened"} <= checkers


def test_its_schedule_passes_in_the_simulator_too(folder: Path) -> None:
    words = ["chaos", "replay", str(run_of(folder)), "--simulated", "--runs", "3", "--json"]
    done = run_devnet(words, folder)
    assert done.code == 0, done.told
    report = msgspec.json.decode(done.out)
    assert (report["live"]["outcome"], report["simulated"]["outcome"]) == ("pass", "pass")
    assert report["live"]["target"] == report["simulated"]["runs"][0]["target"] == "op1.validator"
    assert len(report["simulated"]["runs"]) == 3
