"""Files that are there whole or not at all, however the writing ends."""

import os
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Written aside, brought to the disk, renamed. Raises: OSError; then nothing is left."""
    fresh = path.with_name(f"{path.name}.new")
    try:
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
