"""What operators of such clusters reported, tried on a running cluster of four (the second table of
docs/field-reports.md says which row is judged where): a quiet start, a wrong clock, a full disk,
records moved beside a running validator, two of four that may have forgotten votes."""

import asyncio
import json
import re
import resource
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dst.apis.dst_v1 import DstClient, Event, EventKind, NumberedEvent
from tests.e2e.by_hand import DISK_FILLS_UP, FILE_STOPS_GROWING, Hands, clock_off_by
from tests.e2e.conftest import REPOSITORY, NetworkFactory, RunningNetwork, run_devnet
from tests.e2e.test_status_tells import status, until

pytestmark = pytest.mark.xdist_group("operators-network")

OFFSET = "10500"
DEADLINE_S = 40.0
OFF_S = -20.0
HEIGHTS = 3
"""So many new ones say that the chain goes on."""


@pytest.fixture(scope="module")
def network(network_factory: NetworkFactory) -> RunningNetwork:
    return network_factory("--backend", "process", "--port-offset", OFFSET, "--slot-seconds", "1")


@pytest.fixture(scope="module")
def hands(network: RunningNetwork) -> Iterator[Hands]:
    made = Hands(network)
    yield made
    made.close()


def node(facts: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (each for each in facts["nodes"] if each["name"] == name)
    assert isinstance(found, dict)
    return found


def waits(facts: dict[str, Any], program: str) -> str:
    return "; ".join(facts["waits_for"].get(program, ()))


def goes_on(network: RunningNetwork, name: str) -> None:
    """It seals a few heights more."""
    from_height = node(status(network), name)["sealed_height"]
    until(network, lambda facts: node(facts, name)["sealed_height"] >= from_height + HEIGHTS)


def dst(*words: str, cwd: Path, file_limit: int | None = None) -> subprocess.CompletedProcess[str]:
    def limit() -> None:
        if file_limit is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))

    return subprocess.run(
        [sys.executable, "-m", "dst", *words],
        cwd=cwd,
        env={"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        preexec_fn=limit,
        check=False,
    )


def test_a_start_is_quiet(network: RunningNetwork) -> None:
    """B42: operators wait for each other, and each until its rollup node has seen L1. So height 1
    is decided in round 0, and where a machine needs more than a round for its first block, the
    round was spent on that: everybody had its proposal. (`tests/simulation/test_start.py` holds the
    rule on a machine that is never busy.)"""
    first_steps = []
    for operator in network.descriptor["operators"]:
        told = asyncio.run(events_of_height_1(operator["beacon"]))
        first_steps += [each.kind for each in told if each.kind in STEPS][:1]
        log = network.directory / "logs" / f"{operator['name']}.middleware.log"
        assert "cannot_build height=1 " not in log.read_text()
    assert set(first_steps) == {EventKind.PROPOSAL}
    assert len(first_steps) >= 3, "who was too late to vote tells the decision alone"


STEPS = frozenset({EventKind.PROPOSAL, EventKind.ROUND_CHANGE})


async def events_of_height_1(beacon: str) -> list[Event]:
    """What an operator's middleware told of it, up to the decision."""
    told = []
    async with asyncio.timeout(DEADLINE_S), DstClient(beacon) as client:
        async for item in client.events(after=0):
            if isinstance(item, NumberedEvent) and item.event.height == 1:
                told.append(item.event)
                if item.event.kind is EventKind.DECIDED:
                    break
    return told


def test_nobody_waits_and_the_clocks_agree_where_all_is_well(network: RunningNetwork) -> None:
    names = [f"op{number}" for number in range(1, 5)]
    facts = until(
        network,
        lambda facts: (
            all("clock_ahead_seconds" in node(facts, name) for name in names)
            and facts["waits_for"] == {}
        ),
    )
    for name in names:
        assert abs(node(facts, name)["clock_ahead_seconds"]) < 0.25


def test_records_are_not_moved_beside_a_running_validator(
    network: RunningNetwork, tmp_path: Path
) -> None:
    config = str(network.directory / "nodes" / "op1" / "validator" / "config.json")
    out = tmp_path / "records.json"
    done = dst("slashing", "export", "--config", config, "--file", str(out), cwd=tmp_path)
    assert (done.returncode, out.exists()) == (2, False), done
    assert "a validator runs on it; stop it first" in done.stderr


def test_the_dealer_deals_all_or_nothing(tmp_path: Path) -> None:
    """B40: a disk that takes no file above 2 KiB, then one that does; the same command."""
    words = ("cluster", "create", "--dir", "dealt", "--operators", "4")
    failed = dst(*words, cwd=tmp_path, file_limit=2048)
    assert failed.returncode == 2, failed
    assert "nothing was dealt" in failed.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert dst(*words, cwd=tmp_path).returncode == 0
    assert (tmp_path / "dealt" / "cluster-lock.json").exists()


def test_a_clock_that_is_off_is_told_by_its_operator_and_about_it(
    network: RunningNetwork, hands: Hands
) -> None:
    """B41: op2 comes back on a machine whose clock is 20 s back."""
    for program in ("op2.middleware", "op2.rollup"):
        hands.end(program)
        hands.start(program, before=clock_off_by(OFF_S))
    text = "its own clock to be set: it is 20.0 s behind the other operators' clocks"
    facts = until(network, lambda facts: text in waits(facts, "op2.middleware"))
    assert node(facts, "op2")["clock_ahead_seconds"] == pytest.approx(OFF_S, abs=0.5)
    for other in ("op1", "op3", "op4"):
        assert waits(facts, f"{other}.middleware") == ""
        assert (
            "peer_clock_off peer=op2 offset_s=-" in hands.log_of(f"{other}.middleware").read_text()
        )
    assert "clock_off ahead_s=-" in hands.log_of("op2.middleware").read_text()
    shown = run_devnet(["status", "--dir", str(network.directory)], network.directory).out
    assert f"op2.middleware waits for {text}" in shown
    goes_on(network, "op1")
    for program in ("op2.middleware", "op2.rollup"):
        hands.end(program)
        hands.start(program)
    until(network, lambda facts: waits(facts, "op2.middleware") == "" and "op2" in _abreast(facts))


def _abreast(facts: dict[str, Any]) -> list[str]:
    return [each["name"] for each in facts["nodes"] if each.get("behind", 9) <= 1]


def test_a_full_disk_under_a_rollup_node_is_waited_for(
    network: RunningNetwork, hands: Hands
) -> None:
    """B36: it keeps nothing until there is room, and then goes on in the same process."""
    hands.end("op2.rollup")
    process = hands.start("op2.rollup", before=DISK_FILLS_UP)
    until(
        network,
        lambda facts: (
            "room on the disk" in waits(facts, "op2.rollup")
            and "its rollup node: " in waits(facts, "op2.middleware")
        ),
    )
    goes_on(network, "op1")
    assert process.poll() is None, "it waits, it does not end"
    process.send_signal(signal.SIGUSR1)
    until(network, lambda facts: waits(facts, "op2.rollup") == "" and "op2" in _abreast(facts))
    text = hands.log_of("op2.rollup").read_text()
    assert "Traceback" not in text
    assert text.count(" disk_full ") == 1
    assert text.count(" disk_takes_writes_again ") == 1


def test_a_full_disk_under_an_execution_layer_is_named_and_waited_for(
    network: RunningNetwork, hands: Hands
) -> None:
    """It is what the operator waits for, whoever of it is asked."""
    hands.end("op2.execution")
    process = hands.start("op2.execution", before=FILE_STOPS_GROWING)
    room = "room on the disk of "
    full = "execution layer is SYNCING: disk is full: "
    facts = until(
        network,
        lambda facts: (
            room in waits(facts, "op2.execution") and full in waits(facts, "op2.middleware")
        ),
    )
    assert "; waits for room" in waits(facts, "op2.middleware")
    with pytest.raises(urllib.error.HTTPError) as unwell:
        urllib.request.urlopen(f"{network.descriptor['operators'][1]['rpc']}/healthz")
    assert json.load(unwell.value)["reason"].startswith(f"waits for {room}")
    goes_on(network, "op1")
    assert process.poll() is None, "it waits, it does not end"
    process.send_signal(signal.SIGUSR1)
    until(network, lambda facts: waits(facts, "op2.execution") == "" and "op2" in _abreast(facts))
    text = hands.log_of("op2.execution").read_text()
    assert "Traceback" not in text
    said = re.findall(r" (disk_full|disk_takes_writes_again) ", text)
    # a block may still fit into pages that those before it gave back, and the one after it not
    assert said == ["disk_full", "disk_takes_writes_again"] * (len(said) // 2)
    assert len(said) >= 2


def test_two_of_four_that_may_have_forgotten_votes_stand_and_say_why(
    network: RunningNetwork, hands: Hands
) -> None:
    """They must stand: a quorum would need one that may already have voted otherwise."""
    for name in ("op3", "op4"):
        hands.end(f"{name}.middleware")
    for name in ("op3", "op4"):
        for file in (network.directory / "nodes" / name / "middleware" / "data").glob("*sqlite*"):
            file.unlink()
        hands.start(f"{name}.middleware", "--rejoin")
    expected = {
        "op1.middleware": "a quorum, 2 of 4 vote and 3 must: op3 does not vote, op4 does not vote",
        "op3.middleware": "that takes 3 that vote, and these do not either: op4",
        "op4.middleware": "that takes 3 that vote, and these do not either: op3",
    }
    facts = until(
        network,
        lambda facts: all(text in waits(facts, name) for name, text in expected.items()),
    )
    assert "votes may be lost below" in waits(facts, "op3.middleware")
    assert facts["cluster"]["has_quorum"], "all are up and connected: only what they say tells"
    until(network, lambda facts: not facts["cluster"]["advances"])
    shown = run_devnet(["status", "--dir", str(network.directory)], network.directory).out
    assert "op3.middleware waits for height " in shown
    for program in ("op1.middleware", "op3.middleware"):
        assert "waits_for=" in hands.log_of(program).read_text()
