"""A seeded store is the store that a genesis file with the same accounts makes."""

from pathlib import Path
from typing import Any

import pytest

from dst.execution import bulk
from dst.execution.bulk import seed
from dst.execution.genesis import prague_genesis, read_genesis
from dst.execution.store import open_store
from dst.spec.primitives import Address
from tests.unit.execution.worlds import ADDRESSES, CHAIN_ID, GENESIS_TIME, RICH, World, signed


def test_seeded_as_if_by_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "ACCOUNTS_A_WRITE", 7)
    others = {Address(number.to_bytes(20, "big")): number for number in range(1, 300)}
    fields: dict[str, Any] = {
        "chain_id": CHAIN_ID,
        "timestamp": GENESIS_TIME,
        "gas_limit": 10_000_000,
    }
    rich = dict.fromkeys(ADDRESSES, RICH)
    by_file = World(
        tmp_path / "file", read_genesis(prague_genesis(balances={**rich, **others}, **fields))
    )
    store = open_store(tmp_path / "seeded")
    genesis = seed(store, read_genesis(prague_genesis(balances=rich, **fields)), others.items())
    assert genesis.header == by_file.genesis.header
    tables = ("accounts", "slots")
    assert all(
        store.tables.scan(each, b"") == by_file.store.tables.scan(each, b"") for each in tables
    )
    assert len(store.tables.scan("nodes", b"")) == len(by_file.store.tables.scan("nodes", b""))
    store.close()
    seeded = World(tmp_path / "seeded", genesis)
    assert seeded.extend([signed()]).hash == by_file.extend([signed()]).hash
    seeded.store.close()
    by_file.store.close()
