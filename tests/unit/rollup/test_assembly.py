"""The operator's rollup node as it is put together: who hears of what, and who may say what."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from dst.apis.beacon import BeaconClient
from dst.apis.dst_v1 import DstClient
from dst.batcher.batcher import Batcher
from dst.crypto.account_key import AccountKey
from dst.l1 import source
from dst.rollup.chain import Chain
from dst.rollup.config import Settings
from dst.rollup.main import _assemble, _Parts
from dst.rollup.store import Store
from dst.runtime.http_errors import NotFound
from dst.runtime.service import until
from dst.spec.cluster import ClusterLock
from dst.spec.errors import InvalidInput
from dst.spec.primitives import OperatorIndex
from tests.unit.rollup.rollup_bench import (
    EngineStub,
    FakeL1,
    certify,
    engine_client,
    l1_hash,
    make_block,
    make_genesis,
    make_lock,
    sealed,
    served,
)

IDENTITY, SECRET = b"\x05" * 32, b"\x0a" * 32


@dataclass(frozen=True, kw_only=True)
class Running:
    lock: ClusterLock
    l1: FakeL1
    parts: _Parts
    public: str
    own: str


@asynccontextmanager
async def operator(folder: Path) -> AsyncIterator[Running]:
    lock, l1 = make_lock(), FakeL1()
    l1.mine(20)
    settings = Settings(
        name="op1",
        data_dir=folder,
        lock=lock,
        l1=l1.url,
        engine="",
        jwt_secret=b"",
        listen="",
        own_listen="",
        own_secret=SECRET,
        operator=OperatorIndex(0),
        sources=(),
        batcher_key=AccountKey(b"\x01" * 32),
        log_level="info",
    )
    store = Store(folder / "rollup.sqlite", IDENTITY)
    async with engine_client(EngineStub(lock)) as engine:
        parts = _assemble(settings, engine, l1, Chain(store, make_genesis(lock)), [])
        assert parts.own_app is not None
        async with served(parts.app) as public, served(parts.own_app) as own:
            stop = asyncio.Event()
            working = asyncio.get_running_loop().create_task(until(stop, *parts.loops))
            yield Running(lock=lock, l1=l1, parts=parts, public=public, own=own)
            stop.set()
            await working
    store.close()


async def test_a_seal_wakes_the_batcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asyncio.Event()

    def is_my_turn(_: Batcher) -> bool:
        asked.set()
        return False

    monkeypatch.setattr(Batcher, "is_my_turn", is_my_turn)
    async with operator(tmp_path) as at, DstClient(at.own, secret=SECRET) as dst:
        block = make_block(at.lock, make_genesis(at.lock))
        await dst.decided(certify(at.lock, block))
        assert not asked.is_set()
        async with BeaconClient(at.own, secret=SECRET) as beacon:
            await beacon.publish_block(sealed(at.lock, block))
        await asyncio.wait_for(asked.wait(), 5)


async def test_a_reorg_of_l1_reaches_the_watch_over_our_origins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "POLL_SECONDS", 0.01)
    async with operator(tmp_path) as at, DstClient(at.own, secret=SECRET) as dst:
        block = make_block(at.lock, make_genesis(at.lock), origin=(16, l1_hash(16)))
        await dst.decided(certify(at.lock, block))
        assert (await dst.status()).reset_height is None
        at.l1.reorg(8, "fork", 9)
        async with asyncio.timeout(5):
            while (await dst.status()).reset_height != 1:
                await asyncio.sleep(0.01)


async def test_what_is_for_the_own_middleware_is_not_on_the_public_port(tmp_path: Path) -> None:
    async with operator(tmp_path) as at:
        block = make_block(at.lock, make_genesis(at.lock))
        for url, secret, refusal in (
            (at.public, SECRET, NotFound),
            (at.own, None, InvalidInput),
            (at.own, b"\x0b" * 32, InvalidInput),
        ):
            async with DstClient(url, secret=secret) as stranger:
                with pytest.raises(refusal):
                    await stranger.decided(certify(at.lock, block))
        async with DstClient(at.public) as reader:
            assert (await reader.status()).decided_height == 0
