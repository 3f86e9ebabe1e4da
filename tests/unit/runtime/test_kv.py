"""A store that a disk has changed is refused; one that a crash or a power loss left is not."""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from dst.runtime.kv import open_database
from dst.spec.errors import BadConfig, StoreDamaged

COMMITS = 12
HEADER, FRAME = 32, 24 + 4096


def killed(folder: Path, *, checkpoint_after: int | None = None) -> Path:
    """A store as SIGKILL leaves it: one row a commit."""
    written = folder / "written" / "store.sqlite"
    connection = open_database(written, durable=True)
    connection.execute("CREATE TABLE kept (number INTEGER)")
    for number in range(COMMITS):
        connection.execute("INSERT INTO kept VALUES (?)", (number,))
        if number == checkpoint_after:
            connection.execute("PRAGMA wal_checkpoint")
    left = folder / "left"
    shutil.copytree(written.parent, left)
    connection.close()
    return left / "store.sqlite"


def rows(store: Path) -> int:
    connection = open_database(store, durable=True)
    (count,) = connection.execute("SELECT count(*) FROM kept").fetchone()
    connection.close()
    return int(count)


def log_of(store: Path) -> Path:
    return store.with_name(store.name + "-wal")


def frames_in(log: Path) -> int:
    return (log.stat().st_size - HEADER) // FRAME


def flip(file: Path, place: int) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 0x10
    file.write_bytes(data)


@pytest.mark.parametrize("checkpoint_after", [None, 0, 5, COMMITS - 1])
def test_a_killed_store_opens_with_all_it_committed(
    tmp_path: Path, checkpoint_after: int | None
) -> None:
    """Also where a checkpoint made room, and old frames lie behind the new ones."""
    assert rows(killed(tmp_path, checkpoint_after=checkpoint_after)) == COMMITS


