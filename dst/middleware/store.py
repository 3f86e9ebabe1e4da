"""What must survive a crash: this node's promises, the decided chain, its own partial signatures.

SQLite in WAL mode with synchronous=FULL: `append` returns when its records are on disk. One
dedicated thread writes, in the order of the calls; the event loop reads through a second connection
and never waits for an fsync. A store that may be missing votes does not vote: see `open_store`.

Each value is kept with a checksum over itself and its place, which is all else in its row: what a
disk has changed since is never served or built on, the role ends and says so.
"""

import asyncio
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import msgspec
from msgspec.structs import replace

from dst.apis.dst_v1 import DecidedBlock
from dst.qbft import records as qbft_records
from dst.qbft.messages import Certificate, ProposalMessage
from dst.runtime.disk import DiskFull, Room
from dst.runtime.files import fsync_directory
from dst.runtime.kv import (
    MOVE_AWAY,
    REJOIN,
    SQLITE_ERRORS,
    Flushes,
    Key,
    has_schema,
    open_database,
    open_reader,
    other_format,
    read_only,
    summed,
    whole,
)
from dst.runtime.log import Logger
from dst.sealing import records as sealing_records
from dst.sealing.messages import GroupSignature, PartialSignature
from dst.spec.errors import BadConfig, StoreDamaged
from dst.spec.primitives import BLSSignature, Height, Root, Round, Slot, Term

FILE_NAME: Final = "middleware.sqlite"
SCHEMA_VERSION: Final = 4
_FORMAT: Final = bytes([SCHEMA_VERSION])
"""As it is kept."""
_BEGIN_ANEW: Final = f"{MOVE_AWAY} and start with --rejoin, never more than f operators at a time"
MAX_EVIDENCE: Final = 1000
"""Pieces of evidence kept, oldest first out never: a faulty peer must not fill the disk, and the
first offences are the telling ones."""
MAX_EVIDENCE_PER_CULPRIT: Final = 100
"""Of these about one operator: the others' offences must find room, too."""
FULL_RETRY_S: Final = 1.0
"""A full disk is asked again this often; until it takes the record, nothing that depends on it is
sent, so the node does not vote."""

Record: TypeAlias = qbft_records.Record | sealing_records.Record
Promise: TypeAlias = (
    qbft_records.ProposalRecord
    | qbft_records.PrepareRecord
    | qbft_records.CommitRecord
    | qbft_records.RoundChangeRecord
)
"""About an open height; gone with its decision."""

