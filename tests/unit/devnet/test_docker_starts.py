"""What the docker backend asks of the daemon at a start: a fake one that only remembers."""

from pathlib import Path
from typing import Any

import docker
import pytest

from devnet.backends.base import (
    MEMORY_END,
    NOTHING_EXTRA,
    BackendError,
    CpuUse,
    Extra,
    Program,
    RunState,
)
from devnet.backends.docker import PROGRAM_LABEL, ROOM_BYTES, DockerBackend, in_need
from devnet.model.topology import compute_topology

NAME = "op1.middleware"
CONTAINER = f"dst-test-{NAME}"
USED = 100 << 20


class FakeDaemon:
    """Containers by name; a created one is not running."""

    def __init__(self) -> None:
        self.containers: dict[str, dict[str, Any]] = {}
        self.made: list[dict[str, Any]] = []

    def inspect_container(self, name: str) -> dict[str, Any]:
        if name not in self.containers:
            raise docker.errors.NotFound(name)
        return self.containers[name]

    def create_host_config(self, **how: Any) -> dict[str, Any]:
        return how

    def create_container(self, image: str, **how: Any) -> None:
        assert how["name"] not in self.containers
        self.made.append(how)
        labels = how["labels"]
        self.containers[how["name"]] = {"State": {"Running": False}, "Config": {"Labels": labels}}

    def remove_container(self, name: str, v: bool) -> None:
        del self.containers[name]

    def start(self, name: str) -> None:
        self.containers[name]["State"]["Running"] = True

    def kill(self, name: str, signal: str) -> None:
        self.containers[name]["State"]["Running"] = False

    def wait(self, name: str, timeout: int) -> None: ...

    files_are_dirty = False

    def update_container(self, name: str, **limits: int) -> None:
        if self.files_are_dirty and limits.get("mem_limit", USED) < USED:
            raise docker.errors.APIError("unable to set memory limit")
        self.containers[name].setdefault("HostConfig", {"CpuQuota": 0})
        given = {"CpuQuota": limits["cpu_quota"]} if "cpu_quota" in limits else limits
        self.containers[name]["HostConfig"] |= given

    def stats(self, name: str, stream: bool, one_shot: bool) -> dict[str, Any]:
        assert (stream, one_shot) == (False, True), "else the daemon waits for a second sample"
        throttling = {"throttled_time": 1_500_000_000}
        return {
            "cpu_stats": {"throttling_data": throttling},
            "memory_stats": {"usage": USED, "stats": {"active_file": 10 << 20}},
        }

    eaters: tuple[bool, ...] = (True,)
    """Of those started one by one: whether the kernel ends the program under it."""

    def exec_create(self, name: str, command: list[str]) -> dict[str, str]:
        return {"Id": name}

    def exec_start(self, name: str) -> None:
        state, (ends, *later) = self.containers[name]["State"], self.eaters
        self.eaters = tuple(later)
        if ends:
            state |= {"Running": False, "OOMKilled": True, "ExitCode": 137}


@pytest.fixture
def crashes() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def backend(tmp_path: Path, crashes: list[tuple[str, str]]) -> DockerBackend:
    for folder in ("logs", "run"):
        (tmp_path / folder).mkdir()
    program = Program(
        name=NAME,
        command="python",
        arguments=("-P", "-m", "dst", "middleware", "--config", "config.json"),
        first_arguments=("--new",),
        environment=(("DST_MACHINE", "machine.json"),),
        reads=("nodes/op1/middleware/machine",),
        writes=("nodes/op1/middleware/data",),
    )
    made = DockerBackend(
        directory=tmp_path,
        programs={NAME: program},
        executables={},
        source=Path("/source"),
        on_crash=lambda name, detail: crashes.append((name, detail)),
        topology=compute_topology(operators=4),
        identifier="test",
    )
    (tmp_path / "nodes/op1/middleware/machine").mkdir(parents=True)
    made._client = type("Client", (), {"api": FakeDaemon()})()
    return made