@pytest.mark.parametrize("place", [0, 3, 12, 23, 30, FRAME // 2, FRAME - 1])
def test_a_flipped_bit_before_the_last_commit_of_the_log_is_noticed(
    tmp_path: Path, place: int
) -> None:
    """Without the look SQLite opens it, with those rows alone that came before. And at each start
    again: a look that leads to no refusal the next time would be none."""
    store = killed(tmp_path)
    log = log_of(store)
    for frame in range(frames_in(log) - 2):
        work = tmp_path / f"frame-{frame}"
        shutil.copytree(store.parent, work)
        flip(work / log.name, HEADER + frame * FRAME + place)
        for _ in range(2):
            with pytest.raises(StoreDamaged, match=r"behind frame \d+, and \d+ commits .*rejoin"):
                open_database(work / store.name, durable=True)
            assert log_of(work / store.name).stat().st_size == log.stat().st_size


@pytest.mark.parametrize("place", range(4, HEADER))
def test_a_flipped_bit_in_the_head_of_the_log_is_noticed(tmp_path: Path, place: int) -> None:
    store = killed(tmp_path)
    flip(log_of(store), place)
    for _ in range(2):
        with pytest.raises(
            (BadConfig, StoreDamaged), match=r"head of its write-ahead log|cannot be used"
        ):
            open_database(store, durable=True)


@pytest.mark.parametrize("index", ["as it was", "gone", "empty", "of another time"])
def test_what_lies_in_the_index_of_the_log_at_the_start_does_not_count(
    tmp_path: Path, index: str
) -> None:
    """SQLite makes it anew. Of another time: it says that all frames are valid."""
    for damaged in (False, True):
        store = killed(tmp_path / str(damaged))
        place = store.with_name(store.name + "-shm")
        match index:
            case "gone":
                place.unlink()
            case "empty":
                place.write_bytes(b"")
            case "of another time":
                data = bytearray(place.read_bytes())
                data[16:20] = (10_000).to_bytes(4, sys.byteorder)
                place.write_bytes(data)
        if damaged:
            flip(log_of(store), HEADER + 4 * FRAME + 50)
            with pytest.raises(StoreDamaged):
                open_database(store, durable=True)
        else:
            assert rows(store) == COMMITS


@pytest.mark.parametrize("left", [0, HEADER - 1])
def test_a_log_without_a_frame_is_one_that_was_just_begun(tmp_path: Path, left: int) -> None:
    store = killed(tmp_path, checkpoint_after=COMMITS - 1)
    os.truncate(log_of(store), left)
    assert rows(store) == COMMITS


def test_a_log_whose_database_is_gone_is_not_thrown_away(tmp_path: Path) -> None:
    """SQLite deletes it where the database is empty."""
    store = killed(tmp_path)
    os.truncate(store, 0)
    for _ in range(2):
        with pytest.raises(StoreDamaged, match="nothing is left of it but its write-ahead log"):
            open_database(store, durable=True)


_AS_ANOTHER = """
import os, sys
from pathlib import Path
from dst.runtime.kv import open_database
from dst.spec.errors import DstError
if os.getuid() == 0:
    os.setuid(65534)
try:
    open_database(Path(sys.argv[1]), durable=True)
except DstError as error:
    print(error)
"""


@pytest.mark.parametrize("index", ["there", "gone"])
def test_where_nothing_can_be_written_a_store_is_refused(tmp_path: Path, index: str) -> None:
    """The index of today is then in SQLite's memory alone, so nobody can tell what it skips."""
    store = killed(tmp_path)
    if index == "gone":
        store.with_name(store.name + "-shm").unlink()
    flip(log_of(store), HEADER + 4 * FRAME + 50)
    for each in store.parent.iterdir():
        each.chmod(0o444)
    store.parent.chmod(0o555)
    for above in (tmp_path, *tmp_path.parents[:2]):
        above.chmod(above.stat().st_mode | 0o055)
    words = [sys.executable, "-c", _AS_ANOTHER, str(store)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    store.parent.chmod(0o755)
    assert "cannot be used" in done.stdout, done.stderr
    for each in store.parent.iterdir():
        each.chmod(0o644)
    with pytest.raises(StoreDamaged, match="behind frame"):
        open_database(store, durable=True)


@pytest.mark.parametrize("missing", [1, 100, FRAME - 1])
def test_a_last_commit_that_a_power_loss_cut_short_was_never_made(
    tmp_path: Path, missing: int
) -> None:
    store = killed(tmp_path)
    log = log_of(store)
    log.write_bytes(log.read_bytes()[:-missing])
    assert rows(store) == COMMITS - 1


def test_a_last_commit_of_which_not_all_was_flushed_was_never_made(tmp_path: Path) -> None:
    """Its frame is there, what belongs into it is not."""
    store = killed(tmp_path)
    log = log_of(store)
    log.write_bytes(log.read_bytes()[:-4000] + bytes(4000))
    assert rows(store) == COMMITS - 1


def test_a_store_that_promises_nothing_may_lose_its_tail(tmp_path: Path) -> None:
    """Not flushed at each commit, it can be torn at any place, and is refilled."""
    store = killed(tmp_path)
    flip(log_of(store), HEADER + 4 * FRAME + 50)
    connection = open_database(store, durable=False)
    (count,) = connection.execute("SELECT count(*) FROM kept").fetchone()
    assert 0 < count < COMMITS


def test_an_index_that_tells_other_than_its_table_is_noticed(tmp_path: Path) -> None:
    store = tmp_path / "store.sqlite"
    connection = open_database(store, durable=True)
    connection.execute("CREATE TABLE kept (number INTEGER UNIQUE, root BLOB)")
    connection.execute("INSERT INTO kept VALUES (1000000007, ?)", (b"r" * 32,))
    connection.close()
    number = (1000000007).to_bytes(4, "big")
    places = [
        at for at in range(store.stat().st_size) if store.read_bytes()[at:].startswith(number)
    ]
    assert len(places) == 2, "in the table and in its index"
    for place in places:
        flip(store, place)
        with pytest.raises(StoreDamaged):
            open_database(store, durable=True)
        flip(store, place)
    assert isinstance(open_database(store, durable=True), sqlite3.Connection)


@pytest.mark.parametrize("durable", [True, False])
def test_damage_whose_description_is_no_text_is_damage(tmp_path: Path, durable: bool) -> None:
    """SQLite names what is wrong in the file's own words: of a table or index, bit by bit."""
    store = tmp_path / "store.sqlite"
    with open_database(store, durable=durable) as connection:
        connection.execute("CREATE TABLE kept (number INTEGER)")
        connection.execute("CREATE INDEX by_number ON kept (number)")
        connection.execute("INSERT INTO kept VALUES (7)")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    sound = store.read_bytes()
    names = range(sound.index(b"indexby_number"), 4096)
    refused = 0
    for place in names:
        store.write_bytes(sound)
        data = bytearray(sound)
        data[place] ^= 0x80
        store.write_bytes(data)
        try:
            open_database(store, durable=durable).close()
        except (BadConfig, StoreDamaged):
            refused += 1
    assert refused
