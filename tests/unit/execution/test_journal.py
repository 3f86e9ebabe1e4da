"""An accepted transaction survives whatever happens to the process and the file's end."""

import asyncio
import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dst.execution.pool import journal as journal_module
from dst.execution.pool.journal import MARK, SLACK_BYTES, Journal, read_records
from dst.runtime.metrics import Metrics
from dst.transactions.transaction import Transaction
from tests.unit.mempool.test_pool import tx


def waiting(count: int, size: int = 100) -> list[Transaction]:
    return [tx(nonce=number, raw=bytes([number + 1]) * size) for number in range(count)]


def raws(transactions: Sequence[Transaction]) -> list[bytes]:
    return [each.raw for each in transactions]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pool.journal"


@pytest.fixture
def opened(path: Path) -> Iterator[Journal]:
    journal = Journal(path, Metrics())
    yield journal
    journal.close()


@asynccontextmanager
async def running(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(journal_module, "SYNC_EVERY_S", 0.001)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(journal.run())
        yield
        task.cancel()


def size_of(path: Path) -> int:
    return path.stat().st_size


def status_of(path: Path) -> os.stat_result:
    return path.stat()


def content_of(path: Path) -> bytes:
    return path.read_bytes()


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def test_what_was_appended_is_found_without_a_proper_end(path: Path, opened: Journal) -> None:
    """As after kill -9: nobody closed it."""
    three = waiting(3)
    opened.append(three[:2])
    opened.append(three[2:])
    assert Journal(path, Metrics()).found == raws(three)


def test_a_new_file_holds_nothing(path: Path, opened: Journal) -> None:
    assert list(opened.found) == []
    assert path.read_bytes() == MARK
    assert path.stat().st_mode & 0o777 == 0o600


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(cut=st.integers(0, 400), more=st.binary(max_size=40))
def test_a_torn_end_loses_the_last_records_and_no_others(
    tmp_path: Path, cut: int, more: bytes
) -> None:
    path = tmp_path / f"{cut}-{more.hex()}.journal"
    three = waiting(3)
    whole = Journal(path, Metrics())
    whole.append(three)
    whole.close()
    path.write_bytes(path.read_bytes()[:cut] + more)
    again = Journal(path, Metrics())
    found = list(again.found)
    assert found == raws(three)[: len(found)]
    assert len(found) >= max(0, cut - len(MARK)) // 108
    later = waiting(5)[3:]
    again.append(later)
    again.close()
    once_more = Journal(path, Metrics())
    assert list(once_more.found) == found + raws(later)
    once_more.close()


def test_a_flipped_bit_ends_the_reading(path: Path, opened: Journal) -> None:
    opened.append(waiting(3))
    data = bytearray(path.read_bytes())
    data[len(MARK) + 108 + 50] ^= 1
    assert read_records(bytes(data)) == (raws(waiting(1)), len(MARK) + 108)


def test_a_file_of_another_kind_is_begun_anew(path: Path) -> None:
    path.write_bytes(b"something else")
    journal = Journal(path, Metrics())
    assert list(journal.found) == []
    journal.append(waiting(1))
    journal.close()
    assert list(Journal(path, Metrics()).found) == raws(waiting(1))


async def test_it_is_written_anew_when_most_of_it_has_left(
    path: Path, opened: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = waiting(2)
    opened.append(waiting(40, size=60_000))
    opened.append(live)
    assert size_of(path) > 2 * SLACK_BYTES
    opened.follow(lambda: live)
    async with running(opened, monkeypatch):
        await until(lambda: size_of(path) < SLACK_BYTES)
        opened.append(waiting(3)[2:])
    assert list(Journal(path, Metrics()).found) == raws(waiting(3))


async def test_it_is_read_by_its_owner_alone_also_when_it_is_written_anew(
    path: Path, opened: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.append(waiting(40, size=60_000))
    before = status_of(path)
    opened.follow(lambda: waiting(1))
    async with running(opened, monkeypatch):
        await until(lambda: status_of(path).st_ino != before.st_ino)
    assert status_of(path).st_mode == before.st_mode == 0o100600


async def test_what_finds_no_room_to_be_written_anew_takes_none(
    path: Path, opened: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = waiting(1)
    opened.append(live)
    opened.append(waiting(40, size=60_000))
    opened.follow(lambda: live)
    whole = content_of(path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        async with running(opened, monkeypatch):
            await until(lambda: opened._is_failing)
    assert content_of(path) == whole
    assert os.listdir(path.parent) == [path.name]


async def test_what_comes_while_it_is_written_anew_is_in_the_new_file(
    path: Path, opened: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = waiting(1)
    opened.append(waiting(40, size=60_000))
    opened.follow(lambda: live)
    write = journal_module._write_file

    def and_meanwhile(fresh: Path, wanted: list[bytes]) -> int:
        size = write(fresh, wanted)
        opened.append(waiting(2)[1:])
        return size

    monkeypatch.setattr(journal_module, "_write_file", and_meanwhile)
    async with running(opened, monkeypatch):
        await until(lambda: size_of(path) < SLACK_BYTES)
    assert list(Journal(path, Metrics()).found) == raws(waiting(2))


async def test_a_full_disk_is_said_once_and_made_good(
    path: Path, opened: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a record is written before the disk is full."""
    write, is_full = os.write, True

    def limited(file: int, data: Any) -> int:
        if is_full and len(data) > 60:
            return write(file, data[:60])
        if is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data)

    monkeypatch.setattr(os, "write", limited)
    one, two = waiting(2)
    opened.append([one])
    opened.append([two])
    assert content_of(path) == MARK
    opened.follow(lambda: [one, two])
    is_full = False
    async with running(opened, monkeypatch):
        await until(lambda: not opened._is_failing)
    assert list(Journal(path, Metrics()).found) == raws([one, two])
