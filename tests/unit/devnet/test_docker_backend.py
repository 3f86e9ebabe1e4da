"""What the Docker daemon says, in the harness's words; the daemon is a stand-in (the real one is
met in tests/e2e)."""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker.errors
import pytest
from docker.context.config import get_context_id

from devnet.backends.base import BackendError, Program, RunState
from devnet.backends.docker import (
    PROGRAM_LABEL,
    DockerBackend,
    daemon_answers,
    docker_client,
    remove_everything,
    run_in_pod,
)
from devnet.model.topology import compute_topology

NAME = "op1.rollup"


class Daemon:
    """Its containers, as `docker ps --all` lists them."""

    def __init__(self, **containers: str) -> None:
        self.api = self.networks = self
        self.listed = [
            {"Id": "0" * 64, "State": state, "Status": f"{state} (255) a moment ago",
             "Labels": {PROGRAM_LABEL: name.replace("_", ".")}}
            for name, state in containers.items()
        ]  # fmt: skip

    def containers(self, **_how: Any) -> list[dict[str, Any]]:
        return self.listed

    def create(self, *_name: Any, **_how: Any) -> None:
        raise docker.errors.APIError(
            "could not find an available, non-overlapping IPv4 address pool among the defaults"
        )


def backend_on(daemon: Daemon, crashes: list[tuple[str, str]] | None = None) -> DockerBackend:
    backend = DockerBackend(
        directory=Path(),
        programs={NAME: Program(name=NAME, command="python", arguments=())},
        executables={},
        source=Path(),
        on_crash=lambda name, detail: None if crashes is None else crashes.append((name, detail)),
        topology=compute_topology(operators=1),
        identifier="0",
    )
    backend._client = daemon
    return backend


async def test_what_ended_while_nobody_listened_is_a_crash_once() -> None:
    """The daemon's events end with the daemon; it may be back with every container dead."""
    crashes: list[tuple[str, str]] = []
    backend = backend_on(Daemon(op1_rollup="exited"), crashes)
    for _ in range(2):
        found = (await backend.status())[NAME]
        assert (found.state, found.crashes) == (RunState.CRASHED, 1)
    assert crashes == [(NAME, "exited (255) a moment ago")]


async def test_a_start_between_a_look_and_its_judgement_makes_no_crash_of_a_kill() -> None:
    daemon = Daemon(op1_rollup="exited")
    backend = backend_on(daemon)
    backend._wanted_ends.add(NAME)

    def listed(**_how: Any) -> list[dict[str, Any]]:
        backend._wanted_ends.discard(NAME)  # what a start does once it has started
        return daemon.listed

    daemon.containers = listed  # type: ignore[method-assign]
    assert (await backend.status())[NAME].crashes == 0


async def test_the_end_of_an_earlier_life_is_no_crash_of_this_one() -> None:
    crashes: list[tuple[str, str]] = []
    backend = backend_on(Daemon(), crashes)
    backend._started[NAME] = 100
    attributes = {PROGRAM_LABEL: NAME, "exitCode": "139"}
    backend._events = [
        {"Actor": {"ID": "0", "Attributes": attributes}, "timeNano": moment} for moment in (99, 101)
    ]
    await asyncio.to_thread(backend._read_events, asyncio.get_running_loop())
    await asyncio.sleep(0)
    assert crashes == [(NAME, "killed by SIGSEGV")]
    assert (backend._crashes.status(NAME, RunState.CRASHED, "")).crashes == 1


async def test_all_of_a_pod_falls_with_its_toxiproxy() -> None:
    backend = backend_on(Daemon())
    backend.programs = {
        name: Program(name=name, command="python", arguments=())
        for name in ("op1.toxiproxy", "op1.rollup", "op1.validator", "op2.rollup")
    }
    assert backend.falls_with("op1.toxiproxy") == ("op1.rollup", "op1.validator")


async def test_a_container_that_was_not_started_yet_or_was_killed_has_not_crashed() -> None:
    backend = backend_on(Daemon(op1_rollup="created"))
    assert (await backend.status())[NAME].state is RunState.KILLED
    backend = backend_on(Daemon(op1_rollup="exited"))
    backend._wanted_ends.add(NAME)
    found = (await backend.status())[NAME]
    assert (found.state, found.crashes) == (RunState.KILLED, 0)


