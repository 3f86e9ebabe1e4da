"""The rollup node's file: what the API may ask of it."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from dst.l1.rpc import L1BlockRef
from dst.rollup.store import Store, StoredBatch, StoredBlock
from dst.spec.errors import BadConfig, StoreDamaged
from dst.spec.primitives import BLSSignature, Hash32, Height, Root, Slot


@pytest.mark.parametrize("number", [0, 2**63 - 1, 2**63, 2**64 - 1])
def test_any_unsigned_64_bit_number_may_be_asked_for(number: int, tmp_path: Path) -> None:
    store = Store(tmp_path / "rollup.sqlite", b"chain")
    assert store.by_height(number) is None
    assert store.by_slot(number) is None
    assert store.first_sealed_from(number) is None
    store.close()


def test_the_lowest_unsealed_height_is_found_without_reading_blocks(tmp_path: Path) -> None:
    """It is asked for with each status; a scan would read every block ever made."""
    store = Store(tmp_path / "rollup.sqlite", b"chain")
    plan = store._db.execute(
        "EXPLAIN QUERY PLAN SELECT height FROM blocks WHERE signature IS NULL AND height > 0 "
        "ORDER BY height LIMIT 1"
    ).fetchall()
    assert "INDEX unsealed" in plan[0][3]
    store.close()


def stored(height: int) -> StoredBlock:
    return StoredBlock(
        height=Height(height),
        slot=Slot(2 * height),
        root=Root(bytes([height]) * 32),
        execution_hash=Hash32(bytes([100 + height]) * 32),
        block=b"a block" * 9,
        certificate=b"its certificate" if height else None,
    )


COLUMNS = ("slot", "root", "execution_hash", "block", "certificate", "signature")


@pytest.mark.parametrize("column", COLUMNS)
def test_what_a_disk_has_changed_is_never_served(column: str, tmp_path: Path) -> None:
    """Whichever part of a block: SQLite itself does not see it."""
    store = Store(tmp_path / "rollup.sqlite", b"chain")
    for height in (0, 1):
        store.put_block(stored(height))
    seal = BLSSignature(b"s" * 96)
    store.put_signature(Height(1), seal)
    found = store.by_height(1)
    assert found is not None
    assert (found.block, found.signature) == (stored(1).block, seal)
    (value,) = store._db.execute(f"SELECT {column} FROM blocks WHERE height = 1").fetchone()
    changed = value + 1 if isinstance(value, int) else value[:-1] + bytes([value[-1] ^ 1])
    store._db.execute(f"UPDATE blocks SET {column} = ? WHERE height = 1", (changed,))
    for read in (lambda: store.by_height(1), store.head, lambda: store.range(0, 1)):
        with pytest.raises(
            StoreDamaged, match=r"rollup\.sqlite is corrupt \(block 1 .*filled again"
        ):
            read()
    assert store.by_height(0) == stored(0)
    store.close()


def test_a_file_of_another_release_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "rollup.sqlite"
    store = Store(path, b"chain")
    store._db.execute("DELETE FROM meta WHERE key = 'format'")
    store.close()
    with pytest.raises(BadConfig, match=r"another release .*filled again"):
        Store(path, b"chain")


REF = L1BlockRef(number=7, hash=Hash32(b"h" * 32), parent_hash=Hash32(b"p" * 32), timestamp=70)
FACTS = [
    ("batches", "l1_number"),
    ("batches", "position"),
    ("batches", "last_height"),
    ("batches", "last_root"),
    ("scanned", "number"),
    ("scanned", "hash"),
    ("meta", "key"),
    ("meta", "value"),
]


@pytest.mark.parametrize(("table", "column"), FACTS)
def test_what_was_found_on_l1_is_not_gone_by_once_a_disk_has_changed_it(
    table: str, column: str, tmp_path: Path
) -> None:
    path = tmp_path / "rollup.sqlite"
    store = Store(path, b"chain")
    store.put_block(stored(0), REF)
    batch = StoredBatch(l1_number=5, position=2, last_height=Height(9), last_root=stored(9).root)
    store.put_scanned(5, Hash32(b"l" * 32), [batch])
    store.set_reset_height(Height(3))

    def read(store: Store) -> tuple[object, ...]:
        return store.newest_batch(), store.cursor(), store.reset_height(), store.origin()

    assert read(store) == (batch, (5, b"l" * 32), 3, REF)
    for row, value in (
        store._db.execute(f"SELECT rowid, {column} FROM {table}").fetchall()
        if (table != "meta")
        else store._db.execute(f"SELECT key, {column} FROM meta").fetchall()
    ):
        match value:
            case int():
                damaged: object = value ^ 1
            case str():
                damaged = value[:-1] + chr(ord(value[-1]) ^ 1)
            case _:
                damaged = value[:-1] + bytes([value[-1] ^ 1])
        key = "key" if table == "meta" else "rowid"
        ask = f"UPDATE {table} SET {column} = ? WHERE {key} = ?"
        store._db.execute(ask, (damaged, row))
        with pytest.raises(
            (StoreDamaged, BadConfig), match=r"corrupt .*filled again|another (release|chain)"
        ):
            read(Store(path, b"chain"))
        moved = damaged if (table, column) in (("meta", "key"), ("scanned", "number")) else row
        store._db.execute(ask, (value, moved))
    assert read(store) == (batch, (5, b"l" * 32), 3, REF)
    store.close()


@pytest.mark.parametrize("behind", [0, 32], ids=["the root", "the height, of the index"])
def test_an_index_that_leads_nowhere_or_elsewhere_is_noticed(tmp_path: Path, behind: int) -> None:
    """Asked by its root, a block that is kept would not be there, or be another one."""
    path = tmp_path / "rollup.sqlite"
    store = Store(path, b"chain")
    for height in range(1, 9):
        store.put_block(stored(height))
    store.close()
    data, root = path.read_bytes(), stored(4).root
    places = [found.start() for found in re.finditer(re.escape(root), data)]
    assert len(places) == 2, "in the row, and in the index"
    for at in places:
        damaged = bytearray(data)
        damaged[at + behind] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(StoreDamaged):
            Store(path, b"chain").by_height(4)


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def test_the_store_of_a_newer_release_is_refused_by_both_numbers_and_left_as_it_is(
    tmp_path: Path,
) -> None:
    """Also where it keeps more than this release knows of: that is no damage."""
    path = tmp_path / "rollup.sqlite"
    Store(path, b"chain").close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE meta SET value = x'34' WHERE key = 'format'")
        connection.execute("INSERT INTO meta VALUES ('deposits', x'01')")
        connection.execute("ALTER TABLE scanned RENAME TO visited")
    before = dump(path)
    words = r"another release .* it has format 4, this one reads format 3; .*filled again"
    with pytest.raises(BadConfig, match=words) as refused:
        Store(path, b"chain")
    assert not isinstance(refused.value, StoreDamaged)
    assert dump(path) == before


@pytest.mark.parametrize("word", [b"TABLE meta", b"TABLE blocks", b"INDEX unsealed", b"format"])
@pytest.mark.parametrize("bit", [0, 7])
def test_a_name_that_a_disk_has_changed_is_refused(tmp_path: Path, word: bytes, bit: int) -> None:
    """In the text of the schema, too, where some bits leave no text at all."""
    path = tmp_path / "rollup.sqlite"
    store = Store(path, b"chain")
    store.put_block(stored(0))
    store.close()
    written = path.read_bytes()
    places = [at for at in range(len(written)) if written.startswith(word, at)]
    assert places
    for place in places:
        data = bytearray(written)
        data[place + len(word) - 1] ^= 1 << bit
        path.write_bytes(data)
        for _ in range(2):
            with pytest.raises((BadConfig, StoreDamaged), match=r"cannot be used|corrupt"):
                Store(path, b"chain")
