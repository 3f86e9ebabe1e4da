"""What the rollup node remembers: one SQLite file.

Written without waiting for the disk on each commit: it survives a killed process, and after a power
loss what is missing comes back from the middleware's own log, which does wait. One row a block,
written in one transaction, so the file always holds a consistent chain. Each row has a checksum:
what a disk has changed since is never served or gone by, the role ends and says so.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from dst.l1.rpc import L1BlockRef
from dst.runtime.disk import Room
from dst.runtime.kv import (
    REFILL,
    SQLITE_ERRORS,
    Key,
    has_schema,
    open_database,
    other_format,
    summed,
    whole,
)
from dst.runtime.log import Logger
from dst.spec.errors import BadConfig, StoreDamaged
from dst.spec.primitives import BLSSignature, Hash32, Height, Root, Slot

log = Logger("rollup-store")

FORMAT: Final = b"3"

SCANNED_KEPT: Final = 1024
"""L1 block hashes kept behind the scan cursor: how deep a reorg the scanner can walk back without
starting over."""

_NO_LIMIT: Final = 2**62
_MAX_INTEGER: Final = 2**63 - 1
"""SQLite's. The API asks with any unsigned 64-bit number; nothing is stored above this one."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS blocks (
  height INTEGER PRIMARY KEY, slot INTEGER NOT NULL UNIQUE, root BLOB NOT NULL UNIQUE,
  execution_hash BLOB NOT NULL, block BLOB NOT NULL, certificate BLOB, signature BLOB);
CREATE INDEX IF NOT EXISTS unsealed ON blocks (height) WHERE signature IS NULL;
CREATE TABLE IF NOT EXISTS batches (
  l1_number INTEGER NOT NULL, position INTEGER NOT NULL,
  last_height INTEGER NOT NULL, last_root BLOB NOT NULL, PRIMARY KEY (l1_number, position));
