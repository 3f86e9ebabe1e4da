"""Workers on other machines: a Dask scheduler, whose workers run this code.

Dask is an extra, so that neither a node nor a test of one needs it. On each machine, in a checkout
of the same commit: `dask worker tcp://HOST:8786 --nworkers N --nthreads 1`.
"""

import sys
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import devnet
import dst
from dst.spec.errors import DstError

CONNECT_S: Final = 15
START_WORKERS: Final = "dask worker ADDRESS --nworkers N --nthreads 1, on each machine"
HOW_TO_INSTALL: Final = (
    "spreading over machines takes Dask, which is not installed; with it: "
    "pip install 'distributed-sequencer[machines]' (here: .venv/bin/pip install -e '.[machines]')"
)


class NoWorkers(DstError):
    """Nobody there to work; the message says what to do."""


def dask() -> Any:
    """Raises: NoWorkers without the extra."""
    try:
        return import_module("distributed")
    except ImportError:
        raise NoWorkers(HOW_TO_INSTALL) from None


def code() -> str:
    """A checksum of what a run depends on: all of ours, and which Python."""
    found = blake2b(repr(sys.version_info[:2]).encode(), digest_size=16)
    for package in (dst, devnet):
        root = Path(package.__path__[0])
        for file in sorted(root.rglob("*.py")):
            found.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
    return found.hexdigest()
