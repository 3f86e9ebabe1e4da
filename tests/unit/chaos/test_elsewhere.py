"""Campaigns on the workers of a Dask scheduler: real workers, and batches that are fake."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from devnet.chaos_cli import main
from devnet.model.command import Exit
from devnet.runner import elsewhere, errand, parcel
from devnet.runner.batch import PROGRAM, STOP_S
from devnet.runner.elsewhere import Workers
from devnet.runner.errand import Order, Terms, carry_out, code_of_runs
from devnet.runner.matrix_run import MatrixRun
from devnet.runner.parcel import NOTE, PackedRun, Parcel, packed, unpacked
from devnet.runner.workers import HOW_TO_INSTALL, NoWorkers
from devnet.scenarios.matrix import Matrix, load_matrix
from dst.spec.errors import BadConfig
from tests.unit.chaos.fake_batch import calls
from tests.unit.chaos.test_campaigns import SMALL, written

ROOT = Path(__file__).parents[3]
FAKE = ("-m", "tests.unit.chaos.fake_batch")
SOON_S = 120.0

pytestmark = pytest.mark.xdist_group("dask")


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def states(plan: Path) -> list[str]:
    return [call.state for call in calls(plan)]


async def soon(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(until, condition)


class Cluster:
    """A scheduler of this process, and workers of their own."""

    def __init__(self, folder: Path) -> None:
        from distributed import LocalCluster

        self._cluster = LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=None)  # type: ignore[no-untyped-call]
        self.address: str = self._cluster.scheduler_address
        self._folder = folder
        self._workers: list[subprocess.Popen[bytes]] = []

    def worker(self, *, code: Path = ROOT, threads: int = 1) -> subprocess.Popen[bytes]:
        """All where one machine's workers are, with its slots."""
        words = [sys.executable, "-m", "dask", "worker", self.address, "--no-nanny"]
        words += ["--nthreads", str(threads), "--no-dashboard", "--local-directory", "scratch"]
        log = (self._folder / f"worker-{len(self._workers)}.log").open("wb")
        with log:
            worker = subprocess.Popen(
                words, cwd=self._folder, stdout=log, stderr=log,
                env={**os.environ, "PYTHONPATH": str(code)}, start_new_session=True,
            )  # fmt: skip
        before = len(self.known)
        self._workers.append(worker)
        until(lambda: len(self.known) > before)
        return worker

    @property
    def known(self) -> list[str]:
        scheduler = self._cluster.scheduler
        assert scheduler is not None
        return list(scheduler.workers)

    def end(self) -> None:
        for worker in self._workers:
            with suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)
            worker.wait()
        self._cluster.close()


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    (tmp_path / "machine").mkdir()
    return tmp_path / "machine"


@pytest.fixture
def cluster(machine: Path) -> Iterator[Cluster]:
    found = Cluster(machine)
    yield found
    found.end()


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    (tmp_path / "plan").mkdir()
    return tmp_path / "plan"


@pytest.fixture
def small(tmp_path: Path) -> Matrix:
    text = SMALL.replace("[4, 7]", "[4]").replace("seeds: 3", "seeds: 2")
    return load_matrix(written(tmp_path / "c.yaml", text))


def campaign(
    matrix: Matrix, tmp_path: Path, cluster: Cluster, **changes: Any
) -> tuple[MatrixRun, Workers, list[str]]:
    said: list[str] = []
    run = MatrixRun(
        matrix=matrix, folder=tmp_path / "x", backend="process", jobs=elsewhere.OUT, **changes
    )
    program = (*FAKE, str(tmp_path / "plan"))
    run.launch = workers = Workers(run, cluster.address, said.append, program)
    return run, workers, said


async def carried_out(run: MatrixRun, workers: Workers) -> None:
    async with asyncio.timeout(2 * SOON_S), workers.ready():
        await run.run()


