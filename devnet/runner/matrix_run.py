"""Runs a campaign: what its folder does not have yet, side by side as far as told, and its figures
from the records alone.

Each batch of seeds is a `devnet chaos run` of its own, on a network of its own: networks side by
side share no event loop, and one that breaks takes nobody with it. The folder is the only memory: a
run counts as done when its own folder says which scenario, network, seed and product it was and its
record came to an end. So a campaign that was killed goes on with the same command, and repeats at
most the runs that were under way. A run in which something broke is never tried again, whatever the
harness could not do after that.
"""

import asyncio
import contextlib
import fcntl
import os
import sys
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from devnet.model.cluster import CellKey, ClusterKind
from devnet.model.means import Means
from devnet.model.topology import HIGHEST_OFFSET, compute_topology
from devnet.model.verdict import Outcome, worst
from devnet.network.claim import is_claimed
from devnet.network.means import require_means
from devnet.network.versions import require_versions
from devnet.report.campaign import BrokenRun
from devnet.report.cells import CellFigures, RunFigures, figures_of, injected_of
from devnet.report.measures import measures_of
from devnet.report.summary import reason_of
from devnet.runner.folder import MANIFEST
from devnet.runner.judging import (
    SCENARIO,
    is_unsafe,
    judge_folder,
    judged_anew,
    not_to_its_end,
    said_before,
    setup_of,
)
from devnet.runner.plan import needs_of, require_fits, versions_of
from devnet.runner.product import product
from devnet.scenarios.matrix import Cell, Matrix, batches, digest_of
from devnet.scenarios.write import scenario_yaml
from dst.spec.errors import BadConfig

BATCH: Final = 10
"""Seeds on one network at most, unless told otherwise: a start costs about as much as a run, and a
broken network costs the rest. One that a scenario has to break serves one run, and so do stand-bys,
which a fault may leave with two chains."""
TRIES: Final = 2
"""Of a run, the second on a network of its own: what the harness could not carry out twice is
missing, and takes nobody with it."""
STRIDE: Final = 2000
"""Ports of one network."""
STOP_S: Final = 90.0
"""A batch takes its fault back and its network down within that."""
LOOK_EVERY_S: Final = 1.0


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
    cluster: ClusterKind = ClusterKind.DST
    genesis_time: int = 0
    group_public_key: str = ""

    def named(self) -> str:
        """As no other network is."""
        return f"{self.genesis_time}-{self.group_public_key[:10]}"


class _Product(msgspec.Struct, frozen=True):
    digest: str


class _Manifest(msgspec.Struct):
    seed: int
    network: _Network
    outcome: str = ""
    error: str = ""
    product: _Product = _Product("")


@dataclass(frozen=True, slots=True)
class Found:
    """What the folder of a run says. digest: of the run. broken: why nothing was shown there.
    failed: whether something broke."""

    digest: str
    seed: int
    broken: str = ""
    failed: bool = False


