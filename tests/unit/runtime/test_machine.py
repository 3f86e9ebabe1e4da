"""A machine as a drill makes it, and crash points: what a role does with both, and that nothing of
it is there when nobody asks."""

import json
import resource
import sqlite3
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from dst.runtime import kv
from dst.runtime.crash_points import armed, crash_point
from dst.runtime.disk import DiskFull, Room
from dst.runtime.log import Logger
from dst.runtime.machine import DRILL, Drill, connect, wall_clock
from dst.spec.drills import CRASH_EXIT_CODE, CRASH_POINTS, Machine
from dst.spec.errors import BadConfig


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "machine.json"


def test_nobody_asks_for_a_drill_here() -> None:
    assert DRILL is None
    assert wall_clock is time.time
    assert type(connect(Path(":memory:"), flushes=True)) is sqlite3.Connection
    for point in CRASH_POINTS:
        crash_point(point)


# ---------------------------------------------------------------------- clock


def test_the_clock_goes_as_the_file_says_from_one_reading_to_the_next(file: Path) -> None:
    drill = Drill(file)
    assert drill.clock() == pytest.approx(time.time(), abs=0.1)
    file.write_text('{"ahead_s": 5}')
    assert drill.clock() == pytest.approx(time.time() + 5, abs=0.1)
    file.with_suffix(".new").write_text('{"ahead_s": -7.5}')
    file.with_suffix(".new").replace(file)
    assert drill.clock() == pytest.approx(time.time() - 7.5, abs=0.1)
    file.unlink()
    assert drill.clock() == pytest.approx(time.time(), abs=0.1)


def test_a_clock_that_drifts_gains_with_time() -> None:
    machine = Machine(drift=0.01, since=1000.0)
    assert machine.clock(1000.0) == 1000.0
    assert machine.clock(1100.0) == pytest.approx(1101.0)
    assert Machine(ahead_s=2.0).clock(50.0) == 52.0


