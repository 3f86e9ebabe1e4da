"""Runs a campaign: what its folder does not have yet, side by side as far as told, and its figures
from the records alone.

Each batch of seeds is a `devnet chaos run` of its own, on a network of its own: networks side by
side share no event loop, and one that breaks takes nobody with it. The folder is the only memory: a
run counts as done when its own folder says which scenario, network and seed it was and its record
came to an end. So a campaign that was killed goes on with the same command, and repeats at most the
runs that were under way.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from devnet.model.topology import HIGHEST_OFFSET, compute_topology
from devnet.model.verdict import Outcome, worst
from devnet.network.claim import is_claimed
from devnet.report.cells import CellFigures, RunFigures, figures_of
from devnet.report.measures import measures_of
from devnet.report.summary import reason_of
from devnet.runner.judging import SCENARIO, judge_folder
from devnet.runner.plan import require_fits
from devnet.scenarios.matrix import Cell, Matrix, batches, digest_of
from devnet.scenarios.write import scenario_yaml
from dst.spec.errors import BadConfig

BATCH: Final = 10
"""Seeds on one network at most, unless told otherwise: a start costs about as much as a run, and a
broken network costs the rest. One that a scenario has to break serves one run."""
TRIES: Final = 2
"""Of a batch; what the harness could not carry out twice is missing."""
STRIDE: Final = 2000
"""Ports of one network."""
STOP_S: Final = 90.0
"""A batch takes its fault back and its network down within that."""
LOOK_EVERY_S: Final = 1.0
MANIFEST: Final = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    cell: Cell
    first: int
    count: int

    @property
    def seeds(self) -> range:
        return range(self.first, self.first + self.count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a job's networks live: its folder and its ports are no other job's."""

    directory: Path
    port_offset: int


Launch = Callable[[Batch, Place], Awaitable[None]]
"""Carries a batch out, as far as it can; what it did stands in the folder."""


class _Network(msgspec.Struct):
    backend: str
    operators: int
    slot_seconds: int
    genesis_time: int = 0
    group_public_key: str = ""

    def named(self) -> str:
        """As no other network is."""
        return f"{self.genesis_time}-{self.group_public_key[:10]}"


class _Manifest(msgspec.Struct):
    seed: int
    network: _Network
    error: str = ""


