"""Ordered tables of bytes in one LMDB file: one writer, many reading threads, atomic writes.

What holds, and what it rests on:
- A write is whole or absent after a kill at any instant: a commit flushes the new pages before the
  page that makes them current.
- After power loss the file is consistent and lacks at most the newest commits: MDB_NOMETASYNC
  leaves out the second flush of a commit, never the first. Blocks come again from the neighbours;
  what promises something to others is in SQLite with full sync (`kv`).
- A full disk refuses the write and changes nothing; the next write tries again. Pages are written
  with pwrite, not through the map (no MDB_WRITEMAP), so a full disk is an error, not SIGBUS.
- Reads copy: nothing outside this module points into the map.
- A commit that fails at its last page spoils LMDB's environment, which is then closed and opened
  again. Readers are let out first and refused meanwhile (`StoreUnavailable`): one that LMDB still
  serves while the map goes would end the process.
"""

import errno
import os
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

import lmdb

from dst.runtime.crash_points import crash_point
from dst.runtime.disk import ANY, Room
from dst.runtime.files import claim, fsync_directory
from dst.runtime.log import Logger
from dst.runtime.machine import DRILL
from dst.spec.errors import BadConfig, Unavailable

DATA_FILE: Final = "data.mdb"
LOCK_FILE: Final = "in-use"
MAP_BYTES: Final = 2**40
"""Address space, not memory and not disk: the file grows as it is filled, so the map never has to
be moved under a reading thread."""
MIN_MAP_BYTES: Final = 2**32
"""Where address space is limited (RLIMIT_AS, small kernels) the map is halved down to this."""
SPARE_READERS: Final = 16
"""Reader slots kept ready, one a reading thread."""
LONGEST_READ_S: Final = 10.0
"""How long who closes waits for a reader; a read takes microseconds, a snapshot may take longer."""
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""LMDB calls it EIO when the disk took the first part of what it wrote, as one that runs full does:
a disk that fails looks the same from here, so the reason is told beside."""

T = TypeVar("T")
_Handles: TypeAlias = dict[str, Any]
"""Table name -> LMDB's handle, whose type it keeps to itself."""
log = Logger("store")


class StoreUnavailable(Unavailable):
    """The disk takes no write now (full, over quota, failing), or the file is being opened again
    after that. Nothing was changed."""


