"""Accepted transactions on disk, so that they outlive a restart of this node and of all.

An append-only file: a mark, then records of length, CRC-32 and raw transaction. A record is written
before the sender is answered, so a killed process loses nothing; it is forced to the disk within
`SYNC_EVERY_S`, so a power cut may lose the last second. What left the pool stays in the file until
it is written anew with what waits (rotation), which keeps it in proportion. A record that was torn
or corrupted ends the reading; what follows it is lost. Replayed at start through the usual
admission: what is in a block by then is refused there.

A full disk costs the record, never the transaction: it is said once, and the file is made anew when
there is room.
"""

import asyncio
import os
import zlib
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

from dst.mempool.pool import MAX_TRANSACTION_BYTES
from dst.runtime.files import fsync_directory
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.transactions.transaction import Transaction

MARK: Final = b"DSTPOOL1"
SYNC_EVERY_S: Final = 1.0
SLACK_BYTES: Final = 2**20
"""Beyond twice what waits before the file is written anew; with a pool of 64 MiB it stays below
129 MiB and what comes within a second."""
_HEAD_BYTES: Final = 8

log = Logger("journal")


class Journal:
    """Appended to on the event loop; `run` beside it until cancelled."""

    def __init__(self, path: Path, metrics: Metrics) -> None:
        """Opens or creates the file and reads it, cutting off a torn end."""
        self._path, self._metrics = path, metrics
        self.found: Sequence[bytes] = ()
        """Raw transactions of the last run, in the order they were accepted."""
        self._live: Callable[[], Sequence[Transaction]] | None = None
        self._during_rotation: list[bytes] | None = None
        self._size = 0
        self._is_dirty, self._is_failing = False, False
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._size = self._recover()

    def follow(self, live: Callable[[], Sequence[Transaction]]) -> None:
        """`live`: what waits in the pool; known only once the pool is filled again."""
        self._live = live

    def append(self, transactions: Iterable[Transaction]) -> None:
        self.append_raws(each.raw for each in transactions)

    def append_raws(self, raws: Iterable[bytes]) -> None:
        """What cannot be written now is in the file that is made when there is room again."""
        data = b"".join(map(_record, raws))
        if self._during_rotation is not None:
            self._during_rotation.append(data)
        if self._is_failing:
            return
        try:
            _write_all(self._file, data)
        except OSError as error:
            self._fail(error)
            return
        self._size += len(data)
        self._is_dirty = True

    async def run(self) -> None:
        while True:
            await asyncio.sleep(SYNC_EVERY_S)
            try:
                if self._needs_rotation():
                    await self._rotate()
                elif self._is_dirty:
                    self._is_dirty = False
                    await asyncio.to_thread(os.fdatasync, self._file)
            except OSError as error:
                self._fail(error)

    def close(self) -> None:
        try:
            os.fsync(self._file)
        except OSError as error:
            self._fail(error)
        os.close(self._file)

    def _recover(self) -> int:
        """Length of the sound part, to which the file is cut."""
        data = self._path.read_bytes()
        self.found, sound = read_records(data)
        if sound < len(data):
            log.warning("journal_torn", path=self._path, lost_bytes=len(data) - sound)
            os.ftruncate(self._file, sound)
        if sound:
            return sound
        try:
            _write_all(self._file, MARK)
        except OSError as error:
            self._fail(error)
        return len(MARK)

    def _needs_rotation(self) -> bool:
        if self._live is None:
            return False
        live = sum(_HEAD_BYTES + len(each.raw) for each in self._live())
        return self._is_failing or self._size > 2 * live + SLACK_BYTES

    async def _rotate(self) -> None:
        """Write what waits into a new file, which takes the old one's place whole or not at all."""
        assert self._live is not None
        raws = [each.raw for each in self._live()]
        fresh = self._path.with_name(self._path.name + ".new")
        self._during_rotation = []
        try:
            size = await asyncio.to_thread(_write_file, fresh, raws)
            missed = b"".join(self._during_rotation)
            file = os.open(fresh, os.O_RDWR | os.O_APPEND)
            try:
                _write_all(file, missed)
                os.replace(fresh, self._path)
            except OSError:
                os.close(file)
                raise
        except OSError:
            fresh.unlink(missing_ok=True)  # on a full disk it would stand in its own way
            raise
        finally:
            self._during_rotation = None
        os.close(self._file)
        self._file, self._size, self._is_dirty = file, size + len(missed), True
        if self._is_failing:
            log.info("journal_written_again", path=self._path)
        self._is_failing = False
        await asyncio.to_thread(fsync_directory, self._path.parent)

    def _fail(self, error: OSError) -> None:
        self._metrics.inc("pool_journal_failures_total")
        if not self._is_failing:
            log.error("journal_failed", path=self._path, error=error.strerror)
        self._is_failing = True
        try:  # half a record would hide what is written behind it
            os.ftruncate(self._file, self._size)
        except OSError:
            return


def read_records(data: bytes) -> tuple[list[bytes], int]:
    """The records of a file and the length of its sound part; (nothing, 0) for a file of another
    kind."""
    if not data.startswith(MARK):
        return [], 0
    records: list[bytes] = []
    at = len(MARK)
    while len(data) - at >= _HEAD_BYTES:
        length = int.from_bytes(data[at : at + 4], "big")
        raw = data[at + _HEAD_BYTES : at + _HEAD_BYTES + length]
        checksum = int.from_bytes(data[at + 4 : at + 8], "big")
        is_whole = 0 < length <= MAX_TRANSACTION_BYTES and len(raw) == length
        if not is_whole or zlib.crc32(raw) != checksum:
            break
        records.append(raw)
        at += _HEAD_BYTES + length
    return records, at


def _record(raw: bytes) -> bytes:
    return len(raw).to_bytes(4, "big") + zlib.crc32(raw).to_bytes(4, "big") + raw


def _write_file(path: Path, raws: Iterable[bytes]) -> int:
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        size = sum(map(file.write, chain((MARK,), map(_record, raws))))
        file.flush()
        os.fsync(file.fileno())
    return size


def _write_all(file: int, data: bytes) -> None:
    """Raises: OSError, perhaps with a part written."""
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
