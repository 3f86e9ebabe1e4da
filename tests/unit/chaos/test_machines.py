"""How a fault finds out what programs say of their clocks and disks: against roles that tell it as
the shipped ones do."""

import asyncio
import contextlib
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from devnet.model.topology import HIGHEST_OFFSET, Topology, compute_topology
from devnet.network.programs import MACHINE_FILE, MACHINE_FOLDER
from devnet.runner import machines as module
from devnet.runner.machines import LiveMachines
from dst.runtime import http
from dst.runtime.http import make_app, serving
from dst.runtime.machine import Drill
from dst.runtime.metrics import Metrics
from tests.ports import WORKER, WORKERS

PROGRAMS = ("op1.middleware", "op1.validator")
PROBE = "probe>op1.middleware"


def a_topology() -> Topology:
    """Whose port of the probe nobody has: tests run side by side, and so may networks."""
    for offset in range(100 * WORKER, HIGHEST_OFFSET, 100 * WORKERS):
        topology = compute_topology(operators=4, followers=1, port_offset=offset)
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind(("127.0.0.1", topology.host_port(PROBE)))
            return topology
    raise AssertionError("every port is taken")


@asynccontextmanager
async def a_middleware(
    directory: Path, monkeypatch: pytest.MonkeyPatch, waits: tuple[str, ...] = ()
) -> AsyncIterator[tuple[LiveMachines, Drill]]:
    for name in PROGRAMS:
        folder(directory, name).mkdir(parents=True)
    drill = Drill(folder(directory, PROGRAMS[0]) / MACHINE_FILE)
    monkeypatch.setattr(http, "DRILL", drill)
    app = make_app(Metrics(), [], waits_for=lambda: waits)
    topology = a_topology()
    async with (
        serving(app, f"127.0.0.1:{topology.host_port(PROBE)}", what="test"),
        aiohttp.ClientSession() as session,
    ):
        yield LiveMachines(directory, topology, session), drill


def folder(directory: Path, name: str) -> Path:
    node, _, role = name.partition(".")
    return directory / "nodes" / node / role / MACHINE_FOLDER


async def test_a_clock_is_as_set_when_the_program_tells_that_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_middleware(tmp_path, monkeypatch) as (machines, _):
        assert await machines.not_telling(PROGRAMS, ahead_s=0.0, drift=0.0) == ""
        await machines.change(PROGRAMS, ahead_s=2.5)
        assert await machines.not_telling(PROGRAMS, ahead_s=2.5, drift=0.0) == ""
        assert "set otherwise" in await machines.not_telling(PROGRAMS, ahead_s=0.0, drift=0.0)
        monkeypatch.setattr(http, "DRILL", Drill(tmp_path / "deaf"))  # it does not heed its file
        told = await machines.not_telling(PROGRAMS, ahead_s=2.5, drift=0.0)
        assert "op1.middleware is" in told
        assert "not as set" in told


async def test_a_clock_that_a_right_one_could_be_proves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the program heeds its file is not seen by then."""
    async with a_middleware(tmp_path, monkeypatch) as (machines, _):
        await machines.change(PROGRAMS, ahead_s=0.005)
        told = await machines.not_telling(PROGRAMS, ahead_s=0.005, drift=0.0)
        assert told == "the clock of op1.middleware cannot be told from a right one"
        await machines.change(PROGRAMS, ahead_s=0.0, drift=0.001, since=time.time() - 5)
        assert "cannot be told" in await machines.not_telling(PROGRAMS, ahead_s=0.0, drift=0.001)
        await machines.change(PROGRAMS, since=time.time() - 500)
        assert await machines.not_telling(PROGRAMS, ahead_s=0.0, drift=0.001) == ""


async def test_every_program_that_tells_the_time_has_to_be_heard_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After that another fault may stand there."""
    both = (*PROGRAMS, "op1.rollup")
    folder(tmp_path, "op1.rollup").mkdir(parents=True)
    async with a_middleware(tmp_path, monkeypatch) as (machines, _):
        await machines.change(both, ahead_s=2.5)
        assert (
            await machines.not_telling(both, ahead_s=2.5, drift=0.0) == "no answer from op1.rollup"
        )
        machines._heeds.add("op1.rollup")
        assert await machines.not_telling(both, ahead_s=2.5, drift=0.0) == ""