def test_a_file_that_cannot_be_read_is_told_and_changes_nothing(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    drill = Drill(file)
    file.write_text('{"ahead_s": 5}')
    assert drill.machine.ahead_s == 5
    file.write_text('{"ahead": 6}')
    assert drill.machine.ahead_s == 5
    assert "machine_file_unreadable" in caplog.text


# ----------------------------------------------------------------------- disk


def database(file: Path, *, flushes: bool = True) -> tuple[Drill, sqlite3.Connection]:
    drill = Drill(file)
    connection = connect(file.with_name("store.sqlite"), flushes=flushes, drill=drill)
    connection.execute("CREATE TABLE IF NOT EXISTS kept (number INTEGER)")
    return drill, connection


def count(connection: sqlite3.Connection) -> int:
    (found,) = connection.execute("SELECT count(*) FROM kept").fetchone()
    return int(found)


def put_alone(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO kept VALUES (1)")


def put_in_block(connection: sqlite3.Connection) -> None:
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO kept VALUES (1)")


def put_and_commit(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO kept VALUES (1)")
    connection.execute("COMMIT")


@pytest.mark.parametrize("put", [put_alone, put_in_block, put_and_commit])
def test_a_full_disk_takes_no_write_and_changes_nothing(put, file: Path) -> None:  # type: ignore[no-untyped-def]
    _, connection = database(file)
    put(connection)
    file.write_text('{"full": true}')
    with pytest.raises(DiskFull), Room(file, Logger("test")).needed():
        put(connection)
    assert not connection.in_transaction
    assert count(connection) == 1
    file.unlink()
    put(connection)
    assert count(connection) == 2


@pytest.mark.parametrize("put", [put_alone, put_in_block, put_and_commit])
def test_a_slow_disk_holds_each_commit_once_and_no_read(put, file: Path) -> None:  # type: ignore[no-untyped-def]
    drill, connection = database(file)
    file.write_text('{"flush_s": 0.15}')
    before = time.monotonic()
    put(connection)
    assert 0.15 <= time.monotonic() - before < 0.29
    assert drill.last_flush_s >= 0.15
    before = time.monotonic()
    count(connection)
    assert time.monotonic() - before < 0.1


def test_a_slow_flush_ends_when_it_is_taken_back(file: Path) -> None:
    drill = Drill(file)
    file.write_text('{"flush_s": 30}')
    threading.Timer(0.2, file.unlink).start()
    before = time.monotonic()
    drill.flushed(0.0)
    took = time.monotonic() - before
    assert 0.2 <= took < 10
    assert drill.last_flush_s == pytest.approx(took, abs=0.1)


@pytest.mark.parametrize(
    "text",
    ['{"flush_s": 61}', '{"flush_s": 1e400}', '{"ahead_s": 1e308}', '{"drift": 1e308}'],
)
def test_a_machine_beyond_all_measure_is_told_and_changes_nothing(
    text: str, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_text(text)
    drill = Drill(file)
    assert drill.clock() == pytest.approx(time.time(), abs=1)
    assert drill.machine == Machine()
    assert "machine_file_unreadable" in caplog.text


def test_a_store_that_does_not_flush_each_commit_is_not_slowed(file: Path) -> None:
    drill, connection = database(file, flushes=False)
    file.write_text('{"flush_s": 5}')
    put_in_block(connection)
    assert drill.last_flush_s == 0


def test_a_file_stops_growing_and_may_grow_again(file: Path) -> None:
    """In a process of its own: the limit is the process's."""
    program = """
import sys
from pathlib import Path
from dst.runtime.machine import Drill
file, data = Path(sys.argv[1]), Path(sys.argv[2])
drill = Drill(file)
file.write_text('{"full": true}')
drill.limit_file(data)
try:
    with data.open("ab", buffering=0) as grown:
        grown.write(b"x")
except OSError as error:
    print(error.errno)
file.unlink()
drill.limit_file(data)
with data.open("ab", buffering=0) as grown:
    print(grown.write(b"xyz"))
"""
    data = file.with_name("data")
    data.write_bytes(b"12345")
    words = [sys.executable, "-c", program, str(file), str(data)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["27", "3"], done.stderr  # EFBIG
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_every_store_is_opened_through_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dst.runtime.kv.connect", partial(connect, drill=Drill(file)))
    store = kv.open_database(file.with_name("store.sqlite"), durable=True)
    store.execute("CREATE TABLE kept (number INTEGER)")
    file.write_text('{"full": true}')
    with pytest.raises(sqlite3.OperationalError, match="full"):
        put_in_block(store)


# --------------------------------------------------------------- crash points


@pytest.mark.parametrize("text", ["nowhere", "vote-after-persist:0", "vote-after-persist:x", ":2"])
def test_a_point_that_is_none_is_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(BadConfig, match="vote-after-persist"):
        armed(text)


def passing(text: str) -> "subprocess.CompletedProcess[str]":
    program = """
from dst.runtime import log
from dst.runtime.crash_points import crash_point
log.configure("op1", "info")
for number in range(3):
    crash_point("vote-before-persist")
    crash_point("vote-after-persist")
    print(number, flush=True)
"""
    return subprocess.run(
        [sys.executable, "-c", program],
        env={"DST_CRASH_AT": text},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_role_ends_at_its_point_the_asked_time_and_says_so() -> None:
    done = passing("vote-after-persist:2")
    assert (done.returncode, done.stdout.split()) == (CRASH_EXIT_CODE, ["0"])
    assert "crash_point" in done.stderr
    assert "vote-after-persist" in done.stderr
    assert "drill armed DST_CRASH_AT=vote-after-persist:2" in done.stderr
    other = passing("decision-after-persist")
    assert other.returncode == 0
    assert other.stderr.count("armed") == 1
    assert passing("").stderr == ""


def test_every_point_is_passed_somewhere_in_its_role() -> None:
    source = {
        role: "".join(path.read_text() for path in Path(kv.__file__).parents[1].rglob(pattern))
        for role, pattern in (
            ("middleware", "middleware/*.py"),
            ("rollup", "rollup/*.py"),
            ("validator", "validator/*.py"),
            ("execution", "runtime/tables.py"),
        )
    }
    for name, point in CRASH_POINTS.items():
        assert json.dumps(name) in source[point.role], name
