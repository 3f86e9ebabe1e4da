"""A network's life through the `devnet` command: up, refusals, descriptor, proof, killed harness,
down; and that nothing is left."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import jsonschema
import pytest
from web3 import Web3
from web3.types import RPCEndpoint

from devnet.backends.processes import read_pid_file
from devnet.model.topology import compute_topology
from tests.e2e.conftest import REPOSITORY, Finished, run_devnet

OFFSET = "6000"
FINALITY = RPCEndpoint("dst_finality")
BACKENDS = ["process", pytest.param("docker", marks=pytest.mark.docker)]


@pytest.fixture(scope="module", params=BACKENDS)
def network(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Folder of a running network of one operator: the smallest that has every kind of program."""
    directory = tmp_path_factory.mktemp("lifecycle") / "net"
    started = _up(directory, request.param)
    assert started.code == 0, started.told
    yield directory
    ended = run_devnet(["down", "--dir", str(directory)], directory.parent)
    assert ended.code == 0, ended.told
    assert [path.name for path in directory.iterdir()] == ["logs"]
    assert _left_of(directory) == []


def _up(directory: Path, backend: str, *more: str) -> Finished:
    words = ["up", "--detach", "--dir", str(directory), "--backend", backend, "--operators", "1"]
    return run_devnet([*words, "--port-offset", OFFSET, *more], directory.parent)


def _left_of(directory: Path) -> list[str]:
    """Command lines of processes that still name the folder, or work in it: programs are given
    paths relative to it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ")
            told = command.decode(errors="replace")
            if str(directory) in told or (process / "cwd").readlink() == directory.resolve():
                found.append(told)
    return found


def _status(directory: Path) -> dict[str, Any]:
    done = run_devnet(["status", "--json", "--dir", str(directory)], directory.parent)
    assert done.code == 0, done.told
    facts: dict[str, Any] = json.loads(done.out)
    return facts


def test_the_descriptor_fits_its_schema(network: Path) -> None:
    schema = json.loads((REPOSITORY / "fixtures" / "network.schema.json").read_text())
    jsonschema.validate(json.loads((network / "network.json").read_text()), schema)


def test_status_shows_a_sealed_block_on_every_node(network: Path) -> None:
    facts = _status(network)
    assert all(node["sealed_height"] >= 1 for node in facts["nodes"])
    assert all(state.startswith("running") for state in facts["programs"].values())
    assert facts["faults"] == {}


def test_every_node_tells_how_final_a_block_is(network: Path) -> None:
    """Sealed as `up` waited for it, safe once a batch is on L1, final as the node's tag says."""
    descriptor = json.loads((network / "network.json").read_text())
    for node in (*descriptor["operators"], *descriptor["followers"]):
        web3 = Web3(Web3.HTTPProvider(node["rpc"]))
        deadline = time.monotonic() + 60
        while not (told := web3.provider.make_request(FINALITY, ["0x1"])["result"])["safe"]:
            assert (told["decided"], told["sealed"]) == (True, True), (node["name"], told)
            assert time.monotonic() < deadline, "no batch on L1"
            time.sleep(0.2)
        assert (told["decided"], told["sealed"]) == (True, True)
        assert told["hash"] == web3.eth.get_block(1)["hash"].to_0x_hex()
        final = web3.eth.get_block("finalized")["number"]
        assert told["finalized"] is False or final >= 1
        newest = web3.provider.make_request(FINALITY, ["latest"])["result"]
        assert newest["decided"] is True
        assert isinstance(newest["sealed"], bool), "its rollup node was asked"


def test_a_second_up_in_the_same_folder_is_refused(network: Path) -> None:
    for detach in (["--detach"], []):
        words = ["up", *detach, "--dir", str(network), "--backend", "process"]
        refused = run_devnet([*words, "--port-offset", "9000"], network.parent)
        assert refused.code == 3, refused.told
        assert "already runs" in refused.err
    assert _status(network)["nodes"][0]["answers"]


def test_a_taken_port_is_named(network: Path, tmp_path: Path) -> None:
    refused = _up(tmp_path / "other", "process")
    assert refused.code == 3, refused.told
    assert "--port-offset" in refused.err
    assert "port 26000 of 127.0.0.1 (proxy client>l1.rpc) is taken" in refused.err


def test_verify_proves_every_link(network: Path) -> None:
    done = run_devnet(["verify", "--dir", str(network)], network.parent)
    assert done.code == 0, done.told
    assert "kernel's table" in done.out
    assert "behaviour" in done.out


