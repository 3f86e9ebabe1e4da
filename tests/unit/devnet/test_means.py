"""What a Docker daemon cannot do is said before anything starts, and what was tried is gone."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import docker.errors
import pytest

from devnet import chaos_cli
from devnet.backends import means as means_module
from devnet.backends.base import BackendError
from devnet.backends.means import require_of_docker
from devnet.model.means import Means
from devnet.network.means import require_means
from devnet.runner.plan import needs_of
from devnet.scenarios import catalogue


class Daemon:
    """Containers that end with a code and last words."""

    def __init__(self, code: int = 0, said: str = "", info: dict[str, Any] | None = None) -> None:
        self.api = self
        self.code, self.said = code, said
        self.facts = {"OperatingSystem": "Docker Desktop", "KernelVersion": "5.10", **(info or {})}
        self.made: list[dict[str, Any]] = []
        self.left: set[str] = set()

    def info(self) -> dict[str, Any]:
        return self.facts

    def create_host_config(self, **how: Any) -> dict[str, Any]:
        return how

    def create_container(self, _tag: str, **how: Any) -> dict[str, Any]:
        self.made.append(how)
        self.left.add("it")
        return {"Id": "it"}

    def start(self, _id: str) -> None:
        if self.code < 0:
            raise docker.errors.APIError("invalid CapAdd")

    def wait(self, _id: str, timeout: int) -> dict[str, int]:
        return {"StatusCode": self.code}

    def logs(self, _id: str) -> bytes:
        return self.said.encode()

    def remove_container(self, name: str, **_how: Any) -> None:
        self.left.remove(name)


@pytest.fixture(autouse=True)
def an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(means_module, "ensure_image", lambda *_: "dst-devnet:x")


def ask(daemon: Daemon, *needed: Means) -> None:
    require_of_docker(daemon, needed, {}, Path("/source"), lambda _: None)


def test_a_packet_filter_is_tried_in_a_network_of_nobody() -> None:
    daemon = Daemon()
    ask(daemon, Means.FIREWALL)
    (made,) = daemon.made
    assert made["command"][-1] == "--try"
    assert made["host_config"]["network_mode"] == "none"
    assert daemon.left == set()


@pytest.mark.parametrize(
    ("daemon", "words"),
    [
        (
            Daemon(1, "error: the kernel takes no packet filter here: Operation not permitted"),
            r"Operation not permitted \(it runs on Docker Desktop, Linux 5\.10\)",
        ),
        (Daemon(-1), "invalid CapAdd"),
        (
            Daemon(1, info={"SecurityOptions": ["name=seccomp", "name=rootless"]}),
            "exit code 1; it is a rootless one: use a daemon of root",
        ),
    ],
)
def test_a_daemon_without_one_is_refused_in_its_own_words(daemon: Daemon, words: str) -> None:
    with pytest.raises(BackendError, match=words):
        ask(daemon, Means.FIREWALL)
    assert daemon.left == set()


@pytest.mark.parametrize(
    ("means", "word"), [(Means.CPU_QUOTA, "CpuCfsQuota"), (Means.MEMORY_LIMIT, "MemoryLimit")]
)
def test_limits_are_the_daemons_own_word(means: Means, word: str) -> None:
    ask(Daemon(info={word: True}), means)
    with pytest.raises(BackendError, match="this Docker daemon cannot"):
        ask(Daemon(info={word: False}), means)


def test_all_means_all_that_this_machine_can_and_names_the_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Asked by name it is refused, before anything starts."""
    ran: list[str] = []

    def poor(needed: Collection[Means], backend: str, _say: Any) -> None:
        assert backend == "process"
        if Means.CPU_QUOTA in needed:
            raise BackendError("no control groups here")

    def guarded(_arguments: object, names: list[str], **_: bool) -> int:
        ran.extend(names)
        return 0

    monkeypatch.setattr(chaos_cli, "require_means", poor)
    monkeypatch.setattr("devnet.runner.campaign.require_means", poor)
    words = ["--backend", "process", "--dir", str(tmp_path)]
    assert chaos_cli.main(["run", "cpu-starved", *words]) == 3
    assert capsys.readouterr().err == "error: no control groups here\n"
    assert chaos_cli.main(["run", "host-lost", *words]) == 3
    assert "host-lost cannot be done on the process backend" in capsys.readouterr().err

    monkeypatch.setattr(chaos_cli, "_guarded", guarded)
    assert chaos_cli.main(["all", *words]) == 0
    left_out = {"host-lost", "packet-blackhole", "cpu-starved"}
    assert set(ran) == set(catalogue.names()) - left_out
    told = capsys.readouterr().err
    assert "not on the process backend, and so not run: host-lost, packet-blackhole" in told
    assert "cpu-starved is not run: no control groups here" in told


def test_only_what_a_scenario_needs_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert needs_of(catalogue.load("leader-kill")) == frozenset()
    assert needs_of(catalogue.load("packet-blackhole")) == {Means.FIREWALL}
    monkeypatch.setattr(
        "devnet.backends.docker.docker_client", lambda: pytest.fail("it asked a daemon")
    )
    require_means(frozenset(), "docker", lambda _: None)