async def test_what_is_extra_holds_for_one_start(backend: DockerBackend) -> None:
    """A container cannot be changed, so it takes another before and after."""
    daemon: FakeDaemon = backend._client.api
    extra = Extra(flags=("--rejoin",), environment=(("DST_CRASH_AT", "vote-after-send"),))
    for how in (NOTHING_EXTRA, NOTHING_EXTRA, NOTHING_EXTRA, extra, NOTHING_EXTRA):
        await backend.start([NAME], how)
        await backend.kill([NAME])
    said = [(tuple(made["command"][-1:]), dict(made["environment"])) for made in daemon.made]
    plain = {"DST_MACHINE": "machine.json"}
    assert said == [
        (("--new",), plain),
        (("config.json",), plain),
        (("--rejoin",), {**plain, "DST_CRASH_AT": "vote-after-send"}),
        (("config.json",), plain),
    ], "the third start found a container that it could take"


async def test_a_share_of_a_processor_is_set_told_and_taken_away(backend: DockerBackend) -> None:
    await backend.start([NAME])
    backend._client.api.update_container(CONTAINER, cpu_quota=0)
    for percent, told in ((None, None), (5, 5.0), (None, None)):
        await backend.hold_cpu([NAME], percent)
        assert await backend.cpu([NAME]) == {NAME: CpuUse(percent=told, held_back_s=1.5)}


@pytest.mark.parametrize(
    ("eaters", "dirty", "need"),
    [((True,), False, 90 << 20), ((False, False, True), False, 90 << 20), ((True,), True, USED)],
)
async def test_memory_that_is_used_up_is_an_end_that_was_asked_for(
    backend: DockerBackend,
    crashes: list[tuple[str, str]],
    eaters: tuple[bool, ...],
    dirty: bool,
    need: int,
) -> None:
    """And the limit ends with its container."""
    daemon: FakeDaemon = backend._client.api
    daemon.eaters, daemon.files_are_dirty = eaters, dirty
    await backend.start([NAME])
    await backend.use_up_memory([NAME])
    limits = daemon.containers[CONTAINER]["HostConfig"]
    assert limits["mem_limit"] == limits["memswap_limit"] == need + ROOM_BYTES
    backend._ended(NAME, "137", "killed by SIGKILL")
    exited = {"Id": "0" * 64, "State": "exited", "Status": "Exited (137) 1 second ago"}
    status = backend._status(NAME, exited)
    assert (status.state, status.detail) == (RunState.KILLED, f"killed by SIGKILL {MEMORY_END}")
    assert crashes == []
    await backend.start([NAME])
    assert len(daemon.made) == 2
    await backend.kill([NAME])
    assert backend._status(NAME, exited).detail == "Exited (137) 1 second ago"


def test_what_a_container_needs_is_told_by_both_versions() -> None:
    first = {"total_active_file": 5, "total_inactive_file": 10, "active_file": 1}
    assert in_need({"usage": 100, "stats": first}) == 85
    assert in_need({"usage": 100, "stats": {"active_file": 7, "inactive_file": 0}}) == 93
    assert in_need({"usage": 100}) == 100


async def test_a_kernel_that_ends_nothing_leaves_nothing_limited_that_runs(
    backend: DockerBackend,
) -> None:
    daemon: FakeDaemon = backend._client.api
    daemon.eaters = (False, False, False)
    await backend.start([NAME])
    with pytest.raises(BackendError, match=r"did not end op1\.middleware for want of memory"):
        await backend.use_up_memory([NAME])
    assert not daemon.containers[CONTAINER]["State"]["Running"]
    await backend.start([NAME])
    assert len(daemon.made) == 2


