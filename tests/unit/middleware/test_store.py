"""The store on a real disk: what it keeps, what it refuses."""

import asyncio
import logging
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dst.middleware import store as store_module
from dst.middleware.store import (
    FILE_NAME,
    MAX_EVIDENCE,
    Evidence,
    Halt,
    Rejoin,
    SqliteStore,
    open_store,
)
from dst.qbft.messages import (
    Certificate,
    Commit,
    Prepare,
    Proposal,
    ProposalMessage,
    SignedCommit,
    SignedPrepare,
    SignedProposal,
)
from dst.qbft.records import CommitRecord, DecisionRecord, PrepareRecord, ProposalRecord
from dst.runtime.machine import Drill, connect
from dst.sealing.messages import GroupSignature, PartialSignature
from dst.sealing.records import PartialRecord, SealRecord
from dst.spec.errors import BadConfig, StoreDamaged
from dst.spec.primitives import BLSSignature, Height, OperatorIndex, Root, Round, Slot, Term

LOCK = b"\x11" * 32
ME = OperatorIndex(0)
T0, R0 = Term(0), Round(0)


def root_at(height: int, mark: int = 0) -> Root:
    return Root(bytes([mark]) * 16 + height.to_bytes(16, "big"))


def block_at(height: int, size: int = 100) -> bytes:
    return (height * 2).to_bytes(8, "little") + bytes(size)


def decision(height: int, size: int = 100, mark: int = 0) -> DecisionRecord:
    certificate = Certificate(T0, Height(height), R0, root_at(height, mark), ())
    return DecisionRecord(certificate, block_at(height, size))


def promises(height: int) -> tuple[ProposalRecord, PrepareRecord, CommitRecord]:
    root = root_at(height)
    proposal = ProposalMessage(
        SignedProposal(Proposal(T0, Height(height), R0, root), ME, b"s" * 64), block_at(height)
    )
    prepare = SignedPrepare(Prepare(T0, Height(height), R0, root), ME, b"p" * 64)
    commit = SignedCommit(Commit(T0, Height(height), R0, root), ME, b"c" * 64)
    return (
        ProposalRecord(proposal),
        PrepareRecord(proposal, prepare),
        CommitRecord((prepare,), commit),
    )


def prepare_in(round_: Round, block: bytes) -> PrepareRecord:
    """Height 1; the block's bytes stand for its root."""
    root = Root(block[-32:])
    proposal = SignedProposal(Proposal(T0, Height(1), round_, root), ME, b"s" * 64)
    prepare = SignedPrepare(Prepare(T0, Height(1), round_, root), ME, b"p" * 64)
    return PrepareRecord(ProposalMessage(proposal, block), prepare)


def partial(height: int, mark: int = 0) -> PartialRecord:
    signature = BLSSignature(bytes(96))
    return PartialRecord(PartialSignature(T0, Height(height), root_at(height, mark), ME, signature))


def seal(height: int) -> SealRecord:
    signature = BLSSignature(bytes([height]) * 96)
    return SealRecord(GroupSignature(T0, Height(height), root_at(height), signature))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = open_store(tmp_path, LOCK, new=True, rejoin=False)
    yield opened
    opened.close()


def reopened(store: SqliteStore, tmp_path: Path) -> SqliteStore:
    store.close()
    return open_store(tmp_path, LOCK, new=False, rejoin=False)


KEPT = [
    ("log", "height"),
    ("log", "round"),
    ("log", "is_lock"),
    ("log", "root"),
    ("log", "record"),
    ("promised", "root"),
    ("promised", "height"),
    ("promised", "block"),
    ("decided", "height"),
    ("decided", "slot"),
    ("decided", "root"),
    ("decided", "certificate"),
    ("decided", "block"),
    ("partials", "term"),
    ("partials", "height"),
    ("partials", "record"),
    ("seals", "record"),
    ("evidence", "culprit"),
    ("evidence", "record"),
    ("meta", "key"),
    ("meta", "value"),
]
"""All that is written but `id`, which is for the order alone, and the height of a seal: where that
is changed a block looks unsealed, is sealed again, and nothing else follows."""


