"""A store that a disk has changed is refused; one that a crash or a power loss left is not."""

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from dst.runtime.kv import BESIDE, Flushes, has_schema, open_database
from dst.spec.errors import BadConfig, StoreDamaged

COMMITS = 12
TABLE = "CREATE TABLE kept (number INTEGER)"
HEADER, FRAME = 32, 24 + 4096


def killed(folder: Path, *, checkpoint_after: int | None = None) -> Path:
    """A store as SIGKILL leaves it: one row a commit."""
    written = folder / "written" / "store.sqlite"
    connection = open_database(written, durable=True)
    connection.execute(TABLE)
    flushes = Flushes(written, connection)
    for number in range(COMMITS):
        with flushes.one():
            connection.execute("INSERT INTO kept VALUES (?)", (number,))
        if number == checkpoint_after:
            connection.execute("PRAGMA wal_checkpoint")
    left = folder / "left"
    shutil.copytree(written.parent, left)
    flushes.close()
    connection.close()
    return left / "store.sqlite"


def cut_short(folder: Path) -> Path:
    """As a power loss leaves it while the last commit is flushed: that is not counted yet."""
    store = killed(folder)
    counts = count_of(store)
    last, before = counts.read_bytes()[:12], counts.read_bytes()[12:]
    assert COMMITS % 2 == 0, "so the last one stands in the first place"
    assert last != before
    counts.write_bytes(before + before)
    return store


def rows(store: Path) -> int:
    connection = open_database(store, durable=True)
    (count,) = connection.execute("SELECT count(*) FROM kept").fetchone()
    connection.close()
    return int(count)


def log_of(store: Path) -> Path:
    return store.with_name(store.name + "-wal")


def frames_in(log: Path) -> int:
    return (log.stat().st_size - HEADER) // FRAME


def count_of(store: Path) -> Path:
    return store.with_name(store.name + "-flushed")


def flip(file: Path, place: int, bit: int = 4) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 1 << bit
    file.write_bytes(data)


@pytest.mark.parametrize("checkpoint_after", [None, 0, 5, COMMITS - 1])
def test_a_killed_store_opens_with_all_it_committed(
    tmp_path: Path, checkpoint_after: int | None
) -> None:
    """Also where a checkpoint made room, and old frames lie behind the new ones."""
    assert rows(killed(tmp_path, checkpoint_after=checkpoint_after)) == COMMITS


