"""The long campaign on the workers of a Dask scheduler."""

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from devnet.runner.workers import CONNECT_S, START_WORKERS, NoWorkers, code, dask


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
    distributed = dask()
    try:
        client = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise NoWorkers(f"no Dask scheduler answers at {address}: {error}") from None
    with client:
        threads: dict[str, int] = client.nthreads()
        _require_ours(client, threads)
        with client.get_executor() as executor:
            yield Machines(executor=executor, workers=len(threads))


def _require_ours(client: Any, threads: dict[str, int]) -> None:
    """Runs patch modules and share caches: one at a time in a process, and all of one code."""
    if not threads:
        raise NoWorkers(f"the scheduler has no workers: {START_WORKERS}")
    if crowded := sorted(each for each, count in threads.items() if count != 1):
        raise NoWorkers(f"workers need one thread each (--nthreads 1): {', '.join(crowded)}")
    codes: dict[str, str] = client.run(code)
    if others := sorted(each for each, found in codes.items() if found != code()):
        raise NoWorkers(
            f"workers run other code than this checkout, or another Python: {', '.join(others)}"
        )
