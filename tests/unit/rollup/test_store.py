"""The rollup node's file: what the API may ask of it."""

from pathlib import Path

import pytest

from dst.rollup.store import Store, StoredBlock
from dst.spec.errors import BadConfig
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
        with pytest.raises(BadConfig, match=r"rollup\.sqlite is corrupt \(block 1 .*filled again"):
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
