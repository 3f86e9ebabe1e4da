"""Ordered tables: whole writes, one owner, readers beside it."""

import errno
import os
import signal
import threading
from pathlib import Path
from typing import Any

import lmdb
import pytest

from dst.runtime import tables as module
from dst.runtime.tables import StoreUnavailable, Tables
from dst.spec.errors import BadConfig

NAMES = ("one", "two")


def items(*numbers: int) -> list[tuple[bytes, bytes]]:
    return [(bytes([number]), bytes([number]) * 3) for number in numbers]


def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    tables = Tables(tmp_path, NAMES)
    with tables.write() as writer:
        writer.put("one", b"key", b"value")
        writer.put_sorted("two", items(3, 5))
        writer.put_sorted("two", items(1, 4, 5, 6, 7))  # some past the end: those are appended
        writer.delete("two", b"\x03")
    tables.close()
    tables = Tables(tmp_path, NAMES)
    assert tables.get("one", b"key") == b"value"
    assert tables.get("two", b"key") is None
    assert tables.scan("two", b"") == items(1, 4, 5, 6, 7)
    assert tables.scan("two", b"", start=b"\x05") == items(5, 6, 7)
    assert tables.view("one", b"key", len) == 5
    assert tables.view("one", b"none", len) is None
    tables.close()


def test_closed_stays_closed(tmp_path: Path) -> None:
    """Its folder may have another owner by now."""
    tables = Tables(tmp_path, NAMES)
    tables.close()
    with pytest.raises(StoreUnavailable, match="closed"), tables.write():
        pass
    with pytest.raises(StoreUnavailable):
        tables.get("one", b"key")
    tables.close()
    Tables(tmp_path, NAMES).close()


def test_scan_stays_within_its_prefix(tmp_path: Path) -> None:
    tables = Tables(tmp_path, NAMES)
    with tables.write() as writer:
        for key in (b"a", b"ab", b"abc", b"b", b"\xff\xff"):
            writer.put("one", key, b"")
        assert [key for key, _ in writer.scan("one", b"ab")] == [b"ab", b"abc"]
    assert [key for key, _ in tables.scan("one", b"a")] == [b"a", b"ab", b"abc"]
    assert [key for key, _ in tables.scan("one", b"\xff")] == [b"\xff\xff"]
    assert tables.scan("two", b"") == []
    tables.close()


def test_a_write_that_raises_leaves_nothing(tmp_path: Path) -> None:
    tables = Tables(tmp_path, NAMES)

    def write_and_raise() -> None:
        with tables.write() as writer:
            writer.put("one", b"key", b"value")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        write_and_raise()
    assert tables.get("one", b"key") is None
    tables.close()


def test_a_folder_has_one_owner_until_it_ends(tmp_path: Path) -> None:
    tables = Tables(tmp_path, NAMES)
    with pytest.raises(BadConfig, match="in use by another process"):
        Tables(tmp_path, NAMES)
    tables.close()
    owner = _owner_in_a_process_of_its_own(tmp_path)
    with pytest.raises(BadConfig, match="in use by another process"):
        Tables(tmp_path, NAMES)
    os.kill(owner, signal.SIGKILL)
    os.waitpid(owner, 0)
    Tables(tmp_path, NAMES).close()