def test_batches_run_on_the_workers_and_their_runs_come_here(
    small: Matrix, tmp_path: Path, cluster: Cluster, machine: Path, plan: Path
) -> None:
    cluster.worker()
    cluster.worker()
    shown: list[tuple[int, int]] = []
    run, workers, said = campaign(
        small, tmp_path, cluster, most_on_one=1, port_offset=500,
        shown=lambda *told: shown.append(told),
    )  # fmt: skip
    asyncio.run(carried_out(run, workers))
    assert said[0] == "2 networks side by side on 1 machine"
    assert shown[-1] == (4, 4)
    assert [len(cell.runs) for cell in run.figures()[0]] == [2, 2]
    asked = {(call.scenario, call.seed, call.runs, call.state) for call in calls(plan)}
    assert asked == {
        (name, seed, 1, "ended") for name in ("leader-kill", "all-restart") for seed in (1, 2)
    }
    places = {(call.port_offset, call.directory) for call in calls(plan)}
    assert places == {
        (500 + 2000 * n, str(machine / f".devnet-worker/slot-{n + 1}/network")) for n in (0, 1)
    }
    for folder in run.done().values():
        assert folder.parent.parent == run.runs(small.cells[0])
        assert msgspec.json.decode((folder / NOTE).read_bytes())["machine"] == "127.0.0.1"
    log = (run.folder / "127.0.0.1-slot-1.log").read_text()
    assert "this is the batch of seed" in log
    assert not (run.folder / elsewhere.ASIDE).exists()

    shutil.rmtree(next(iter(run.done().values())))
    again, workers, _ = campaign(small, tmp_path, cluster)
    asyncio.run(carried_out(again, workers))
    assert len(again.done()) == 4
    assert len(calls(plan)) == 5


def test_a_batch_whose_worker_dies_is_run_elsewhere_and_ends_where_it_was(
    small: Matrix, tmp_path: Path, cluster: Cluster, plan: Path
) -> None:
    first = cluster.worker()
    (plan / "hold").write_text("1")
    run, workers, _ = campaign(small, tmp_path, cluster)

    async def work() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(carried_out(run, workers))
            await soon(lambda: states(plan) == ["held"])
            (plan / "hold").rename(plan / "linger")
            await asyncio.to_thread(cluster.worker)
            os.kill(first.pid, signal.SIGKILL)

    asyncio.run(work())
    was, *later = calls(plan)
    assert {call.state for call in later} == {"ended"}
    assert was.directory not in {call.directory for call in later}, "it is not clean yet"
    (plan / "linger").unlink()
    until(lambda: states(plan)[0] == "stopped")  # its worker took it along
    assert (was.scenario, was.seed, was.runs) in {(c.scenario, c.seed, c.runs) for c in later}
    assert len(run.done()) == 4


def test_a_campaign_that_is_broken_off_keeps_what_came_to_its_end(
    small: Matrix, tmp_path: Path, cluster: Cluster, plan: Path
) -> None:
    cluster.worker()
    (plan / "hold").write_text("1")
    run, workers, _ = campaign(small, tmp_path, cluster)

    async def work() -> None:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(carried_out(run, workers))
            await soon(lambda: states(plan) == ["held"])
            task.cancel()
        assert task.cancelled()

    asyncio.run(work())
    assert states(plan) == ["stopped"], "and the other never began"
    assert calls(plan)[0].scenario == small.cells[0].name
    assert len(run.done()) == 1
    (plan / "hold").unlink()
    again, workers, _ = campaign(small, tmp_path, cluster)
    asyncio.run(carried_out(again, workers))
    assert len(again.done()) == 4
    assert [call.seed for call in calls(plan)[1:]] == [2, 1]


def other_code(tmp_path: Path) -> Path:
    for package in ("dst", "devnet", "tests"):
        shutil.copytree(
            ROOT / package, tmp_path / "other" / package,
            ignore=shutil.ignore_patterns("formal", "conformance"),
        )  # fmt: skip
    with (tmp_path / "other" / "devnet" / "checkers" / "gap.py").open("a") as file:
        file.write("# another verdict\n")
    return tmp_path / "other"