async def test_exhausted_address_pools_are_named_with_the_remedy() -> None:
    with pytest.raises(BackendError, match=r"no address pool left .*docker network prune"):
        await backend_on(Daemon())._prepare_networks()


@pytest.mark.parametrize(
    ("lost", "told"), [(0, '{"a": 1}'), (2, '{"a": 1}'), (3, "lost its answer")]
)
def test_an_answer_that_the_daemon_lost_is_asked_for_again(lost: int, told: str) -> None:
    class Pod:
        answers = iter([b""] * lost + [b'{"a": 1}'])

        def get(self, name: str) -> "Pod":
            assert name == "dst-0a-op1.toxiproxy"
            return self

        def exec_run(self, command: list[str]) -> tuple[int, bytes]:
            return 0, next(self.answers)

    client = SimpleNamespace(containers=Pod())
    if lost < 3:
        assert run_in_pod(client, "0a", "op1", "script") == told
        return
    with pytest.raises(BackendError, match=told):
        run_in_pod(client, "0a", "op1", "script")


class Restarted:
    """A daemon that was killed and is back: every container has ended, one is still being taken
    apart, and a network keeps the endpoint of a container that is gone.

    stuck: what it never lets go.
    """

    def __init__(self, stuck: str = "", away: bool = False) -> None:
        self.api = self.networks = self
        self.pods = {f"op1.{role}": "exited" for role in ("toxiproxy", "rollup", "validator")}
        self.nets = {"mesh": ["op1.rollup", "op1.old"], "manage-op1": []}
        self.busy, self.stuck, self.away = {"op1.validator": 2}, stuck, away

    def containers(self, *, all: bool, filters: dict[str, str]) -> list[dict[str, Any]]:
        if self.away:
            raise docker.errors.DockerException("no such socket")
        assert (all, filters) == (True, {"label": "dst.devnet=0a"})
        return [
            {"Id": name, "Names": [f"/{name}"], "State": state, "Labels": {PROGRAM_LABEL: name}}
            for name, state in self.pods.items()
        ]

    def remove_container(self, name: str, *, force: bool, v: bool) -> None:
        self.busy[name] = self.busy.get(name, 0) - 1
        if self.busy[name] > 0 or name == self.stuck:
            raise docker.errors.APIError("removal is already in progress")
        del self.pods[name]

    def list(self, *, filters: dict[str, str]) -> "list[_Net]":
        return [_Net(self, name) for name in self.nets]


class _Net:
    def __init__(self, daemon: Restarted, name: str) -> None:
        self.daemon, self.name, self.attrs = daemon, name, dict[str, Any]()

    def reload(self) -> None:
        ends = self.daemon.nets[self.name]
        self.attrs = {"Containers": {name: {"Name": name} for name in ends} or None}

    def disconnect(self, name: str, *, force: bool) -> None:
        assert force
        self.daemon.nets[self.name].remove(name)

    def remove(self) -> None:
        if self.daemon.nets[self.name] or self.name == self.daemon.stuck:
            raise docker.errors.APIError("has active endpoints")
        del self.daemon.nets[self.name]


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devnet.backends.docker.REMOVAL_PAUSE_S", 0.0)
    monkeypatch.setattr("devnet.backends.docker.REMOVAL_TIMEOUT_S", 0.1)


@pytest.mark.usefixtures("hurried")
def test_what_a_restarted_daemon_has_left_is_removed_all_of_it() -> None:
    daemon = Restarted()
    removed = remove_everything(daemon, "0a")
    assert set(removed) == {
        "op1.toxiproxy", "op1.rollup", "op1.validator", "mesh", "manage-op1",
    }  # fmt: skip
    assert (daemon.pods, daemon.nets) == ({}, {})
    assert remove_everything(daemon, "0a") == []


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("stuck", ["op1.rollup", "mesh"])
def test_what_a_daemon_does_not_let_go_is_named(stuck: str) -> None:
    daemon = Restarted(stuck)
    with pytest.raises(BackendError, match=rf"does not remove {stuck}: .*`devnet down` again"):
        remove_everything(daemon, "0a")
    assert [*daemon.pods, *daemon.nets] == [stuck], "all else is gone"


