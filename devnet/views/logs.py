"""`devnet logs`: the files under DIR/logs, merged by the order they are read, each line named when
there are several."""

import os
import sys
import time
from pathlib import Path
from typing import IO, Final

from devnet.network.claim import PREVIOUS
from dst.spec.errors import BadConfig

POLL_S: Final = 0.2


def show_logs(
    directory: Path, node: str | None, *, follow: bool = False, previous: bool = False
) -> int:
    """Print; with `follow` until interrupted. previous: of the network before the last one.

    Raises: BadConfig when there are no such logs.
    """
    folder = directory / "logs" / (PREVIOUS if previous else "")
    paths = _chosen(folder, node)
    handles = {path: path.open(errors="replace") for path in paths}
    if not any(path.stat().st_size for path in paths):
        wait = "; waiting for the first line" if follow else ""
        print(f"{node or 'no node'} has logged nothing yet{wait}", file=sys.stderr)
    try:
        while True:
            quiet = not any(
                [_copy(path, handle, named=len(paths) > 1) for path, handle in handles.items()]
            )
            if not follow:
                return 0
            for path in set(_chosen(folder, node)) - set(handles):
                handles[path] = path.open(errors="replace")
            if quiet:
                time.sleep(POLL_S)
    except KeyboardInterrupt:
        return 0
    finally:
        for handle in handles.values():
            handle.close()


def _chosen(folder: Path, node: str | None) -> list[Path]:
    """`op1` -> its programs' logs; `op1.rollup` -> that one; None -> all."""
    every = sorted(folder.glob("*.log"))
    found = [p for p in every if node is None or p.stem == node or p.stem.startswith(f"{node}.")]
    if not found:
        have = sorted({p.stem for p in every})
        raise BadConfig(
            f"no logs of {node or 'any node'} in {folder}"
            + (f"; there are {', '.join(have)}" if have else "; start a network with `devnet up`")
        )
    return found


def _copy(path: Path, handle: IO[str], *, named: bool) -> bool:
    wrote = False
    read = os.lseek(handle.fileno(), 0, os.SEEK_CUR)
    if path.stat().st_size < read:  # it was cut: on with what comes
        handle.seek(0, os.SEEK_END)
    for line in handle:
        print(f"{path.stem:<16} {line}" if named else line, end="", flush=True)
        wrote = True
    return wrote
