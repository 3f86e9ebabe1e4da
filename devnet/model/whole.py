"""Files that are whole whenever somebody looks, however the writing ends."""

import os
from contextlib import suppress
from pathlib import Path


def aside(path: Path) -> Path:
    """Where what is to become `path` is written."""
    return path.with_name(f"{path.name}.new")


def write_whole(path: Path, data: bytes, *, durable: bool = False, mode: int | None = None) -> None:
    """`path` holds `data`, or still what it held before: written aside and renamed.

    One writer at a time, which is the caller's to see to; readers need nothing. What a crash left
    aside is replaced by the next writing.

    Args:
        durable: on the disk when this returns, whatever the power does. Costs a few milliseconds,
            and on a disk that is busy very many.
        mode: permissions; None keeps those of the file that is replaced, and of a new one they are
            what the umask leaves.
    Raises: OSError; then nothing is left aside.
    """
    fresh = aside(path)
    fresh.unlink(missing_ok=True)
    if mode is None:
        with suppress(FileNotFoundError):
            mode = path.stat().st_mode & 0o7777
    try:
        with fresh.open("xb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(fresh, path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    if durable:
        _fsync_directory(path.parent)


def _fsync_directory(path: Path) -> None:
    """The name, too, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
