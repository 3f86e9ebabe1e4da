"""Who owns a network's folder: one harness at a time, and never a folder that is not a devnet's."""

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from devnet.backends.process import reap_leftovers
from devnet.backends.processes import ProcessId
from devnet.model.whole import write_whole
from devnet.network.control import socket_path
from dst.spec.errors import BadConfig

MARK: Final = "devnet.json"
"""Says that the folder is a devnet's: nothing is ever removed from a folder without it."""
MADE_BY_A_NETWORK: Final = (
    "network.json",
    "network.json.new",
    "devnet.json.new",
    "cluster",
    "nodes",
    "run",
    "devnet.lock",
    MARK,
)
"""What tear-down removes; `logs/` stays for the reader, `runs/` belongs to scenarios."""
SUPERVISOR_LOG: Final = "devnet.log"
"""In `logs/`: what a detached harness says; it is open before the folder is set up, so that
stays, and whoever opens it puts the one before aside."""
PREVIOUS: Final = "previous"
"""In `logs/`: those of the network before, one generation."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Contents of the mark file."""

    identifier: str
    backend: str
    supervisor: ProcessId | None


def read_mark(directory: Path) -> Mark | None:
    """None when the folder is not a devnet's."""
    try:
        record = json.loads((directory / MARK).read_text())
        if not isinstance(record, dict):
            return None
        owner = ProcessId(record["pid"], record["started"]) if record.get("pid") else None
        return Mark(str(record["id"]), str(record["backend"]), owner)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_claimed(directory: Path) -> bool:
    """Is a harness alive there? The kernel frees the lock of a dead one."""
    try:
        with (directory / "devnet.lock").open("r+") as handle:
            return not _try_lock(handle)
    except OSError:
        return False


@contextmanager
def claim(directory: Path, backend: str) -> Iterator[str]:
    """Own the folder while the block runs; yields the network's identifier. The folder is set up
    fresh.

    Raises: BadConfig when another harness runs there, or when the folder holds something else.
    """
    refuse_foreign(directory)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        handle = (directory / "devnet.lock").open("a+")
    except OSError as error:
        raise BadConfig(
            f"cannot write {directory}: {error.strerror}; choose another --dir"
        ) from error
    with handle:
        if not _try_lock(handle):
            raise BadConfig(
                f"a devnet already runs in {directory}: see `devnet status`, end it with "
                "`devnet down`, or choose another --dir (and --port-offset)"
            )
        remove_leftovers(directory)
        identifier = secrets.token_hex(4)
        _set_up(directory, identifier, backend)
        yield identifier


def _try_lock(handle: IO[str]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def refuse_foreign(directory: Path) -> None:
    if directory.exists() and not directory.is_dir():
        raise BadConfig(f"{directory} is not a folder; choose another --dir")
    foreign = (
        {p.name for p in directory.iterdir()} - {"logs", "runs", "devnet.lock", f"{MARK}.new"}
        if directory.is_dir()
        else set()
    )
    if foreign and read_mark(directory) is None:
        raise BadConfig(
            f"{directory} holds other things ({sorted(foreign)[0]}) and is not a devnet's folder; "
            "choose another --dir"
        )


def _set_up(directory: Path, identifier: str, backend: str) -> None:
    """The mark first: whoever is killed after it leaves a folder that is known to be a devnet's."""
    me = ProcessId.of(os.getpid())
    record = {
        "id": identifier,
        "backend": backend,
        "pid": me and me.pid,
        "started": me and me.started,
    }
    write_whole(directory / MARK, json.dumps(record).encode() + b"\n")
    for name in ("cluster", "nodes", "run"):
        shutil.rmtree(directory / name, ignore_errors=True)
    logs = directory / "logs"
    for older in (logs / PREVIOUS).glob("*.log"):
        if older.name != SUPERVISOR_LOG:
            older.unlink()
    for old in logs.glob("*.log"):
        if old.name != SUPERVISOR_LOG or not _is_our_own(old):
            put_aside(old)
    (directory / "network.json").unlink(missing_ok=True)
    for name in ("logs", "run", "nodes"):
        (directory / name).mkdir(mode=0o700, exist_ok=True)


def _is_our_own(log: Path) -> bool:
    """Whether what this process says goes there."""
    try:
        return os.path.samestat(os.fstat(2), log.stat())
    except OSError:
        return False


def put_aside(log: Path) -> None:
    """In place of the one of the generation before; none at all is fine."""
    (log.parent / PREVIOUS).mkdir(mode=0o700, exist_ok=True)
    with suppress(FileNotFoundError):
        log.replace(log.parent / PREVIOUS / log.name)


def remove_leftovers(directory: Path) -> list[str]:
    """Kill and remove what a dead harness of this folder left: its processes, its containers.
    Returns their names.

    Raises: BackendError when containers are left and no Docker daemon answers.
    """
    mark = read_mark(directory)
    if mark is None:
        return []
    left = reap_leftovers(directory)
    socket_path(directory.resolve()).unlink(missing_ok=True)
    if mark.backend == "docker":
        # Imported late: docker-py costs every command 0.3 s, and most need none of it.
        from devnet.backends.docker import docker_client, remove_everything

        client = docker_client()
        left += remove_everything(client, mark.identifier)
        client.close()
    return left


def remove_files(directory: Path) -> None:
    """Remove what a network made here, but its logs; the folder too when that leaves it empty."""
    if read_mark(directory) is None:
        return
    for name in MADE_BY_A_NETWORK:
        path = directory / name
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    if not any(directory.iterdir()):
        directory.rmdir()


def what_stays(directory: Path, backend: str) -> str:
    """What a network that ended leaves behind, in words."""
    image = ", and the Docker image dst-devnet for the next start" if backend == "docker" else ""
    return f"logs stay in {directory / 'logs'} until the next but one start{image}"