def test_logs_of_a_node_and_of_one_that_is_not_there(network: Path) -> None:
    done = run_devnet(["logs", "op1.rollup", "--dir", str(network)], network.parent)
    assert done.code == 0, done.told
    assert "ready" in done.out
    missing = run_devnet(["logs", "op9", "--dir", str(network)], network.parent)
    assert missing.code == 3
    assert "there are" in missing.err


def test_a_toxiproxy_that_ends_is_started_again_and_the_chain_goes_on(network: Path) -> None:
    _kill_from_outside(network, "op1.toxiproxy")
    _said(network, "CRASH: op1.toxiproxy ended on its own (killed by SIGKILL)")
    _said(network, "op1.toxiproxy runs again, with the faults that stand on its links")
    before = _heights(network)
    deadline = time.monotonic() + 30
    while not all(now > was for was, now in zip(before, _heights(network), strict=True)):
        assert time.monotonic() < deadline, "nothing is sealed any more"
        time.sleep(0.2)


@contextlib.contextmanager
def _stranger_at(port: int) -> Iterator[bool]:
    """Another program at the port of ::1; False on a machine without IPv6."""
    try:
        server = socket.create_server(("::1", port), family=socket.AF_INET6)
    except OSError:
        yield False
        return
    with server:
        yield True


def _kill_from_outside(directory: Path, program: str) -> None:
    """As the kernel or a person would, past the harness."""
    mark = json.loads((directory / "devnet.json").read_text())
    if mark["backend"] == "docker":
        name = f"dst-{mark['id']}-{program}"
        docker.from_env().containers.get(name).kill("SIGKILL")
        return
    process = read_pid_file(directory / "run" / f"{program}.pid")
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)


def _said(directory: Path, text: str) -> None:
    """Wait until the detached harness has said so."""
    deadline = time.monotonic() + 30
    while text not in (told := (directory / "logs" / "devnet.log").read_text()):
        assert time.monotonic() < deadline, told
        time.sleep(0.05)


