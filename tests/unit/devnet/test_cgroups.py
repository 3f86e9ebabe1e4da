"""A share of a processor: on this kernel where it lets us, on files as the kernel's elsewhere."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devnet.backends import cgroups
from devnet.backends.base import BackendError, CpuUse
from devnet.backends.cgroups import (
    CpuGroups,
    find_cpu_groups,
    remove_empty_groups,
    require_cpu_groups,
    session_of,
)
from devnet.backends.process import ProcessBackend
from tests.unit.devnet.test_process_backend import (
    Crashes,
    crashes,
    eventually,
    make,
    pid_of,
    program,
)

__all__ = ["crashes", "make"]

V1 = "33 31 0:29 / {} rw,relatime - cgroup cgroup rw,cpu,cpuacct"
V1_OTHER = "34 31 0:30 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids"
V2 = "35 31 0:31 / {} rw,relatime - cgroup2 cgroup2 rw,nsdelegate"

BUSY_WITH_A_WORKER = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", "while True: pass"])
while True: pass
"""


def mounted(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "mountinfo"
    path.write_text("".join(f"{line.format(tmp_path)}\n" for line in lines))
    return path


def test_the_controller_is_found_in_either_version(tmp_path: Path) -> None:
    assert find_cpu_groups(mounted(tmp_path, V1_OTHER, V1)) == CpuGroups(tmp_path, 1)
    with pytest.raises(BackendError, match="no cpu controller"):
        find_cpu_groups(mounted(tmp_path, V1_OTHER, V2))
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory\n")
    assert find_cpu_groups(mounted(tmp_path, V1_OTHER, V2)) == CpuGroups(tmp_path, 2)
    with pytest.raises(BackendError, match="no control groups"):
        find_cpu_groups(tmp_path / "nothing")


def test_who_may_not_write_them_is_told_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(BackendError, match="which root may; use --backend docker"):
        find_cpu_groups(mounted(tmp_path, V1))


@pytest.mark.parametrize(
    ("version", "files", "use"),
    [
        (
            1,
            {
                "cpu.cfs_quota_us": "5000\n",
                "cpu.stat": "nr_throttled 4\nthrottled_time 250000000\n",
            },
            CpuUse(percent=5.0, held_back_s=0.25),
        ),
        (
            2,
            {"cpu.max": "20000 100000\n", "cpu.stat": "usage_usec 9\nthrottled_usec 1500000\n"},
            CpuUse(percent=20.0, held_back_s=1.5),
        ),
        (
            2,
            {"cpu.max": "max 100000\n", "cpu.stat": "throttled_usec 7000000\n"},
            CpuUse(percent=None, held_back_s=7.0),
        ),
    ],
)
def test_the_kernels_own_files_are_read(
    tmp_path: Path, version: int, files: dict[str, str], use: CpuUse
) -> None:
    groups = CpuGroups(tmp_path, version)
    group = groups._group("op1.rollup")
    group.mkdir()
    for name, text in {**files, "cgroup.procs": "17\n18\n"}.items():
        (group / name).write_text(text)
    assert groups.use("op1.rollup", 17) == use
    free = CpuUse(percent=None, held_back_s=0.0)
    assert groups.use("op1.rollup", 19) == free, "one that is not in the group is not held"
    assert groups.use("op2.rollup", 17) == free


@pytest.fixture
def groups() -> Iterator[CpuGroups]:
    try:
        require_cpu_groups()
    except BackendError as error:
        pytest.skip(str(error))
    found = find_cpu_groups()
    yield found
    assert not list(found.folder.glob(f"{cgroups.PREFIX}{os.getpid()}-*"))


async def test_a_program_and_its_workers_are_held_and_let_go(
    groups: CpuGroups,
    make: Callable[..., ProcessBackend],
    crashes: Crashes,
    tmp_path: Path,
) -> None:
    """Also after a start meanwhile, until the hold is taken back."""
    name = "op1.execution"
    backend = make(program(name, BUSY_WITH_A_WORKER))
    await backend.start([name])
    pid = pid_of(tmp_path, name)
    await eventually(lambda: len(session_of(pid)) == 2)
    assert (await backend.cpu([name]))[name].percent is None
    await backend.hold_cpu([name], 2)
    held = set((groups._group(name) / "cgroup.procs").read_text().split())
    assert held == {str(each) for each in session_of(pid)}
    assert (await backend.cpu([name]))[name].percent == 2.0
    before = groups.use(name, pid).held_back_s
    await eventually(lambda: groups.use(name, pid).held_back_s > before)

    await backend.kill([name])
    await backend.start([name])
    assert (await backend.cpu([name]))[name].percent == 2.0
    await backend.hold_cpu([name], None)
    assert (await backend.cpu([name]))[name].percent is None
    assert not groups._group(name).exists()
    await backend.hold_cpu([name], 50)
    await backend.close()
    assert crashes == []


def test_what_a_dead_harness_left_goes_and_what_another_has_stays(groups: CpuGroups) -> None:
    left = groups.folder / f"{cgroups.PREFIX}0-op1.rollup"
    left.mkdir(exist_ok=True)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        groups.hold("op2.rollup", child.pid, 50)
        assert left.name in remove_empty_groups()
        assert not left.exists()
        child.communicate(b"\n")
    assert remove_empty_groups() == [], "its harness lives"
    asyncio.run(groups.release("op2.rollup"))
