"""The durable EIP-3076 store of one key: a block is on disk before its signature exists.

SQLite, write-ahead log, synchronous FULL: a commit returns when it is fsynced. The store is bound
to its key and chain,
and it always holds at least one record: an empty one would permit every slot, and a lost one looks
empty. So creating a store is an act of its own (`--new`: watermark at slot 0; `--rejoin`: watermark
at the head that the cluster reached).
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from dst.runtime.files import fsync_directory
from dst.runtime.kv import open_database
from dst.slashing.interchange import SignedBlock
from dst.slashing.rules import Refusal, check_block
from dst.spec.errors import BadConfig, InvalidInput
from dst.spec.primitives import BLSPubkey, Root, Slot

FILE_NAME: Final = "slashing-protection.sqlite"
SCHEMA_VERSION: Final = b"1"
KEPT_SLOTS: Final = 16_384
"""Records kept behind the newest; 64 slots are open at most, so older ones only serve as the
minimum.
"""
PRUNE_EVERY: Final = 1_024
"""Signatures between two prunings."""


_READY: Final = b"ready"
_REJOINING: Final = b"rejoining"


class SlashingRefused(InvalidInput):
    """Signing this block could be slashable; the store is unchanged."""

    def __init__(self, refusal: Refusal, slot: Slot) -> None:
        super().__init__(f"slashing protection: {refusal} at slot {slot}")
        self.refusal = refusal


class ProtectionStore:
    """Open it through `create` or `open`; use it from one thread at a time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._since_prune = 0

    @classmethod
    def create(cls, path: Path, *, pubkey: BLSPubkey, genesis_validators_root: Root) -> Self:
        """A new store with a watermark at slot 0, the genesis block, which is never signed.

        Raises: BadConfig when there is a store already.
        """
        if path.exists():
            raise BadConfig(f"slashing protection {path} exists already: start without --new")
        return cls._initialise(path, pubkey, genesis_validators_root, _READY)

    @classmethod
    def open(cls, path: Path, *, pubkey: BLSPubkey, genesis_validators_root: Root) -> Self:
        """The existing store of this key on this chain.

        Raises: BadConfig when it is missing, broken, another key's or chain's, or in an unfinished
        rejoin.
        """
        store = cls._open_any(path, pubkey, genesis_validators_root)
        if store._state() != _READY:
            store.close()
            raise BadConfig(f"slashing protection {path}: a rejoin was begun; start with --rejoin")
        return store

    @classmethod
    def open_for_rejoin(
        cls, path: Path, *, pubkey: BLSPubkey, genesis_validators_root: Root
    ) -> Self:
        """An existing or new store which may not be opened without `--rejoin` until
        `finish_rejoin`.

        Raises: BadConfig when it is broken, or another key's or chain's.
        """
        if not path.exists():
            return cls._initialise(path, pubkey, genesis_validators_root, _REJOINING)
        store = cls._open_any(path, pubkey, genesis_validators_root)
        store._set_state(_REJOINING)
        return store

    @classmethod
    def _initialise(cls, path: Path, pubkey: BLSPubkey, root: Root, state: bytes) -> Self:
        store = cls(open_database(path, durable=True))
        with store._transaction():
            execute = store._connection.execute
            execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL)")
            execute(
                "CREATE TABLE signed_blocks (slot INTEGER NOT NULL, signing_root BLOB,"
                " UNIQUE (slot, signing_root))"
            )
            for name, value in {**_identity(pubkey, root), "state": state}.items():
                execute("INSERT INTO meta VALUES (?, ?)", (name, value))
            execute("INSERT INTO signed_blocks VALUES (0, NULL)")
        fsync_directory(path.parent)
        return store

    @classmethod
    def _open_any(cls, path: Path, pubkey: BLSPubkey, root: Root) -> Self:
        if not path.exists():
            raise BadConfig(
                f"slashing protection {path} is missing although its key is here: it may have "
                "been lost with votes in it. Start with --rejoin to sign only above what the "
                "cluster has reached; --new is for a key that has never signed"
            )
        store = cls(open_database(path, durable=True, create=False))
        try:
            found = dict(store._connection.execute("SELECT name, value FROM meta"))
            lowest = store.minimum()
        except sqlite3.DatabaseError as error:
            store.close()
            raise BadConfig(f"slashing protection {path} cannot be used: {error}") from error
        found.pop("state", None)
        if found != _identity(pubkey, root) or lowest is None:
            store.close()
            raise BadConfig(f"slashing protection {path} belongs to another key or chain")
        return store

    def _state(self) -> bytes:
        (state,) = self._connection.execute(
            "SELECT value FROM meta WHERE name = 'state'"
        ).fetchone()
        assert isinstance(state, bytes)
        return state

    def _set_state(self, state: bytes) -> None:
        self._connection.execute("UPDATE meta SET value = ? WHERE name = 'state'", (state,))

    def finish_rejoin(self, slot: Slot) -> None:
        """Refuse everything at or below `slot` from now on, and be an ordinary store again, in one
        transaction.
        """
        with self._transaction():
            lowest = self.minimum()
            if lowest is None or lowest < slot:
                self._connection.execute("DELETE FROM signed_blocks WHERE slot <= ?", (slot,))
                self._insert([SignedBlock(slot=slot, signing_root=None)])
            self._set_state(_READY)

    def record(self, slot: Slot, signing_root: Root) -> None:
        """Check and store in one transaction; when it returns, the record is on disk and signing is
        safe.

        Raises: SlashingRefused.
        """
        with self._transaction():
            refusal = check_block(
                slot, signing_root, at_slot=self._roots_at(slot), minimum=self.minimum()
            )
            if refusal is not None:
                raise SlashingRefused(refusal, slot)
            self._insert([SignedBlock(slot=slot, signing_root=signing_root)])
        self._since_prune += 1
        if self._since_prune >= PRUNE_EVERY:
            self._since_prune = 0
            self.prune_below(Slot(self.newest() - KEPT_SLOTS))

    def prune_below(self, slot: Slot) -> None:
        """Drop records below `slot`; the lowest one left is the new minimum. The newest record
        always stays.
        """
        kept = min(slot, self.newest())
        with self._transaction():
            self._connection.execute("DELETE FROM signed_blocks WHERE slot < ?", (kept,))

    def merge(self, blocks: Iterable[SignedBlock]) -> int:
        """Add imported records; conflicting ones stay side by side and forbid their slot. Returns
        how many.

        Below the file's lowest slot nothing is known of the key's past, so that becomes the minimum
        unless ours is higher.
        """
        records = list(blocks)
        if not records:
            return 0
        minimum = max(min(block.slot for block in records), self.minimum() or 0)
        with self._transaction():
            self._insert(records)
            self._connection.execute("DELETE FROM signed_blocks WHERE slot < ?", (minimum,))
        return len(records)

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

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def _identity(pubkey: BLSPubkey, genesis_validators_root: Root) -> dict[str, bytes]:
    return {
        "schema": SCHEMA_VERSION,
        "pubkey": bytes(pubkey),
        "genesis_validators_root": bytes(genesis_validators_root),
    }