def read_all(store: SqliteStore) -> tuple[object, ...]:
    """As a start and the service after it do."""
    store.check(LOCK)
    return (
        store.promises(),
        store.promised_block(root_at(4)),
        store.own_partials(),
        store.decided_range(Height(1), 10, 10**6),
        store.decided_by_root(root_at(2)),
        store.entry_at_slot(Slot(4)),
        store.head_entry(),
        store.unsealed(),
        store.seal(Height(1)),
        store.evidence(),
        (store.is_new(), store.halt(), store.rejoin(), store.sign_above()),
    )


def changed(value: object) -> list[object]:
    """As a disk changes it."""
    match value:
        case bytes():
            places = {0, min(4, len(value) - 1), len(value) // 2, len(value) - 1}
            return [bytes(b ^ (i == at) for i, b in enumerate(value)) for at in places]
        case str():
            return [value[:-1] + chr(ord(value[-1]) ^ 1), value[:-1] + chr(ord(value[-1]) ^ 8)]
        case int():
            return [value ^ 1, value ^ 64]
        case _:
            return [0, b""]


@pytest.mark.parametrize(("table", "column"), KEPT)
async def test_what_a_disk_has_changed_is_never_read(
    store: SqliteStore, table: str, column: str
) -> None:
    """Whichever part of whichever row: SQLite itself does not see it."""
    for record in (decision(1), decision(2), seal(1), partial(2), *promises(4)):
        await store.append((record,))
    await store.note_evidence(Evidence(Height(2), 2, "second_proposal", "detail", b"proof"))
    await store.note_evidence(Evidence(None, None, "garbage", "detail", b"proof"))
    await store.set_halt(Halt(T0, Height(7), "L1 reset"))
    await store.finish_rejoin(Slot(3))
    await store.set_rejoin(Rejoin(Height(9)))
    whole = read_all(store)
    ask = store._writer.execute
    key = "id" if table in ("log", "evidence") else "root" if table == "promised" else "height"
    key = "key" if table == "meta" else key
    key = "slot" if (table, column) == ("decided", "height") else key
    for row, value in ask(f"SELECT {key}, {column} FROM {table}").fetchall():
        where = f"{key} = ?" if column != key else f"{column} = ?"
        for damaged in changed(value):
            ask(f"UPDATE {table} SET {column} = ? WHERE {where}", (damaged, row))
            with pytest.raises(
                (StoreDamaged, BadConfig),
                match=r"middleware\.sqlite (is corrupt .*--rejoin|was written by|belongs to)",
            ):
                read_all(store)
            back = damaged if column == key else row
            ask(f"UPDATE {table} SET {column} = ? WHERE {where}", (value, back))
    assert read_all(store) == whole


@pytest.mark.parametrize("column", ["is_lock", "round", "record"])
async def test_a_changed_lock_is_not_overtaken(store: SqliteStore, column: str) -> None:
    """By a later round, which would delete it and all that tells of the change."""
    await store.append(promises(1))
    ask = store._writer.execute
    (value,) = ask(f"SELECT {column} FROM log WHERE is_lock").fetchone()
    ask(f"UPDATE log SET {column} = ? WHERE is_lock", (changed(value)[0],))
    with pytest.raises(StoreDamaged, match=r"log 1 .* is not what was written"):
        await store.append((prepare_in(Round(1), bytes(40)),))
    assert ask("SELECT count(*) FROM log").fetchone() == (3,)


async def test_a_flipped_bit_of_the_lock_in_the_file_is_noticed(
    store: SqliteStore, tmp_path: Path
) -> None:
    """SQLite keeps a 0 and a 1 in the header of the row, one bit apart; no page looks broken."""
    await store.append(promises(1))
    store.close()
    path = tmp_path / FILE_NAME
    data = path.read_bytes()
    commit = bytes([0, 9, 8, 9, 0])  # id is the row's key; height 1, round 0, is_lock 1, no root
    places = [at for at in range(len(data)) if data.startswith(commit, at)]
    assert len(places) == 1
    damaged = bytearray(data)
    damaged[places[0] + 3] ^= 1
    path.write_bytes(damaged)
    again = open_store(tmp_path, LOCK, new=False, rejoin=False)
    with pytest.raises(StoreDamaged, match="log 1 0 0 None is not what was written"):
        again.promises()
    again.close()


async def test_a_second_decision_is_told_from_a_changed_one(store: SqliteStore) -> None:
    await store.append((decision(1),))
    store._writer.execute("UPDATE decided SET root = zeroblob(32)")
    with pytest.raises(StoreDamaged, match="certificate 1"):
        await store.append((decision(1),))


async def test_what_sqlite_cannot_read_is_damage(store: SqliteStore, tmp_path: Path) -> None:
    """A page that is none, found in the middle of its life."""
    await store.append([decision(height, size=20_000) for height in range(1, 200)])
    store._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path = tmp_path / FILE_NAME
    data = bytearray(path.read_bytes())
    data[8 * 4096 :] = b"\xaa" * (len(data) - 8 * 4096)
    path.write_bytes(data)
    store._reader.execute("PRAGMA shrink_memory")
    with pytest.raises(StoreDamaged, match=r"malformed"):
        store.decided_range(Height(1), 200, 10**9)


async def test_a_value_in_the_place_of_another_is_not_read(store: SqliteStore) -> None:
    await store.append((decision(1), decision(2)))
    store._writer.execute(
        "UPDATE decided SET block = (SELECT block FROM decided WHERE height = 2) WHERE height = 1"
    )
    with pytest.raises(StoreDamaged, match=r"block 1 2 .* is not what was written"):
        store.decided(Height(1))


async def test_promises_come_back_in_order_and_go_with_the_decision(
    store: SqliteStore, tmp_path: Path
) -> None:
    written = (*promises(1), *promises(2))
    for record in written:
        await store.append((record,))
    again = reopened(store, tmp_path)
    assert again.promises() == written
    await again.append((decision(1),))
    assert again.promises() == written[3:]
    assert again.decided_height() == 1
    again.close()


async def test_a_promised_block_is_there_until_its_height_is_decided(
    store: SqliteStore, tmp_path: Path
) -> None:
    """Over restarts, and in whatever round it was promised; the log itself stays short."""
    blocks = [bytes(100) + bytes([mark]) * 32 for mark in range(200)]
    for round_, block in enumerate(blocks):
        await store.append((prepare_in(Round(round_), block),))
    again = reopened(store, tmp_path)
    assert len(again.promises()) == 1
    for block in blocks:
        assert again.promised_block(Root(block[-32:])) == block
    await again.append((decision(1),))
    assert not any(again.promised_block(Root(block[-32:])) for block in blocks)
    again.close()


async def test_the_lock_stays_in_the_log_whatever_rounds_follow(store: SqliteStore) -> None:
    lock = promises(1)
    await store.append(lock)
    for round_ in range(1, 20):
        await store.append((prepare_in(Round(round_), bytes([round_]) * 40),))
    assert store.promises()[:-1] == lock
    assert len(store.promises()) == 4


async def test_decided_chain_is_read_by_height_range_root_and_slot(store: SqliteStore) -> None:
    records = [decision(height) for height in (1, 2, 3)]
    await store.append(records)
    for height, record in enumerate(records, 1):
        found = store.decided(Height(height))
        assert found is not None
        assert (found.certificate, found.block) == (record.certificate, record.block)
    assert store.decided(Height(4)) is None
    assert [d.certificate.height for d in store.decided_range(Height(2), 9, 10**6)] == [2, 3]
    by_root = store.decided_by_root(root_at(2))
    assert by_root is not None
    assert by_root.certificate.height == 2
    entry = store.entry_at_slot(Slot(4))
    assert entry is not None
    assert (entry.height, entry.root) == (2, root_at(2))
    assert store.entry_at_slot(Slot(5)) is None
    head = store.head_entry()
    assert head is not None
    assert head.height == 3


async def test_range_is_bounded_in_bytes_but_never_empty(store: SqliteStore) -> None:
    await store.append([decision(height, size=1000) for height in (1, 2, 3)])
    assert len(store.decided_range(Height(1), 64, 2500)) == 2
    assert len(store.decided_range(Height(1), 64, 10)) == 1
    assert len(store.decided_range(Height(1), 2, 10**6)) == 2


async def test_two_decisions_at_a_height_stop_the_node(store: SqliteStore) -> None:
    await store.append((decision(1),))
    await store.append((decision(1),))  # repeating one is harmless
    with pytest.raises(AssertionError, match="two decisions at height 1"):
        await store.append((decision(1, mark=9),))


async def test_one_partial_a_height_for_ever(store: SqliteStore, tmp_path: Path) -> None:
    await store.append((partial(1),))
    await store.append((partial(1),))
    with pytest.raises(AssertionError, match="second root to sign at height 1"):
        await store.append((partial(1, mark=9),))
    again = reopened(store, tmp_path)
    assert again.own_partials() == (partial(1),)
    again.close()


async def test_seal_pays_the_debt(store: SqliteStore) -> None:
    await store.append((decision(1), decision(2), partial(1), partial(2)))
    assert store.unsealed() == {1: root_at(1), 2: root_at(2)}
    await store.append((seal(1),))
    assert store.unsealed() == {2: root_at(2)}
    assert store.own_partials() == (partial(2),)
    assert store.group_signature(Height(1)) == bytes([1]) * 96
    assert store.seal(Height(2)) is None


async def test_an_append_is_one_transaction(store: SqliteStore, tmp_path: Path) -> None:
    await store.append((decision(1),))
    with pytest.raises(AssertionError):
        await store.append((partial(2), decision(2), decision(1, mark=9)))
    again = reopened(store, tmp_path)
    assert again.decided_height() == 1
    assert again.own_partials() == ()
    again.close()


async def test_writes_keep_the_order_of_the_calls(store: SqliteStore) -> None:
    written = [promises(height)[0] for height in range(1, 30)]
    async with asyncio.TaskGroup() as group:
        for record in written:
            group.create_task(store.append((record,)))
    assert store.promises() == tuple(written)


async def test_halt_and_rejoin_survive_a_restart(store: SqliteStore, tmp_path: Path) -> None:
    assert (store.halt(), store.rejoin()) == (None, None)
    await store.set_halt(Halt(T0, Height(7), "L1 reset"))
    await store.set_rejoin(Rejoin(Height(9)))
    again = reopened(store, tmp_path)
    assert again.halt() == Halt(T0, Height(7), "L1 reset")
    assert again.rejoin() == Rejoin(Height(9))
    await again.finish_rejoin(Slot(18))
    assert again.rejoin() is None
    again.close()


async def test_evidence_is_kept_and_bounded(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "MAX_EVIDENCE", 3)
    pieces = [Evidence(Height(h), 2, "second_proposal", "detail", b"proof") for h in range(5)]
    for piece in pieces:
        await store.note_evidence(piece)
    assert store.evidence() == tuple(pieces[:3])
    assert MAX_EVIDENCE >= 100


async def test_full_disk_holds_the_vote_back_until_there_is_room(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store_module, "FULL_RETRY_S", 0.01)
    store._writer.execute("PRAGMA max_page_count = 1")  # SQLite's own way to be full
    waiting = asyncio.ensure_future(store.append((decision(1, size=400_000),)))  # noqa: TID251
    async with asyncio.timeout(5):
        while "disk_full_not_voting" not in caplog.text:
            await asyncio.sleep(0.01)
    assert not waiting.done()
    assert store.decided_height() == 0
    assert store.waits_for() == f"room on the disk of {store._path}"
    store._writer.execute("PRAGMA max_page_count = 1000000")
    await asyncio.wait_for(waiting, 5)
    assert store.waits_for() is None
    assert store.decided_height() == 1
    assert caplog.text.count("disk_full_not_voting") == 1


def full_or_not(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    drill = Drill(file)
    monkeypatch.setattr(
        "dst.runtime.kv.connect", lambda path, flushes: connect(path, flushes=flushes, drill=drill)
    )
    monkeypatch.setattr(store_module, "FULL_RETRY_S", 0.01)


def test_a_start_on_a_full_disk_needs_none(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full_or_not(monkeypatch, tmp_path / "machine.json")
    (tmp_path / "machine.json").write_text('{"full": true}')
    again = reopened(store, tmp_path)
    assert again.is_new()
    again.close()


def test_a_rejoin_on_a_full_disk_waits_until_that_is_written_down(
    store: SqliteStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    full_or_not(monkeypatch, tmp_path / "machine.json")
    (tmp_path / "machine.json").write_text('{"full": true}')
    store.close()
    found: list[Rejoin | None] = []

    def start() -> None:
        opened = open_store(tmp_path, LOCK, new=False, rejoin=True)
        found.append(opened.rejoin())
        opened.close()

    starting = threading.Thread(target=start)
    starting.start()
    deadline = time.monotonic() + 10
    while "disk_full_not_voting" not in caplog.text and time.monotonic() < deadline:
        time.sleep(0.01)
    assert found == []
    (tmp_path / "machine.json").unlink()
    starting.join(10)
    assert found == [Rejoin(None)]
    assert caplog.text.count("disk_full_not_voting") == 1
    assert "disk_takes_writes_again" in caplog.text


async def test_failing_disk_stops_the_node(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Any) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
        raise error

    monkeypatch.setattr(store, "_write", fail)
    with pytest.raises(sqlite3.OperationalError):
        await store.append((decision(1),))


# ---------------------------------------------------------------------------- opening


def test_key_without_its_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"--new .* --rejoin"):
        open_store(tmp_path, LOCK, new=False, rejoin=False)
    assert not (tmp_path / FILE_NAME).exists()


def test_rule_19_a_new_store_is_durably_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut may take the file itself, and every vote with it."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    open_store(tmp_path, LOCK, new=True, rejoin=False).close()
    assert synced.count(tmp_path.stat().st_ino) == 2, "for its count, and for itself"


def test_new_creates_it_once(store: SqliteStore, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="start without --new"):
        open_store(tmp_path, LOCK, new=True, rejoin=False)


def test_new_after_a_crash_in_creation(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).touch()
    with pytest.raises(BadConfig, match="--new"):
        open_store(tmp_path, LOCK, new=False, rejoin=False)
    open_store(tmp_path, LOCK, new=True, rejoin=False).close()


def test_rejoin_takes_no_store_or_an_old_one_and_lasts_until_finished(tmp_path: Path) -> None:
    open_store(tmp_path, LOCK, new=False, rejoin=True).close()
    plain = open_store(tmp_path, LOCK, new=False, rejoin=False)
    assert plain.rejoin() == Rejoin(None)
    plain.close()


def test_store_of_another_cluster_is_named(store: SqliteStore, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"belongs to the cluster with lock hash 1111.*not to 2222"):
        open_store(tmp_path, b"\x22" * 32, new=False, rejoin=False)


@pytest.mark.parametrize("where", [0, 4096])
def test_corrupt_store_is_refused(store: SqliteStore, tmp_path: Path, where: int) -> None:
    store.close()
    path = tmp_path / FILE_NAME
    data = bytearray(path.read_bytes())
    data[where : where + 600] = b"\xaa" * 600
    path.write_bytes(data)
    with pytest.raises((BadConfig, StoreDamaged), match=r"corrupt|cannot be used"):
        open_store(tmp_path, LOCK, new=False, rejoin=False)


def test_records_are_what_a_later_release_reads() -> None:
    """The stored form is the tagged array of the core's records: a change here is a migration."""
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(seal(1)))[0] == "seal"
    assert [msgspec.msgpack.decode(msgspec.msgpack.encode(r))[0] for r in promises(1)] == [
        "proposal",
        "prepare",
        "commit",
    ]


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


NEWER = (
    "UPDATE meta SET value = x'05' WHERE key = 'schema'",
    "INSERT INTO meta VALUES ('pledges', x'01')",
    "ALTER TABLE decided RENAME TO decisions",
    "ALTER TABLE log RENAME COLUMN is_lock TO lock_round",
)


@pytest.mark.parametrize("rejoin", [False, True])
def test_the_store_of_a_newer_release_is_refused_by_both_numbers_and_left_as_it_is(
    tmp_path: Path, rejoin: bool
) -> None:
    open_store(tmp_path, LOCK, new=True, rejoin=False).close()
    path = tmp_path / "middleware.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        for change in NEWER:
            connection.execute(change)
    before = dump(path)
    words = r"another release .* it has format 5, this one reads format 4; .*--rejoin"
    with pytest.raises(BadConfig, match=words):
        open_store(tmp_path, LOCK, new=False, rejoin=rejoin)
    assert dump(path) == before


NAMES = [
    b"lock_hash",
    b"schema",
    b"sign_above",
    b"TABLE meta",
    b"TABLE log",
    b"is_lock",
    b"promised",
]


@pytest.mark.parametrize("word", NAMES)
@pytest.mark.parametrize("bit", [0, 7])
def test_a_name_that_a_disk_has_changed_is_told_the_same_whatever_the_flag(
    tmp_path: Path, word: bytes, bit: int
) -> None:
    """In the text of the schema, too, where some bits leave no text at all. Nothing is written:
    each start after it says the same."""
    store = open_store(tmp_path, LOCK, new=True, rejoin=False)
    asyncio.run(store.append(promises(4)))
    asyncio.run(store.finish_rejoin(Slot(3)))
    store.close()
    path = tmp_path / FILE_NAME
    written = path.read_bytes()
    places = [at for at in range(len(written)) if written.startswith(word, at)]
    assert places
    for place in places:
        data = bytearray(written)
        data[place + len(word) - 1] ^= 1 << bit
        path.write_bytes(data)
        for new, rejoin in [(False, False), (False, True), (True, False)]:
            with pytest.raises(
                (BadConfig, StoreDamaged), match=r"cannot be used|corrupt|exists already"
            ):
                open_store(tmp_path, LOCK, new=new, rejoin=rejoin)
        assert path.read_bytes() == data


def test_a_flipped_bit_in_the_last_append_of_the_log_is_noticed(tmp_path: Path) -> None:
    """Killed after it: its vote was sent."""
    (live := tmp_path / "live").mkdir()
    store = open_store(live, LOCK, new=True, rejoin=False)
    for height in (4, 5):
        asyncio.run(store.append(promises(height)))
    left = tmp_path / "left"
    shutil.copytree(live, left)
    store.close()
    log = left / f"{FILE_NAME}-wal"
    written = log.read_bytes()
    for place in (-1, -4096, -4096 - 10):
        data = bytearray(written)
        data[place] ^= 1
        log.write_bytes(data)
        with pytest.raises(StoreDamaged, match=r"commits were flushed .*start with --rejoin"):
            open_store(left, LOCK, new=False, rejoin=False)
    shutil.copytree(left, tmp_path / "damaged")
    log.write_bytes(written)
    store = open_store(left, LOCK, new=False, rejoin=False)
    assert store.promises() == (*promises(4), *promises(5))
    store.close()
    for flag in (True, False):  # killed in the middle of it: it goes on
        store = open_store(tmp_path / "damaged", LOCK, new=False, rejoin=flag)
        assert store.rejoin() == Rejoin(vote_above=None)
        assert store.promises() == promises(4)
        store.close()


def lacking_the_last(folder: Path, store: SqliteStore) -> Path:
    """As a kill and a disk that changed the last commit leave it; `store` is closed."""
    left = folder.with_name(folder.name + "-left")
    shutil.copytree(folder, left)
    store.close()
    log = left / f"{FILE_NAME}-wal"
    log.write_bytes(flipped_at_the_end(log.read_bytes()))
    return left


def flipped_at_the_end(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize(
    "last",
    [
        lambda store: store.set_halt(Halt(Term(0), Height(7), "L1 dropped it")),
        lambda store: store.set_rejoin(Rejoin(vote_above=Height(9))),
        lambda store: store.finish_rejoin(Slot(9)),
        lambda store: store.set_began(),
    ],
)
def test_whatever_it_wrote_last_is_counted(
    tmp_path: Path, last: Callable[[SqliteStore], Coroutine[None, None, None]]
) -> None:
    (live := tmp_path / "live").mkdir()
    store = open_store(live, LOCK, new=True, rejoin=False)
    asyncio.run(last(store))
    left = lacking_the_last(live, store)
    with pytest.raises(StoreDamaged, match="commits were flushed"):
        open_store(left, LOCK, new=False, rejoin=False)


def test_that_it_rejoins_is_remembered_where_it_rejoined_already(tmp_path: Path) -> None:
    (live := tmp_path / "live").mkdir()
    store = open_store(live, LOCK, new=False, rejoin=True)
    asyncio.run(store.append(promises(4)))
    left = lacking_the_last(live, store)
    for flag in (True, False):
        store = open_store(left, LOCK, new=False, rejoin=flag)
        assert store.rejoin() == Rejoin(vote_above=None)
        store.close()


def test_evidence_that_finds_no_room_costs_no_flush(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A liar could have one for each height."""
    monkeypatch.setattr(store_module, "MAX_EVIDENCE_PER_CULPRIT", 1)
    store = open_store(tmp_path, LOCK, new=True, rejoin=False)
    made = []
    for height in range(1, 4):
        told = Evidence(Height(height), OperatorIndex(1), "a reason", "a detail", b"")
        asyncio.run(store.note_evidence(told))
        made.append(store._row("PRAGMA user_version"))
    assert made[0] == made[1] == made[2]
    assert len(store.evidence()) == 1
    store.close()


def with_decisions(folder: Path, count: int) -> tuple[Path, int]:
    """A closed store of so many decisions, and its page size."""
    store = open_store(folder, LOCK, new=True, rejoin=False)
    asyncio.run(store.append([decision(height) for height in range(1, count + 1)]))
    (page_size,) = store._reader.execute("PRAGMA page_size").fetchone()
    store.close()
    return folder / FILE_NAME, page_size


def root_page(path: Path, name: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        ask = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        (page,) = connection.execute(ask, (name,)).fetchone()
    return int(page)


def damage_index_of_roots(path: Path, root: Root) -> None:
    data = bytearray(path.read_bytes())
    page = (root_page(path, "sqlite_autoindex_decided_2") - 1) * 4096
    data[data.index(root, page, page + 4096)] ^= 1
    path.write_bytes(data)


def test_a_start_does_not_read_what_was_decided(tmp_path: Path) -> None:
    """It grows for ever; what is damaged there is found beside the service."""
    path, _ = with_decisions(tmp_path, 5)
    damage_index_of_roots(path, root_at(3))
    for _ in range(2):
        store = open_store(tmp_path, LOCK, new=False, rejoin=False)
        with pytest.raises(StoreDamaged, match=r"3 is not found by its root.*rejoin"):
            asyncio.run(store.look_through())
        store.close()


@pytest.mark.parametrize("bit", [0, 7])
def test_a_changed_block_is_found_before_somebody_asks_for_it(tmp_path: Path, bit: int) -> None:
    path, _ = with_decisions(tmp_path, 5)
    written = path.read_bytes()
    data = bytearray(written)
    data[written.index(decision(3).block)] ^= 1 << bit
    path.write_bytes(data)
    store = open_store(tmp_path, LOCK, new=False, rejoin=False)
    with pytest.raises(StoreDamaged, match=r"block 3 .* is not what was written"):
        asyncio.run(store.look_through())
    store.close()


def test_a_row_that_is_gone_is_found(tmp_path: Path) -> None:
    path, _ = with_decisions(tmp_path, 5)
    with closing(connect(path, flushes=False)) as connection:
        connection.execute("DELETE FROM decided WHERE height = 3")
    store = open_store(tmp_path, LOCK, new=False, rejoin=False)
    with pytest.raises(StoreDamaged, match="not all of 1 to 5 is there"):
        asyncio.run(store.look_through())
    store.close()


def test_what_is_whole_is_looked_through(tmp_path: Path) -> None:
    with_decisions(tmp_path, 5)
    store = open_store(tmp_path, LOCK, new=False, rejoin=False)
    asyncio.run(store.look_through())
    store.close()


async def test_a_stop_does_not_wait_for_the_look_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.to_thread(with_decisions, tmp_path, 40)
    store = open_store(tmp_path, LOCK, new=False, rejoin=False)
    loop, looked = asyncio.get_running_loop(), asyncio.Queue[range]()
    look_at = store._look_at

    def look(heights: range) -> None:
        look_at(heights)
        loop.call_soon_threadsafe(looked.put_nowait, heights)

    monkeypatch.setattr(store, "_look_at", look)
    monkeypatch.setattr(store_module, "LOOK_ROWS", 2)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(store.look_through())
        first = await looked.get()
        task.cancel()
    await loop.shutdown_default_executor()
    assert first == range(1, 3)
    assert looked.qsize() <= 1, "at most the one that it was at"
    store.close()


@pytest.mark.parametrize("tree", ["decided", "sqlite_autoindex_decided_1"])
def test_a_head_that_a_disk_has_put_lower_is_noticed_at_the_start(
    tmp_path: Path, tree: str
) -> None:
    """A page of the tree leads to another one than it did: what was promised above is gone."""
    path, page_size = with_decisions(tmp_path, 600)
    data = bytearray(path.read_bytes())
    at = (root_page(path, tree) - 1) * page_size
    assert data[at] in (2, 5), "a page that leads to others"
    first_cell = at + int.from_bytes(data[at + 12 : at + 14], "big")
    data[at + 8 : at + 12] = data[first_cell : first_cell + 4]  # to the right as to the left
    path.write_bytes(data)
    with pytest.raises(StoreDamaged, match="the head of what was decided"):
        open_store(tmp_path, LOCK, new=False, rejoin=False)


def test_the_head_is_found_without_reading_the_chain(store: SqliteStore) -> None:
    ask = "EXPLAIN QUERY PLAN SELECT height FROM decided ORDER BY slot DESC LIMIT 1"
    ((*_, plan),) = store._reader.execute(ask).fetchall()
    assert "COVERING INDEX sqlite_autoindex_decided_1" in plan


def test_a_table_that_begins_on_another_page_is_noticed(tmp_path: Path) -> None:
    """An empty one has no promises."""
    store = open_store(tmp_path, LOCK, new=True, rejoin=False)
    asyncio.run(store.append(promises(4)))
    store.close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET rootpage ="
            " (SELECT rootpage FROM sqlite_master WHERE name = 'evidence') WHERE name = 'log'"
        )
    with pytest.raises(StoreDamaged, match="schema is not what was written"):
        open_store(tmp_path, LOCK, new=False, rejoin=False)
