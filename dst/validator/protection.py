"""The durable EIP-3076 store of one key: a block is on disk before its signature exists.

SQLite, write-ahead log, synchronous FULL: a commit returns when it is fsynced, and is counted, so
that one which a disk loses later is missed at the next start. The store is bound to its key and
chain, and it always holds at least one record: an empty one would permit every slot, and a lost one
looks empty. So creating a store is an act of its own (`--new`: watermark at slot 0; import: the
file's records; `--rejoin`: watermark at the slot that it is when the cluster is caught up with). It
is one transaction: a crash in it leaves no store, never a permissive one.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, Self

from dst.runtime.disk import Room
from dst.runtime.files import fsync_directory
from dst.runtime.kv import (
    MOVE_AWAY,
    REJOIN,
    SQLITE_ERRORS,
    Flushes,
    has_schema,
    open_database,
    other_format,
    summed,
    whole,
)
from dst.runtime.log import Logger
from dst.slashing.interchange import SignedBlock
from dst.slashing.rules import Refusal, check_block
from dst.spec.errors import BadConfig, InvalidInput, StoreDamaged
from dst.spec.primitives import BLSPubkey, Root, Slot

FILE_NAME: Final = "slashing-protection.sqlite"
SCHEMA_VERSION: Final = b"2"
MOVE: Final = (
    f"move its records over: `dst slashing export` with the other release, {MOVE_AWAY}, "
    "`dst slashing import` with this one"
)
KEPT_SLOTS: Final = 16_384
"""Records kept behind the newest; 64 slots are open at most, so older ones only serve as the
minimum.
"""
PRUNE_EVERY: Final = 1_024
"""Signatures between two prunings."""

log = Logger("validator")

_META_TABLE: Final = "CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL)"
_BLOCKS_TABLE: Final = (
    "CREATE TABLE signed_blocks (slot INTEGER NOT NULL, signing_root BLOB,"
    " UNIQUE (slot, signing_root))"
)

_SUMMED: Final = frozenset({"state", "owed_from"})
"""Of `meta`, with a checksum; the others are compared with what they have to be."""

_READY: Final = b"ready"
_REJOINING: Final = b"rejoining"
_WATERMARK: Final = SignedBlock(slot=Slot(0), signing_root=None)
"""The genesis block, which is never signed."""


class SlashingRefused(InvalidInput):
    """Signing this block could be slashable; the store is unchanged."""

    def __init__(self, refusal: Refusal, slot: Slot) -> None:
        super().__init__(f"slashing protection: {refusal} at slot {slot}")
        self.refusal = refusal


class ProtectionStore:
    """Open it through `create`, `open` or `open_for_rejoin`; use it from one thread at a time."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._path = path
        self._connection = connection
        self._flushes = Flushes(path, connection)
        self._room = Room(path, log, event="disk_full_not_signing")
        self._since_prune = 0

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        pubkey: BLSPubkey,
        genesis_validators_root: Root,
        imported: Iterable[SignedBlock] = (_WATERMARK,),
    ) -> Self:
        """A new store that holds the key's past: `imported`, by default nothing but the genesis
        slot.

        Raises: BadConfig when there is a store already; InvalidInput when `imported` is empty;
        DiskFull.
        """
        if is_initialised(path):
            raise BadConfig(f"slashing protection {path} exists already: start without --new")
        blocks = tuple(imported)
        if not blocks:
            raise InvalidInput("a slashing protection without a record would permit every slot")
        return cls._initialise(path, pubkey, genesis_validators_root, _READY, blocks)

    @classmethod
    def open(cls, path: Path, *, pubkey: BLSPubkey, genesis_validators_root: Root) -> Self:
        """The existing store of this key on this chain; where a rejoin was begun, that is to be
        finished first (`is_rejoining`).

        Raises: BadConfig when it is missing, broken, or another key's or chain's; StoreDamaged.
        """
        return cls._open_any(path, pubkey, genesis_validators_root)

    @classmethod
    def open_for_rejoin(
        cls, path: Path, *, pubkey: BLSPubkey, genesis_validators_root: Root
    ) -> Self:
        """An existing or new store that signs nothing until `finish_rejoin`.

        Raises: BadConfig when it is broken, or another key's or chain's; StoreDamaged; DiskFull.
        """
        if not is_initialised(path, may_lack=True):
            root = genesis_validators_root
            return cls._initialise(path, pubkey, root, _REJOINING, (_WATERMARK,))
        store = cls._open_any(path, pubkey, genesis_validators_root, may_lack=True)
        with store._transaction():
            store._put_meta("state", _REJOINING)
        return store

    @classmethod
    def _initialise(
        cls,
        path: Path,
        pubkey: BLSPubkey,
        root: Root,
        state: bytes,
        blocks: Iterable[SignedBlock],
    ) -> Self:
        may_lack = state == _REJOINING
        store = cls(open_database(path, durable=True, may_lack=may_lack), path)
        try:
            with store._transaction():
                store._connection.execute(_META_TABLE)
                store._connection.execute(_BLOCKS_TABLE)
                for name, value in _identity(pubkey, root).items():
                    store._put_plain(name, value)
                store._put_meta("state", state)
                store._merge(blocks)
        except BaseException:
            store.close()
            raise
        fsync_directory(path.parent)
        return store

    @classmethod
    def _open_any(
        cls, path: Path, pubkey: BLSPubkey, root: Root, *, may_lack: bool = False
    ) -> Self:
        if not path.exists():
            raise _missing(path)
        connection = open_database(path, durable=True, create=False, may_lack=may_lack)
        try:
            if not _has_tables(connection, path):
                raise _missing(path)
            store = cls(connection, path)
        except BaseException:
            connection.close()
            raise
        try:
            store._check(_identity(pubkey, root))
        except BaseException:
            store.close()
            raise
        return store

    def _check(self, identity: dict[str, bytes]) -> None:
        """Raises: BadConfig for another key's or chain's; StoreDamaged."""
        what = f"slashing protection {self._path}"
        try:
            found = _all_meta(self._connection)
            lowest = self.minimum()
        except SQLITE_ERRORS as error:
            raise BadConfig(f"{what} cannot be used: {error}") from error
        if strange := found.keys() - identity.keys() - _SUMMED:
            raise self._damaged(f"meta {min(strange)!r}")
        if {name: found.get(name) for name in identity} != identity or lowest is None:
            raise BadConfig(f"{what} belongs to another key or chain")
        self.owed_from()
        if self._meta("state") not in (_READY, _REJOINING):
            raise self._damaged("its state")

    def _damaged(self, part: str) -> StoreDamaged:
        return StoreDamaged(self._path, f"{part} is not what was written", REJOIN)

    @property
    def is_rejoining(self) -> bool:
        """Records may be missing: it signs nothing before `finish_rejoin`, over restarts."""
        return self._meta("state") != _READY

    def finish_rejoin(self, slot: Slot) -> None:
        """Refuse everything at or below `slot` from now on, and be an ordinary store again, in one
        transaction.
        """
        with self._transaction():
            lowest = self.minimum()
            if lowest is None or lowest < slot:
                self._connection.execute("DELETE FROM signed_blocks WHERE slot <= ?", (slot,))
                self._insert([SignedBlock(slot=slot, signing_root=None)])
            self._put_meta("state", _READY)

    def record(self, slot: Slot, signing_root: Root, *, owed_from: Slot | None = None) -> None:
        """Check and store in one transaction; when it returns, the record is on disk and signing is
        safe.

        Args:
            owed_from: first slot without an answer, kept for the next start; it rides along, so
                that remembering a backlog costs no write of its own.
        Raises: SlashingRefused; DiskFull.
        """
        with self._transaction():
            assert not self.is_rejoining, "what was signed before is not known yet"
            refusal = check_block(
                slot, signing_root, at_slot=self._roots_at(slot), minimum=self.minimum()
            )
            if refusal is not None:
                raise SlashingRefused(refusal, slot)
            self._insert([SignedBlock(slot=slot, signing_root=signing_root)])
            if owed_from is not None:
                self._put_meta("owed_from", str(owed_from).encode())
        self._since_prune += 1
        if self._since_prune >= PRUNE_EVERY:
            self._since_prune = 0
            self._prune()

    def _prune(self) -> None:
        """Never above a slot still owed: the minimum rises, and what it passes is never signed."""
        oldest = Slot(self.newest() - KEPT_SLOTS)
        owed_from = self.owed_from()
        self.prune_below(oldest if owed_from is None else min(oldest, Slot(owed_from - 1)))

    def prune_below(self, slot: Slot) -> None:
        """Make the highest record at or below `slot` the minimum, and drop those below it. Above
        `slot` nothing is forbidden that was not signed.
        """
        with self._transaction():
            self._connection.execute(
                "DELETE FROM signed_blocks WHERE slot <"
                " (SELECT MAX(slot) FROM signed_blocks WHERE slot <= ?)",
                (slot,),
            )

    def merge(self, blocks: Iterable[SignedBlock]) -> None:
        """Add imported records; conflicting ones stay side by side and forbid their slot.

        Below the file's lowest slot nothing is known of the key's past, so that becomes the minimum
        unless ours is higher.
        Raises: DiskFull.
        """
        with self._transaction():
            self._merge(blocks)

    def _merge(self, blocks: Iterable[SignedBlock]) -> None:
        records = list(blocks)
        if not records:
            return
        minimum = max(min(block.slot for block in records), self.minimum() or 0)
        self._insert(records)
        self._connection.execute("DELETE FROM signed_blocks WHERE slot < ?", (minimum,))

    def owed_from(self) -> Slot | None:
        """First slot without an answer when the newest record was made; None when none was made."""
        value = self._meta("owed_from")
        return None if value is None else Slot(int(value))

    def minimum(self) -> Slot | None:
        """Lowest slot on record."""
        (slot,) = self._connection.execute("SELECT MIN(slot) FROM signed_blocks").fetchone()
        return None if slot is None else Slot(slot)

    def newest(self) -> Slot:
        """Highest slot on record; there is always one."""
        (slot,) = self._connection.execute("SELECT MAX(slot) FROM signed_blocks").fetchone()
        return Slot(slot)

    def blocks(self) -> list[SignedBlock]:
        """All records, by slot."""
        rows = self._connection.execute(
            "SELECT slot, signing_root FROM signed_blocks ORDER BY slot, signing_root"
        )
        return [SignedBlock(slot=slot, signing_root=root) for slot, root in rows]

    def close(self) -> None:
        self._flushes.close()
        self._connection.close()

    def _roots_at(self, slot: Slot) -> list[Root | None]:
        rows = self._connection.execute(
            "SELECT signing_root FROM signed_blocks WHERE slot = ?", (slot,)
        )
        return [root for (root,) in rows]

    def _insert(self, blocks: Iterable[SignedBlock]) -> None:
        # UNIQUE does not see two NULLs as equal, hence the condition.
        self._connection.executemany(
            "INSERT INTO signed_blocks SELECT :slot, :root WHERE NOT EXISTS"
            " (SELECT 1 FROM signed_blocks WHERE slot = :slot AND signing_root IS :root)",
            ({"slot": block.slot, "root": block.signing_root} for block in blocks),
        )

    def _meta(self, name: str) -> bytes | None:
        row = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        if row is None:
            return None
        value = whole(row[0], name)
        if value is None:
            raise self._damaged(f"meta {name!r}")
        return value

    def _put_meta(self, name: str, value: bytes) -> None:
        assert name in _SUMMED, name
        self._put_plain(name, summed(value, name))

    def _put_plain(self, name: str, value: bytes) -> None:
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing, COMMIT included. Raises: DiskFull; sqlite3.DatabaseError when the disk
        fails otherwise: then nobody knows what was written, and the process must end.
        """
        with self._room.needed(), self._flushes.one():
            yield


def is_initialised(path: Path, *, may_lack: bool = False) -> bool:
    """False for no file, and for one whose creation a crash cut short: nobody signed with that.

    may_lack: records may be missing in it.
    Raises: BadConfig when the file cannot be read; StoreDamaged.
    """
    if not path.exists():
        return False
    opened = open_database(path, durable=True, create=False, may_lack=may_lack)
    with closing(opened) as connection:
        return _has_tables(connection, path)


def _has_tables(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether it was created. Raises: BadConfig for that of another release; StoreDamaged."""
    try:
        found = _all_meta(connection)
    except SQLITE_ERRORS:  # there is no such table
        found = {}
    _require_release(found, path)
    return has_schema(connection, path, f"{_META_TABLE}; {_BLOCKS_TABLE}", REJOIN)


def _require_release(found: dict[str, bytes], path: Path) -> None:
    if found.get("schema", SCHEMA_VERSION) != SCHEMA_VERSION:
        raise other_format(f"slashing protection {path}", found["schema"], SCHEMA_VERSION, MOVE)


def _all_meta(connection: sqlite3.Connection) -> dict[str, bytes]:
    rows = connection.execute("SELECT CAST(name AS BLOB), CAST(value AS BLOB) FROM meta")
    return {bytes(name).decode(errors="replace"): bytes(value) for name, value in rows}


def _missing(path: Path) -> BadConfig:
    return BadConfig(
        f"slashing protection {path} is missing although its key is here: it may have been lost"
        " with votes in it. Start with --rejoin to sign only above what the cluster has reached;"
        " --new is for a key that has never signed"
    )


def _identity(pubkey: BLSPubkey, genesis_validators_root: Root) -> dict[str, bytes]:
    return {
        "schema": SCHEMA_VERSION,
        "pubkey": bytes(pubkey),
        "genesis_validators_root": bytes(genesis_validators_root),
    }
