"""Small durable stores over SQLite (write-ahead log mode), opened one way.

`synchronous=FULL` makes a commit durable across power loss (0.4 ms here); NORMAL survives
a killed process, and after power loss the last commits may be missing but the file is consistent.
Whoever promises something to
others uses FULL.

SQLite takes the first frame of its write-ahead log that is not as written for the log's end, also
when a disk has changed it: commits behind it are gone without a word. Of a durable store that is
looked for at each opening. What remains unnoticed is damage to the very last commit, which looks as
one does that a power loss cut short.
"""

import sqlite3
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from dst.runtime.machine import connect
from dst.spec.errors import BadConfig

REJOIN: Final = "restore it or start with --rejoin on a new one"
REFILL: Final = "move it away, it is filled again"
Key: TypeAlias = str | int | bytes
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


class StoreDamaged(BadConfig):
    """A store does not hold what was written to it. `do` is for a person."""

    def __init__(self, path: Path, how: str, do: str = REJOIN) -> None:
        super().__init__(f"store {path} is corrupt ({how}); {do}")


def summed(data: bytes, *place: Key) -> bytes:
    """As it is kept at its place: with a checksum over both."""
    return _sum_of(data, place) + data


def whole(data: bytes, *place: Key) -> bytes | None:
    """What was kept there; None when it is not what was written."""
    kept = bytes(data[_SUM_BYTES:])
    return kept if data[:_SUM_BYTES] == _sum_of(kept, place) else None


def _sum_of(data: bytes, place: tuple[Key, ...]) -> bytes:
    return zlib.crc32(data, zlib.crc32(repr(place).encode())).to_bytes(_SUM_BYTES, "big")


def open_database(path: Path, *, durable: bool, create: bool = True) -> sqlite3.Connection:
    """Open (or create) an SQLite database in WAL mode, autocommit; check that it is not corrupt.

    The connection may be used from one thread at a time (callers serialise).
    Raises: BadConfig when it is missing (create=False), unreadable or corrupt.
    """
    if not create and not path.exists():
        raise BadConfig(f"store {path} does not exist")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = connect(path, flushes=durable)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        # The whole check also compares each index with its table.
        check = "integrity_check" if durable else "quick_check"
        (verdict,) = connection.execute(f"PRAGMA {check}(1)").fetchone()
        if verdict == "ok" and durable:
            verdict = _damage_of_log(path)
    except (sqlite3.DatabaseError, OSError) as error:
        raise BadConfig(f"store {path} cannot be used: {error}") from None
    if verdict != "ok":
        connection.close()
        raise StoreDamaged(path, verdict, REJOIN if durable else REFILL)
    return connection


def _damage_of_log(path: Path) -> str:
    """`ok`, or what of the write-ahead log SQLite passes over. The database was read just now, so
    the log's index is of today. Raises: OSError."""
    log, index = path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")
    if not log.exists() or log.stat().st_size < _LOG_HEADER.size or not index.exists():
        return "ok"
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