@dataclass(slots=True)
class MatrixRun:
    """folder: of this campaign. shown: told (runs done, runs in all) as it goes on. product: whose
    runs count."""

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
    product: str = field(default_factory=lambda: product().digest)
    _queue: deque[Batch] = field(default_factory=deque)
    _wanted: dict[str, tuple[Cell, int]] = field(default_factory=dict)
    _seen: dict[Path, Found] = field(default_factory=dict)
    """Folders of runs that came to an end, which do not change any more."""
    _at_work: Counter[Path] = field(default_factory=Counter)
    """Folders in which batches leave their runs now."""

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
        needed = frozenset[Means]().union(*(needs_of(cell.scenario) for cell in self.matrix.cells))
        require_means(needed, self.backend, self.say)
        versions = frozenset[str]().union(*(versions_of(c.scenario) for c in self.matrix.cells))
        require_versions(versions)

    def _misfit(self, cell: Cell) -> str:
        topology = compute_topology(
            operators=cell.operators, followers=cell.scenario.followers, cluster=cell.cluster
        )
        try:
            require_fits(cell.scenario, topology, self.backend)
        except BadConfig as error:
            return f"{cell.told()}: {error}"
        return ""

    def runs(self, cell: Cell) -> Path:
        """Where runs of one cell go: batches at work side by side meet in no folder."""
        by = cell.cluster if cell.cluster.is_baseline else f"n{cell.operators}"
        return self.folder / "runs" / f"{by}-{cell.slot_seconds}s"

    @property
    def total(self) -> int:
        return len(self.matrix.cells) * len(self.matrix.seeds)

    def wanted(self) -> dict[str, tuple[Cell, int]]:
        """Digest -> place and seed, in the order of the matrix."""
        if not self._wanted:
            for cell in self.matrix.cells:
                digests = cell.digests(self.matrix.seeds, self.backend, self.product)
                self._wanted |= {digest: (cell, seed) for seed, digest in digests.items()}
        return self._wanted

    def done(self) -> dict[str, Path]:
        """Digest -> folder, of the runs that this campaign asks for and that came to their end.

        Of several with the same digest one that failed counts, else the first.
        """
        self._look(self.folder.glob("runs/*/*"))
        return self._counted()

    def _counted(self) -> dict[str, Path]:
        wanted, found = self.wanted(), dict[str, Path]()
        for folder, each in sorted(self._seen.items(), key=lambda it: (not it[1].failed, it[0])):
            if not each.broken and each.digest in wanted:
                found.setdefault(each.digest, folder)
        return found

    def _look(self, scenarios: Iterable[Path]) -> None:
        """At runs that were not there yet."""
        for scenario in scenarios:
            for folder in _folders(scenario):
                if folder not in self._seen and (found := found_in(folder)):
                    self._seen[folder] = found

    def broken(self) -> tuple[BrokenRun, ...]:
        """Runs that this campaign asks for and that showed nothing: the harness failed, the record
        was cut off or cannot be read."""
        self._look(scenarios := list(self.folder.glob("runs/*/*")))
        wanted = self.wanted()
        every = sorted(folder for scenario in scenarios for folder in _folders(scenario))
        return tuple(
            _broken(folder, found, wanted[found.digest][0].cluster, self.folder)
            for folder in every
            if (found := self._seen.get(folder) or self._cut_off(folder)).broken
            and found.digest in wanted
        )

    def _cut_off(self, folder: Path) -> Found:
        """By the first line of its record: a manifest is what is missing."""
        if (setup := setup_of(folder)) is None:
            return Found("", -1)
        digest = digest_of(
            _scenario_of(folder), len(setup.operators), int(setup.slot_seconds), self.backend,
            setup.product, setup.seed, setup.cluster,
        )  # fmt: skip
        return Found(digest, setup.seed, "it was cut off")

    async def run(self) -> None:
        """Whatever is missing. Raises: BadConfig when another campaign has the folder."""
        self.require_possible()
        self.folder.mkdir(parents=True, exist_ok=True)
        with _alone(self.folder):
            for directory in sorted(self.folder.glob("network-*/")):
                if is_claimed(directory):
                    raise BadConfig(
                        f"a network runs in {directory}: a batch of a campaign that was killed "
                        "comes to its end there; wait for it, or `devnet down` it"
                    )
            for number in range(TRIES):
                self._queue.extend(self._missing(1 if number else BATCH))
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

    def _missing(self, most: int = BATCH) -> Iterator[Batch]:
        """most: runs on one network, of those that it may have."""
        done = self.done()
        left: dict[CellKey, list[int]] = {}
        for digest, (cell, seed) in self.wanted().items():
            if digest not in done:
                left.setdefault(cell.key, []).append(seed)
        for cell in self.matrix.cells:
            spent = bool(cell.scenario.expect.fails) or cell.cluster is ClusterKind.STANDBY
            each = 1 if spent else min(most, self.most_on_one)
            for first, count in batches(iter(left.get(cell.key, ())), each):
                yield Batch(cell=cell, first=first, count=count)

    async def _watch(self) -> None:
        """Only where batches are at work: a large campaign has ten thousands of folders."""
        self.shown(len(self.done()), self.total)
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self._look(self._at_work)
            self.shown(len(self._counted()), self.total)

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
            scenario = self.runs(batch.cell) / batch.cell.scenario.name
            self._at_work[scenario] += 1
            await launch(batch, place)
            self._look([scenario])
            self._at_work -= Counter([scenario])

    async def _chaos_run(self, batch: Batch, place: Place) -> None:
        """A command of its own, whose last words are kept."""
        cell = batch.cell
        on = f"-{cell.cluster}" if cell.cluster.is_baseline else ""
        scenario = _written(self.folder / "scenarios" / f"{cell.scenario.name}{on}.yaml", cell)
        words = [
            sys.executable, "-m", "devnet.chaos_cli", "run", str(scenario),
            "--seed", str(batch.first), "--runs", str(batch.count),
            "--backend", self.backend, "--cluster", str(cell.cluster),
            "--operators", str(cell.operators),
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

    def figures(self) -> tuple[tuple[CellFigures, ...], tuple[BrokenRun, ...]]:
        """Of every run that is there, from its record alone; and the runs that showed nothing, with
        those whose record cannot be read after all."""
        done, unreadable = self.done(), list[BrokenRun]()
        runs: dict[CellKey, list[RunFigures]] = {}
        for digest, (cell, seed) in self.wanted().items():
            if path := done.get(digest):
                try:
                    figures = _figures(seed, path, self.folder)
                except BadConfig as error:
                    found = Found(digest, seed, str(error))
                    unreadable.append(_broken(path, found, cell.cluster, self.folder))
                    continue
                runs.setdefault(cell.key, []).append(figures)
        cells = tuple(
            self._cell_figures(cell, runs.get(cell.key, ())) for cell in self.matrix.cells
        )
        return cells, (*self.broken(), *unreadable)

    def _cell_figures(self, cell: Cell, runs: Sequence[RunFigures]) -> CellFigures:
        return figures_of(cell.key, runs, missing=len(self.matrix.seeds) - len(runs))

    def others(self) -> int:
        """Runs that are there and do not count: of another scenario, network or product."""
        self.done()
        wanted = self.wanted()
        return sum(found.digest not in wanted for found in self._seen.values())


def networks_that_fit() -> int:
    """Side by side on this machine: one of four operators keeps two cores busy in its starts."""
    room = 1 + HIGHEST_OFFSET // STRIDE
    return min(room, max(1, (os.cpu_count() or 1) // 2))


def newest_product(folder: Path) -> str:
    """Of the last run that is there; empty when there is none."""
    manifests = sorted(folder.glob(f"runs/*/*/*/{MANIFEST}"), key=lambda path: path.parent.name)
    for manifest in reversed(manifests):
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            return _read(manifest).product.digest
    return ""


def _read(manifest: Path) -> _Manifest:
    return msgspec.json.decode(manifest.read_bytes(), type=_Manifest)


def _folders(scenario: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        for entry in os.scandir(scenario):
            if entry.is_dir():
                yield Path(entry.path)


def _scenario_of(folder: Path) -> str:
    try:
        return (folder / SCENARIO).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def found_in(folder: Path) -> Found | None:
    """None for one that has no manifest (yet), or none that can be read."""
    try:
        said = _read(folder / MANIFEST)
    except (OSError, msgspec.MsgspecError):
        return None
    net = said.network
    digest = digest_of(
        _scenario_of(folder), net.operators, net.slot_seconds, net.backend, said.product.digest,
        said.seed, net.cluster,
    )  # fmt: skip
    if said.error and said.outcome != Outcome.FAIL:
        return Found(digest, said.seed, said.error)
    return Found(digest, said.seed, not_to_its_end(folder), said.outcome == Outcome.FAIL)


def _broken(folder: Path, found: Found, cluster: ClusterKind, root: Path) -> BrokenRun:
    return BrokenRun(
        scenario=folder.parent.name,
        cluster=cluster,
        seed=found.seed,
        reason=found.broken,
        folder=str(folder.relative_to(root)),
        unsafe=_was_unsafe(folder),
    )


def _was_unsafe(folder: Path) -> bool:
    """What is there of a record is enough to break safety, and not enough for anything else."""
    try:
        return is_unsafe(said_before(folder)) or is_unsafe(judge_folder(folder)[2])
    except BadConfig:
        return False


def _figures(seed: int, path: Path, root: Path) -> RunFigures:
    _, history, verdicts = judge_folder(path)
    try:
        before = said_before(path)
    except BadConfig:
        before = ()
    return RunFigures(
        seed=seed,
        outcome=worst(verdicts),
        reason=reason_of(verdicts, "; ".join(broken.why for broken in history.broken)),
        unsafe=is_unsafe(verdicts) or is_unsafe(before),
        judged_anew=judged_anew(before, verdicts),
        folder=str(path.relative_to(root)),
        network=_read(path / MANIFEST).network.named(),
        measures=measures_of(history),
        faults=injected_of(history),
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
    """It cleans up as after Ctrl-C; killed only when that does not end. SIGTERM: a program started
    in the background of a script hands an ignored SIGINT down to all that it starts."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
