"""Small durable stores over SQLite (write-ahead log mode), opened one way.

`synchronous=FULL` makes a commit durable across power loss (0.4 ms here); NORMAL survives
a killed process, and after power loss the last commits may be missing but the file is consistent.
Whoever promises something to
others uses FULL.

SQLite takes the first frame of its write-ahead log that is not as written for the log's end, also
when a disk has changed it: commits behind it are gone without a word, and a log that is lost as a
whole is not missed. So a durable store counts its commits (`Flushes`): in the database with each,
and after it, when it is on disk and before anybody is told, in a small file beside it. A database
that is behind that file at an opening forgot something. A power loss cannot make it so: what it
cuts short was not counted yet.
"""

import os
import sqlite3
import zlib
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final, TypeAlias

from dst.runtime.files import write_atomic
from dst.runtime.machine import connect
from dst.spec.errors import BadConfig, StoreDamaged

BESIDE: Final = ("-wal", "-shm", "-flushed")
"""What belongs to a database, and goes where it goes: names end so."""
MOVE_AWAY: Final = f"move it away with what lies beside it ({', '.join(BESIDE)})"
REJOIN: Final = f"restore it, or {MOVE_AWAY} and start with --rejoin on a new one"
REFILL: Final = "move it away, it is filled again"
Key: TypeAlias = str | int | bytes | None
_SUM_BYTES: Final = 4
"""Of a CRC-32 before a value: against disks, not against people."""
_COUNT_BYTES: Final = 8
_PLACE_BYTES: Final = _COUNT_BYTES + _SUM_BYTES
"""Of one count in the file beside the database."""
_PLACES: Final = 2
"""Written in turn: a power loss may tear the one that is written, not the one before."""
SQLITE_ERRORS: Final = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What a changed file raises where it is read: SQLite's complaint quotes the text of the schema,
and that may not be text any more."""


def summed(data: bytes, *place: Key) -> bytes:
    """As it is kept at its place: with a checksum over both."""
    return _sum_of(data, place) + data


def whole(data: object, *place: Key) -> bytes | None:
    """What was kept there; None when it is not what was written: it may not even be bytes."""
    if not isinstance(data, bytes):
        return None
    kept = data[_SUM_BYTES:]
    return kept if data[:_SUM_BYTES] == _sum_of(kept, place) else None


def _sum_of(data: bytes, place: tuple[Key, ...]) -> bytes:
    return zlib.crc32(data, zlib.crc32(repr(place).encode())).to_bytes(_SUM_BYTES, "big")


def other_format(what: str, found: bytes | None, reads: bytes, advice: str) -> BadConfig:
    """The refusal of a store whose format is not the one that this release reads.

    what: `store PATH`. advice: what to do, beside starting the release that wrote it.
    """
    has = "none" if found is None else _told(found)
    return BadConfig(
        f"{what} was written by another release of this program: it has format {has}, this one "
        f"reads format {_told(reads)}; start the other release again, or {advice}"
    )


def _told(format_: bytes) -> str:
    """Some stores keep the number as text, some as a byte."""
    return format_.decode() if format_.isdigit() else format_.hex().lstrip("0") or "0"


def open_database(
    path: Path,
    *,
    durable: bool,
    create: bool = True,
    tables: Collection[str] = (),
    may_lack: bool = False,
) -> sqlite3.Connection:
    """Open (or create) an SQLite database in WAL mode, autocommit; check that it is not corrupt.

    The connection may be used from one thread at a time (callers serialise).
    tables: of a durable one check only these, where the rest is checked otherwise; () is all.
    may_lack: commits may be missing in it, whoever opens it promises nothing before that is mended.
    Raises: BadConfig when it is missing (create=False) or unreadable; StoreDamaged.
    """
    if not create and not path.exists():
        raise BadConfig(f"store {path} does not exist")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if durable and path.exists():
            _look(path, tables, may_lack)
        elif durable:
            _require_nothing_beside(path)
        connection = connect(path, flushes=durable)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        if not durable and (verdict := damage(connection)):
            raise StoreDamaged(path, verdict, REFILL)
    except (*SQLITE_ERRORS, OSError) as error:
        raise BadConfig(f"store {path} cannot be used: {error}") from None
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """One more connection to a database that is open, so that it was looked at."""
    return connect(path, flushes=False)


def _require_nothing_beside(path: Path) -> None:
    """SQLite would delete a log whose database is not there, with every promise in it, and the new
    one would take over the old one's count. Raises: BadConfig."""
    left = [each for end in BESIDE if (each := path.with_name(path.name + end)).exists()]
    if left:
        names = ", ".join(each.name for each in left)
        raise BadConfig(
            f"store {path} is not there, and {names} of it is: bring it back, or move that away"
        )


def _look(path: Path, tables: Collection[str], may_lack: bool) -> None:
    """At a store that promises something, before anybody may write: a refusal leaves database and
    log as they are, so that it is the same at each start. Raises: StoreDamaged; OSError; what
    SQLITE_ERRORS says."""
    log = path.with_name(path.name + "-wal")
    if not path.stat().st_size and log.exists() and log.stat().st_size:  # SQLite would delete it
        raise StoreDamaged(path, "nothing is left of it but its write-ahead log", REJOIN)
    with closing(read_only(path)) as reader:
        told = _told_flushed(path)  # before: another process may just be writing
        verdict, made = damage(reader, tables), _made(reader)
    if verdict is not None:
        raise StoreDamaged(path, verdict, REJOIN)
    if made < told and not may_lack:
        lost = f"{told} commits were flushed to it, and it knows of {made}"
        raise StoreDamaged(path, lost, "restore it or start with --rejoin")