def _heights(directory: Path) -> list[int]:
    return [node.get("sealed_height", 0) for node in _status(directory)["nodes"]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_down_removes_what_a_killed_harness_left(tmp_path: Path, backend: str) -> None:
    """Its log tells what ended before, and is kept for one network more."""
    directory = tmp_path / "net"
    with _stranger_at(27000) as is_there:
        started = _up(directory, backend, "--port-offset", "7000")
    assert started.code == 0, started.told
    assert ("another program has port 27000 of ::1 " in started.err) is is_there
    _kill_from_outside(directory, "op1.validator")
    crashed = "CRASH: op1.validator ended on its own (killed by SIGKILL)"
    _said(directory, crashed)
    supervisor = json.loads((directory / "devnet.json").read_text())["pid"]
    os.kill(supervisor, signal.SIGKILL)
    done = run_devnet(["down", "--dir", str(directory)], tmp_path)
    assert done.code == 0, done.told
    assert [path.name for path in directory.iterdir()] == ["logs"]
    assert _left_of(directory) == []
    with socket.create_server(("127.0.0.1", 27000)):
        pass  # its first port is free again
    refused = _up(directory, backend, "--port-offset", "7000", "--slot-seconds", "0")
    assert refused.code == 3, refused.told
    told = run_devnet(["logs", "devnet", "--previous", "--dir", str(directory)], tmp_path)
    assert crashed in told.out, told.told


STANDING = """\
scenario: 1
name: cut-short
about: Two faults that stand when the harness dies.
load: {rate: 1, senders: 1}
start: {heights: 1}
faults:
  - {id: split, do: partition, split: [2, 2], until: {hold: 120s}}
  - {id: frozen, do: freeze, target: op4, at: {after: {inject: split}}, until: {hold: 120s}}
"""


def _killed_while_faults_stand(directory: Path, *more: str) -> Path:
    """A run that ends by SIGKILL under a partition and a frozen operator; its folder."""
    scenario, told = directory.parent / "cut-short.yaml", directory.parent / "told.txt"
    scenario.write_text(STANDING)
    words = ["chaos", "run", str(scenario), "--dir", str(directory), "--seed", "1", *more]
    with (
        told.open("wb") as stderr,
        subprocess.Popen(
            [sys.executable, "-m", "devnet", *words, "--out", str(directory.parent / "runs")],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            cwd=directory.parent,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        ) as run,
    ):
        try:
            deadline = time.monotonic() + 90
            while told.read_text().count("inject: fault verified") < 2:
                assert run.poll() is None, told.read_text()
                assert time.monotonic() < deadline, told.read_text()
                time.sleep(0.05)
        finally:
            run.kill()
    (folder,) = (directory.parent / "runs" / "cut-short").iterdir()
    return folder


def _require_gone(directory: Path, port_offset: int) -> None:
    """No file but logs, no process, no port of four operators."""
    assert [path.name for path in directory.iterdir()] == ["logs"]
    assert _left_of(directory) == []
    for port, _use in compute_topology(operators=4, port_offset=port_offset).all_ports():
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_a_run_that_is_killed_under_faults_leaves_what_the_next_one_names_and_down_ends(
    tmp_path: Path,
) -> None:
    """On a network that outlives it: cuts and frozen programs are still there."""
    directory = tmp_path / "net"
    words = ["up", "--detach", "--dir", str(directory), "--backend", "process"]
    started = run_devnet([*words, "--port-offset", "8000"], tmp_path)
    assert started.code == 0, started.told
    _killed_while_faults_stand(directory)
    facts = _status(directory)
    assert facts["programs"]["op4.middleware"].startswith("paused")
    assert any(link.endswith(".consensus") for link in facts["faults"])
    refused = run_devnet(["chaos", "run", "follower-restart", "--dir", str(directory)], tmp_path)
    assert refused.code == 3, refused.told
    assert "the network is not whole before the first fault" in refused.err
    assert "op4.middleware" in refused.err
    done = run_devnet(["down", "--dir", str(directory)], tmp_path)
    assert done.code == 0, done.told
    _require_gone(directory, 8000)


def test_a_run_that_is_killed_under_faults_takes_its_own_network_along(tmp_path: Path) -> None:
    """What it froze, too; and its record says that it was cut off."""
    directory = tmp_path / "net"
    folder = _killed_while_faults_stand(directory, "--backend", "process", "--port-offset", "8000")
    deadline = time.monotonic() + 10
    while left := _left_of(directory):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    done = run_devnet(["down", "--dir", str(directory)], tmp_path)
    assert done.code == 0, done.told
    _require_gone(directory, 8000)
    judged = run_devnet(["chaos", "judge", str(folder)], tmp_path)
    assert judged.code == 2, judged.told
    assert "cut off" in judged.out


def test_up_without_a_terminal_tells_its_blocks_and_cleans_up_on_sigterm(tmp_path: Path) -> None:
    directory = tmp_path / "net"
    words = ["up", "--dir", str(directory), "--backend", "process", "--operators", "1"]
    with subprocess.Popen(
        [sys.executable, "-m", "devnet", *words, "--port-offset", "8000"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == str(directory / "network.json")
        assert process.stdout.readline().startswith("block ")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert [path.name for path in directory.iterdir()] == ["logs"]
    assert _left_of(directory) == []


def test_up_that_is_interrupted_while_starting_leaves_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "net"
    words = ["up", "--dir", str(directory), "--backend", "process", "--operators", "1"]
    with subprocess.Popen(
        [sys.executable, "-m", "devnet", *words, "--port-offset", "8000"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        cwd=tmp_path,
    ) as process:
        deadline = time.monotonic() + 30
        while not list(directory.glob("run/*.pid")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert _left_of(directory) == []
    assert not (directory / "network.json").exists()


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--operators", "5"], "1, 4, 7 or 10"),
        (["--slot-seconds", "0"], "slot-seconds"),
        (["--port-offset", "99999"], "port-offset"),
    ],
)
def test_wrong_flags_end_in_one_clear_line(tmp_path: Path, flags: list[str], word: str) -> None:
    refused = run_devnet(["up", "--dir", str(tmp_path / "net"), *flags], tmp_path)
    assert refused.code == 3
    assert word in refused.err
    assert "Traceback" not in refused.err


def test_docker_that_does_not_run_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    refused = run_devnet(["up", "--backend", "docker", "--dir", str(tmp_path / "net")], tmp_path)
    assert refused.code == 3
    assert "no Docker daemon answers" in refused.err
    assert "--backend process" in refused.err


def test_a_folder_that_is_not_a_devnets_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    refused = run_devnet(["up", "--backend", "process", "--dir", str(tmp_path)], tmp_path)
    assert refused.code == 3
    assert "not a devnet's folder" in refused.err
    ended = run_devnet(["down", "--dir", str(tmp_path)], tmp_path)
    assert ended.code == 0
    assert (tmp_path / "thesis.txt").read_text() == "mine"
