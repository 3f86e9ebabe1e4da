"""The machine as a drill makes it: a wall clock that is off, a disk that is slow or full.

The file that `DST_MACHINE` names is read again when it changed; while there is none, all is as it
is. Without that variable nothing of this is called: `wall_clock` is `time.time`, and the stores
are opened as ever. Here, not in the machine: one host runs many operators, and none of it needs
rights or leaves anything behind.

The log keeps the true time, or nobody could read the logs of a drill side by side.
"""

import os
import resource
import sqlite3
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, TypeAlias

import msgspec

from dst.runtime.log import Logger
from dst.spec.drills import AS_IT_IS, CLOCK_METRIC, FLUSH_METRIC, MACHINE_VARIABLE, Machine
from dst.spec.errors import UNREADABLE

_MACHINE: Final = msgspec.json.Decoder(Machine)
_WRITES: Final = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE", "CREATE", "DROP"})
_NO_LIMIT: Final = resource.RLIM_INFINITY
LOOK_EVERY_S: Final = 0.05
"""While a flush is held: the file may say by now that it is over."""
log = Logger("drill")

_Mark: TypeAlias = tuple[int, int] | None
"""Of a file: its inode and when it was written."""


class Drill:
    """Of one process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mark: _Mark = None
        self._machine = AS_IT_IS
        self.last_flush_s = 0.0

    @property
    def machine(self) -> Machine:
        """As the file says now; one that cannot be read is told, and changes nothing."""
        try:
            found = os.stat(self._path)
        except OSError:
            if self._mark is not None:
                log.warning("machine_as_it_is")
            self._mark, self._machine = None, AS_IT_IS
            return self._machine
        if (mark := (found.st_ino, found.st_mtime_ns)) != self._mark:
            self._mark = mark
            try:
                self._machine = _MACHINE.decode(self._path.read_bytes())
                log.warning("machine", says=msgspec.json.encode(self._machine).decode())
            except (OSError, *UNREADABLE) as error:
                log.error("machine_file_unreadable", file=str(self._path), reason=str(error))
        return self._machine

    def clock(self) -> float:
        return self.machine.clock(time.time())

    def flushed(self, took_s: float) -> None:
        """A flush to disk ended: it takes longer, if so asked, and for as long as it is asked.
        Blocks, as a flush does."""
        ended = time.monotonic()
        while (left := self.machine.flush_s - (time.monotonic() - ended)) > 0:
            time.sleep(min(left, LOOK_EVERY_S))
        self.last_flush_s = took_s + time.monotonic() - ended

    def limit_file(self, path: Path) -> None:
        """A file may grow as long as the disk is not full. The limit is the process's: it is for
        those that write one file beside their log."""
        wanted = path.stat().st_size if self.machine.full else _NO_LIMIT
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        if (wanted == _NO_LIMIT) is not (soft == _NO_LIMIT):
            resource.setrlimit(resource.RLIMIT_FSIZE, (wanted, hard))

    def render(self) -> str:
        """Metrics."""
        return f"{CLOCK_METRIC} {self.clock()!r}\n{FLUSH_METRIC} {self.last_flush_s!r}\n"


def _drill() -> Drill | None:
    file = os.environ.get(MACHINE_VARIABLE)
    return Drill(Path(file)) if file else None


DRILL: Final = _drill()
wall_clock: Final[Callable[[], float]] = time.time if DRILL is None else DRILL.clock
"""Unix seconds."""


class DrillConnection(sqlite3.Connection):
    """A connection that commits as the machine lets it."""

    drill: Drill
    flushes: bool

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        begun, changes, started = self.in_transaction, self.total_changes, time.monotonic()
        verb = sql.split(None, 1)[0].upper()
        if verb == "COMMIT" or (not begun and verb in _WRITES):
            self._require_room()
        cursor = super().execute(sql, *parameters)
        if not self.in_transaction and (begun or self.total_changes != changes):
            self._flushed(time.monotonic() - started)
        return cursor

    def executemany(self, sql: str, parameters: Iterable[Any]) -> sqlite3.Cursor:
        assert self.in_transaction, "the stores write many rows in one transaction"
        return super().executemany(sql, parameters)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> Literal[False]:
        started, commits = time.monotonic(), self.in_transaction and kind is None
        if commits:
            self._require_room()
        super().__exit__(kind, value, trace)
        if commits:
            self._flushed(time.monotonic() - started)
        return False

    def _flushed(self, took_s: float) -> None:
        if self.flushes:
            self.drill.flushed(took_s)

    def _require_room(self) -> None:
        """Raises: what SQLite says on a full disk, having rolled back as it does."""
        if not self.drill.machine.full:
            return
        if self.in_transaction:
            super().execute("ROLLBACK")
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        error.sqlite_errorname = "SQLITE_FULL"
        raise error


def connect(path: Path, *, flushes: bool, drill: Drill | None = DRILL) -> sqlite3.Connection:
    """Autocommit; used from one thread at a time. flushes: each commit does."""
    if drill is None:
        return sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, factory=DrillConnection
    )
    connection.drill, connection.flushes = drill, flushes
    return connection
