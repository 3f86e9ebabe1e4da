"""Programs of a running network, ended and started again as an operator would on his own machine:
with flags, or on a machine that is not in order."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.e2e.conftest import REPOSITORY, RunningNetwork

ENDS_WITHIN_S: Final = 10.0


def clock_off_by(seconds: float) -> str:
    """Code that runs before the program: this machine's clock is so much ahead."""
    return f"import time; clock = time.time; time.time = lambda: clock() + ({seconds})"


DISK_FILLS_UP: Final = """
import signal, dst.rollup.store as store
def open_database(path, opened=store.open_database, **how):
    database = opened(path, **how)
    (used,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count = {used + 2}")
    signal.signal(signal.SIGUSR1, lambda *_: database.execute("PRAGMA max_page_count = 1000000"))
    return database
store.open_database = open_database
"""
"""Code that runs before a rollup node: its store finds room for a few blocks more, and SQLite says
what it says on a full disk; with SIGUSR1 there is room again."""

FILE_STOPS_GROWING: Final = """
import os, resource, signal, dst.runtime.tables as tables
def open_environment(folder, *how, opened=tables._open_environment):
    environment = opened(folder, *how)
    if resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY:
        size = os.stat(folder / tables.DATA_FILE).st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    return environment
def make_room(*_):
    tables._open_environment = opened
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
opened, tables._open_environment = tables._open_environment, open_environment
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
signal.signal(signal.SIGUSR1, make_room)
"""
"""The same before an execution layer: its file may not grow, and LMDB meets what a disk without
room answers it."""


@dataclass
class Hands:
    """`op1.rollup` names a program. What was started here ends with `close`."""

    network: RunningNetwork
    _started: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def end(self, program: str) -> None:
        """Killed; returns when it is gone."""
        started = self._started.pop(program, None)
        if started is not None:
            started.kill()
            started.wait(ENDS_WITHIN_S)
            return
        pid = json.loads((self.network.directory / "run" / f"{program}.pid").read_text())["pid"]
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + ENDS_WITHIN_S
        while _is_alive(pid):
            assert time.monotonic() < deadline, f"{program} does not end"
            time.sleep(0.02)

    def start(self, program: str, *flags: str, before: str = "") -> subprocess.Popen[bytes]:
        node, _, role = program.partition(".")
        words = [role, "--config", f"nodes/{node}/{role}/config.json", *flags]
        code = f"{before}\nimport sys; from dst.cli.main import main; sys.exit(main({words!r}))"
        with self.log_of(program).open("ab") as log:
            self._started[program] = subprocess.Popen(
                [sys.executable, "-P", "-c", code],
                cwd=self.network.directory,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self._started[program]

    def log_of(self, program: str) -> Path:
        return self.network.directory / "logs" / f"{program}.log"

    def close(self) -> None:
        for program in list(self._started):
            self.end(program)


def _is_alive(pid: int) -> bool:
    """Not one that waits for its parent to look."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