def test_a_worker_of_other_code_is_refused_and_one_that_comes_later_sent_away(
    small: Matrix, tmp_path: Path, cluster: Cluster, plan: Path
) -> None:
    other = other_code(tmp_path)
    stranger = cluster.worker(code=other)
    (address,) = cluster.known
    run, workers, said = campaign(small, tmp_path, cluster)
    with pytest.raises(BadConfig, match=f"{address}: it runs other code than the campaign"):
        asyncio.run(carried_out(run, workers))
    assert not run.folder.exists()
    os.kill(stranger.pid, signal.SIGKILL)
    until(lambda: not cluster.known)

    cluster.worker()
    (plan / "hold").write_text("0")

    async def work() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(carried_out(run, workers))
            await soon(lambda: states(plan) == ["held"])
            late = await asyncio.to_thread(lambda: cluster.worker(code=other))
            await asyncio.to_thread(late.wait)
            (plan / "hold").unlink()
            os.kill(calls(plan)[0].pid, signal.SIGKILL)

    asyncio.run(work())
    assert any("is sent away: it runs other code" in line for line in said)
    assert not any("not carried out" in line for line in said), "its batch went elsewhere"
    assert len(run.done()) == 4


def test_what_finds_no_room_here_is_not_run_again_and_again(
    small: Matrix, tmp_path: Path, cluster: Cluster, plan: Path
) -> None:
    cluster.worker()
    run, workers, _ = campaign(small, tmp_path, cluster)
    run.folder.mkdir()
    written(run.folder / "runs", "no folder")
    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(carried_out(run, workers))
    assert caught.group_contains(OSError, match="runs")
    assert len({(call.scenario, call.seed) for call in calls(plan)}) == len(calls(plan))


def test_without_anybody_there_it_says_what_to_do(
    small: Matrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], cluster: Cluster,
) -> None:  # fmt: skip
    monkeypatch.setattr(elsewhere, "CONNECT_S", 0.5)
    words = ["campaign", str(tmp_path / "c.yaml"), "--out", str(tmp_path / "out"), "--workers"]

    def told(address: str, *more: str) -> str:
        assert main([*words, address, *more]) == Exit.HARNESS
        assert not (tmp_path / "out").exists()
        return capsys.readouterr().err

    assert "no Dask scheduler answers at tcp://127.0.0.1:1" in told("tcp://127.0.0.1:1")
    assert f"at {cluster.address} has no workers: dask worker" in told(cluster.address)
    assert "--jobs: not with --workers" in told(cluster.address, "--jobs", "2")
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "distributed", None)
        assert f"error: {HOW_TO_INSTALL}\n" in told(cluster.address)
    cluster.worker(threads=2)
    assert "there are ports for 1 networks side by side" in told(
        cluster.address, "--port-offset", "11000"
    )


def test_when_nobody_is_there_any_more_it_ends_and_says_so(
    small: Matrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Cluster, plan: Path
) -> None:
    monkeypatch.setattr(elsewhere, "RENEW_S", 0.1)
    monkeypatch.setattr(elsewhere, "NOBODY_S", 1.0)
    worker = cluster.worker()
    (plan / "hold").write_text("0")
    run, workers, _ = campaign(small, tmp_path, cluster)

    async def work() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(carried_out(run, workers))
            await soon(lambda: states(plan) == ["held"])
            os.kill(worker.pid, signal.SIGKILL)

    began = time.monotonic()
    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(work())
    assert time.monotonic() - began < STOP_S, "it waited for what nobody brings"
    assert caught.group_contains(NoWorkers, match="no worker at .* the same command goes on")
    until(lambda: states(plan) == ["stopped"])


def test_a_scheduler_that_ends_is_said(
    small: Matrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Cluster, plan: Path
) -> None:
    cluster.worker()
    (plan / "hold").write_text("0")
    run, workers, _ = campaign(small, tmp_path, cluster)

    async def work() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(carried_out(run, workers))
            await soon(lambda: states(plan) == ["held"])
            monkeypatch.setattr(elsewhere, "ANSWER_S", 1.0)
            await asyncio.to_thread(cluster.end)

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(work())
    assert caught.group_contains(NoWorkers, match="the Dask scheduler at .* is gone")


# On the worker's side.


@pytest.fixture
def worker() -> SimpleNamespace:
    return SimpleNamespace(address="tcp://10.0.0.2:4711", status=SimpleNamespace(name="running"))


