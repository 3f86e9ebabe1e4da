"""What a Dask worker does for a campaign: one batch at a time in each slot of its machine.

A slot is a folder and ports, taken by whichever worker of the machine is free. Nothing goes on that
nobody waits for: a batch ends, with its clean-up, with the worker that began it (its standard input
does) and with its campaign (whose lease runs out). What is left half-finished all the same, the
next batch in the slot cleans up, as any network does in its folder.
"""

import fcntl
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlsplit

import msgspec

from devnet.model.means import Means
from devnet.network.bring_up import choose_backend
from devnet.network.means import require_means
from devnet.runner.batch import PROGRAM, STOP_S, STRIDE, Place, command_of, networks_from
from devnet.runner.parcel import Parcel, packed
from devnet.runner.product import product_on_disk
from devnet.runner.workers import code, dask
from dst.spec.errors import DstError

LEASE_S: Final = 120.0
"""A campaign that does not renew its lease for so long is gone."""
LOOK_EVERY_S: Final = 1.0
HOME: Final = Path(".devnet-worker")
"""Of the slots, where the worker was started."""
LEAST_FREE_BYTES: Final = 2**30
"""Some runs that fail, with their logs. Where the disk is full each batch fails at once, and the
next one comes: all would be lost there."""
AT_WORK: Final = ("running", "paused")
"""States of a worker that does not close."""
OVER: Final = float("-inf")

_leases: dict[str, float] = {}
"""Campaign -> monotonic time when its lease runs out; `OVER` for one that said that it ends."""


class Unfit(DstError):
    """This machine cannot take part; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a worker must be, to take part. campaign: a name that no other has. port_offset: of the
    first slot."""

    campaign: str
    code: str
    backend: str
    needs: frozenset[Means]
    port_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One batch. scenario: as YAML. program: Python's words before the command's."""

    terms: Terms
    scenario: str
    name: str
    asked: tuple[str, ...]
    program: tuple[str, ...] = PROGRAM


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slot:
    number: int
    folder: Path
    lock: IO[str]
    port_offset: int

    @property
    def place(self) -> Place:
        return Place(directory=self.folder / "network", port_offset=self.port_offset)


def code_of_runs() -> str:
    """Of all that a run is made of and judged by, as it is on the disk now."""
    return f"{code()}-{product_on_disk().digest}"


def attend(terms: Terms) -> str:
    """Renews the campaign's lease here; why this worker cannot take part, or nothing."""
    if terms.campaign not in _leases:
        try:
            _require_fit(terms)
        except Unfit as error:
            return str(error)
    if _leases.get(terms.campaign) != OVER:
        _leases[terms.campaign] = time.monotonic() + LEASE_S
    return ""


def leave(campaign: str) -> None:
    """Its batches here end, with their clean-up."""
    _leases[campaign] = OVER


def carry_out(order: Order) -> bytes:
    """A parcel with what the batch left, however it ended. Raises: Unfit."""
    terms = order.terms
    try:
        _require_fit(terms)
    except Unfit:
        if _leases.get(terms.campaign) != OVER:
            _leases.pop(terms.campaign, None)  # it was fit, and is looked at anew
        raise
    _leases.setdefault(terms.campaign, time.monotonic() + LEASE_S)
    worker = dask().get_worker()
    machine = urlsplit(worker.address).hostname or "machine"

    def goes_on() -> bool:
        # A worker that closes waits for its threads: half a minute, whatever they do.
        return _goes_on(terms.campaign) and worker.status.name in AT_WORK

    with _free_slot(terms, goes_on) as slot:
        if slot is None:
            return msgspec.msgpack.encode(Parcel(machine, 0))
        runs, log = slot.folder / "runs", slot.folder / "batch.log"
        shutil.rmtree(runs, ignore_errors=True)
        _run(order, slot, runs, log, goes_on)
        folders = sorted(folder for folder in runs.glob("*/*") if folder.is_dir())
        return msgspec.msgpack.encode(packed(folders, machine=machine, slot=slot.number, log=log))


def _require_fit(terms: Terms) -> None:
    """Raises: Unfit."""
    if code_of_runs() != terms.code:
        raise Unfit("it runs other code than the campaign, or another Python")
    try:
        choose_backend(terms.backend)
        require_means(terms.needs, terms.backend, lambda _: None)
        HOME.mkdir(exist_ok=True, mode=0o700)
        free = shutil.disk_usage(HOME).free
    except (DstError, OSError) as error:
        raise Unfit(str(error)) from error
    if free < LEAST_FREE_BYTES:
        raise Unfit(f"{free // 2**20} MiB are free in {HOME.resolve()}, and a batch needs 1 GiB")


@contextmanager
def _free_slot(terms: Terms, goes_on: Callable[[], bool]) -> Iterator[_Slot | None]:
    """The first one, however long that takes; None when it is over before. Its batch holds it,
    too, so that it is free when that has cleaned up."""
    while goes_on():
        for number in range(1, networks_from(terms.port_offset) + 1):
            folder = HOME.resolve() / f"slot-{number}"
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with (folder / "lock").open("a") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                offset = terms.port_offset + STRIDE * (number - 1)
                yield _Slot(number=number, folder=folder, lock=lock, port_offset=offset)
                return
        time.sleep(LOOK_EVERY_S)
    yield None


def _goes_on(campaign: str) -> bool:
    return time.monotonic() < _leases.get(campaign, OVER)


def _run(order: Order, slot: _Slot, runs: Path, log: Path, goes_on: Callable[[], bool]) -> None:
    """Until it ends, or nobody waits for it any more."""
    scenario = slot.folder / f"{order.name}.yaml"
    scenario.write_text(order.scenario, encoding="utf-8")
    words = command_of(scenario, order.asked, slot.place, runs, order.program)
    with log.open("wb") as said, subprocess.Popen(
        [sys.executable, *words, "--stop-with-stdin"],
        stdin=subprocess.PIPE, stdout=said, stderr=said, start_new_session=True,
        pass_fds=[slot.lock.fileno()],
    ) as process:  # fmt: skip
        try:
            while process.poll() is None and goes_on():
                _wait(process, LOOK_EVERY_S)
        finally:
            _stop(process)


def _wait(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether it ended."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _stop(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None, "it has a pipe"
    process.stdin.close()
    if not _wait(process, STOP_S):
        process.kill()