async def test_who_has_a_capability_is_root_with_nothing_else(backend: DockerBackend) -> None:
    program = Program(
        name="op1.firewall", command="python", arguments=(), capabilities=("NET_ADMIN",)
    )
    backend.programs = {**backend.programs, program.name: program}
    await backend.start([NAME, program.name])
    made = {each["name"].rpartition("-")[2]: each for each in backend._client.api.made}
    rights = {name: each["host_config"] for name, each in made.items()}
    assert made["op1.firewall"]["user"] == "0:0"
    assert made[NAME]["user"] != "0:0"
    assert {name: each["cap_add"] for name, each in rights.items()} == {
        NAME: [],
        "op1.firewall": ["NET_ADMIN"],
    }
    assert all(each["cap_drop"] == ["ALL"] for each in rights.values())


async def test_an_end_that_was_asked_for_is_no_crash_and_another_is(
    backend: DockerBackend, crashes: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    await backend.start([NAME], Extra(ends_with=86))
    backend._ended(NAME, "86", "exit code 86")
    assert crashes == []
    exited = {"Id": "0" * 64, "State": "exited", "Status": "Exited (86) 1 second ago"}
    assert backend._status(NAME, exited).state is RunState.KILLED
    listed = [{**exited, "Labels": {PROGRAM_LABEL: NAME}}]
    monkeypatch.setattr(backend, "_containers", lambda: listed)
    assert (await backend.status())[NAME].state is RunState.KILLED
    assert crashes == [], "nor is one that a look finds"
    backend._ended(NAME, "1", "exit code 1")
    assert crashes == [(NAME, "exit code 1")]
    await backend.kill([NAME])
    await backend.start([NAME])
    crashes.clear()
    backend._ended(NAME, "86", "exit code 86")
    assert crashes == [(NAME, "exit code 86")], "it held for that start"


async def test_another_version_is_seen_in_place_of_the_harnesss_own(
    backend: DockerBackend,
) -> None:
    daemon: FakeDaemon = backend._client.api

    def code() -> list[str]:
        binds = daemon.made[-1]["host_config"]["binds"]
        return [bind for bind in binds if ":/app/" in bind]

    launch = "/source/devnet/backends/launch.py:/app/launch.py:ro"
    await backend.start([NAME], Extra(tree="/versions/v2"))
    assert code() == [launch, "/versions/v2/dst:/app/dst:ro"]
    runs = {"Id": "0" * 64, "State": "running", "Labels": daemon.made[-1]["labels"]}
    assert backend._status(NAME, runs).extra == "run from /versions/v2"
    await backend.kill([NAME])
    await backend.start([NAME])
    assert code() == [launch, "/source/dst:/app/dst:ro"]


async def test_a_liar_gets_a_container_of_its_own_that_sees_what_it_runs(
    backend: DockerBackend,
) -> None:
    daemon: FakeDaemon = backend._client.api
    liar = Extra(module="devnet.byzantine", flags=("--strategy", "flood"))
    await backend.start([NAME])
    with pytest.raises(BackendError, match="runs already"):
        await backend.start([NAME], liar)
    await backend.kill([NAME])
    await backend.start([NAME], liar)
    made = daemon.made[-1]
    words = ["-P", "-m", "devnet.byzantine", "--config", "config.json", "--strategy", "flood"]
    assert made["command"][-len(words) :] == words
    code = [bind for bind in made["host_config"]["binds"] if bind.startswith("/source/")]
    assert code == [
        "/source/devnet/backends/launch.py:/app/launch.py:ro",
        "/source/dst:/app/dst:ro",
        "/source/devnet/__init__.py:/app/devnet/__init__.py:ro",
        "/source/devnet/byzantine:/app/devnet/byzantine:ro",
    ]
    assert backend.stood_in == {NAME}
    runs = {"Id": "0" * 64, "State": "running", "Labels": made["labels"]}
    assert backend._status(NAME, runs).extra == "run as devnet.byzantine"
    await backend.kill([NAME])
    await backend.start([NAME])
    assert backend._status(NAME, {**runs, "Labels": daemon.made[-1]["labels"]}).extra == ""
    assert daemon.made[-1]["command"][-1] == "config.json", "it was for once"