CREATE TABLE IF NOT EXISTS scanned (number INTEGER PRIMARY KEY, hash BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
"""

_PLAIN: Final = frozenset({"format", "chain"})
"""Of `meta`, without a checksum: compared with what they have to be at each opening."""
_SUMMED: Final = frozenset({"reset_height", "origin"})
"""All others: a key that is none of these was one of them once."""

_PUT_META: Final = "INSERT OR REPLACE INTO meta VALUES (?, ?)"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBlock:
    """One decided (operator) or covered (follower) block."""

    height: Height
    slot: Slot
    root: Root
    execution_hash: Hash32
    block: bytes
    """SSZ of the unsigned BeaconBlock."""
    certificate: bytes | None = None
    """msgpack; operators only."""
    signature: BLSSignature | None = None
    """The group's, when this very block is known to be sealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBatch:
    """A batch found on L1 that extended the derived chain."""

    l1_number: int
    position: int
    """Order within the L1 block."""
    last_height: Height
    last_root: Root


class Store:
    """Synchronous, microseconds to fractions of a millisecond a call; used from the event loop."""

    def __init__(self, path: Path, chain_identity: bytes) -> None:
        """Raises: BadConfig when the file belongs to another chain; StoreDamaged."""
        self._path, self._room = path, Room(path, log)
        self._db = open_database(path, durable=False)
        self._require_format()
        has_schema(self._db, path, _SCHEMA, REFILL)
        self._db.executescript(_SCHEMA)
        for (key,) in self._rows("SELECT CAST(key AS BLOB) FROM meta"):
            name = bytes(key).decode(errors="replace")
            if name not in _PLAIN | _SUMMED:  # one that is not found says: nothing to heed
                raise self._damaged(f"meta {name!r} is not what was written")
        known = self._plain("chain")
        if known is None:
            with self._writing() as db:
                db.execute(_PUT_META, ("format", FORMAT))
                db.execute(_PUT_META, ("chain", chain_identity))
        elif self._plain("format") is None:
            raise other_format(f"store {path}", None, FORMAT, REFILL)
        elif known != chain_identity:
            raise BadConfig(
                f"store {path} belongs to another chain or cluster: use another data_dir, "
                "or remove this one if its chain is gone"
            )

    def _require_format(self) -> None:
        """Before anything else is read or written: another release may keep other things under
        other names, and goes on with this file when it is started again. Raises: BadConfig;
        StoreDamaged."""
        if self._row("SELECT 1 FROM sqlite_master WHERE name = 'meta'") is None:
            return
        found = self._plain("format")
        if found not in (None, FORMAT):
            raise other_format(f"store {self._path}", found, FORMAT, REFILL)

    def close(self) -> None:
        self._db.close()

    def waits_for(self) -> str | None:
        """For a person; None while the disk takes writes."""
        return self._room.waits_for()

    # --- blocks ---

    def put_block(self, block: StoredBlock, origin: L1BlockRef | None = None) -> None:
        """Add the block of the next height, with its L1 origin where that is known."""
        values = (block.height, block.slot, block.root, block.execution_hash)
        kept = (
            *values,
            summed(block.block, *_place(values, block.certificate)),
            block.certificate,
            None if block.signature is None else _sealed(block.height, block.signature),
        )
        with self._writing("block") as db:
            db.execute("INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?, ?)", kept)
            if origin is not None:
                db.execute(
                    _PUT_META, ("origin", _in_meta("origin", msgspec.msgpack.encode(origin)))
                )

    def put_signature(self, height: Height, signature: BLSSignature) -> None:
        with self._writing() as db:
            db.execute(
                "UPDATE blocks SET signature = ? WHERE height = ?",
                (_sealed(height, signature), height),
            )

    def head(self) -> StoredBlock | None:
        return self._one("ORDER BY height DESC LIMIT 1")

    def by_height(self, height: int) -> StoredBlock | None:
        return self._one("WHERE height = ?", height)

    def by_slot(self, slot: int) -> StoredBlock | None:
        return self._one("WHERE slot = ?", slot)

    def by_root(self, root: Root) -> StoredBlock | None:
        return self._one("WHERE root = ?", root)

    def newest_sealed(self) -> StoredBlock | None:
        return self._one("WHERE signature IS NOT NULL ORDER BY height DESC LIMIT 1")

    def lowest_unsealed(self) -> Height | None:
        """Lowest height above genesis whose signature is not held."""
        row = self._row(
            "SELECT height FROM blocks WHERE signature IS NULL AND height > 0 "
            "ORDER BY height LIMIT 1"
        )
        return None if row is None else Height(row[0])

    def first_sealed_from(self, height: int) -> StoredBlock | None:
        """The lowest sealed block at or above a height: what covers it."""
        return self._one(
            "WHERE signature IS NOT NULL AND height >= ? ORDER BY height LIMIT 1", height
        )

    def range(self, first: int, last: int) -> list[StoredBlock]:
        """Blocks of heights first..last, ascending."""
        rows = self._rows(
            "SELECT * FROM blocks WHERE height BETWEEN ? AND ? ORDER BY height", first, last
        )
        return [self._block_of(row) for row in rows]

    def _block_of(self, row: tuple[Any, ...]) -> StoredBlock:
        """Raises: StoreDamaged."""
        height, slot, root, execution_hash, kept, certificate, seal = row
        block = whole(kept, *_place(row[:4], certificate))
        signature = None if seal is None else whole(seal, "signature", height)
        if block is None or (signature is None and seal is not None):
            raise self._damaged(f"block {height} is not what was written")
        return StoredBlock(
            height=Height(height),
            slot=Slot(slot),
            root=Root(root),
            execution_hash=Hash32(execution_hash),
            block=block,
            certificate=certificate,
            signature=None if signature is None else BLSSignature(signature),
        )

    def _one(self, clause: str, *values: object) -> StoredBlock | None:
        # `clause` is one of the literals above, never input.
        if any(isinstance(value, int) and value > _MAX_INTEGER for value in values):
            return None
        row = self._row(f"SELECT * FROM blocks {clause}", *values)
        return None if row is None else self._block_of(row)

    # --- what was found on L1 ---

    def put_scanned(self, number: int, block_hash: Hash32, batches: Sequence[StoredBatch]) -> None:
        """One scanned L1 block with the batches it holds, in one transaction; it becomes the
        cursor."""
        with self._writing() as db:
            db.executemany(
                "INSERT INTO batches VALUES (?, ?, ?, ?)",
                [
                    (*place, summed(bytes(b.last_root), "batch", *place))
                    for b in batches
                    for place in [(b.l1_number, b.position, b.last_height)]
                ],
            )
            kept = summed(bytes(block_hash), "scanned", number)
            db.execute("INSERT INTO scanned VALUES (?, ?)", (number, kept))
            db.execute("DELETE FROM scanned WHERE number <= ?", (number - SCANNED_KEPT,))

    def forget_scanned_from(self, number: int) -> None:
        """L1 replaced its blocks from `number` on: what they held was never posted."""
        with self._writing() as db:
            db.execute("DELETE FROM batches WHERE l1_number >= ?", (number,))
            db.execute("DELETE FROM scanned WHERE number >= ?", (number,))

    def cursor(self) -> tuple[int, Hash32] | None:
        """Number and hash of the newest scanned L1 block."""
        row = self._row("SELECT number, hash FROM scanned ORDER BY number DESC LIMIT 1")
        if row is None:
            return None
        return row[0], Hash32(self._whole(row[1], "scanned", row[0]))

    def newest_batch(
        self, *, up_to_l1: int = _NO_LIMIT, up_to_height: int = _NO_LIMIT
    ) -> StoredBatch | None:
        """The last batch found, in L1 blocks and of L2 heights up to a number when given."""
        row = self._row(
            "SELECT * FROM batches WHERE l1_number <= ? AND last_height <= ? "
            "ORDER BY l1_number DESC, position DESC LIMIT 1",
            up_to_l1,
            up_to_height,
        )
        if row is None:
            return None
        l1_number, position, last_height, kept = row
        return StoredBatch(
            l1_number=l1_number,
            position=position,
            last_height=Height(last_height),
            last_root=Root(self._whole(kept, "batch", l1_number, position, last_height)),
        )

    # --- small facts ---

    def reset_height(self) -> Height | None:
        """First height affected by an L1 reset that this node has seen."""
        value = self._meta("reset_height")
        return None if value is None else Height(int.from_bytes(value, "big"))

    def set_reset_height(self, height: Height) -> None:
        self._set_meta("reset_height", height.to_bytes(8, "big"))

    def clear_reset_height(self) -> None:
        with self._writing() as db:
            db.execute("DELETE FROM meta WHERE key = 'reset_height'")

    def origin(self) -> L1BlockRef | None:
        """The newest one kept with a block: of the head, unless L1 was away when that came."""
        value = self._meta("origin")
        return None if value is None else msgspec.msgpack.decode(value, type=L1BlockRef)

    def _meta(self, key: str) -> bytes | None:
        kept = self._plain(key)
        return None if kept is None else self._whole(kept, "meta", key)

    def _plain(self, key: str) -> bytes | None:
        row = self._row("SELECT value FROM meta WHERE key = ?", key)
        if row is not None and not isinstance(row[0], bytes):
            raise self._damaged(f"meta {key!r} is not what was written")
        return None if row is None else row[0]

    def _set_meta(self, key: str, value: bytes) -> None:
        assert key in _SUMMED, key
        with self._writing() as db:
            db.execute(_PUT_META, (key, _in_meta(key, value)))

    # --- reading ---

    def _whole(self, data: object, *place: Key) -> bytes:
        """What was kept there. Raises: StoreDamaged when it is not what was written."""
        kept = whole(data, *place)
        if kept is None:
            named = " ".join(str(each) for each in place)
            raise self._damaged(f"{named} is not what was written")
        return kept

    def _damaged(self, how: str) -> StoreDamaged:
        return StoreDamaged(self._path, how, REFILL)

    def _rows(self, ask: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """Raises: StoreDamaged where SQLite cannot read them."""
        try:
            yield from self._db.execute(ask, values)
        except SQLITE_ERRORS as error:
            raise self._damaged(str(error)) from error

    def _row(self, ask: str, *values: object) -> tuple[Any, ...] | None:
        return next(self._rows(ask, *values), None)

    @contextmanager
    def _writing(self, what: str = "record") -> Iterator[sqlite3.Connection]:
        """All or nothing. Raises: DiskFull: whoever wanted it kept asks again, and this node goes
        on when there is room."""
        with self._room.needed(what), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db


def _place(key: Sequence[Key], certificate: bytes | None) -> tuple[Key, ...]:
    """All of a row but its block and what comes later, also where that is not what was written."""
    plain = (bytes(each) if isinstance(each, bytes) else each for each in key)
    return (*plain, certificate or "")


def _in_meta(key: str, value: bytes) -> bytes:
    return summed(value, "meta", key)


def _sealed(height: int, signature: bytes) -> bytes:
    return summed(bytes(signature), "signature", height)
