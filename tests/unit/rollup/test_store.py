"""The rollup node's file: what the API may ask of it."""

from pathlib import Path

import pytest

from dst.rollup.store import Store


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
