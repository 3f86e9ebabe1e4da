"""Small durable stores over SQLite (write-ahead log mode), opened one way.

`synchronous=FULL` makes a commit durable across power loss (0.4 ms here); NORMAL survives
a killed process, and after power loss the last commits may be missing but the file is consistent.
Whoever promises something to
others uses FULL.

SQLite takes the first frame of its write-ahead log that is not as written for the log's end, also
when a disk has changed it: commits behind it are gone without a word. Of a durable store that is
looked for at each opening, by a connection that cannot write: the last one that can moves what it
takes for valid into the database as it closes and deletes the log, so that the next start would
find nothing amiss. What remains unnoticed is damage to the very last commit, which looks as one
does that a power loss cut short.
"""

import os
import sqlite3
import struct
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from dst.runtime.machine import connect
from dst.spec.errors import BadConfig, StoreDamaged

REJOIN: Final = "restore it or start with --rejoin on a new one"
REFILL: Final = "move it away, it is filled again"
Key: TypeAlias = str | int | bytes | None
_SUM_BYTES: Final = 4
"""Of a CRC-32 before a value: against disks, not against people."""
_LOG_HEADER: Final = struct.Struct(">IIIIIIII")
"""Magic, version, page size, checkpoint sequence, two salts, two checksums."""
_FRAME_HEADER: Final = struct.Struct(">IIIIII")
"""Page number, pages of the file after a commit (else 0), two salts, two checksums."""
_LITTLE_ENDIAN_SUMS: Final = 0x377F0682
_VALID_FRAMES_AT: Final = 16
"""In the index of the log (the -shm file): `mxFrame`, as this machine writes numbers."""
# Source of all of it: sqlite.org/walformat.html.


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


def open_database(path: Path, *, durable: bool, create: bool = True) -> sqlite3.Connection:
    """Open (or create) an SQLite database in WAL mode, autocommit; check that it is not corrupt.

    The connection may be used from one thread at a time (callers serialise).
    Raises: BadConfig when it is missing (create=False) or unreadable; StoreDamaged.
    """
    if not create and not path.exists():
        raise BadConfig(f"store {path} does not exist")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if durable and path.exists():
            _look(path)
        connection = connect(path, flushes=durable)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        if not durable:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise StoreDamaged(path, verdict, REFILL)
    except (sqlite3.DatabaseError, OSError) as error:
        raise BadConfig(f"store {path} cannot be used: {error}") from None
    except UnicodeDecodeError:  # of SQLite's own words for it, which quote the file
        how = "names in it are no text any more"
        raise StoreDamaged(path, how, REJOIN if durable else REFILL) from None
    return connection


def _look(path: Path) -> None:
    """At a store that promises something, before anybody may write: a refusal leaves database and
    log as they are, so that it is the same at each start. Raises: StoreDamaged;
    sqlite3.DatabaseError; OSError."""
    log = _beside(path, "-wal")
    if not path.stat().st_size and log.exists() and log.stat().st_size:  # SQLite would delete it
        raise StoreDamaged(path, "nothing is left of it but its write-ahead log", REJOIN)
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as reader:
        # The whole check also compares each index with its table.
        (verdict,) = reader.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict == "ok":
            verdict = _damage_of_log(path)
    if verdict != "ok":
        raise StoreDamaged(path, verdict, REJOIN)


def _damage_of_log(path: Path) -> str:
    """`ok`, or what of the write-ahead log SQLite passes over. The database was read just now and
    is still open, so the log's index is of today. Raises: OSError."""
    log, index = _beside(path, "-wal"), _beside(path, "-shm")
    if not log.exists() or log.stat().st_size < _LOG_HEADER.size:
        return "ok"
    if not os.access(index, os.W_OK):  # then SQLite keeps today's in its memory
        raise PermissionError(f"{index} cannot be written")
    with log.open("rb") as file:
        head = file.read(_LOG_HEADER.size)
    magic, _, page_size, _, *salts, _, _ = _LOG_HEADER.unpack(head)
    if not _is_as_written(head, magic):
        return "the head of its write-ahead log is not what was written"
    valid = _valid_frames(index)
    lost = [
        each.number
        for each in _frames(log, page_size)
        if each.number > valid and each.commits and each.salts == tuple(salts)
    ]
    if len(lost) < 2:  # one may be a commit that a power loss cut short: nobody relied on it
        return "ok"
    return f"its write-ahead log is damaged behind frame {valid}, and {len(lost)} commits with it"


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _is_as_written(head: bytes, magic: int) -> bool:
    """Whether the head's checksum is right."""
    order = "<" if magic == _LITTLE_ENDIAN_SUMS else ">"
    words = struct.unpack(f"{order}6I", head[:24])
    first = second = 0
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return head[24:] == struct.pack(">II", first, second)


def _valid_frames(index: Path) -> int:
    with index.open("rb") as file:
        file.seek(_VALID_FRAMES_AT)
        (frames,) = struct.unpack("=I", file.read(4))
    return int(frames)


class _Frame(NamedTuple):
    number: int
    commits: bool
    salts: tuple[int, int]


def _frames(log: Path, page_size: int) -> Iterator[_Frame]:
    size = _FRAME_HEADER.size + page_size
    with log.open("rb") as file:
        for number in range(1, (log.stat().st_size - _LOG_HEADER.size) // size + 1):
            file.seek(_LOG_HEADER.size + (number - 1) * size)
            _, pages, one, other, _, _ = _FRAME_HEADER.unpack(file.read(_FRAME_HEADER.size))
            yield _Frame(number, pages > 0, (one, other))
