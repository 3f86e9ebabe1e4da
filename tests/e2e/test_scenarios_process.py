"""Scenarios on plain processes: what `make test` runs. All on one network, one after another, as a
user would."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.e2e.conftest import (
    PORT_OFFSET,
    REPOSITORY,
    NetworkFactory,
    RunningNetwork,
    run_devnet,
)

pytestmark = pytest.mark.xdist_group("process-network")


@pytest.fixture(scope="module")
def network(network_factory: NetworkFactory) -> RunningNetwork:
    return network_factory("--backend", "process", "--port-offset", str(PORT_OFFSET))


def test_the_example_deploys_through_an_operator_and_reads_from_the_follower(
    network: RunningNetwork,
) -> None:
    """Whatever proxy the environment names for the world."""
    done = subprocess.run(
        [
            sys.executable,
            str(REPOSITORY / "docs" / "examples" / "deploy.py"),
            str(network.directory / "network.json"),
        ],
        env={**os.environ, "HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the follower reads 42" in done.stdout


@pytest.mark.parametrize(
    "name",
    [
        "leader-kill",
        "split-2-2",
        "all-restart",
        "one-way",
        "world",
        "restart-loop",
        "engine-syncing",
        "follower-lied-to",
        "l1-lies-to-one",
    ],
)
def test_scenario_passes(network: RunningNetwork, name: str) -> None:
    done, answer = network.chaos(name, "--seed", "20261123")
    assert done.code == 0, done.told
    assert answer["outcome"] == "pass"
    (run,) = answer["runs"]
    assert run["tx_ok"] > 0
    assert run["tx_lost"] == 0
    folder = Path(run["folder"])
    assert "<svg" in (folder / "report.html").read_text()
    suite = ET.parse(folder / "junit.xml").getroot()
    assert suite.get("failures") == "0"
    judged = run_devnet(["chaos", "judge", str(folder.resolve())], network.directory)
    assert judged.code == 0, judged.told
    assert "not what the run said" not in judged.out


def test_flags_that_contradict_the_running_network_are_refused(network: RunningNetwork) -> None:
    done, _ = network.chaos("leader-kill", "--operators", "7")
    assert done.code == 3
    assert "operators 4 instead of 7" in done.err


def test_an_unknown_key_in_a_scenario_ends_in_one_line(
    network: RunningNetwork, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "scenario: 1\nname: mine\nabout: x\nfaults:\n"
        "  - {id: a, do: kill, tagret: leader, until: {heights: 1}}\n"
    )
    done, _ = network.chaos(str(path))
    assert done.code == 3
    assert "unknown key 'tagret'" in done.err
    assert "Traceback" not in done.err


def test_list_names_every_scenario(tmp_path: Path) -> None:
    done = run_devnet(["chaos", "list"], tmp_path)
    assert done.code == 0, done.told
    assert "leader-kill" in done.out
    assert len(done.out.splitlines()) >= 10
