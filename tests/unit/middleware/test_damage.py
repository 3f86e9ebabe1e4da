"""A decided block that a disk has changed, found while the role runs: the role ends and says where.
Nobody who asked for it did wrong."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dst.apis.beacon import BeaconClient, WireBlock
from dst.crypto.locks import load_lock
from dst.middleware.router import Router
from dst.middleware.store import FILE_NAME, SqliteStore, open_store, slot_of
from dst.middleware.wire_messages import GetDecided, encode_message
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec.errors import StoreDamaged, Unavailable
from dst.spec.primitives import BLSSignature, Height, OperatorIndex
from tests.unit.middleware.test_role import start, write_config
from tests.unit.middleware.test_store import LOCK, damage_index_of_roots, decision

__all__ = ["write_config"]
DAMAGED = 3
DECIDED = 5


def fill(store: SqliteStore) -> None:
    asyncio.run(store.append([decision(height) for height in range(1, DECIDED + 1)]))


def damage(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute(
            "UPDATE decided SET block = zeroblob(length(block)) WHERE height = ?", (DAMAGED,)
        )
    database.close()


async def publish(url: str, message: bytes) -> None:
    async with BeaconClient(url) as client:
        signature = BLSSignature(bytes(96))
        await client.publish_block(WireBlock(message=message, signature=signature))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = open_store(tmp_path, LOCK, new=True, rejoin=False)
    fill(opened)
    damage(tmp_path / FILE_NAME)
    yield opened
    opened.close()


def test_a_peer_that_asks_for_it_is_not_at_fault(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    """As catch-up reads it for a laggard."""

    def serve(peer: OperatorIndex, message: GetDecided, size_bytes: int) -> None:
        store.decided_range(message.first, message.count, 10**6)

    parts: dict[str, Any] = dict.fromkeys(("consensus", "sealing", "progress", "clocks"))
    metrics = Metrics()
    router = Router(
        **parts,
        catch_up=cast(Any, SimpleNamespace(received=serve)),
        log=Logger("mw"),
        metrics=metrics,
        monotonic=lambda: 0.0,
    )
    with pytest.raises(StoreDamaged, match=f"block {DAMAGED}"):
        router.received(OperatorIndex(2), encode_message(GetDecided(Height(1), 10)))
    assert "refused" not in metrics.render()
    assert not caplog.text


def test_the_validator_that_asks_for_it_sees_the_role_end(
    write_config: Callable[..., Path], single: Any, free_port: Callable[[], int]
) -> None:
    listen = f"127.0.0.1:{free_port()}"
    config = write_config(listen=listen)
    lock = load_lock(single.folder / "cluster-lock.json")
    data = config.with_name("data")
    data.mkdir()
    opened = open_store(data, lock.lock_hash, new=True, rejoin=False)
    fill(opened)
    opened.close()
    damage(data / FILE_NAME)
    process = start(config)
    try:
        assert process.stderr is not None
        lines = [process.stderr.readline()]
        while " ready " not in lines[-1] and lines[-1]:
            lines.append(process.stderr.readline())
        assert " ready " in lines[-1], lines
        message = decision(DAMAGED).block
        with pytest.raises(Unavailable):  # not: your block is wrong
            asyncio.run(publish(f"http://{listen}", message))
        _, rest = process.communicate(timeout=20)
        assert process.returncode == 2
        assert f"block {DAMAGED} {slot_of(message)}" in rest
        assert "is not what was written); restore it, or move it away" in rest
        assert "Traceback" not in rest
    finally:
        process.kill()
        process.communicate()


def test_damage_that_nobody_asks_for_ends_the_role(
    write_config: Callable[..., Path], single: Any, free_port: Callable[[], int]
) -> None:
    """In an index of what was decided, which a start does not read: the service begins, and the
    rest of the file is looked through beside it."""
    config = write_config(listen=f"127.0.0.1:{free_port()}")
    lock = load_lock(single.folder / "cluster-lock.json")
    data = config.with_name("data")
    data.mkdir()
    opened = open_store(data, lock.lock_hash, new=True, rejoin=False)
    fill(opened)
    opened.close()
    damage_index_of_roots(data / FILE_NAME, decision(DAMAGED).certificate.root)
    process = start(config)
    try:
        _, told = process.communicate(timeout=20)
        assert process.returncode == 2
        assert " ready " in told
        assert "is corrupt" in told
        assert "Traceback" not in told
    finally:
        process.kill()
        process.communicate()