@pytest.fixture
def order(
    plan: Path, machine: Path, worker: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Order]:
    monkeypatch.chdir(machine)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(errand, "dask", lambda: SimpleNamespace(get_worker=lambda: worker))
    monkeypatch.setattr(errand, "_leases", {})
    monkeypatch.setattr(errand, "LOOK_EVERY_S", 0.05)

    def made(seed: int = 1, **terms: Any) -> Order:
        bare: dict[str, Any] = {
            "campaign": "c", "code": code_of_runs(), "backend": "process", "needs": frozenset(),
            "port_offset": 0,
        }  # fmt: skip
        asked = ("--seed", str(seed), "--operators", "4")
        return Order(
            terms=Terms(**{**bare, **terms}), scenario=(ROOT / SCENARIO).read_text(),
            name="leader-kill", asked=asked, program=(*FAKE, str(plan)),
        )  # fmt: skip

    return made


def begun(orders: Sequence[Order]) -> list[Future[Parcel]]:
    """In threads that hold nobody up."""
    found = [Future[Parcel]() for _ in orders]

    def work(future: Future[Parcel], order: Order) -> None:
        future.set_result(msgspec.msgpack.decode(carry_out(order), type=Parcel))

    for each in zip(found, orders, strict=True):
        threading.Thread(target=work, args=each, daemon=True).start()
    return found


SCENARIO = "devnet/scenarios/leader-kill.yaml"


def test_a_batch_ends_with_the_lease_of_its_campaign(
    order: Callable[..., Order], plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errand, "LEASE_S", 3.0)
    (plan / "hold").write_text("0")
    (batch,) = begun([order()])
    found = batch.result(SOON_S)
    assert states(plan) == ["stopped"]
    assert (found.machine, found.slot, found.runs) == ("10.0.0.2", 1, [])
    errand.leave("c")
    assert errand.attend(order().terms) == ""
    (batch,) = begun([order()])
    empty = batch.result(SOON_S)
    assert (empty.slot, empty.runs, len(calls(plan))) == (0, [], 1), "it is not renewed"


def test_a_batch_ends_when_its_worker_closes(
    order: Callable[..., Order], worker: SimpleNamespace, plan: Path
) -> None:
    (plan / "hold").write_text("0")
    (batch,) = begun([order()])
    until(lambda: states(plan) == ["held"])
    worker.status.name = "closing"
    batch.result(SOON_S)
    assert states(plan) == ["stopped"]


def test_a_lease_is_renewed_until_the_campaign_leaves(order: Callable[..., Order]) -> None:
    assert errand.attend(order().terms) == ""
    first = errand._leases["c"]
    assert errand.attend(order().terms) == ""
    assert errand._leases["c"] > first
    errand.leave("c")
    assert errand.attend(order().terms) == ""
    assert errand._leases["c"] == errand.OVER


def test_batches_of_a_machine_share_no_slot_and_wait_for_one(
    order: Callable[..., Order], plan: Path
) -> None:
    (plan / "hold").write_text("0")
    batches = begun([order(seed, port_offset=9000) for seed in (1, 2, 3)])
    until(lambda: states(plan) == ["held", "held"])
    held = calls(plan)
    assert {call.port_offset for call in held} == {9000, 11000}
    (plan / "hold").unlink()
    os.kill(held[0].pid, signal.SIGKILL)
    until(lambda: len(calls(plan)) == 3 and states(plan)[2] == "ended")
    assert calls(plan)[2].directory == held[0].directory
    errand.leave("c")
    for batch in batches:
        batch.result(SOON_S)
    assert states(plan) == ["held", "stopped", "ended"]


