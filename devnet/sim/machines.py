"""Workers on other machines: a Dask scheduler, whose workers run this code.

Dask is an extra, so that neither a node nor a test of one needs it. On each machine, in a checkout
of the same commit: `dask worker tcp://HOST:8786 --nworkers N --nthreads 1`.
"""

import sys
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import devnet
import dst
from dst.spec.errors import DstError

CONNECT_S: Final = 15
HOW_TO_INSTALL: Final = (
    "WORKERS= spreads over machines with Dask, which is not installed; with it: "
    "pip install 'distributed-sequencer[machines]' (here: .venv/bin/pip install -e '.[machines]')"
)


class NoWorkers(DstError):
    """Nobody there to work; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """executor: as those of `concurrent.futures`. workers: how many it has."""

    executor: Executor
    workers: int


@contextmanager
def connected(address: str) -> Iterator[Machines]:
    """The workers of the scheduler at `address`, `tcp://host:port`.

    Raises: NoWorkers.
    """
    distributed = _distributed()
    try:
        client = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise NoWorkers(f"no Dask scheduler answers at {address}: {error}") from None
    with client:
        threads: dict[str, int] = client.nthreads()
        _require_ours(client, threads)
        with client.get_executor() as executor:
            yield Machines(executor=executor, workers=len(threads))


def _distributed() -> Any:
    try:
        return import_module("distributed")
    except ImportError:
        raise NoWorkers(HOW_TO_INSTALL) from None


def _require_ours(client: Any, threads: dict[str, int]) -> None:
    """Runs patch modules and share caches: one at a time in a process, and all of one code."""
    if not threads:
        raise NoWorkers("the scheduler has no workers: dask worker ADDRESS --nthreads 1")
    if crowded := sorted(each for each, count in threads.items() if count != 1):
        raise NoWorkers(f"workers need one thread each (--nthreads 1): {', '.join(crowded)}")
    codes: dict[str, str] = client.run(code)
    if others := sorted(each for each, found in codes.items() if found != code()):
        raise NoWorkers(
            f"workers run other code than this checkout, or another Python: {', '.join(others)}"
        )


def code() -> str:
    """A checksum of what a run depends on: all of ours, and which Python."""
    found = blake2b(repr(sys.version_info[:2]).encode(), digest_size=16)
    for package in (dst, devnet):
        root = Path(package.__path__[0])
        for file in sorted(root.rglob("*.py")):
            found.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
    return found.hexdigest()
