"""Processes of this machine held to a share of a processor: a control group for each program, where
the kernel has them and lets us make some. Versions 1 and 2 of the kernel's interface.

Source: the kernel's Documentation: scheduler/sched-bwc.rst, admin-guide/cgroup-v2.rst.
"""

import asyncio
import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devnet.backends.base import BackendError, CpuUse

PERIOD_US: Final = 100_000
"""The kernel's own; a share of it is what all threads together may run in each."""
PREFIX: Final = "dst-devnet-"
MOUNTS: Final = Path("/proc/self/mountinfo")
PROC: Final = Path("/proc")
EMPTY_WITHIN_S: Final = 5.0
LOOK_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class CpuGroups:
    """Where groups are made: the folder of the hierarchy that has the cpu controller. Raises (all):
    BackendError."""

    folder: Path
    version: int

    def hold(self, name: str, leader: int, percent: int) -> None:
        """The session of `leader`, and all that it starts from now on."""
        group, quota = self._group(name), PERIOD_US * percent // 100
        try:
            group.mkdir(exist_ok=True)
            if self.version == 1:
                (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
                (group / "cpu.cfs_quota_us").write_text(str(quota))
            else:
                (group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
            move(session_of(leader), group)
        except OSError as error:
            raise BackendError(f"{name} cannot be held to {percent} % here: {error}") from error

    async def release(self, name: str) -> None:
        """Back to the harness's own group, from which they came. The kernel lets go of who has just
        ended a moment later, and who is being started meanwhile comes into the group."""
        group, ends = self._group(name), asyncio.get_running_loop().time() + EMPTY_WITHIN_S
        while group.exists():
            try:
                move(pids_of(group), self._home())
                group.rmdir()
            except OSError as error:
                if error.errno != errno.EBUSY or asyncio.get_running_loop().time() > ends:
                    raise BackendError(f"{name} is still held: {error}") from error
                await asyncio.sleep(LOOK_S)

    def use(self, name: str, leader: int) -> CpuUse:
        """As the kernel has it, not as it was asked for."""
        group = self._group(name)
        try:
            if leader not in pids_of(group):
                return CpuUse(percent=None, held_back_s=0.0)
            return CpuUse(percent=self._percent(group), held_back_s=self._held_back_s(group))
        except FileNotFoundError:
            return CpuUse(percent=None, held_back_s=0.0)
        except (OSError, ValueError) as error:
            raise BackendError(f"the kernel does not tell of {name}: {error}") from error

    def _group(self, name: str) -> Path:
        return self.folder / f"{PREFIX}{os.getpid()}-{name}"

    def _home(self) -> Path:
        """The harness's own, as far as it can be seen from here."""
        for line in (PROC / "self" / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            wanted = "cpu" in controllers.split(",") if self.version == 1 else not controllers
            if wanted and (found := self.folder / path.lstrip("/")).is_dir():
                return found
        return self.folder

    def _percent(self, group: Path) -> float | None:
        if self.version == 1:
            quota, period = (group / "cpu.cfs_quota_us").read_text(), str(PERIOD_US)
        else:
            quota, period = (group / "cpu.max").read_text().split()
        return None if quota.strip() in ("max", "-1") else 100 * int(quota) / int(period)

    def _held_back_s(self, group: Path) -> float:
        lines = (line.split() for line in (group / "cpu.stat").read_text().splitlines())
        facts = {name: int(value) for name, value in lines}
        if self.version == 1:
            return facts["throttled_time"] / 1e9
        return facts["throttled_usec"] / 1e6


def find_cpu_groups(mounts: Path = MOUNTS) -> CpuGroups:
    """Raises: BackendError saying why there are none for us."""
    what = "holding processes to a share of a processor"
    return CpuGroups(*find_hierarchy("cpu", what, mounts))


def find_hierarchy(controller: str, what: str, mounts: Path = MOUNTS) -> tuple[Path, int]:
    """Folder and version of the one that has the controller, for `what`. Raises: BackendError
    saying why there is none for us."""
    try:
        lines = mounts.read_text().splitlines()
    except OSError as error:
        raise BackendError("this system has no control groups to hold a process with") from error
    for folder, version in _mounted(lines, controller):
        if not os.access(folder, os.W_OK):
            raise BackendError(
                f"{what} needs to write {folder}, "
                "which root may; use --backend docker, or leave the fault out"
            )
        return folder, version
    raise BackendError(
        f"no {controller} controller of control groups is mounted here; use --backend docker"
    )


def remove_empty_groups(mounts: Path = MOUNTS) -> list[str]:
    """What a harness left that was killed: its programs died with it. Returns their names."""
    removed = []
    for controller in ("cpu", "memory"):
        with suppress(BackendError):
            folder, _ = find_hierarchy(controller, "", mounts)
            for group in folder.glob(f"{PREFIX}*"):
                if not (PROC / group.name.removeprefix(PREFIX).partition("-")[0]).exists():
                    with suppress(OSError):  # not empty, or gone
                        group.rmdir()
                        removed.append(group.name)
    return removed


def require_cpu_groups() -> None:
    """By making one. Raises: BackendError."""
    groups = find_cpu_groups()
    require_file(groups.folder, "cpu.cfs_quota_us" if groups.version == 1 else "cpu.max")


def require_file(folder: Path, wanted: str) -> None:
    """In a group made there. Raises: BackendError."""
    group = folder / f"{PREFIX}{os.getpid()}-try"
    try:
        group.mkdir(exist_ok=True)
        able = (group / wanted).exists()
        group.rmdir()
    except OSError as error:
        raise BackendError(f"no control group can be made in {folder}: {error}") from error
    if not able:
        raise BackendError(f"control groups in {folder} have no {wanted}")


def _mounted(lines: Iterable[str], controller: str) -> Iterator[tuple[Path, int]]:
    """Those with the controller; one that version 1 has is not version 2's."""
    for line in lines:
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        folder = Path(before.split()[4])
        if kind == "cgroup" and controller in options.split(","):
            yield folder, 1
        elif kind == "cgroup2" and _offers(folder, controller):
            yield folder, 2


def _offers(folder: Path, controller: str) -> bool:
    """To its children; root may let it, in a hierarchy's first group."""
    control = folder / "cgroup.subtree_control"
    with suppress(OSError):
        if controller not in control.read_text().split():
            control.write_text(f"+{controller}")
        return controller in control.read_text().split()
    return False


def session_of(leader: int) -> list[int]:
    """Pids of the session that a program leads: itself, and the workers that it has."""
    found = []
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError):  # it ended
                text = (entry / "stat").read_text()
                if int(text.rpartition(")")[2].split()[3]) == leader:
                    found.append(int(entry.name))
    return found


def pids_of(group: Path) -> list[int]:
    return [int(line) for line in (group / "cgroup.procs").read_text().split()]


def move(pids: Iterable[int], group: Path) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            (group / "cgroup.procs").write_text(str(pid))
