"""The flood: sustained, without gaps, counted by blocks, and gone when it ends."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from devnet.bench import throughput
from devnet.bench.throughput import measure_throughput
from devnet.model.accounts import ACCOUNTS
from devnet.model.descriptor import Descriptor, FundedAccount, L1Endpoint, OperatorEndpoint
from devnet.runner.stages import background
from dst.spec.primitives import to_hex
from dst.transactions.transaction import Transaction, decode_transaction
from tests.unit.execution.rpc.bench import listening

ROOM = 40
"""Transactions of a block."""
BLOCK_S = 0.05


class Chain:
    """Takes what comes in nonce order, and has room for `ROOM` transfers a block; refuses one batch
    as a full pool does."""

    def __init__(self) -> None:
        self.waiting: list[Transaction] = []
        self.mined: dict[str, int] = defaultdict(int)
        self.taken: dict[str, int] = defaultdict(int)
        self.blocks: list[int] = [0]
        self.refusals = 1
        self.made = asyncio.Condition()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(BLOCK_S)
            self.waiting.sort(key=lambda each: -each.max_priority_fee_per_gas)
            block, self.waiting = self.waiting[:ROOM], self.waiting[ROOM:]
            for each in block:
                self.mined[to_hex(each.sender)] += 1
            self.blocks.append(len(block))
            async with self.made:
                self.made.notify_all()

    async def answer(self, request: dict[str, Any]) -> Any:
        match request["method"], request["params"]:
            case "eth_blockNumber", _:
                return hex(len(self.blocks) - 1)
            case "eth_getTransactionCount", [address, tag]:
                return hex((self.taken if tag == "pending" else self.mined)[address.lower()])
            case "eth_getBlockByNumber", [number, False]:
                held = self.blocks[int(number, 16)]
                return {
                    "timestamp": hex(int(number, 16)),
                    "transactions": ["0x"] * held,
                    "gasUsed": hex(21_000 * held),
                    "gasLimit": hex(21_000 * ROOM),
                }
            case "eth_sendRawTransaction", [raw]:
                self.take(raw)
                return raw
            case "eth_sendRawTransactionSync", [raw]:
                transaction = self.take(raw)
                async with self.made:
                    await self.made.wait_for(
                        lambda: self.mined[to_hex(transaction.sender)] > transaction.nonce
                    )
                return {}
        raise AssertionError(request)

    def take(self, raw: str) -> Transaction:
        transaction = decode_transaction(bytes.fromhex(raw[2:]))
        sender = to_hex(transaction.sender)
        if transaction.nonce >= self.taken[sender]:
            assert transaction.nonce == self.taken[sender], "a gap holds up all that follow"
            self.taken[sender] += 1
            self.waiting.append(transaction)
        return transaction

    async def post(self, request: web.Request) -> web.Response:
        body = msgspec.json.decode(await request.read())
        if isinstance(body, dict):
            return web.json_response({"id": body["id"], "result": await self.answer(body)})
        if self.refusals:
            self.refusals -= 1
            error = {"code": -32000, "message": "txpool is full"}
            return web.json_response([{"id": each["id"], "error": error} for each in body])
        return web.json_response(
            [{"id": each["id"], "result": await self.answer(each)} for each in body]
        )


@asynccontextmanager
async def network(chain: Chain) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/", chain.post)
    async with listening(app) as address:
        yield f"http://{address}"


def descriptor_of(url: str) -> Descriptor:
    """Of a network whose operators are all at one address."""
    operators = tuple(
        OperatorEndpoint(
            index=index, name=f"op{index}", rpc=url, beacon=url, identity="0x", toxiproxy="op"
        )
        for index in range(1, 5)
    )
    return Descriptor(
        id="test",
        backend="process",
        seed=0,
        port_offset=0,
        chain_id=901,
        l1_chain_id=900,
        genesis_time=0,
        slot_seconds=1,
        group_public_key="0x",
        l1=L1Endpoint(rpc=url, toxiproxy="l1"),
        operators=operators,
        followers=(),
        accounts=tuple(
            FundedAccount(address=each.address, private_key=each.private_key) for each in ACCOUNTS
        ),
    )


async def test_a_flood_fills_every_block_of_the_window_and_ends_with_empty_pools(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "WARM_SECONDS": 0.5, "WINDOW_SECONDS": 1.0, "MAX_AHEAD": 60, "SIGNED_BEFORE": 40,
        "WATCH_SECONDS": 0.01,
    }.items():  # fmt: skip
        monkeypatch.setattr(throughput, name, value)
    chain = Chain()
    async with (
        network(chain) as url,
        aiohttp.ClientSession() as session,
        background([chain.run()]),
    ):
        measured = await measure_throughput(descriptor_of(url), session)
    assert measured.fullness > 0.5
    assert measured.included_per_second == pytest.approx(ROOM * measured.fullness)
    assert measured.missed_slots == 0
    assert measured.probe_seconds
    assert chain.waiting == []
    assert chain.mined == chain.taken
