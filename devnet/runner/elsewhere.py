"""A campaign's batches on other machines: Dask decides which worker takes which, and gives one to
another worker when the first one dies.

Runs come back when their batch ends, to where a batch of this machine would have left them.
"""

import asyncio
import secrets
import shutil
import threading
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import CancelledError as Lost
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from devnet.checkers.base import counted
from devnet.runner.batch import PROGRAM, STOP_S, Batch, Place, asked_of, networks_from
from devnet.runner.errand import Order, Terms, attend, carry_out, code_of_runs, leave
from devnet.runner.matrix_run import MatrixRun
from devnet.runner.parcel import Parcel, unpacked
from devnet.runner.workers import CONNECT_S, START_WORKERS, NoWorkers, dask
from devnet.scenarios.write import scenario_yaml
from dst.spec.errors import BadConfig

OUT: Final = 256
"""Batches that Dask knows of at a time: more than there are slots, so that none waits."""
ATTEMPTS: Final = 3
"""To give a batch to a worker that can take it."""
RENEW_S: Final = 10.0
ANSWER_S: Final = 30.0
"""Of all workers to one question."""
NOBODY_S: Final = 300.0
"""Without any worker: what a machine takes to start again, and some."""
ASIDE: Final = "incoming"
"""In the campaign's folder: runs that are being unpacked."""


