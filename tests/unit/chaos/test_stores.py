"""What faults do to stores on disk, on real ones of every kind, and what programs make of it."""

import asyncio
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from devnet.runner import stores as module
from devnet.runner.stores import LiveStores
from dst.crypto import bls
from dst.middleware.store import open_store
from dst.rollup.store import Store as RollupStore
from dst.runtime.kv import open_database
from dst.runtime.tables import Tables
from dst.spec.errors import BadConfig, StoreDamaged
from dst.spec.primitives import Root
from dst.validator.protection import FILE_NAME, ProtectionStore

NAMES = ("op1.middleware", "op1.rollup", "op1.execution", "op1.validator")
FULL, NORMAL = 2, 1
"""`PRAGMA synchronous`."""


@pytest.fixture
def network(tmp_path: Path) -> Path:
    for name in NAMES:
        data_of(tmp_path, name).mkdir(parents=True)
    return tmp_path


def data_of(network: Path, name: str) -> Path:
    node, _, role = name.partition(".")
    return network / "nodes" / node / role / "data"


def killed(data: Path) -> None:
    """As SIGKILL leaves it: no connection is closed, so nothing is tidied up."""
    copy = data.with_name("as-killed")
    shutil.copytree(data, copy)
    shutil.rmtree(data)
    copy.rename(data)


def synchronous(connection: sqlite3.Connection) -> int:
    (level,) = connection.execute("PRAGMA synchronous").fetchone()
    return int(level)


def test_who_promises_flushes_each_commit_and_the_rollup_node_does_not(network: Path) -> None:
    """What a power loss takes rests on it."""
    middleware = open_store(data_of(network, NAMES[0]), bytes(32), new=True, rejoin=False)
    rollup = RollupStore(data_of(network, NAMES[1]) / "rollup.sqlite", b"chain")
    key = bls.public_key(bls.SecretShare(7))
    validator = ProtectionStore.create(
        data_of(network, NAMES[3]) / FILE_NAME,
        pubkey=key,
        genesis_validators_root=Root(bytes(32)),
    )
    assert synchronous(middleware._writer) == FULL
    assert synchronous(validator._connection) == FULL
    assert synchronous(rollup._db) == NORMAL


def test_a_power_loss_takes_what_no_checkpoint_flushed_of_the_rollup_node(network: Path) -> None:
    name, data = NAMES[1], data_of(network, NAMES[1])
    store = open_database(data / "rollup.sqlite", durable=False)
    store.execute("CREATE TABLE kept (number INTEGER)")
    store.execute("INSERT INTO kept VALUES (1)")
    store.execute("PRAGMA wal_checkpoint")
    store.execute("INSERT INTO kept VALUES (2)")
    killed(data)
    stores = LiveStores(network)
    assert asyncio.run(stores.not_touched([name]))
    asyncio.run(stores.lose_unsynced([name]))
    assert asyncio.run(stores.not_touched([name])) == ""
    again = open_database(data / "rollup.sqlite", durable=False)
    assert again.execute("SELECT number FROM kept").fetchall() == [(1,)]
    assert asyncio.run(stores.not_touched([name])) == "", "opened, nothing written"


@pytest.mark.parametrize("commits", [3, 4])
def test_a_power_loss_takes_the_last_commit_of_the_execution_layer(
    network: Path, commits: int
) -> None:
    """The meta pages take turns: once the first is the newer, once the second."""
    name, data = NAMES[2], data_of(network, NAMES[2])
    tables = Tables(data / "chain", ("blocks",))
    for number in range(commits):
        with tables.write() as writer:
            writer.put("blocks", b"newest", bytes([number]))
    tables.close()
    asyncio.run(LiveStores(network).lose_unsynced([name]))
    again = Tables(data / "chain", ("blocks",))
    assert again.get("blocks", b"newest") == bytes([commits - 2])
    with again.write() as writer:
        writer.put("blocks", b"newest", b"goes on")
    assert again.get("blocks", b"newest") == b"goes on"
    again.close()


def test_a_power_loss_takes_nothing_of_who_promises(network: Path) -> None:
    """Alone it is then no power loss; beside one that lost something it is."""
    name, data = NAMES[0], data_of(network, NAMES[0])
    open_store(data, bytes(32), new=True, rejoin=False)
    killed(data)
    stores = LiveStores(network)
    asyncio.run(stores.lose_unsynced([name]))
    assert asyncio.run(stores.not_touched([name])) == f"store of {name} had nothing to lose"
    rollup = data_of(network, NAMES[1])
    opened = open_database(rollup / "rollup.sqlite", durable=False)
    opened.execute("CREATE TABLE kept (number)")
    killed(rollup)
    both = [name, NAMES[1]]
    asyncio.run(stores.lose_unsynced(both))
    assert asyncio.run(stores.not_touched(both)) == ""
    asyncio.run(stores.lose_unsynced(both))
    assert asyncio.run(stores.not_touched(both)).count("had nothing to lose") == 2
    assert open_store(data, bytes(32), new=False, rejoin=False).is_new()


@pytest.fixture
def filled(network: Path) -> Path:
    """A middleware's data, with and without a write-ahead log."""
    data = data_of(network, NAMES[0])
    open_store(data, bytes(32), new=True, rejoin=False)
    return data


@pytest.mark.parametrize("tidied", [True, False])
def test_flipped_bytes_are_noticed_at_the_start(network: Path, filled: Path, tidied: bool) -> None:
    if tidied:
        open_store(filled, bytes(32), new=False, rejoin=False).close()
    killed(filled)
    stores = LiveStores(network)
    asyncio.run(stores.flip([NAMES[0]]))
    assert asyncio.run(stores.not_touched([NAMES[0]])) == ""
    with pytest.raises((BadConfig, StoreDamaged), match=r"middleware\.sqlite"):
        open_store(filled, bytes(32), new=False, rejoin=False)


def test_a_copy_is_of_its_moment_and_is_brought_back_whole(network: Path, filled: Path) -> None:
    stores, name = LiveStores(network), NAMES[0]
    killed(filled)
    asyncio.run(stores.copy([name]))
    assert asyncio.run(stores.not_copy([name])) == ""
    (filled / "later").write_text("written since")
    assert asyncio.run(stores.not_copy([name])) == f"store of {name} is not the copy"
    asyncio.run(stores.bring_copy([name]))
    assert asyncio.run(stores.not_copy([name])) == ""
    assert not (filled / "later").exists()


async def test_whoever_breaks_off_waits_for_the_files(
    network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program is started on them next."""
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def slow(_source: Path, _target: Path) -> None:
        begun.set()
        go_on.wait(10)
        done.set()

    monkeypatch.setattr(module, "_copy", slow)
    replace = LiveStores(network).bring_copy([NAMES[0]])
    replacing = asyncio.get_running_loop().create_task(replace)
    await asyncio.to_thread(begun.wait, 10)
    for _ in range(2):
        replacing.cancel()
        await asyncio.sleep(0)
        assert not replacing.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await replacing
    assert done.is_set()


def test_a_lost_store_is_gone_and_its_folder_is_not(network: Path, filled: Path) -> None:
    stores, folder = LiveStores(network), filled.stat().st_ino
    assert asyncio.run(stores.not_lost([NAMES[0]]))
    asyncio.run(stores.lose([NAMES[0]]))
    assert asyncio.run(stores.not_lost([NAMES[0]])) == ""
    assert filled.stat().st_ino == folder, "a container has it mounted"
    with pytest.raises(BadConfig, match="--rejoin"):
        open_store(filled, bytes(32), new=False, rejoin=False)