class Writer:
    """One write transaction; valid inside `Tables.write`. Keys are 1 to 511 bytes."""

    def __init__(self, transaction: "lmdb.Transaction[bytes]", handles: _Handles) -> None:
        self._transaction, self._handles = transaction, handles

    def get(self, table: str, key: bytes) -> bytes | None:
        value: bytes | None = self._transaction.get(key, db=self._handles[table])
        return value

    def put(self, table: str, key: bytes, value: bytes) -> None:
        self._transaction.put(key, value, db=self._handles[table])

    def put_sorted(self, table: str, items: Sequence[tuple[bytes, bytes]]) -> None:
        """Put items in ascending order of keys, one a key; those past the table's end are appended,
        which fills pages and searches nothing."""
        cursor = self._transaction.cursor(db=self._handles[table])
        old = bisect_right(items, cursor.key(), key=itemgetter(0)) if cursor.last() else 0
        cursor.putmulti(items[:old])
        cursor.putmulti(items[old:], append=True)
        cursor.close()

    def delete(self, table: str, key: bytes) -> None:
        self._transaction.delete(key, db=self._handles[table])

    def scan(self, table: str, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Entries whose key starts with `prefix`, in order. Do not write while it runs."""
        cursor = self._transaction.cursor(db=self._handles[table])
        return _entries(cursor, prefix, prefix)


class Tables:
    """Safe for threads; writes come from one thread at a time."""

    def __init__(self, folder: Path, tables: Sequence[str], *, read_only: bool = False) -> None:
        """Open or create. `read_only` looks on while another process writes.

        Raises: BadConfig when the folder is in use, cannot be used or holds something else.
        """
        self._folder, self._names, self._read_only = folder, tuple(tables), read_only
        self._room = Room(folder, log)
        self._closing = self._is_closed = False
        self._marks: set[object] = set()
        """One for each read that runs."""
        self._left = threading.Condition()
        self._lock = -1
        try:
            if not read_only:
                folder.mkdir(parents=True, exist_ok=True)
                self._lock = claim(
                    folder / LOCK_FILE, f"store {folder} is in use by another process"
                )
            self._open()
        except (lmdb.Error, OSError) as error:
            self._release()
            raise BadConfig(f"store {folder} cannot be used: {error}") from None

    def get(self, table: str, key: bytes) -> bytes | None:
        """Raises (as every read): StoreUnavailable."""
        mark = object()  # as `_read`, spelt out: most reads come here
        self._marks.add(mark)
        try:
            with self._begin(self._handles[table]) as transaction:
                value: bytes | None = transaction.get(key)
                return value
        except lmdb.Error as error:
            _refuse_read(error)
        finally:
            self._leave(mark)

    def view(self, table: str, key: bytes, read: Callable[[memoryview], T]) -> T | None:
        """What `read` makes of a value that is not copied; it must keep no part of it."""

        def look(transaction: Any) -> T | None:
            value = transaction.get(key)
            return None if value is None else read(value)

        return self._read(table, look, buffers=True)

    def scan(self, table: str, prefix: bytes, start: bytes = b"") -> list[tuple[bytes, bytes]]:
        """Entries whose key starts with `prefix`, from `start` on, in order, as of one moment."""
        return self._read(
            table,
            lambda transaction: list(_entries(transaction.cursor(), prefix, start or prefix)),
        )

    @contextmanager
    def write(self, what: str = ANY) -> Iterator[Writer]:
        """All of it or nothing, also when the block raises.

        what: names the kind of record; the disk lacks room until one of each kind fits again.
        Raises: StoreUnavailable when the disk does not take it; logged once, and once when it does
        again.
        """
        if self._is_closed:
            raise StoreUnavailable("the store is closed")
        if self._closing:
            self._open_again()
        if DRILL is not None:
            DRILL.limit_file(self._folder / DATA_FILE)
        started = time.monotonic()
        try:
            with self._environment.begin(write=True) as transaction:
                yield Writer(transaction, self._handles)
                crash_point("write-before-commit")
        except lmdb.Error as error:
            self._refuse(error, what)
        crash_point("write-after-commit")
        if DRILL is not None:
            DRILL.flushed(time.monotonic() - started)
        self._room.suffices(what)

    def waits_for(self) -> str | None:
        """For a person; None while the disk takes writes."""
        return self._room.waits_for()

    def sync(self) -> None:
        """Make everything committed durable across power loss. Raises: StoreUnavailable."""
        with self._used():
            self._environment.sync(True)

    def copy_to(self, folder: Path) -> None:
        """A consistent, compacted copy as of one moment, while others read and write.

        Raises: BadConfig when the folder holds something or cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise BadConfig(f"{folder} is not empty: a snapshot needs a folder of its own")
            with self._used():
                self._environment.copy(str(folder), compact=True)
            _fsync_file(folder / DATA_FILE)
        except (lmdb.Error, OSError, StoreUnavailable) as error:
            (folder / DATA_FILE).unlink(missing_ok=True)
            raise BadConfig(f"snapshot to {folder} failed: {error}") from None

    def bytes_used(self) -> int:
        """Size of the data file."""
        return os.stat(self._folder / DATA_FILE).st_size

    def close(self) -> None:
        """Reads that run end first; later ones are refused."""
        self._is_closed = True
        if self._close_environment():
            self._release()

    def _open(self) -> None:
        environment = _open_environment(self._folder, len(self._names), self._read_only)
        environment.reader_check()  # slots of killed processes would pin old pages
        self._handles: _Handles = {
            name: environment.open_db(name.encode(), create=not self._read_only)
            for name in self._names
        }
        self._environment = environment
        self._begin: Callable[..., Any] = environment.begin
        self._closing = False

    def _read(self, table: str, read: Callable[[Any], T], *, buffers: bool = False) -> T:
        """One read transaction, which nobody closes the file under."""
        mark = object()
        self._marks.add(mark)  # before a look at `_begin`: who closes looks here after changing it
        try:
            with self._begin(self._handles[table], buffers=buffers) as transaction:
                return read(transaction)
        except lmdb.Error as error:
            _refuse_read(error)
        finally:
            self._leave(mark)

    @contextmanager
    def _used(self) -> Iterator[None]:
        """The same for what is no read of a table."""
        mark = object()
        self._marks.add(mark)
        try:
            if self._closing:
                _refuse_reader()
            yield
        finally:
            self._leave(mark)

    def _leave(self, mark: object) -> None:
        self._marks.discard(mark)
        if self._closing:
            with self._left:
                self._left.notify_all()

    def _refuse(self, error: lmdb.Error, what: str) -> None:
        """Raises: StoreUnavailable, or `error` when it is a mistake of ours."""
        if not isinstance(error, lmdb.MapFullError) and not _is_of_the_disk(error):
            raise error
        full = self._room.lacks(what, reason=str(error))
        if self._is_spoilt():
            self._open_again()
        raise StoreUnavailable(str(full)) from None

    def _is_spoilt(self) -> bool:
        """Whether LMDB refuses everything: the page that makes a commit current was not written."""
        try:
            with self._environment.begin():
                return False
        except lmdb.PanicError:
            return True

    def _open_again(self) -> None:
        """The next write tries again when this raises StoreUnavailable, also for a reader that
        stays."""
        try:
            if not self._close_environment():
                raise StoreUnavailable("the store waits for its readers, to be opened again")
            self._open()
        except (lmdb.Error, OSError) as error:
            raise StoreUnavailable(f"the store cannot be opened again: {error}") from None

    def _close_environment(self) -> bool:
        """Refuse readers, let those that read end, close; False when one does not end."""
        self._closing, self._begin = True, _refuse_reader
        with self._left:
            empty = self._left.wait_for(lambda: not self._marks, LONGEST_READ_S)
        if empty:
            self._environment.close()
        return empty

    def _release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _open_environment(folder: Path, tables: int, read_only: bool) -> lmdb.Environment:
    size = MAP_BYTES
    while True:
        try:
            return lmdb.open(
                str(folder),
                map_size=size,
                max_dbs=tables,
                metasync=False,
                readonly=read_only,
                create=not read_only,
                max_spare_txns=SPARE_READERS,
                readahead=False,
            )
        except lmdb.MemoryError:
            if size <= MIN_MAP_BYTES:
                raise
            size //= 2


def _fsync_file(path: Path) -> None:
    """Make a file that somebody else wrote durable."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    fsync_directory(path.parent)


def _is_of_the_disk(error: lmdb.Error) -> bool:
    return isinstance(error, lmdb.PanicError) or error.code in _NO_ROOM


def _refuse_read(error: lmdb.Error) -> NoReturn:
    """Raises: StoreUnavailable, or `error` when it is a mistake of ours."""
    if _is_of_the_disk(error) or isinstance(error, lmdb.ReadersFullError):
        raise StoreUnavailable(f"the store cannot be read now: {error}") from None
    raise error


def _refuse_reader(*_: object, **__: object) -> NoReturn:
    raise StoreUnavailable("the store is closed, or being opened again after a failed write")


def _entries(
    cursor: "lmdb.Cursor[bytes]", prefix: bytes, start: bytes
) -> Iterator[tuple[bytes, bytes]]:
    found = cursor.set_range(start) if start else cursor.first()
    while found:
        key, value = cursor.item()
        if not key.startswith(prefix):
            return
        yield key, value
        found = cursor.next()