def test_a_worker_that_is_no_longer_fit_is_found_out(
    order: Callable[..., Order], plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would fail, one after another, every batch that there is."""
    assert errand.attend(order().terms) == ""
    monkeypatch.setattr(errand, "LEAST_FREE_BYTES", 2**80)
    assert errand.attend(order().terms) == "", "nobody looks each time"
    with pytest.raises(errand.Unfit, match=r"MiB are free in .*\.devnet-worker"):
        carry_out(order())
    assert "MiB are free" in errand.attend(order().terms)
    assert calls(plan) == []


def test_what_a_machine_lacks_is_said_before_a_batch_begins(
    order: Callable[..., Order], plan: Path
) -> None:
    with pytest.raises(errand.Unfit, match="it runs other code"):
        carry_out(order(code="of yesterday"))
    assert "it runs other code" in errand.attend(order(code="of yesterday").terms)
    assert calls(plan) == []


def test_the_command_ends_with_its_standard_input(tmp_path: Path) -> None:
    """The real one, whose network would take a while."""
    words = [sys.executable, *PROGRAM, "run", "leader-kill", "--backend", "process", "--dir"]
    words += [str(tmp_path / "network"), "--out", str(tmp_path / "runs"), "--port-offset", "2300"]
    with subprocess.Popen(
        [*words, "--stop-with-stdin"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as process:
        _, said = process.communicate(b"words that it does not read\n", timeout=SOON_S)
    assert process.returncode == Exit.HARNESS
    assert b"stopping: taking back what stands" in said


# Parcels.


def folder_of_a_run(root: Path, name: str, **files: bytes) -> Path:
    folder = root / name
    (folder / "logs").mkdir(parents=True)
    for file, data in files.items():
        (folder / file.replace("__", "/").replace("_", ".")).write_bytes(data)
    return folder


def test_a_parcel_is_what_was_packed(tmp_path: Path) -> None:
    log = written(tmp_path / "log", "last words")
    files = {"manifest_json": b"{}", "history_ndjson": b"1\n2\n" * 999, "logs__op1_log": b"x" * 99}
    folder = folder_of_a_run(tmp_path / "there", "t-1", **files)
    found = packed([folder], machine="m", slot=2, log=log)
    assert (found.left, found.runs[0].cut) == ([], [])
    into, aside = tmp_path / "here", tmp_path / "aside"
    first, second = (unpacked(found, into, aside)[0] for _ in range(2))
    assert (first.name, second.name) == ("t-1", "t-1-2")
    (second / NOTE).unlink()
    assert {p.relative_to(second): p.read_bytes() for p in second.rglob("*") if p.is_file()} == {
        p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }
    assert msgspec.json.decode((first / NOTE).read_bytes()) == {
        "machine": "m", "slot": 2, "cut": [],
    }  # fmt: skip


def test_logs_are_cut_before_records_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parcel, "MOST_OF_A_LOG", 3000)
    noise = os.urandom(5000)
    runs = [
        folder_of_a_run(tmp_path, f"t-{n}", history_gz=noise, logs__a_log=noise, logs__b_log=noise)
        for n in (1, 2)
    ]
    found = packed(runs, machine="m", slot=1, log=tmp_path / "none", most=13_500)
    assert [sorted(run.files) for run in found.runs] == [
        ["history.gz", "logs/a.log"], ["history.gz"],
    ]  # fmt: skip
    assert found.runs[0].cut == [
        "logs/a.log: the last 3000 of 5000 bytes", "logs/b.log: left out, 5000 bytes",
    ]  # fmt: skip
    assert len(found.runs[1].cut) == 2
    (first, _) = unpacked(found, tmp_path / "here", tmp_path / "aside")
    assert (first / "logs" / "a.log").read_bytes() == noise[2000:]
    assert msgspec.json.decode((first / NOTE).read_bytes())["cut"] == found.runs[0].cut
    small = packed(runs, machine="m", slot=1, log=tmp_path / "none", most=9000)
    assert [run.name for run in small.runs] == ["t-1"]
    assert small.left == ["t-2: more than 9000 bytes with history.gz"]


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", ""])
def test_a_parcel_leads_nowhere_else(name: str, tmp_path: Path) -> None:
    foreign = Parcel("m", 1, [PackedRun("t-1", {name: b""}, [])])
    with pytest.raises(ValueError, match="is no name of a file"):
        unpacked(foreign, tmp_path / "here", tmp_path / "aside")
    with pytest.raises(ValueError, match="is no name of a file"):
        unpacked(Parcel("m", 1, [PackedRun("..", {}, [])]), tmp_path, tmp_path)
