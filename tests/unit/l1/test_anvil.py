"""Source, transactions and inbox scan against a real anvil: skipped only where it cannot be had."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dst.crypto.account_key import AccountKey
from dst.l1.rpc import L1Client
from dst.l1.source import L1Source
from dst.l1.tx_manager import TxManager
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec.cluster import L1Genesis
from dst.spec.errors import Unavailable
from dst.spec.primitives import Address
from tests.ports import free_port
from tests.unit.rollup.rollup_bench import make_lock, until_true

KEY = AccountKey(bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"))
"""First account of the public test mnemonic, which anvil funds."""
INBOX = Address(b"\xbb" * 20)


def find_anvil() -> str | None:
    cached = sorted(Path(__file__).parents[3].glob(".tools/**/anvil"))
    named = os.environ.get("DST_ANVIL")
    return named or shutil.which("anvil") or (str(cached[0]) if cached else None)


ANVIL = find_anvil()
pytestmark = [
    pytest.mark.anvil,
    pytest.mark.skipif(
        ANVIL is None, reason="no anvil: run `make setup`, or set DST_ANVIL to its path"
    ),
]


@asynccontextmanager
async def anvil() -> AsyncIterator[L1Client]:
    async with anvil_process() as (client, _):
        yield client


@asynccontextmanager
async def anvil_process() -> AsyncIterator[tuple[L1Client, asyncio.subprocess.Process]]:
    port = free_port()
    assert ANVIL is not None
    process = await asyncio.create_subprocess_exec(
        ANVIL, "--port", str(port), "--silent", "--no-mining"
    )
    client = L1Client(f"http://127.0.0.1:{port}")
    try:
        async with asyncio.timeout(15):
            while not await is_up(client):  # a process outside
                await asyncio.sleep(0.05)
        yield client, process
    finally:
        await client.close()
        process.kill()
        await process.wait()


async def is_up(client: L1Client) -> bool:
    try:
        return await client.chain_id() == 31337
    except Unavailable:
        return False


async def mine(client: L1Client, count: int = 1) -> None:
    await client._call("anvil_mine", [hex(count)], object)


async def test_a_large_frame_is_posted_and_found_again() -> None:
    async with anvil() as client:
        data = b"\x01" + bytes(range(1, 251)) * 400
        sender = TxManager(client, KEY, 31337, Logger("test"))
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(sender.send(INBOX, data))
            await until_pending(client)
            await mine(client)
        number = sending.result()
        block = await client.block(number)
        assert block is not None
        assert [(tx.to, tx.data) for tx in block.transactions] == [(INBOX, data)]


async def until_pending(client: L1Client) -> None:
    async with asyncio.timeout(5):
        while (
            await client._call("eth_getTransactionCount", [hex_address(), "pending"], str) == "0x0"
        ):
            await asyncio.sleep(0.02)


def hex_address() -> str:
    return "0x" + KEY.address.hex()


async def test_the_source_follows_heads_and_reorgs() -> None:
    async with anvil() as client:
        await mine(client, 12)
        genesis = await client.ref_by_number(0)
        assert genesis is not None
        chain = make_lock(l1_genesis=L1Genesis(number=0, hash=genesis.hash)).chain
        source = L1Source(client, chain, Logger("test"), Metrics())
        told: list[bool] = []
        polling = asyncio.get_running_loop().create_task(source.run(told.append))
        await until_true(lambda: source.head_number == 12)
        before = await source.canonical_hash(11)
        await client._call("anvil_reorg", [3, []], object)
        await until_true(lambda: True in told)
        assert await source.canonical_hash(11) != before
        polling.cancel()
