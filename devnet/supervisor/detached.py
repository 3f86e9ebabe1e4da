"""Networks that outlive the command: start a supervisor in a session of its own, and end the one of
a folder."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from devnet.network.claim import (
    SUPERVISOR_LOG,
    Mark,
    is_claimed,
    put_aside,
    read_mark,
    refuse_foreign,
    remove_files,
    remove_leftovers,
    what_stays,
)
from dst.spec.errors import BadConfig

POLL_S: Final = 0.05
STOP_TIMEOUT_S: Final = 45.0
"""Removing 25 containers takes a few seconds; a busy machine gets ten times that."""
_SOURCE: Final = Path(__file__).parents[2]


def start_detached(directory: Path, words: list[str]) -> int:
    """Run the supervisor until the network is up; returns its exit code when it ends before. Its
    words are shown."""
    refuse_foreign(directory)
    if is_claimed(directory):
        raise BadConfig(
            f"a devnet already runs in {directory}: see `devnet status`, or end it with "
            "`devnet down`"
        )
    try:
        (directory / "logs").mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise BadConfig(
            f"cannot write {directory}: {error.strerror}; choose another --dir"
        ) from error
    log_path = directory / "logs" / SUPERVISOR_LOG
    put_aside(log_path)
    inherited = os.environ.get("PYTHONPATH")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(p for p in (str(_SOURCE), inherited) if p),
    }
    with log_path.open("ab") as log:  # so that it can be cut, as every log
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "devnet", *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=environment,
        )
    try:
        return _wait_until_up(directory, supervisor, log_path)
    except KeyboardInterrupt:
        supervisor.terminate()
        supervisor.wait(STOP_TIMEOUT_S)
        raise


def _wait_until_up(directory: Path, supervisor: "subprocess.Popen[bytes]", log_path: Path) -> int:
    shown, descriptor = 0, directory / "network.json"
    while True:
        # In this order: the supervisor removes an older descriptor before it writes its mark.
        code, mark = supervisor.poll(), read_mark(directory)
        owner = None if mark is None or mark.supervisor is None else mark.supervisor.pid
        is_up = owner == supervisor.pid and descriptor.exists()
        text = log_path.read_text(errors="replace")
        lines = text[shown : text.rfind("\n") + 1]
        shown += len(lines)
        for line in lines.splitlines():
            if line.startswith(("==>", "error:", "CRASH", "Traceback")) or code is not None:
                print(line, file=sys.stderr)
        if code is not None:
            return code or 3
        if is_up:
            print(descriptor, flush=True)
            _say_endpoints(directory)
            return 0
        time.sleep(POLL_S)


def _say_endpoints(directory: Path) -> None:
    """On stderr: the descriptor's path stays all that a script reads."""
    # Imported late: they cost the other commands of this module a tenth of a second.
    from devnet.model.descriptor import read_descriptor
    from devnet.views.dashboard import endpoints_of

    print(f"==> {endpoints_of(read_descriptor(directory))}", file=sys.stderr)


def take_down(directory: Path) -> int:
    """End the supervisor of this folder, then remove whatever is left of a network there; and
    nothing else."""
    mark = read_mark(directory)
    if mark is None:
        print(f"no devnet in {directory}")
        return 0
    if is_claimed(directory):
        if mark.supervisor is not None and mark.supervisor.is_alive():
            os.kill(mark.supervisor.pid, signal.SIGTERM)
        _wait_until_ended(directory, mark)
    left = remove_leftovers(directory)
    for name in left:
        print(f"removed {name}, left by a harness that was killed")
    remove_files(directory)
    print(f"devnet in {directory} is down; {what_stays(directory, mark.backend)}")
    return 0


def _wait_until_ended(directory: Path, mark: Mark) -> None:
    """Until the lock is free and the process behind it gone: a script's next step may look for
    it."""
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while is_claimed(directory) or (mark.supervisor is not None and mark.supervisor.is_alive()):
        if time.monotonic() > deadline:
            raise BadConfig(
                f"the harness in {directory} does not end; "
                f"see {directory / 'logs' / SUPERVISOR_LOG}"
            )
        time.sleep(POLL_S)