class Crowded:
    """Four pods on one mesh. Knows how many containers with a network of their own were leaving it
    at once, and how many of the others were ending.

    A kill is told before its container has gone: an inspection waits for that.
    """

    def __init__(self) -> None:
        self.api = self.networks = self
        self.names = [f"op{k}.{role}" for k in range(4) for role in ("toxiproxy", "rollup")]
        self.lock, self.ending, self.most = threading.Lock(), Counter[str](), Counter[str]()

    def containers(self, **_how: Any) -> list[dict[str, Any]]:
        return [{"Id": n, "Names": [n], "Labels": {PROGRAM_LABEL: n}} for n in self.names]

    def remove_container(self, name: str, **_how: Any) -> None:
        self.kill(name, "SIGKILL")
        self.inspect_container(name)
        self.names.remove(name)

    def kill(self, name: str, _signal: str) -> None:
        role = name.rpartition(".")[2]
        with self.lock:
            self.ending[role] += 1
            self.most |= self.ending

    def stop(self, name: str, **_how: Any) -> None:
        self.kill(name, "SIGTERM")

    def wait(self, *_name: Any, **_how: Any) -> None:
        pass

    def inspect_container(self, name: str) -> dict[str, Any]:
        time.sleep(0.01)
        with self.lock:
            self.ending[name.rpartition(".")[2]] -= 1
        return {"State": {"ExitCode": 0}}

    def list(self, **_how: Any) -> "list[_Net]":
        return []


def test_containers_that_own_a_network_are_removed_in_turn() -> None:
    daemon = Crowded()
    assert len(remove_everything(daemon, "0")) == 8
    assert daemon.most["toxiproxy"] == 1
    assert daemon.most["rollup"] > 1, "it sees those that end at once"


@pytest.mark.parametrize("end", [DockerBackend.kill, DockerBackend.stop])
async def test_and_end_in_turn(end: Callable[[DockerBackend, list[str]], Awaitable[None]]) -> None:
    daemon = Crowded()
    backend = backend_on(daemon)  # type: ignore[arg-type]
    backend.programs = {
        name: Program(name=name, command="python", arguments=()) for name in daemon.names
    }
    await end(backend, list(daemon.names))
    assert daemon.ending.total() == 0, "each was waited for"
    assert daemon.most["toxiproxy"] == 1
    assert daemon.most["rollup"] > 1


async def test_a_daemon_that_hangs_is_said_with_what_to_do() -> None:
    class Hangs(Crowded):
        def remove_container(self, name: str, **_how: Any) -> None:
            raise OSError("UnixHTTPConnectionPool(...): Read timed out. (read timeout=60)")

    with pytest.raises(BackendError, match=r"did not answer in time.*restart.*`devnet down`"):
        remove_everything(Hangs(), "0")


async def test_a_daemon_that_is_away_when_a_network_ends_is_said_in_one_line() -> None:
    backend = backend_on(Restarted(away=True))  # type: ignore[arg-type]
    with pytest.raises(BackendError, match="no such socket; then `devnet down` again"):
        await backend.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path


def test_the_daemon_is_the_one_that_the_current_context_names(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Colima, Docker Desktop and rootless set it up."""
    _context(home, "colima", "unix:///nowhere/colima.sock")
    (home / "config.json").write_text(json.dumps({"currentContext": "colima"}))
    with pytest.raises(
        BackendError, match=r"unix:///nowhere/colima\.sock \(Docker context colima\)"
    ):
        docker_client()
    monkeypatch.setenv("DOCKER_CONTEXT", "missing")
    with pytest.raises(BackendError, match="missing"):
        docker_client()
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/host.sock")
    with pytest.raises(BackendError, match=r"unix:///nowhere/host\.sock \(DOCKER_HOST\)"):
        docker_client()


def test_a_context_that_cannot_be_read_is_no_traceback(home: Path) -> None:
    _context(home, "broken", "unix:///x")
    (home / "config.json").write_text(json.dumps({"currentContext": "broken"}))
    (meta,) = home.glob("contexts/meta/*/meta.json")
    for text in ("{", json.dumps({"Name": "broken", "Metadata": {}})):
        meta.write_text(text)
        assert daemon_answers() is False
        with pytest.raises(BackendError, match="broken"):
            docker_client()


def _context(home: Path, name: str, host: str) -> None:
    """As `docker context create` keeps it."""
    folder = home / "contexts" / "meta" / get_context_id(name)
    folder.mkdir(parents=True)
    endpoints = {"docker": {"Host": host, "SkipTLSVerify": False}}
    (folder / "meta.json").write_text(
        json.dumps({"Name": name, "Metadata": {}, "Endpoints": endpoints})
    )
