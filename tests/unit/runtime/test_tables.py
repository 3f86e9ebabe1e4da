"""Ordered tables: whole writes, one owner, readers beside it."""

import os
import signal
import threading
from pathlib import Path

import pytest

from dst.runtime.tables import Tables
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
