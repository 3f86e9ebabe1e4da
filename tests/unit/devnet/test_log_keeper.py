"""A program that floods its log keeps the beginning and the end of it, and fills no disk."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from devnet.backends import launch
from devnet.network.log_keeper import HEAD, MOST, TAIL, LogKeeper
from devnet.views.logs import show_logs
from tests.unit.devnet.test_process_backend import eventually

FLOOD = "import os\nn = 0\nwhile True:\n    os.write(1, b'line %d\\n' % n)\n    n += 1"
"""Hundreds of thousands of lines a second, each whole."""
KIB = 1024


@pytest.fixture(params=["process", "container"])
def flooding(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A log that grows for ever, opened as each backend does."""
    log = tmp_path / "op1.rollup.log"
    command = [sys.executable, "-c", FLOOD]
    if request.param == "process":
        with log.open("ab") as file:
            program = subprocess.Popen(command, stdout=file)
    else:
        program = subprocess.Popen([sys.executable, launch.__file__, str(log), "-", *command])
    yield log
    program.kill()
    program.wait()


def keeper(folder: Path, said: list[str]) -> LogKeeper:
    return LogKeeper(folder, said.append, most=256 * KIB, head=4 * KIB, tail=64 * KIB)


def grown(log: Path) -> None:
    """Beyond what is allowed."""
    deadline = time.monotonic() + 30
    while not log.exists() or log.stat().st_size <= 256 * KIB:
        assert time.monotonic() < deadline, "it does not grow"
        time.sleep(0.01)


def test_a_flood_is_cut_again_and_again_and_goes_on(flooding: Path) -> None:
    said: list[str] = []
    small = keeper(flooding.parent, said)
    for _ in range(3):
        grown(flooding)
        small.look()
        lines = flooding.read_text().splitlines()[:-1]
        assert lines[0] == "line 0"
        (mark,) = (at for at, line in enumerate(lines) if not line.startswith("line "))
        assert lines[mark].startswith("[devnet: ")
        kept = [int(line.split()[1]) for line in (*lines[:mark], *lines[mark + 1 :])]
        gap, last_of_first = max((b - a, a) for a, b in pairwise(kept))
        assert gap > 1000
        assert last_of_first < 4 * KIB, "the beginning is that of the first time"
        assert len(lines) - mark > 4000, "the end, to what is said now"
    assert len(said) == 1
    assert said[0].startswith("op1.rollup has said more than ")


def test_what_is_left_out_is_counted_over_all_cuts(tmp_path: Path) -> None:
    log, small = tmp_path / "a.log", keeper(tmp_path, [])
    for _ in range(2):
        with log.open("ab") as file:
            file.write(b"0123456789abcde\n" * 20_000)
        small.look()
    text = log.read_bytes()
    marks = [line for line in text.splitlines() if line.startswith(b"[devnet")]
    kept = len(text) - sum(len(mark) + 1 for mark in marks)
    assert [int(mark.split()[1]) for mark in marks] == [pytest.approx(640_000 - kept, abs=50)]
    assert kept <= 68 * KIB


def test_what_is_within_its_bound_is_left_alone_and_what_cannot_be_cut_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.log").write_bytes(b"x\n" * 1000)
    said: list[str] = []
    keeper(tmp_path, said).look()
    assert (tmp_path / "a.log").stat().st_size == 2000

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.truncate", refuse)
    (tmp_path / "b.log").write_bytes(b"x\n" * 200_000)
    small = keeper(tmp_path, said)
    small.look()
    small.look()
    assert said[1:] == [f"{tmp_path / 'b.log'} cannot be kept small: Permission denied"]
    assert HEAD + TAIL < MOST


def test_who_follows_a_log_goes_on_after_a_cut(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    log, small = logs / "op1.rollup.log", keeper(logs, [])
    log.write_bytes(b"before\n" * 100_000)
    turn = iter(range(4))

    def sleep(_: float) -> None:
        match next(turn):
            case 0:
                small.look()
            case 2:
                with log.open("ab") as file:
                    file.write(b"after\n")
            case 3:
                raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    assert show_logs(tmp_path, "op1", follow=True) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["before"] * 100_000 + ["after"]


async def test_it_looks_as_long_as_it_runs(flooding: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devnet.network.log_keeper.LOOK_EVERY_S", 0.01)
    said: list[str] = []
    task = asyncio.get_running_loop().create_task(keeper(flooding.parent, said).run())
    await eventually(lambda: bool(said))
    task.cancel()