def read_only(path: Path) -> sqlite3.Connection:
    """It changes nothing, and as it closes, nothing of the log either; from any thread."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)


def damage(reader: sqlite3.Connection, tables: Collection[str] = ()) -> str | None:
    """What is wrong in the database, of all tables or of these; None: nothing. The whole check also
    compares each index with its table."""
    there = {name for (name,) in reader.execute("SELECT name FROM sqlite_master")}
    checks = [f"('{each}')" for each in tables if each in there] if tables else ["(1)"]
    for check in checks:
        (verdict,) = reader.execute(f"PRAGMA integrity_check{check}").fetchone()
        if verdict != "ok":
            return str(verdict)
    return None


def has_schema(connection: sqlite3.Connection, path: Path, script: str, do: str) -> bool:
    """Whether what `script` makes was made there; some of it may lack, where a crash came between.

    Raises: StoreDamaged (do: what, for a person) when anything else is there, or begins on another
    page: it would be passed over, and made once more, empty.
    """
    with closing(sqlite3.connect(":memory:")) as fresh:
        fresh.executescript(script)
        expected = _schema_of(fresh)
    try:
        found = _schema_of(connection)
    except SQLITE_ERRORS as error:
        raise StoreDamaged(path, str(error), do) from None
    if not found <= expected:
        raise StoreDamaged(path, "its schema is not what was written", do)
    return bool(found)


def _schema_of(connection: sqlite3.Connection) -> set[tuple[bytes | int | None, ...]]:
    words = ("type", "name", "tbl_name", "sql")
    columns = ", ".join(f"CAST({each} AS BLOB)" for each in words)
    return set(connection.execute(f"SELECT {columns}, rootpage FROM sqlite_master"))


class Flushes:
    """The commits of an open durable database, and the count of them beside it."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        """Raises: BadConfig when there is no count and none can be made; StoreDamaged."""
        self._connection = connection
        made, place = _made(connection), _counts_of(path)
        try:
            if not place.exists():  # new, of an earlier release, or a copy that was made without it
                write_atomic(place, _count(made) * _PLACES)
            self._told = _told_flushed(path)
            if made > self._told:  # whoever was killed in a commit may not have flushed it
                _flush(path.with_name(path.name + "-wal"))
                _flush(path)
            self._file = place.open("r+b", buffering=0)
        except OSError as error:
            raise BadConfig(f"store {path} cannot be used: {error}") from None
        self._flusher = ThreadPoolExecutor(max_workers=1, thread_name_prefix="flushes")
        if made > self._told:
            self._tell(made)

    @contextmanager
    def one(self) -> Iterator[None]:
        """A transaction: all or nothing, COMMIT included; on disk and counted at its end.

        Raises: sqlite3.DatabaseError, where the disk fails (on a full one nothing was written).
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            # Above what was told: one that lacks commits is whole again once that is written.
            made = max(_made(self._connection), self._told) + 1
            yield
            self._connection.execute(f"PRAGMA user_version = {made}")
            self._connection.execute("COMMIT")
        except BaseException:
            # SQLite has done it already after some errors, a full disk among them.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self._tell(made)

    def _tell(self, made: int) -> None:
        """Whoever kills the process finds it; that the disk has it too is not waited for, or each
        promise took two flushes. So what a power loss leaves unnoticed is damage to a commit of the
        last milliseconds before it. Where it cannot be written it stays behind, which accuses
        nobody: the commit stands, and is not to be taken back for it."""
        self._told = made
        with suppress(OSError):
            os.pwrite(self._file.fileno(), _count(made), made % _PLACES * _PLACE_BYTES)
        self._flusher.submit(os.fdatasync, self._file.fileno())

    def close(self) -> None:
        self._flusher.shutdown(wait=True)
        self._file.close()


def _flush(path: Path) -> None:
    """Raises: OSError."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        os.fsync(file.fileno())


def _made(connection: sqlite3.Connection) -> int:
    """Commits of this database: a number of 31 bits, enough for ten years at six a second."""
    (made,) = connection.execute("PRAGMA user_version").fetchone()
    return int(made)


def _counts_of(path: Path) -> Path:
    return path.with_name(path.name + "-flushed")


def _count(made: int) -> bytes:
    return summed(made.to_bytes(_COUNT_BYTES, "big"), "flushed")


def _told_flushed(path: Path) -> int:
    """Commits that were told to be on disk; 0 where nobody counted. Raises: StoreDamaged when no
    count is as written; OSError."""
    place = _counts_of(path)
    if not place.exists():
        return 0
    data = place.read_bytes()
    kept = [
        whole(data[at : at + _PLACE_BYTES], "flushed")
        for at in range(0, _PLACES * _PLACE_BYTES, _PLACE_BYTES)
    ]
    counts = [int.from_bytes(each, "big") for each in kept if each is not None]
    if not counts:
        raise StoreDamaged(place, "it is not what was written", REJOIN)
    return max(counts)