@pytest.mark.parametrize("checkpoint_after", [None, 5])
@pytest.mark.parametrize("place", [0, 3, 7, 12, 23, 30, FRAME // 2, FRAME - 1])
def test_a_flipped_bit_anywhere_in_the_log_is_noticed(
    tmp_path: Path, place: int, checkpoint_after: int | None
) -> None:
    """In the very last commit, too. Without the look SQLite opens it, with those rows alone that
    came before. And at each start again: a look that leads to no refusal the next time would be
    none."""
    store = killed(tmp_path, checkpoint_after=checkpoint_after)
    log = log_of(store)
    frames = frames_in(log)
    here = range(frames) if checkpoint_after is None else range(2)
    for frame in here:
        work = tmp_path / f"frame-{frame}"
        shutil.copytree(store.parent, work)
        flip(work / log.name, HEADER + frame * FRAME + place)
        for _ in range(2):
            with pytest.raises(StoreDamaged, match=r"commits were flushed .*rejoin"):
                open_database(work / store.name, durable=True)
            assert log_of(work / store.name).stat().st_size == log.stat().st_size


def test_any_bit_of_the_head_of_the_last_commits_frame_is_noticed(tmp_path: Path) -> None:
    """Also its salts, and that it is a commit at all."""
    store = killed(tmp_path)
    log = log_of(store)
    for bit in range(0, 24 * 8, 5):
        place = HEADER + (frames_in(log) - 1) * FRAME + bit // 8
        flip(log, place, bit % 8)
        with pytest.raises(StoreDamaged, match=rf"{COMMITS} commits .* knows of {COMMITS - 1}\)"):
            open_database(store, durable=True)
        flip(log, place, bit % 8)
    assert rows(store) == COMMITS


@pytest.mark.parametrize("place", range(HEADER))
def test_a_flipped_bit_in_the_head_of_the_log_is_noticed(tmp_path: Path, place: int) -> None:
    store = killed(tmp_path)
    flip(log_of(store), place)
    for _ in range(2):
        with pytest.raises((BadConfig, StoreDamaged), match=r"were flushed|cannot be used"):
            open_database(store, durable=True)


def test_a_log_that_is_gone_is_missed(tmp_path: Path) -> None:
    """Nothing is amiss in the database by itself."""
    store = killed(tmp_path, checkpoint_after=5)
    log_of(store).unlink()
    for _ in range(2):
        with pytest.raises(StoreDamaged, match=f"{COMMITS} commits were flushed"):
            open_database(store, durable=True)


def test_who_may_lack_commits_opens_it_and_is_told_again_until_that_is_written(
    tmp_path: Path,
) -> None:
    store = killed(tmp_path)
    log_of(store).write_bytes(log_of(store).read_bytes()[:-FRAME])
    for _ in range(2):
        with pytest.raises(StoreDamaged, match=f"{COMMITS} commits were flushed"):
            open_database(store, durable=True)
        connection = open_database(store, durable=True, may_lack=True)
        flushes = Flushes(store, connection)
        flushes.close()
        connection.close()
    connection = open_database(store, durable=True, may_lack=True)
    flushes = Flushes(store, connection)
    with flushes.one():
        connection.execute("INSERT INTO kept VALUES (99)")
    flushes.close()
    connection.close()
    assert rows(store) == COMMITS
    flip(store, 63, 0)  # user_version
    with pytest.raises(StoreDamaged, match=f"{COMMITS + 1} commits were flushed"):
        open_database(store, durable=True)


def test_a_store_that_was_closed_and_opened_counts_on(tmp_path: Path) -> None:
    store = killed(tmp_path)
    for number in range(3):
        connection = open_database(store, durable=True)
        flushes = Flushes(store, connection)
        with flushes.one():
            connection.execute("INSERT INTO kept VALUES (?)", (number,))
        flushes.close()
        connection.close()
    before = store.read_bytes()
    data = bytearray(before)
    data[60:64] = (COMMITS + 2).to_bytes(4, "big")  # user_version: the copy of one commit before
    store.write_bytes(data)
    with pytest.raises(StoreDamaged, match=f"{COMMITS + 3} commits"):
        open_database(store, durable=True)
    store.write_bytes(before)
    assert rows(store) == COMMITS + 3


def test_what_is_rolled_back_is_not_counted(tmp_path: Path) -> None:
    store = killed(tmp_path)
    connection = open_database(store, durable=True)
    flushes = Flushes(store, connection)
    before = count_of(store).read_bytes()
    with pytest.raises(sqlite3.OperationalError), flushes.one():
        connection.execute("INSERT INTO kept VALUES (99)").execute("nonsense")
    flushes.close()
    connection.close()
    assert count_of(store).read_bytes() == before
    assert rows(store) == COMMITS


def test_a_flipped_bit_in_the_count_loses_nothing(tmp_path: Path) -> None:
    """One of two is left, and it says no more than was made."""
    store = killed(tmp_path)
    for bit in range(count_of(store).stat().st_size * 8):
        flip(count_of(store), bit // 8, bit % 8)
        open_database(store, durable=True).close()
        flip(count_of(store), bit // 8, bit % 8)
    assert rows(store) == COMMITS


@pytest.mark.parametrize("lost", [1, 2])
def test_where_the_newest_count_is_torn_the_one_before_counts(tmp_path: Path, lost: int) -> None:
    store = killed(tmp_path)
    flip(count_of(store), COMMITS % 2 * 12 + 5)
    log = log_of(store)
    os.truncate(log, log.stat().st_size - lost * (frames_in(log) // COMMITS * FRAME))
    if lost == 1:
        assert rows(store) == COMMITS - 1
    else:
        with pytest.raises(StoreDamaged, match=f"{COMMITS - 1} commits .* knows of {COMMITS - 2}"):
            open_database(store, durable=True)


def test_a_count_that_cannot_be_written_takes_no_commit_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = killed(tmp_path)
    connection = open_database(store, durable=True)
    flushes = Flushes(store, connection)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "pwrite", full)
    with flushes.one():
        connection.execute("INSERT INTO kept VALUES (99)")
    flushes.close()
    connection.close()
    assert rows(store) == COMMITS + 1


def test_a_count_of_which_nothing_is_whole_is_damage(tmp_path: Path) -> None:
    store = killed(tmp_path)
    flip(count_of(store), 1)
    flip(count_of(store), 13)
    with pytest.raises(StoreDamaged, match="-flushed is corrupt"):
        open_database(store, durable=True)


def test_a_count_that_a_power_loss_kept_behind_is_made_good(tmp_path: Path) -> None:
    """It is flushed a little later than the commit that it tells of."""
    store = cut_short(tmp_path)
    connection = open_database(store, durable=True)
    Flushes(store, connection).close()
    connection.close()
    flip(store, 63, 2)  # user_version
    with pytest.raises(StoreDamaged, match=f"{COMMITS} commits were flushed"):
        open_database(store, durable=True)


def test_a_store_without_a_count_begins_one(tmp_path: Path) -> None:
    """Of an earlier release, or a copy of the database alone."""
    store = killed(tmp_path)
    count_of(store).unlink()
    connection = open_database(store, durable=True)
    Flushes(store, connection).close()
    connection.close()
    flip(store, 63, 2)
    with pytest.raises(StoreDamaged, match=f"{COMMITS} commits were flushed"):
        open_database(store, durable=True)


def test_a_store_whose_count_cannot_be_made_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = killed(tmp_path)
    count_of(store).unlink()
    connection = open_database(store, durable=True)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on the disk")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(BadConfig, match="no space left"):
        Flushes(store, connection)
    connection.close()


def test_a_new_store_begins_where_nothing_of_another_one_is_left(tmp_path: Path) -> None:
    """SQLite would delete the log with every promise that is in it, and the new store would take
    over the count: the old one could never be brought back."""
    store = killed(tmp_path)
    beside = [store.with_name(store.name + end) for end in BESIDE]
    kept = {each: each.read_bytes() for each in beside}
    store.rename(tmp_path / "moved")
    for _ in range(2):
        with pytest.raises(BadConfig, match=r"-wal, .*-shm, .*-flushed of it is: bring it back"):
            open_database(store, durable=True)
    (tmp_path / "moved").rename(store)
    assert {each: each.read_bytes() for each in beside} == kept
    open_database(store, durable=True).close()
    store.unlink()
    for each in beside:
        each.unlink(missing_ok=True)
    connection = open_database(store, durable=True)
    Flushes(store, connection).close()
    connection.close()
    open_database(store, durable=True)


@pytest.mark.parametrize(
    "changed", ["CREATE TABLE kepu (number INTEGER)", "CREATE TABLE kept (numbes INTEGER)"]
)
def test_a_schema_that_is_not_what_was_written_is_damage(tmp_path: Path, changed: str) -> None:
    """A store that makes what it lacks would make an empty table beside it."""
    with sqlite3.connect(tmp_path / "it") as connection:
        assert not has_schema(connection, tmp_path, TABLE, "do")
        connection.execute(changed)
        with pytest.raises(StoreDamaged, match="schema"):
            has_schema(connection, tmp_path, TABLE, "do")
        connection.execute("DROP TABLE " + changed.split()[2])
        connection.execute(TABLE)
        assert has_schema(connection, tmp_path, TABLE, "do")
    connection.close()


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
    assert "cannot be used" in done.stdout or "were flushed" in done.stdout, done.stderr
    for each in store.parent.iterdir():
        each.chmod(0o644)
    with pytest.raises(StoreDamaged, match="commits were flushed"):
        open_database(store, durable=True)


@pytest.mark.parametrize("missing", [1, 100, FRAME - 1])
def test_a_last_commit_that_a_power_loss_cut_short_was_never_made(
    tmp_path: Path, missing: int
) -> None:
    store = cut_short(tmp_path)
    log = log_of(store)
    log.write_bytes(log.read_bytes()[:-missing])
    assert rows(store) == COMMITS - 1


def test_a_last_commit_of_which_not_all_was_flushed_was_never_made(tmp_path: Path) -> None:
    """Its frame is there, what belongs into it is not."""
    store = cut_short(tmp_path)
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