def _owner_in_a_process_of_its_own(folder: Path) -> int:
    """Returns when it owns the folder."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            tables = Tables(folder, NAMES)
            os.write(writing, b"!")
            signal.pause()
            tables.close()
        finally:
            os._exit(0)
    os.close(writing)
    assert os.read(reading, 1) == b"!"
    os.close(reading)
    return child


def test_a_file_that_is_no_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"\x01" * 8_192)
    with pytest.raises(BadConfig, match=str(tmp_path)):
        Tables(tmp_path, NAMES)
    with pytest.raises(BadConfig, match="cannot be used"):
        Tables(tmp_path / "absent", NAMES, read_only=True)


def test_threads_see_whole_writes_only(tmp_path: Path) -> None:
    """Two keys that always change together are never seen apart, by readers that scan meanwhile."""
    tables = Tables(tmp_path, NAMES)
    done = threading.Event()
    seen: set[bytes] = set()
    faults: list[object] = []

    def read() -> None:
        while not done.is_set():
            found = dict(tables.scan("one", b""))
            if len(set(found.values())) > 1:
                faults.append(found)
            seen.update(found.values())

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    number = 0
    while number < 300 or len(seen) < 3:
        number += 1
        with tables.write() as writer:
            for key in (b"left", b"right"):
                writer.put("one", key, number.to_bytes(4, "big"))
    done.set()
    for reader in readers:
        reader.join()
    tables.close()
    assert not faults


class Spoilt:
    """An LMDB environment whose last commit could not write its last page: it refuses all there
    is, until it is closed."""

    def __init__(self, environment: Any) -> None:
        self._environment = environment

    def begin(self, *_: object, **__: object) -> Any:
        raise lmdb.PanicError("mdb_txn_begin: update of meta page failed or environment had error")

    def close(self) -> None:
        self._environment.close()


def spoil(tables: Tables) -> None:
    environment: Any = Spoilt(tables._environment)
    tables._environment, tables._begin = environment, environment.begin


def put(tables: Tables, value: bytes) -> None:
    with tables.write() as writer:
        writer.put("one", b"key", value)


def test_a_spoilt_environment_refuses_readers_and_the_next_write_opens_it_again(
    tmp_path: Path,
) -> None:
    tables = Tables(tmp_path, NAMES)
    put(tables, b"old")
    spoil(tables)
    for read in (
        lambda: tables.get("one", b"key"),
        lambda: tables.view("one", b"key", bytes),
        lambda: tables.scan("one", b""),
    ):
        with pytest.raises(StoreUnavailable, match="cannot be read now"):
            read()
    with pytest.raises(StoreUnavailable, match=r"disk is full: .*; waits for room"):
        put(tables, b"lost")
    assert (tables.waits_for() or "").startswith(f"room on the disk of {tmp_path} (")
    assert tables.get("one", b"key") == b"old"
    put(tables, b"new")
    assert tables.waits_for() is None
    assert tables.get("one", b"key") == b"new"
    tables.close()


def test_a_small_record_that_fits_does_not_end_the_wait_of_a_large_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(module, "MAP_BYTES", 2**18)
    tables = Tables(tmp_path, NAMES)

    def put_block(size: int) -> None:
        with tables.write("block") as writer:
            writer.put("one", b"key", bytes(size))

    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="disk is full"):
            put_block(2**19)
        with tables.write("head") as writer:
            writer.put("two", b"key", b"new")
        assert "room on the disk" in (tables.waits_for() or "")
    put_block(2**10)
    assert tables.waits_for() is None
    events = [each.message.split()[0] for each in caplog.records]
    assert events == ["disk_full", "disk_takes_writes_again"]
    tables.close()


def test_what_cannot_be_opened_again_is_tried_with_the_next_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = Tables(tmp_path, NAMES)
    put(tables, b"old")
    spoil(tables)

    def no_room(*_: object) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(module, "_open_environment", no_room)
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="cannot be opened again"):
                put(tables, b"lost")
            with pytest.raises(StoreUnavailable, match="being opened again"):
                tables.get("one", b"key")
            with pytest.raises(StoreUnavailable, match="being opened again"):
                tables.sync()
    put(tables, b"new")
    assert tables.get("one", b"key") == b"new"
    tables.close()


def test_nothing_is_closed_under_a_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that runs keeps the file open; who wants to open it again waits, or comes back."""
    monkeypatch.setattr(module, "LONGEST_READ_S", 0.01)
    tables = Tables(tmp_path, NAMES)
    put(tables, b"old")
    inside, may_end, seen = threading.Event(), threading.Event(), []

    def slow(value: memoryview) -> None:
        inside.set()
        may_end.wait()
        seen.append(bytes(value))

    reader = threading.Thread(target=lambda: tables.view("one", b"key", slow))
    reader.start()
    inside.wait()
    spoil(tables)
    with pytest.raises(StoreUnavailable, match="waits for its readers"):
        put(tables, b"lost")
    monkeypatch.setattr(module, "LONGEST_READ_S", 60.0)
    writer = threading.Thread(target=lambda: put(tables, b"new"))
    writer.start()
    with pytest.raises(StoreUnavailable, match="being opened again"):
        tables.get("one", b"key")
    may_end.set()
    reader.join()
    writer.join()
    assert seen == [b"old"]
    assert tables.get("one", b"key") == b"new"
    tables.close()


def test_readers_meet_the_value_or_a_refusal_while_the_file_is_opened_again(
    tmp_path: Path,
) -> None:
    tables = Tables(tmp_path, NAMES)
    put(tables, b"value")
    done = threading.Event()
    answers: set[bytes | None] = set()
    faults: list[BaseException] = []
    refused = [0] * 4

    def read(number: int) -> None:
        while not done.is_set():
            try:
                answers.add(tables.get("one", b"key"))
            except StoreUnavailable:
                refused[number] += 1
            except BaseException as error:
                faults.append(error)
                return

    readers = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for reader in readers:
        reader.start()
    again = 0
    while not faults and (again < 100 or not any(refused)):
        spoil(tables)
        with pytest.raises(StoreUnavailable):
            put(tables, b"lost")
        again += 1
    done.set()
    for reader in readers:
        reader.join()
    tables.close()
    assert not faults
    assert answers == {b"value"}


def test_a_store_that_is_closed_refuses_its_readers(tmp_path: Path) -> None:
    tables = Tables(tmp_path, NAMES)
    tables.close()
    with pytest.raises(StoreUnavailable):
        tables.get("one", b"key")
