"""A full disk is told once, and once when it is over; whatever else fails is passed on."""

import sqlite3
from pathlib import Path

import pytest

from dst.runtime.disk import DiskFull, Room
from dst.runtime.log import Logger

STORE = Path("/data/store.sqlite")


@pytest.fixture
def room(caplog: pytest.LogCaptureFixture) -> Room:
    caplog.set_level("INFO")
    return Room(STORE, Logger("test"), event="disk_full_not_voting")


def failing(name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("as SQLite says")
    error.sqlite_errorname = name
    return error


def refused(room: Room, what: str) -> None:
    with pytest.raises(DiskFull, match=f"disk is full: {STORE}; waits for room"), room.needed(what):
        raise failing("SQLITE_FULL")


def test_it_is_told_once_and_over_when_all_that_was_refused_is_written(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    for what in ("block", "block", "record"):
        refused(room, what)
    with room.needed("record"):
        pass
    assert room.waits_for() == f"room on the disk of {STORE}", "a block is larger"
    with room.needed("block"):
        pass
    assert room.waits_for() is None
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f"disk_full_not_voting store={STORE} do='free some space'",
        f"disk_takes_writes_again store={STORE}",
    ]


def test_what_is_no_full_disk_is_none(room: Room) -> None:
    with pytest.raises(sqlite3.OperationalError, match="as SQLite says"), room.needed():
        raise failing("SQLITE_IOERR_FSYNC")
    assert room.waits_for() is None


def test_the_words_of_who_wrote_are_kept(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    full = room.lacks(reason="Input/output error")
    assert str(full) == f"disk is full: {STORE} (Input/output error); waits for room"
    assert room.waits_for() == f"room on the disk of {STORE} (Input/output error)"
    assert "reason='Input/output error'" in caplog.text
