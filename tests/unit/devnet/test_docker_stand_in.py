"""What the Docker backend makes of a stand-in: a container of its own, which sees the code that it
runs, and is not started a second time."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker.errors
import pytest

from devnet.backends.base import BackendError, stand_in
from devnet.backends.docker import ONCE_LABEL, DockerBackend
from devnet.model.topology import compute_topology
from devnet.network.programs import Plan

TOPOLOGY = compute_topology(operators=4, followers=0)
NAME = "op2.middleware"


class Daemon:
    """Containers by name: labels, command, binds, running or not."""

    def __init__(self) -> None:
        self.containers: dict[str, dict[str, Any]] = {}

    def inspect_container(self, name: str) -> Any:
        if name not in self.containers:
            raise docker.errors.NotFound("no such container")
        found = self.containers[name]
        return {
            "State": {"Running": found["running"]},
            "Config": {"Labels": found["labels"]},
        }

    def create_host_config(self, **options: Any) -> Any:
        return options

    def create_container(self, image: str, **options: Any) -> None:
        assert options["name"] not in self.containers
        self.containers[options["name"]] = {**options, "running": False}

    def remove_container(self, name: str, v: bool) -> None:
        assert not self.containers.pop(name)["running"]

    def start(self, name: str) -> None:
        self.containers[name]["running"] = True


@pytest.fixture
def daemon() -> Daemon:
    return Daemon()


@pytest.fixture
def backend(tmp_path: Path, daemon: Daemon) -> DockerBackend:
    for folder in ("logs", "run"):
        (tmp_path / folder).mkdir()
    programs = Plan(TOPOLOGY, "docker", frozenset()).programs
    program = programs[NAME]
    for path in program.reads:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    made = DockerBackend(
        directory=tmp_path, programs=programs, executables={}, source=Path("/source"),
        on_crash=lambda name, detail: None, topology=TOPOLOGY, identifier="x",
    )  # fmt: skip
    made._client = SimpleNamespace(api=daemon)
    return made


def test_a_liar_gets_a_container_of_its_own_and_the_honest_one_another(
    backend: DockerBackend, daemon: Daemon
) -> None:
    program = backend.programs[NAME]
    name = f"dst-x-{NAME}"
    backend._start(program)
    assert daemon.containers[name]["command"][-1] == "--new"
    with pytest.raises(BackendError, match="runs already"):
        backend._start_as(stand_in(program, "devnet.byzantine", ["--strategy", "flood"]))

    daemon.containers[name]["running"] = False
    backend._start_as(stand_in(program, "devnet.byzantine", ["--strategy", "flood"]))
    liar = daemon.containers[name]
    assert liar["command"][-2:] == ["--strategy", "flood"]
    assert "devnet.byzantine" in liar["command"]
    assert "--new" not in liar["command"]
    code = [bind for bind in liar["host_config"]["binds"] if bind.startswith("/source/")]
    assert code == [
        "/source/devnet/backends/launch.py:/app/launch.py:ro",
        "/source/dst:/app/dst:ro",
        "/source/devnet/__init__.py:/app/devnet/__init__.py:ro",
        "/source/devnet/byzantine:/app/devnet/byzantine:ro",
    ]

    liar["running"] = False
    backend._start_as(stand_in(program, "", ["--rejoin"]))
    back = daemon.containers[name]
    assert back["command"][-1] == "--rejoin"
    assert back["labels"][ONCE_LABEL]

    back["running"] = False
    backend._start(program)
    plain = daemon.containers[name]
    assert plain["command"][-1].endswith("config.json"), "the flag holds once"
    assert ONCE_LABEL not in plain["labels"]
    plain["running"] = False
    backend._start(program)
    assert daemon.containers[name] is plain, "as ever, the same container"