log = Logger("store")

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS log (
    id INTEGER PRIMARY KEY AUTOINCREMENT, height INTEGER NOT NULL, round INTEGER NOT NULL,
    is_lock INTEGER NOT NULL, root BLOB, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS promised (
    root BLOB PRIMARY KEY, height INTEGER NOT NULL, block BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS decided (
    height INTEGER PRIMARY KEY, slot INTEGER NOT NULL UNIQUE, root BLOB NOT NULL UNIQUE,
    certificate BLOB NOT NULL, block BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS partials (
    term INTEGER NOT NULL, height INTEGER NOT NULL, record BLOB NOT NULL,
    PRIMARY KEY (term, height)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seals (height INTEGER PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS evidence (
    id INTEGER PRIMARY KEY AUTOINCREMENT, culprit INTEGER, record BLOB NOT NULL);
"""
_OF_PROMISES: Final = ("meta", "log", "promised", "partials", "evidence")
"""Checked before anything is promised. The others hold a row for each height for ever: their check
takes as long as the chain is, and goes on beside the service (`look_through`)."""
LOOK_ROWS: Final = 256
"""Looked at in one go: as long as a look lasts, the write-ahead log can only grow."""
_PLAIN: Final = frozenset({"schema", "lock_hash"})
"""Of `meta`, without a checksum: compared with what they have to be at each opening."""
_SUMMED: Final = frozenset({"new", "rejoin", "halt", "sign_above"})
"""All others: a key that is none of these was one of them once."""


class Halt(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An L1 reset halted this operator, until the chain's term is a later one or its own rollup
    node finds that L1 holds the origins after all."""

    term: Term
    height: Height
    detail: str


class Rejoin(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Votes may be missing here: none is given at or below `vote_above`, which is None until a
    quorum of peers reported."""

    vote_above: Height | None


class Evidence(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Signed messages that convict `culprit`; `proof` is their msgpack, as they were received."""

    height: Height | None
    culprit: int | None
    reason: str
    detail: str
    proof: bytes


class DecidedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the decided chain."""

    height: Height
    slot: Slot
    root: Root
    decided: DecidedBlock


class Store(Protocol):
    """What the middleware needs of its store; the simulator's disk may stand in its place."""

    async def append(self, records: Sequence[Record]) -> None: ...
    async def note_evidence(self, evidence: Evidence) -> None: ...
    async def set_halt(self, halt: Halt | None) -> None: ...
    async def set_rejoin(self, rejoin: Rejoin) -> None: ...
    async def finish_rejoin(self, sign_above: Slot) -> None: ...
    async def set_began(self) -> None: ...
    def promises(self) -> tuple[qbft_records.Record, ...]: ...
    def promised_block(self, root: Root) -> bytes | None: ...
    def own_partials(self) -> tuple[sealing_records.PartialRecord, ...]: ...
    def decided_height(self) -> Height: ...
    def decided(self, height: Height) -> DecidedBlock | None: ...
    def decided_range(
        self, first: Height, count: int, max_bytes: int
    ) -> tuple[DecidedBlock, ...]: ...
    def decided_by_root(self, root: Root) -> DecidedBlock | None: ...
    def entry_at_slot(self, slot: Slot) -> DecidedEntry | None: ...
    def head_entry(self) -> DecidedEntry | None: ...
    def unsealed(self) -> dict[Height, Root]: ...
    def seal(self, height: Height) -> GroupSignature | None: ...
    def group_signature(self, height: Height) -> BLSSignature | None: ...
    def halt(self) -> Halt | None: ...
    def rejoin(self) -> Rejoin | None: ...
    def sign_above(self) -> Slot: ...
    def is_new(self) -> bool: ...
    def waits_for(self) -> str | None: ...
    def close(self) -> None: ...


def open_store(data_dir: Path, lock_hash: bytes, *, new: bool, rejoin: bool) -> "SqliteStore":
    """Open the store of this operator.

    new: create it, once, when the cluster is created. rejoin: votes may be missing here (new disk,
    old copy); the node first learns how far the cluster is. Neither: it must exist.
    Raises: BadConfig saying what is wrong and what to do; StoreDamaged.
    """
    assert not (new and rejoin), "--new and --rejoin exclude each other"
    path = data_dir / FILE_NAME
    exists = path.exists()
    try:
        if not (new or rejoin or exists):
            raise _missing(path)
        writer = open_database(path, durable=True, tables=_OF_PROMISES, may_lack=rejoin)
        try:
            exists = exists and _is_initialised(writer, path)
            if new and exists:
                raise BadConfig(f"store {path} exists already: start without --new")
            if not (new or rejoin or exists):
                raise _missing(path)
            store = SqliteStore(path, writer)
        except BaseException:
            writer.close()
            raise
    except SQLITE_ERRORS as error:
        raise BadConfig(f"store {path} cannot be used: {error}") from None
    try:
        if exists:
            store.check(lock_hash)
        store.begin(lock_hash, new=not exists and not rejoin, rejoin=rejoin)
    except BaseException:
        store.close()
        raise
    fsync_directory(data_dir)
    return store


def _missing(path: Path) -> BadConfig:
    return BadConfig(
        f"this operator's key is here but its store {path} is not: without it, votes already"
        " given are forgotten. Use --new when the cluster has just been created; else bring"
        " the store back, or use --rejoin to catch up from the peers first"
    )


def _is_initialised(connection: sqlite3.Connection, path: Path) -> bool:
    """A crash during `--new` leaves a file without its first record, or without a table; nobody
    voted with it. That of another release is refused before a table is made in it: that release
    may go on with it. Raises: BadConfig; StoreDamaged."""
    try:
        rows = connection.execute("SELECT CAST(key AS BLOB), CAST(value AS BLOB) FROM meta")
        kept = {bytes(key): bytes(value) for key, value in rows}
    except SQLITE_ERRORS:  # there is no such table
        kept = {}
    if kept.get(b"schema", _FORMAT) != _FORMAT:
        raise other_format(f"store {path}", kept[b"schema"], _FORMAT, _BEGIN_ANEW)
    has_schema(connection, path, _SCHEMA, REJOIN)
    return bool(kept)


class SqliteStore:
    """`Store` over one SQLite file. Opened by `open_store`."""

    def __init__(self, path: Path, writer: sqlite3.Connection) -> None:
        self._path = path
        self._room = Room(path, log, event="disk_full_not_voting")
        """Writes that a full disk keeps waiting."""
        self._writer = writer
        self._writer.executescript(_SCHEMA)
        self._flushes = Flushes(path, writer)
        self._reader = open_reader(path)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._head = Height(self._max_height())

    def check(self, lock_hash: bytes) -> None:
        """Raises: BadConfig for the store of another cluster or another release; StoreDamaged."""
        for (key,) in self._rows("SELECT CAST(key AS BLOB) FROM meta"):
            name = bytes(key).decode(errors="replace")
            if name not in _PLAIN | _SUMMED:  # one that is not found says: nothing to heed
                raise self._damaged(f"meta {name!r} is not what was written")
        if self._plain("schema") != _FORMAT:
            raise other_format(f"store {self._path}", self._plain("schema"), _FORMAT, _BEGIN_ANEW)
        if self._plain("lock_hash") != lock_hash:
            raise BadConfig(
                f"store {self._path} belongs to the cluster with lock hash"
                f" {(self._plain('lock_hash') or b'').hex()}, not to {lock_hash.hex()}"
            )
        self._check_head()

    def _check_head(self) -> None:
        """No promise is kept at or below it, so that a lower one would forget votes. By height it
        is found in the table, by slot in an index: one changed page leads one of them astray."""
        by_slot = self._row("SELECT height FROM decided ORDER BY slot DESC LIMIT 1")
        if self._head != (0 if by_slot is None else by_slot[0]):
            raise self._damaged("the head of what was decided is not what was written")
        self.head_entry()

    async def look_through(self) -> None:
        """All that was decided until now, once, beside the service. Raises: StoreDamaged."""
        loop = asyncio.get_running_loop()
        for first in range(1, self._head + 1, LOOK_ROWS):
            heights = range(first, min(first + LOOK_ROWS, self._head + 1))
            await loop.run_in_executor(None, self._look_at, heights)

    def _look_at(self, heights: range) -> None:
        """Blocks, certificates and seals are what was written, and each index finds them. Raises:
        StoreDamaged."""
        ends = (heights[0], heights[-1])
        with closing(read_only(self._path)) as reader:
            try:
                rows = reader.execute(
                    "SELECT certificate, block, height, slot, root FROM decided"
                    " WHERE height BETWEEN ? AND ? ORDER BY height", ends,
                ).fetchall()  # fmt: skip
                if [row[2] for row in rows] != list(heights):
                    raise self._damaged(f"not all of {ends[0]} to {ends[1]} is there")
                for certificate, block, height, slot, root in rows:
                    self._decided_block(certificate, block, height, slot, root)
                    for index, value in (("slot", slot), ("root", root)):
                        by = f"SELECT height FROM decided WHERE {index} = ?"
                        if reader.execute(by, (value,)).fetchall() != [(height,)]:
                            raise self._damaged(f"{height} is not found by its {index}")
                seals = "SELECT record, height FROM seals WHERE height BETWEEN ? AND ?"
                for record, height in reader.execute(seals, ends):
                    self._whole(record, "seals", height)
            except SQLITE_ERRORS as error:
                raise self._damaged(str(error)) from error

    def begin(self, lock_hash: bytes, *, new: bool, rejoin: bool) -> None:
        """Mark the store as this cluster's. One transaction: a crash must not leave a store that
        is rejoining without saying so. A full disk is waited for; an ordinary start needs none, for
        it writes nothing."""
        wanted = {"schema": _FORMAT, "lock_hash": lock_hash}
        if rejoin:
            wanted["rejoin"] = _in_meta("rejoin", _encode(Rejoin(vote_above=None)))
        if new:
            wanted["new"] = _in_meta("new", b"\x01")
        lacking = {key: value for key, value in wanted.items() if self._plain(key) != value}
        if rejoin:  # said again: where commits are missing, the count goes on from here
            lacking["rejoin"] = wanted["rejoin"]
        while lacking:
            try:
                with self._room.needed(), self._flushes.one():
                    for key, value in lacking.items():
                        self._put_plain(key, value)
                return
            except DiskFull:
                time.sleep(FULL_RETRY_S)

    def close(self) -> None:
        self._thread.shutdown(wait=True)
        self._flushes.close()
        self._writer.close()
        self._reader.close()

    # ------------------------------------------------------------------- writing

    async def append(self, records: Sequence[Record]) -> None:
        """Write in one transaction; returns when it is on disk.

        A full disk is waited for. Raises: sqlite3.DatabaseError when the disk fails otherwise: the
        node must stop, for it cannot know what was written.
        """
        await self._durably(lambda: self._write(records))
        self._head = Height(self._max_height()) if _has_decision(records) else self._head

    async def note_evidence(self, evidence: Evidence) -> None:
        await self._durably(lambda: self._insert_evidence(evidence))

    async def set_halt(self, halt: Halt | None) -> None:
        """None: the halt has ended."""
        encoded = b"" if halt is None else _encode(halt)
        await self._durably(lambda: self._write_meta(halt=encoded))

    async def set_rejoin(self, rejoin: Rejoin) -> None:
        await self._durably(lambda: self._write_meta(rejoin=_encode(rejoin)))

    async def set_began(self) -> None:
        """The others were ready: from now on it votes at once after a start."""
        await self._durably(lambda: self._write_meta(new=b""))

    async def finish_rejoin(self, sign_above: Slot) -> None:
        """Votes are given again; slots up to `sign_above` are never offered for signing."""
        above = _encode(sign_above)
        await self._durably(lambda: self._write_meta(sign_above=above, rejoin=b"", new=b""))

    def _write_meta(self, **values: bytes) -> None:
        with self._flushes.one():
            for key, value in values.items():
                self._put_meta(key, value)

    async def _durably(self, write: "_Write") -> None:
        loop, this_write = asyncio.get_running_loop(), object()
        try:
            while True:
                try:
                    with self._room.needed(this_write):
                        return await loop.run_in_executor(self._thread, write)
                except DiskFull:
                    await asyncio.sleep(FULL_RETRY_S)
        finally:
            self._room.suffices(this_write)

    def waits_for(self) -> str | None:
        """For a person; None while the disk takes writes."""
        return self._room.waits_for()

    def _write(self, records: Sequence[Record]) -> None:
        with self._flushes.one():
            for record in records:
                self._insert(record)

    def _insert(self, record: Record) -> None:
        match record:
            case qbft_records.DecisionRecord():
                self._insert_decision(record)
            case sealing_records.PartialRecord():
                self._insert_partial(record.message, record)
            case sealing_records.SealRecord():
                height = record.message.height
                self._writer.execute(
                    "INSERT OR IGNORE INTO seals VALUES (?, ?)",
                    (height, summed(_encode(record), "seals", height)),
                )
                self._writer.execute("DELETE FROM partials WHERE height = ?", (height,))
            case _:
                self._insert_promise(record)

    def _insert_promise(self, record: Promise) -> None:
        """Blocks lie once each beside the log, until the height is decided. In the log itself what
        a later round overtook gives way, but for the lock: however long a height stays open, a
        restart reads a few records."""
        height, round_ = _instance_of(record)
        proposal, is_lock = _proposal_of(record), isinstance(record, qbft_records.CommitRecord)
        root = None
        if proposal is not None:
            root = proposal.signed.payload.root
            self._writer.execute(
                "INSERT OR IGNORE INTO promised VALUES (?, ?, ?)",
                (root, height, summed(proposal.block, "promised", root, height)),
            )
        place = (height, round_, int(is_lock), root)
        encoded = _encode(_with_block(record, b""))
        self._writer.execute(
            "INSERT INTO log (height, round, is_lock, root, record) VALUES (?, ?, ?, ?, ?)",
            (*place, summed(encoded, "log", *place)),
        )
        self._overtake(height, round_)

    def _overtake(self, height: Height, round_: Round) -> None:
        """Reads what it may delete: of a changed row nothing may be concluded."""
        rows = self._writer.execute(
            "SELECT record, height, round, is_lock, root FROM log WHERE height = ?", (height,)
        ).fetchall()
        for record, *place in rows:
            self._whole(record, "log", *place)
        lock = max((its_round for _, _, its_round, is_lock, _ in rows if is_lock), default=-1)
        self._writer.execute(
            "DELETE FROM log WHERE height = ? AND round < ? AND round <> ?", (height, round_, lock)
        )

    def _insert_decision(self, record: qbft_records.DecisionRecord) -> None:
        certificate, slot = record.certificate, slot_of(record.block)
        row = self._writer.execute(
            "SELECT certificate, height, slot, root FROM decided WHERE height = ?",
            (certificate.height,),
        ).fetchone()
        if row is not None:
            known = self._certificate(*row).root
            assert known == certificate.root, (
                f"two decisions at height {certificate.height}: {known.hex()}"
                f" {certificate.root.hex()}"
            )
        else:
            place = (certificate.height, slot, certificate.root)
            values = (
                *place,
                summed(_encode(certificate), "certificate", *place),
                summed(record.block, "block", *place),
            )
            self._writer.execute("INSERT INTO decided VALUES (?, ?, ?, ?, ?)", values)
        for table in ("log", "promised"):
            self._writer.execute(f"DELETE FROM {table} WHERE height <= ?", (certificate.height,))

    def _insert_partial(
        self, message: PartialSignature, record: sealing_records.PartialRecord
    ) -> None:
        """Sign once: the key of the table is (term, height), and a second root is our bug."""
        row = self._writer.execute(
            "SELECT record FROM partials WHERE term = ? AND height = ?",
            (message.term, message.height),
        ).fetchone()
        if row is not None:
            known = self._partial(row[0], message.term, message.height).message
            assert known.root == message.root, f"second root to sign at height {message.height}"
            return
        place = ("partials", message.term, message.height)
        self._writer.execute(
            "INSERT INTO partials VALUES (?, ?, ?)",
            (message.term, message.height, summed(_encode(record), *place)),
        )

    def _insert_evidence(self, evidence: Evidence) -> None:
        """Not more than is kept: whoever has given all of it costs no further flush."""
        culprit = evidence.culprit
        (count,) = self._writer.execute("SELECT count(*) FROM evidence").fetchone()
        (of_culprit,) = self._writer.execute(
            "SELECT count(*) FROM evidence WHERE culprit IS ?", (culprit,)
        ).fetchone()
        if count >= MAX_EVIDENCE or of_culprit >= MAX_EVIDENCE_PER_CULPRIT:
            return
        with self._flushes.one():
            self._writer.execute(
                "INSERT INTO evidence (culprit, record) VALUES (?, ?)",
                (culprit, summed(_encode(evidence), "evidence", culprit)),
            )

    def _put_meta(self, key: str, value: bytes) -> None:
        assert key in _SUMMED, key
        self._put_plain(key, _in_meta(key, value))

    def _put_plain(self, key: str, value: bytes) -> None:
        self._writer.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    # ------------------------------------------------------------------- reading

    def promises(self) -> tuple[qbft_records.Record, ...]:
        """This node's promises about undecided heights, in writing order: those of each height's
        latest round and of its lock."""
        rows = self._rows(
            "SELECT log.height, round, is_lock, root, record, promised.height, block"
            " FROM log LEFT JOIN promised USING (root) ORDER BY id"
        )
        return tuple(self._promise(*row) for row in rows)

    def _promise(
        self,
        height: int,
        round_: int,
        is_lock: int,
        root: bytes | None,
        record: bytes,
        height_of_block: int | None,
        block: bytes | None,
    ) -> qbft_records.Record:
        promise = _QBFT.decode(self._whole(record, "log", height, round_, is_lock, root))
        if root is None:
            return promise
        return _with_block(promise, self._whole(block or b"", "promised", root, height_of_block))

    def promised_block(self, root: Root) -> bytes | None:
        """A block of an undecided height that this node proposed or prepared, in any round."""
        row = self._row("SELECT block, root, height FROM promised WHERE root = ?", root)
        return None if row is None else self._whole(row[0], "promised", *row[1:])

    def own_partials(self) -> tuple[sealing_records.PartialRecord, ...]:
        rows = self._rows("SELECT record, term, height FROM partials ORDER BY term, height")
        return tuple(self._partial(*row) for row in rows)

    def _partial(self, data: bytes, term: int, height: int) -> sealing_records.PartialRecord:
        record = _SEALING.decode(self._whole(data, "partials", term, height))
        assert isinstance(record, sealing_records.PartialRecord), "table holds partials only"
        return record

    def decided_height(self) -> Height:
        """0 when only genesis is decided."""
        return self._head

    def decided(self, height: Height) -> DecidedBlock | None:
        run = self.decided_range(height, 1, 1)
        return run[0] if run and run[0].certificate.height == height else None

    def decided_range(self, first: Height, count: int, max_bytes: int) -> tuple[DecidedBlock, ...]:
        """The unbroken run from `first`: at most `count`, and at most `max_bytes` unless the first
        block alone is larger."""
        run: list[DecidedBlock] = []
        size = 0
        for row in self._rows(
            "SELECT certificate, block, height, slot, root FROM decided WHERE height >= ?"
            " ORDER BY height LIMIT ?",
            first,
            count,
        ):
            decided = self._decided_block(*row)
            size += len(row[0]) + len(decided.block)
            if run and size > max_bytes:
                break
            run.append(decided)
        return tuple(run)

    def decided_by_root(self, root: Root) -> DecidedBlock | None:
        row = self._row(
            "SELECT certificate, block, height, slot, root FROM decided WHERE root = ?", root
        )
        return None if row is None else self._decided_block(*row)

    def entry_at_slot(self, slot: Slot) -> DecidedEntry | None:
        return self._entry("slot = ?", slot)

    def head_entry(self) -> DecidedEntry | None:
        return self._entry("height = ?", self._head)

    def _entry(self, where: str, value: int) -> DecidedEntry | None:
        row = self._row(
            f"SELECT certificate, block, height, slot, root FROM decided WHERE {where}", value
        )
        if row is None:
            return None
        decided = self._decided_block(*row)
        return DecidedEntry(
            height=decided.certificate.height,
            slot=slot_of(decided.block),
            root=decided.certificate.root,
            decided=decided,
        )

    def unsealed(self) -> dict[Height, Root]:
        """Decided heights that are still owed a group signature, with their block roots."""
        rows = self._rows(
            # Found without the blocks: an index holds the heights, too.
            "SELECT certificate, height, slot, root FROM decided WHERE height IN"
            " (SELECT height FROM decided EXCEPT SELECT height FROM seals) ORDER BY height"
        )
        certificates = (self._certificate(*row) for row in rows)
        return {each.height: each.root for each in certificates}

    def seal(self, height: Height) -> GroupSignature | None:
        row = self._row("SELECT record FROM seals WHERE height = ?", height)
        if row is None:
            return None
        record = _SEALING.decode(self._whole(row[0], "seals", height))
        assert isinstance(record, sealing_records.SealRecord), "table holds seals only"
        return record.message

    def group_signature(self, height: Height) -> BLSSignature | None:
        seal = self.seal(height)
        return None if seal is None else seal.signature

    def evidence(self) -> tuple[Evidence, ...]:
        rows = self._rows("SELECT record, culprit FROM evidence ORDER BY id")
        kept = (self._whole(record, "evidence", culprit) for record, culprit in rows)
        return tuple(msgspec.msgpack.decode(each, type=Evidence) for each in kept)

    def halt(self) -> Halt | None:
        data = self._meta("halt")
        return msgspec.msgpack.decode(data, type=Halt) if data else None

    def rejoin(self) -> Rejoin | None:
        data = self._meta("rejoin")
        return msgspec.msgpack.decode(data, type=Rejoin) if data else None

    def is_new(self) -> bool:
        """Created by `--new`, and it has not begun yet."""
        return bool(self._meta("new"))

    def sign_above(self) -> Slot:
        """0 when this store never rejoined."""
        data = self._meta("sign_above")
        return Slot(msgspec.msgpack.decode(data, type=int)) if data else Slot(0)

    def _decided_block(
        self, certificate: bytes, block: bytes, height: int, slot: int, root: bytes
    ) -> DecidedBlock:
        return DecidedBlock(
            certificate=self._certificate(certificate, height, slot, root),
            block=self._whole(block, "block", height, slot, root),
        )

    def _certificate(self, data: bytes, height: int, slot: int, root: bytes) -> Certificate:
        return _CERTIFICATE.decode(self._whole(data, "certificate", height, slot, root))

    def _whole(self, data: object, *place: Key) -> bytes:
        """What was kept there. Raises: StoreDamaged when it is not what was written."""
        kept = whole(data, *place)
        if kept is None:
            parts = (each.hex() if isinstance(each, bytes) else str(each) for each in place)
            raise self._damaged(f"{' '.join(parts)} is not what was written")
        return kept

    def _damaged(self, how: str) -> StoreDamaged:
        return StoreDamaged(self._path, how, REJOIN)

    def _rows(self, ask: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """One after the other, as they are read. Raises: StoreDamaged where SQLite cannot."""
        try:
            rows = self._reader.execute(ask, values)
            while row := rows.fetchone():
                yield row
        except SQLITE_ERRORS as error:
            raise self._damaged(str(error)) from error

    def _row(self, ask: str, *values: object) -> tuple[Any, ...] | None:
        return next(self._rows(ask, *values), None)

    def _meta(self, key: str) -> bytes | None:
        data = self._plain(key)
        return None if data is None else self._whole(data, "meta", key)

    def _plain(self, key: str) -> bytes | None:
        row = self._row("SELECT value FROM meta WHERE key = ?", key)
        if row is not None and not isinstance(row[0], bytes):
            raise self._damaged(f"meta {key!r} is not what was written")
        return None if row is None else row[0]

    def _max_height(self) -> int:
        row = self._row("SELECT coalesce(max(height), 0) FROM decided")
        assert row is not None, "an aggregate has a row"
        return int(row[0])


def _in_meta(key: str, value: bytes) -> bytes:
    return summed(value, "meta", key)


def slot_of(block: bytes) -> Slot:
    """`slot` is the first field of an encoded BeaconBlock: 8 bytes, little-endian."""
    return Slot(int.from_bytes(block[:8], "little"))


_QBFT: Final[msgspec.msgpack.Decoder[qbft_records.Record]] = msgspec.msgpack.Decoder(
    qbft_records.Record
)
_SEALING: Final[msgspec.msgpack.Decoder[sealing_records.Record]] = msgspec.msgpack.Decoder(
    sealing_records.Record
)
_CERTIFICATE: Final[msgspec.msgpack.Decoder[Certificate]] = msgspec.msgpack.Decoder(Certificate)
_encode: Final = msgspec.msgpack.Encoder().encode


class _Write(Protocol):
    def __call__(self) -> None: ...


def _has_decision(records: Iterable[Record]) -> bool:
    return any(isinstance(record, qbft_records.DecisionRecord) for record in records)


def _instance_of(record: Promise) -> tuple[Height, Round]:
    match record:
        case qbft_records.PrepareRecord():
            return record.prepare.payload.height, record.prepare.payload.round
        case qbft_records.CommitRecord():
            return record.commit.payload.height, record.commit.payload.round
        case _:
            return record.message.signed.payload.height, record.message.signed.payload.round


def _proposal_of(record: qbft_records.Record) -> ProposalMessage | None:
    match record:
        case qbft_records.ProposalRecord():
            return record.message
        case qbft_records.PrepareRecord():
            return record.proposal
        case _:
            return None


def _with_block(record: qbft_records.Record, block: bytes | None) -> qbft_records.Record:
    """The record with its proposal's block put in (or, empty, taken out)."""
    match record:
        case qbft_records.ProposalRecord():
            return replace(record, message=replace(record.message, block=block))
        case qbft_records.PrepareRecord():
            return replace(record, proposal=replace(record.proposal, block=block))
        case _:
            return record
