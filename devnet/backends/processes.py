"""Facts about processes of this machine, and pid files that never name a stranger.

A pid file holds the pid together with the process's start time: a recycled pid has another one.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devnet.model.whole import write_whole

_PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A pid and when it started: together unique on a running machine."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> "ProcessId | None":
        """None when there is no such process."""
        started = start_time(pid)
        return cls(pid, started) if started is not None else None

    def is_alive(self) -> bool:
        return start_time(self.pid) == self.started and state_of(self.pid) != "Z"


MEMORY_KILL: Final = ", it seems by the kernel: it ended something for want of memory meanwhile"


def told_end(code: int) -> str:
    """`exit code 3`, `killed by SIGSEGV`; code: negative for a signal, as `wait` has it."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal has no name
        return f"killed by signal {-code}"


def memory_kills() -> int:
    """How many processes the kernel has ended for want of memory since it started; 0 where it does
    not tell."""
    try:
        with Path("/proc/vmstat").open() as lines:
            return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
    except (OSError, ValueError, IndexError):
        return 0


def start_time(pid: int) -> str | None:
    """When the process started, in the machine's own unit; None when it is gone."""
    fields = _stat_fields(pid)
    if fields is not None:
        return fields[19]
    return _ps(pid, "lstart") if not _HAS_PROC else None


def state_of(pid: int) -> str | None:
    """`R`, `S`, `T` (stopped), `Z` (ended, not yet collected)...; None when it is gone."""
    fields = _stat_fields(pid)
    if fields is not None:
        return fields[0]
    found = _ps(pid, "state") if not _HAS_PROC else None
    return found[:1] if found else None


_HAS_PROC: Final = Path("/proc/self/stat").exists()


def _stat_fields(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat after the name, which may itself hold spaces and brackets."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def _ps(pid: int, field: str) -> str | None:
    done = subprocess.run(
        ["ps", "-o", f"{field}=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or None


def write_pid_file(path: Path, process: ProcessId) -> None:
    record = {"pid": process.pid, "started": process.started}
    write_whole(path, json.dumps(record).encode())


def read_pid_file(path: Path) -> ProcessId | None:
    """None when the file is missing or not ours."""
    try:
        record = json.loads(path.read_text())
        return ProcessId(int(record["pid"]), str(record["started"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def signal_group(process: ProcessId, number: signal.Signals) -> bool:
    """Signal the session that this process leads; False when it is not (or no longer) there."""
    if not process.is_alive():
        return False
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def die_with_parent() -> Callable[[], None] | None:
    """What a child runs before exec so that the kernel kills it when the harness dies; None where
    the kernel cannot (then the pid files remain for `devnet down`)."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def ask_kernel() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died between fork and prctl
            os._exit(1)

    return ask_kernel