@dataclass(slots=True)
class MatrixRun:
    """folder: of this campaign. shown: told (runs done, runs in all) as it goes on."""

    matrix: Matrix
    folder: Path
    backend: str
    jobs: int = 1
    port_offset: int = 0
    most_on_one: int = BATCH
    """Runs of one network."""
    launch: Launch | None = None
    say: Callable[[str], None] = lambda _: None
    shown: Callable[[int, int], None] = lambda done, total: None
    _queue: deque[Batch] = field(default_factory=deque)

    def require_possible(self) -> None:
        """Every place of the matrix, before anything starts.

        Raises: BadConfig, which names all that cannot be.
        """
        highest = self.port_offset + STRIDE * (self.jobs - 1)
        if highest > HIGHEST_OFFSET:
            room = 1 + (HIGHEST_OFFSET - self.port_offset) // STRIDE
            raise BadConfig(
                f"there are ports for {room} networks side by side, not for {self.jobs}"
            )
        wrong = [complaint for cell in self.matrix.cells if (complaint := self._misfit(cell))]
        if wrong:
            raise BadConfig(
                "some places of the matrix cannot run; leave them out with except:\n  "
                + "\n  ".join(wrong)
            )

    def _misfit(self, cell: Cell) -> str:
        topology = compute_topology(operators=cell.operators, followers=cell.scenario.followers)
        try:
            require_fits(cell.scenario, topology, self.backend)
        except BadConfig as error:
            return f"{cell.told()}: {error}"
        return ""

    def runs(self, cell: Cell) -> Path:
        """Where runs of one cell go: batches at work side by side meet in no folder."""
        return self.folder / "runs" / f"n{cell.operators}-{cell.slot_seconds}s"

    @property
    def total(self) -> int:
        return len(self.matrix.cells) * len(self.matrix.seeds)

    def wanted(self) -> Iterator[tuple[str, Cell, int]]:
        for cell in self.matrix.cells:
            for seed in self.matrix.seeds:
                yield cell.digest(seed, self.backend), cell, seed

    def done(self) -> dict[str, Path]:
        """Digest -> folder, of the runs that this campaign asks for and that came to their end."""
        wanted = {digest for digest, _, _ in self.wanted()}
        found = {
            digest: manifest.parent
            for manifest in sorted(self.folder.glob("runs/*/*/*/manifest.json"))
            if (digest := _digest_in(manifest)) in wanted
        }
        return {digest: path for digest, path in found.items() if digest}

    async def run(self) -> None:
        """Whatever is missing. Raises: BadConfig when another campaign has the folder."""
        self.require_possible()
        self.folder.mkdir(parents=True, exist_ok=True)
        with _alone(self.folder):
            for number in range(self.jobs):
                if is_claimed(directory := self._place(number).directory):
                    raise BadConfig(
                        f"a network runs in {directory}: a batch of a campaign that was killed "
                        "comes to its end there; wait for it, or `devnet down` it"
                    )
            for _ in range(TRIES):
                self._queue.extend(self._missing())
                async with asyncio.TaskGroup() as tasks:
                    watch = tasks.create_task(self._watch())
                    workers = [
                        tasks.create_task(self._work(self._place(number)))
                        for number in range(self.jobs)
                    ]
                    await asyncio.wait(workers)
                    watch.cancel()
                self.shown(len(self.done()), self.total)

    def _place(self, number: int) -> Place:
        return Place(
            directory=self.folder / f"network-{number + 1}",
            port_offset=self.port_offset + STRIDE * number,
        )

    def _missing(self) -> Iterator[Batch]:
        done = self.done()
        for cell in self.matrix.cells:
            left = (s for s in self.matrix.seeds if cell.digest(s, self.backend) not in done)
            spent = bool(cell.scenario.expect.fails)
            for first, count in batches(left, 1 if spent else self.most_on_one):
                yield Batch(cell=cell, first=first, count=count)

    async def _watch(self) -> None:
        while True:
            self.shown(len(self.done()), self.total)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _work(self, place: Place) -> None:
        launch = self.launch or self._chaos_run
        while self._queue:
            batch = self._queue.popleft()
            seeds = (
                f"seeds {batch.first} to {batch.seeds[-1]}"
                if batch.count > 1
                else f"seed {batch.first}"
            )
            self.say(f"{batch.cell.told()}, {seeds}")
            await launch(batch, place)

    async def _chaos_run(self, batch: Batch, place: Place) -> None:
        """A command of its own, whose last words are kept."""
        cell = batch.cell
        scenario = _written(self.folder / "scenarios" / f"{cell.scenario.name}.yaml", cell)
        words = [
            sys.executable, "-m", "devnet.chaos_cli", "run", str(scenario),
            "--seed", str(batch.first), "--runs", str(batch.count),
            "--backend", self.backend, "--operators", str(cell.operators),
            "--slot-seconds", str(cell.slot_seconds), "--port-offset", str(place.port_offset),
            "--dir", str(place.directory), "--out", str(self.runs(cell)),
        ]  # fmt: skip
        with _log(self.folder / f"{place.directory.name}.log") as log:
            process = await asyncio.create_subprocess_exec(
                *words, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
            try:
                await process.wait()
            except asyncio.CancelledError:
                await _stopped(process)
                raise

    def figures(self) -> tuple[CellFigures, ...]:
        """Of every run that is there, from its record alone."""
        done = self.done()
        return tuple(self._cell_figures(cell, done) for cell in self.matrix.cells)

    def _cell_figures(self, cell: Cell, done: Mapping[str, Path]) -> CellFigures:
        runs = [
            _figures(seed, path, self.folder)
            for seed in self.matrix.seeds
            if (path := done.get(cell.digest(seed, self.backend)))
        ]
        return figures_of(cell.key, runs, missing=len(self.matrix.seeds) - len(runs))


def networks_that_fit() -> int:
    """Side by side on this machine: one of four operators keeps two cores busy in its starts."""
    room = 1 + HIGHEST_OFFSET // STRIDE
    return min(room, max(1, (os.cpu_count() or 1) // 2))


def _manifest_of(run: Path) -> _Manifest:
    return msgspec.json.decode((run / MANIFEST).read_bytes(), type=_Manifest)


def _digest_in(manifest: Path) -> str:
    """Of the run that a folder holds; empty when it is none that came to its end."""
    try:
        said = _manifest_of(manifest.parent)
        text = (manifest.parent / SCENARIO).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, msgspec.MsgspecError):
        return ""
    if said.error:
        return ""
    network = said.network
    return digest_of(text, network.operators, network.slot_seconds, network.backend, said.seed)


def _figures(seed: int, path: Path, root: Path) -> RunFigures:
    _, history, verdicts = judge_folder(path)
    unsafe = any(v.outcome is Outcome.FAIL and v.checker.startswith("S") for v in verdicts)
    return RunFigures(
        seed=seed,
        outcome=worst(verdicts),
        reason=reason_of(verdicts),
        unsafe=unsafe,
        folder=str(path.relative_to(root)),
        network=_manifest_of(path).network.named(),
        measures=measures_of(history),
    )


def _written(path: Path, cell: Cell) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(scenario_yaml(cell.scenario), encoding="utf-8")
    return path


@contextmanager
def _log(path: Path) -> Iterator[int]:
    with path.open("ab") as file:
        yield file.fileno()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """The kernel lets go of it when this process ends, however it ends. Raises: BadConfig."""
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BadConfig(f"another campaign is at work in {folder}") from None
        yield


async def _stopped(process: asyncio.subprocess.Process) -> None:
    """As Ctrl-C would, with its clean-up; killed only when that does not end."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
