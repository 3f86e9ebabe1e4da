"""Memory that runs out: on this kernel where it lets us, on files as the kernel's elsewhere."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devnet.backends.base import MEMORY_END, BackendError, RunState
from devnet.backends.cgroups import PREFIX, session_of
from devnet.backends.memory_groups import (
    MemoryGroups,
    find_memory_groups,
    require_memory_groups,
)
from devnet.backends.process import ProcessBackend
from devnet.backends.processes import state_of
from devnet.model.means import Means
from devnet.network import means
from tests.unit.devnet.test_process_backend import (
    Crashes,
    crashes,
    eventually,
    make,
    pid_of,
    program,
)

__all__ = ["crashes", "make"]

V1 = "33 31 0:29 / {} rw,relatime - cgroup cgroup rw,memory\n"
V2 = "35 31 0:31 / {} rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n"
NAME = "op1.execution"
WITH_A_WORKER = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
time.sleep(60)
"""


def mounted(tmp_path: Path, line: str) -> Path:
    path = tmp_path / "mountinfo"
    path.write_text(line.format(tmp_path))
    return path


def test_the_controller_is_found_in_either_version(tmp_path: Path) -> None:
    assert find_memory_groups(mounted(tmp_path, V1)) == MemoryGroups(tmp_path, 1)
    with pytest.raises(BackendError, match="no memory controller"):
        find_memory_groups(mounted(tmp_path, V2))
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory\n")
    assert find_memory_groups(mounted(tmp_path, V2)) == MemoryGroups(tmp_path, 2)


@pytest.mark.parametrize(
    ("version", "file", "text", "kills"),
    [
        (1, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n", 2),
        (1, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n", 0),
        (2, "memory.events", "low 0\nmax 7\noom 3\noom_kill 1\noom_group_kill 0\n", 1),
    ],
)
def test_the_kernels_own_count_is_read(
    tmp_path: Path, version: int, file: str, text: str, kills: int
) -> None:
    (tmp_path / file).write_text(text)
    assert MemoryGroups(tmp_path, version)._kills(tmp_path) == kills


def test_a_machine_that_cannot_is_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(BackendError, match=r"memory of processes needs to write|no memory contr"):
        means.require_means({Means.MEMORY_LIMIT}, "process", print)
    means.require_means(set(), "process", print)


@pytest.fixture
def groups() -> Iterator[MemoryGroups]:
    try:
        require_memory_groups()
    except BackendError as error:
        pytest.skip(str(error))
    found = find_memory_groups()
    yield found
    assert not list(found.folder.glob(f"{PREFIX}{os.getpid()}-*"))


async def test_a_program_ends_by_the_kernel_with_its_workers_and_starts_again(
    groups: MemoryGroups,
    make: Callable[..., ProcessBackend],
    crashes: Crashes,
    tmp_path: Path,
) -> None:
    backend = make(program(NAME, WITH_A_WORKER), program("op2.execution", WITH_A_WORKER))
    await backend.start([NAME, "op2.execution"])
    pid = pid_of(tmp_path, NAME)
    await eventually(lambda: len(session_of(pid)) == 2)
    await backend.use_up_memory([NAME])
    status = await backend.status()
    assert status[NAME].state is RunState.KILLED
    assert status[NAME].detail == f"killed by SIGKILL {MEMORY_END}"
    assert {state_of(each) for each in session_of(pid)} <= {"Z", None}, "nobody is left to run"
    assert status["op2.execution"].state is RunState.RUNNING, "nobody else is ended"
    await backend.start([NAME])
    assert (await backend.status())[NAME].state is RunState.RUNNING
    await backend.close()
    assert crashes == []


async def test_one_that_the_kernel_spares_is_no_fault(
    groups: MemoryGroups,
    make: Callable[..., ProcessBackend],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is down all the same: nobody knows what else became of it."""
    monkeypatch.setattr(MemoryGroups, "_kills", lambda *_: 0)
    backend = make(program(NAME, WITH_A_WORKER))
    await backend.start([NAME])
    with pytest.raises(BackendError, match=r"did not end op1\.execution for want of memory"):
        await backend.use_up_memory([NAME])
    found = (await backend.status())[NAME]
    assert (found.state, MEMORY_END in found.detail) == (RunState.KILLED, False)
    await backend.close()