@dataclass(slots=True, eq=False)
class Workers:
    """Of the scheduler at `address`, `tcp://host:port`; the launch of `run`. say: told what a
    person should know."""

    run: MatrixRun
    address: str
    say: Callable[[str], None]
    program: tuple[str, ...] = PROGRAM
    _client: Any = None
    _terms: Terms = field(init=False)
    _numbers: "count[int]" = field(default_factory=count)
    _has_left: bool = False
    _last_look: float = 0.0
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _unpacking: threading.Lock = field(default_factory=threading.Lock)
    """Held by threads, which go on when who waits for them is cancelled."""

    def __post_init__(self) -> None:
        self._terms = Terms(
            campaign=secrets.token_hex(4),
            code=code_of_runs(),
            backend=self.run.backend,
            needs=self.run.needs,
            port_offset=self.run.port_offset,
        )

    @asynccontextmanager
    async def ready(self) -> AsyncIterator[None]:
        """Inside, workers are there, and are looked after.

        Raises: NoWorkers; BadConfig when one of them cannot take part.
        """
        try:
            self._client = await dask().Client(
                self.address, asynchronous=True, timeout=CONNECT_S, set_as_default=False
            )
        except (OSError, ValueError, ImportError) as error:
            raise NoWorkers(f"no Dask scheduler answers at {self.address}: {error}") from None
        try:
            await self._require_workers()
            async with asyncio.TaskGroup() as tasks:
                keeper = tasks.create_task(self._look_after())
                try:
                    yield
                finally:
                    await self._leave()
                    keeper.cancel()
        finally:
            await self._client.close()

    async def _require_workers(self) -> None:
        try:
            await self._client.wait_for_workers(1, timeout=CONNECT_S)
        except TimeoutError:
            raise NoWorkers(
                f"the Dask scheduler at {self.address} has no workers: {START_WORKERS}"
            ) from None
        try:
            unfit = await self._unfit()
        except TimeoutError:
            raise NoWorkers(
                f"not every worker at {self.address} answers within {ANSWER_S:.0f} s"
            ) from None
        if unfit:
            raise BadConfig(
                "not every worker can take part; mend it or end it:\n  "
                + "\n  ".join(f"{worker}: {why}" for worker, why in sorted(unfit.items()))
            )
        room = networks_from(self.run.port_offset)
        slots = Counter[str]()
        for worker, threads in (await self._threads()).items():
            slots[urlsplit(worker).hostname or worker] += threads
        if crowded := sorted(host for host, asked in slots.items() if asked > room):
            raise BadConfig(
                f"there are ports for {room} networks side by side on a machine, and more threads "
                f"of workers (--nworkers, --nthreads) on {', '.join(crowded)}"
            )
        machines = counted(len(slots), "machine{s}")
        self.say(f"{counted(slots.total(), 'network{s}')} side by side on {machines}")

    async def _threads(self) -> dict[str, int]:
        """Worker -> threads."""
        found: dict[str, int] = await asyncio.wait_for(self._client.nthreads(), ANSWER_S)
        return found

    async def _unfit(self) -> dict[str, str]:
        """Worker -> why it cannot take part. The lease is renewed at the others."""
        asked = self._client.run(attend, self._terms, on_error="return")
        answers = await asyncio.wait_for(asked, ANSWER_S)
        return {
            worker: answer if isinstance(answer, str) else _told(answer)
            for worker, answer in answers.items()
            if answer and not isinstance(answer, OSError)  # it has just gone
        }

    async def _look_after(self) -> None:
        """Raises: NoWorkers when there is nobody any more."""
        loop = asyncio.get_running_loop()
        seen = loop.time()
        while True:
            await asyncio.sleep(RENEW_S)
            with suppress(TimeoutError, OSError):
                await self._send_unfit_away()
                if await self._threads():
                    seen = loop.time()
            if loop.time() - seen > NOBODY_S:
                raise NoWorkers(
                    f"no worker at {self.address} for {NOBODY_S:.0f} s ({START_WORKERS}); the same "
                    "command goes on from here"
                )

    async def _send_unfit_away(self) -> None:
        """Of workers that came later: one that fails at once would take every batch."""
        for worker, why in (await self._unfit()).items():
            self.say(f"worker {worker} is sent away: {why}")
            await self._client.retire_workers([worker], close_workers=True)

    async def _leave(self) -> None:
        """Batches end, with their clean-up; workers stay."""
        if self._has_left:
            return
        self._has_left = True
        with suppress(TimeoutError, OSError):
            left = self._client.run(leave, self._terms.campaign, on_error="ignore")
            await asyncio.wait_for(left, ANSWER_S)

    async def __call__(self, batch: Batch, _: Place) -> None:
        """The place is that of a machine's slot. What cannot be carried out is told, and left to
        the next try. Raises: NoWorkers when the scheduler is gone."""
        order = self._order(batch)
        for _attempt in range(ATTEMPTS):
            number = next(self._numbers)
            key = (f"batch-{self._terms.campaign}", number)
            future = self._client.submit(carry_out, order, key=key, pure=False, priority=-number)
            try:
                data = await future.result()
            except asyncio.CancelledError:
                await self._break_off(future, batch)
                raise
            except Lost:
                raise NoWorkers(
                    f"the Dask scheduler at {self.address} is gone; the same command goes on from "
                    "here"
                ) from None
            except Exception as error:  # whatever a worker met, or is
                failed = error
                if isinstance(error, dask().KilledWorker):  # several of them, one after another
                    break
                await self._look_again()
                continue
            await self._take(data, batch)
            return
        self.say(f"{batch.told()}: not carried out: {_told(failed)}")

    async def _break_off(self, future: Any, batch: Batch) -> None:
        """What it had carried out by then comes here, when there is anybody to bring it."""
        await self._leave()
        with suppress(Exception):
            async with asyncio.timeout(STOP_S + ANSWER_S if await self._threads() else 0):
                await self._take(await future.result(), batch)

    def _order(self, batch: Batch) -> Order:
        return Order(
            terms=self._terms,
            scenario=scenario_yaml(batch.cell.scenario),
            name=batch.cell.scenario.name,
            asked=asked_of(batch, self.run.backend),
            program=self.program,
        )

    async def _look_again(self) -> None:
        """Once, however many batches have just failed."""
        failed = asyncio.get_running_loop().time()
        async with self._looking:
            if self._last_look < failed:
                self._last_look = asyncio.get_running_loop().time()
                with suppress(TimeoutError, OSError):
                    await self._send_unfit_away()

    async def _take(self, data: bytes, batch: Batch) -> None:
        parcel = msgspec.msgpack.decode(data, type=Parcel)
        await asyncio.to_thread(self._unpack, parcel, batch)
        for run in parcel.runs:
            for line in run.cut:
                self.say(f"{run.name} of {parcel.place}: {line}")
        for line in parcel.left:
            self.say(f"not brought here from {parcel.place}: {line}")

    def _unpack(self, parcel: Parcel, batch: Batch) -> None:
        folder = self.run.folder
        with self._unpacking:
            if parcel.log:
                with (folder / f"{parcel.place}.log").open("ab") as log:
                    log.write(zlib.decompress(parcel.log))
            aside = folder / ASIDE
            try:
                unpacked(parcel, self.run.runs(batch.cell) / batch.cell.scenario.name, aside)
            finally:
                shutil.rmtree(aside, ignore_errors=True)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
