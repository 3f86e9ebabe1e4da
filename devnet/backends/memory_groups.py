"""Processes of this machine that run out of memory: a control group for each program, with a little
room, and something in it that takes the room. Versions 1 and 2 of the kernel's interface.

What a process had before it came into the group is not charged to it, so the limit says nothing of
what the program needs; whom the kernel ends is told to it by `oom_score_adj`.

Source: the kernel's Documentation: admin-guide/cgroup-v1/memory.rst, admin-guide/cgroup-v2.rst.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devnet.backends.base import BackendError
from devnet.backends.cgroups import (
    EMPTY_WITHIN_S,
    LOOK_S,
    MOUNTS,
    PREFIX,
    PROC,
    find_hierarchy,
    move,
    pids_of,
    require_file,
    session_of,
)
from devnet.backends.processes import die_with_parent

ROOM_BYTES: Final = 8 << 20
FIRST_TO_END: Final = "1000"
EATEN_TIMEOUT_S: Final = 10.0
_EATER: Final = "input()\nx = []\nwhile True: x.append(bytes([1]) * (1 << 20))"


@dataclass(frozen=True, slots=True)
class MemoryGroups:
    """Where groups are made: the folder of the hierarchy that has the memory controller."""

    folder: Path
    version: int

    async def use_up(self, name: str, leader: int, ended: Awaitable[object]) -> None:
        """Until the kernel has ended the session of `leader`, which `ended` waits for.

        Raises: BackendError where it did not; what is left of the session is for the caller to end.
        """
        group = self.folder / f"{PREFIX}{os.getpid()}-{name}-memory"
        try:
            group.mkdir(exist_ok=True)
            self._crowd(group, leader)
            await self._eat(group, ended)
            if not self._kills(group):
                raise BackendError(f"the kernel did not end {name} for want of memory")
        except OSError as error:
            raise BackendError(f"{name} cannot run out of memory here: {error}") from error
        finally:
            await _remove(group)

    def _crowd(self, group: Path, leader: int) -> None:
        session = session_of(leader)
        for pid in session:
            with suppress(ProcessLookupError, FileNotFoundError):
                (PROC / str(pid) / "oom_score_adj").write_text(FIRST_TO_END)
        move(session, group)
        used, limit = self._files
        most = str(int((group / used).read_text()) + ROOM_BYTES)
        (group / limit).write_text(most)
        swap, swapped = ("memory.memsw.limit_in_bytes", most), ("memory.swap.max", "0")
        name, value = swap if self.version == 1 else swapped
        if (group / name).exists():
            (group / name).write_text(value)

    async def _eat(self, group: Path, ended: Awaitable[object]) -> None:
        eater = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            "-c",
            _EATER,
            stdin=asyncio.subprocess.PIPE,
            preexec_fn=die_with_parent(),
        )
        try:
            move([eater.pid], group)
            await asyncio.wait_for(eater.communicate(b"\n"), EATEN_TIMEOUT_S)
            await asyncio.wait_for(asyncio.shield(ended), EATEN_TIMEOUT_S)
        except TimeoutError:
            pass  # then the kernel's own count tells
        finally:
            with suppress(ProcessLookupError):
                eater.kill()
            await eater.wait()

    @property
    def _files(self) -> tuple[str, str]:
        """What is used, what may be."""
        if self.version == 1:
            return "memory.usage_in_bytes", "memory.limit_in_bytes"
        return "memory.current", "memory.max"

    def _kills(self, group: Path) -> int:
        """Processes of the group that the kernel has ended for want of memory."""
        told = group / ("memory.oom_control" if self.version == 1 else "memory.events")
        lines = (line.split() for line in told.read_text().splitlines())
        return next((int(count) for word, count in lines if word == "oom_kill"), 0)


async def _remove(group: Path) -> None:
    """With whatever is still in it: workers of a program that is gone."""
    ends = asyncio.get_running_loop().time() + EMPTY_WITHIN_S
    while not _removed(group) and asyncio.get_running_loop().time() < ends:  # noqa: ASYNC110
        await asyncio.sleep(LOOK_S)


def _removed(group: Path) -> bool:
    """The kernel lets go of what was killed a moment later."""
    with suppress(OSError):
        for pid in pids_of(group):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        group.rmdir()
    return not group.exists()


def find_memory_groups(mounts: Path = MOUNTS) -> MemoryGroups:
    """Raises: BackendError saying why there are none for us."""
    return MemoryGroups(*find_hierarchy("memory", "a limit on the memory of processes", mounts))


def require_memory_groups() -> None:
    """By making one. Raises: BackendError."""
    groups = find_memory_groups()
    _, limit = groups._files
    require_file(groups.folder, limit)