async def test_a_flush_of_before_is_no_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = PROGRAMS[:1]
    async with a_middleware(tmp_path, monkeypatch) as (machines, drill):
        drill.flushed(0.7)
        await machines.change(one, flush_s=0.05)
        assert "took 0.700 s" in await machines.not_slow(one, 0.05)
        await asyncio.to_thread(drill.flushed, 0.001)
        assert await machines.not_slow(one, 0.05) == ""


async def test_two_faults_on_a_machine_leave_each_other_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_middleware(tmp_path, monkeypatch) as (machines, drill):
        await machines.change(PROGRAMS, ahead_s=2.5)
        await machines.change(PROGRAMS[:1], flush_s=0.3)
        await machines.change(PROGRAMS, ahead_s=0.0)
        assert (drill.machine.ahead_s, drill.machine.flush_s) == (0.0, 0.3)
        await machines.change(PROGRAMS[:1], flush_s=0.0)
        assert not (folder(tmp_path, PROGRAMS[0]) / MACHINE_FILE).exists(), "all is as it is"


async def test_a_slow_disk_shows_with_the_next_flush(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = PROGRAMS[:1]
    async with a_middleware(tmp_path, monkeypatch) as (machines, drill):
        await machines.change(one, flush_s=0.05)
        assert "took 0.000 s" in await machines.not_slow(one, 0.05)
        await asyncio.to_thread(drill.flushed, 0.001)
        assert await machines.not_slow(one, 0.05) == ""
        told = re.search(r"took ([0-9.]+) s", await machines.not_quick(one, 0.05))
        assert told is not None
        assert float(told[1]) >= 0.05
        await machines.change(one, flush_s=0.0)
        drill.flushed(0.001)
        assert await machines.not_quick(one, 0.05) == ""


async def test_a_full_disk_is_what_the_program_says_it_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = PROGRAMS[:1]
    said = (f"{module.ROOM} of nodes/op1/middleware/data/middleware.sqlite",)
    async with a_middleware(tmp_path / "a", monkeypatch, said) as (machines, _):
        assert await machines.not_full(one) == ""
        assert await machines.not_roomy(one)
    async with a_middleware(tmp_path / "b", monkeypatch) as (machines, _):
        assert await machines.not_full(one) == "op1.middleware waits for no room"
        assert await machines.not_roomy(one) == ""
    async with aiohttp.ClientSession() as session:
        gone = LiveMachines(tmp_path, a_topology(), session)
        assert "no answer" in await gone.not_roomy(one)
        assert await gone.not_full(one)


async def test_a_validator_says_in_its_log_that_its_disk_is_full(tmp_path: Path) -> None:
    one, log = ["op1.validator"], tmp_path / "logs" / "op1.validator.log"
    log.parent.mkdir()
    words = {
        b"": False,
        b"12:00 error validator disk_full_not_signing store=x do=free\n": True,
        b"12:01 info validator missed slot=7\n": True,
        b"12:02 info validator disk_takes_writes_again store=x\n": False,
        b"12:03 error validator disk_full_not_signing store=x do=free\n": True,
        b"12:04 info validator ready slot=9\n": False,
    }
    async with aiohttp.ClientSession() as session:
        machines = LiveMachines(tmp_path, a_topology(), session)
        assert await machines.not_full(one), "it has no log yet"
        for line, is_full in words.items():
            with log.open("ab") as end:
                end.write(line)
            assert (await machines.not_full(one) == "") is is_full, line
            assert (await machines.not_roomy(one) == "") is not is_full, line


async def test_what_a_killed_run_left_on_a_machine_is_told(tmp_path: Path) -> None:
    for name in PROGRAMS:
        folder(tmp_path, name).mkdir(parents=True)
    async with aiohttp.ClientSession() as session:
        machines = LiveMachines(tmp_path, a_topology(), session)
        assert machines.left() == {}
        await machines.change([PROGRAMS[0]], full=True, ahead_s=2.5)
        (folder(tmp_path, PROGRAMS[1]) / MACHINE_FILE).write_text("{")
        found = machines.left()
        assert set(found) == set(PROGRAMS)
        assert "full=True" in found[PROGRAMS[0]]
        assert "ahead_s=2.5" in found[PROGRAMS[0]]
        assert found[PROGRAMS[1]].startswith("machine file: ")
        (folder(tmp_path, PROGRAMS[1]) / MACHINE_FILE).unlink()
        await machines.change([PROGRAMS[0]], full=False, ahead_s=0.0)
        assert machines.left() == {}
