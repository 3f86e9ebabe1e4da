"""Files that must survive a crash or must not be read by others."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dst.spec.errors import BadConfig


def fsync_directory(path: Path) -> None:
    """Make a create or rename in `path` durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Replace `path` by `data`, on the disk when this returns: whatever crashes, the file holds the
    old bytes or the new ones, never a mix. One writer at a time.

    Args:
        mode: of the new file, whatever the umask or the one before had; a secret is at no moment
            open to others.
    Raises: OSError; then nothing new is left.
    """
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)  # what a crash left; its mode may be another
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)


def write_secret(path: Path, data: bytes) -> None:
    """Write a secret readable by its owner alone (mode 0600)."""
    write_atomic(path, data, 0o600)


def read_secret(path: Path, *, what: str) -> bytes:
    """Read a secret file. Raises: BadConfig when it is missing, unreadable, or open to
    other users."""
    try:
        if path.stat().st_mode & 0o077:
            raise BadConfig(f"{what} {path} can be read by other users: run chmod 600 {path}")
        return path.read_bytes()
    except OSError as error:
        raise BadConfig(f"{what} {path}: {error.strerror}") from None


def claim(path: Path, taken: str) -> int:
    """An advisory lock that ends with the process: its descriptor, closed to give it up.

    Raises: BadConfig, saying `taken`, when another process holds it.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise BadConfig(f"{path} cannot be used: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise BadConfig(taken) from None
    return descriptor


@contextmanager
def claimed(path: Path, taken: str) -> Iterator[None]:
    """For the time of the block. Raises: BadConfig."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = claim(path, taken)
    try:
        yield
    finally:
        os.close(descriptor)
