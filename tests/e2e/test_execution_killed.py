"""The execution role under load, killed again and again: what it has answered holds.

A rollup node drives it through the Engine API, a client sends transactions, and SIGKILL comes after
a random number of answers. Whoever starts it again finds the head it was told, every block it
called VALID, the state, receipts and indices of the chain, and every transaction it took.
"""

import asyncio
import json
import random
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from eth_account import Account

from dst.apis.engine import ForkchoiceState, PayloadStatusKind
from dst.apis.engine_client import EngineClient
from dst.cli.cluster import create_cluster
from dst.spec.errors import Unavailable
from dst.spec.primitives import ZERO_HASH, Hash32, to_hex
from tests.e2e.test_execution_rpc import BASE_FEE, GAS_LIMIT, OTHER, Node, attributes_after

KILLS = 12
SEED = 20_260_101
MOST_ANSWERS = 300
"""Of a life: about ten blocks."""
LONGEST_PAUSE_S = 0.02
"""Between the last answer that is waited for and the kill: about a block's round."""
DEADLINE_S = 30.0
HISTORY_BLOCKS = 64
FINAL_DEPTH = 8
REORGS = 0.2
BATCH = 100
WAITING = 64
"""Transactions of one sender that wait at a time."""
SENDERS = [
    Account.from_key(key)
    for key in (
        "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
        "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    )
]
COUNTER = "5f54600101805f555f5260205fa000"
"""slot 0 += 1; log it."""
COUNTER_INIT = "0x600f8060095f395ff3" + COUNTER
"""Returns what follows it."""


@dataclass
class Block:
    """What a walk over the chain has found at and below it."""

    number: int
    parent: str
    nonces: dict[str, int]
    given: int
    """Wei moved to OTHER."""
    calls: int
    """Of the counter."""


@dataclass
class Told:
    """What the role has answered so far, and what it was asked and may have done."""

    head: Hash32
    asked: Hash32
    valid: set[Hash32] = field(default_factory=set)
    accepted: list[str] = field(default_factory=list)
    counter: str | None = None


class Killed(Exception):
    """The connection broke."""


class Client:
    """One life of the role: an engine client and a JSON-RPC client, both counted."""

    def __init__(self, node: Node, engine: EngineClient, session: aiohttp.ClientSession) -> None:
        self.engine, self._url, self._session = engine, node.url, session
        self._left, self._due = 0, asyncio.Event()

    async def after(self, answers: int) -> None:
        """Wait for so many more answers."""
        self._left, self._due = answers, asyncio.Event()
        await self._due.wait()

    def count(self) -> None:
        self._left -= 1
        if self._left <= 0:
            self._due.set()

    async def ask_all(self, method: str, params: Sequence[Sequence[Any]]) -> list[Any]:
        """In batches. Raises: Killed."""
        results: list[Any] = []
        for start in range(0, len(params), BATCH):
            results += await self._ask_some(method, params[start : start + BATCH])
        return results

    async def _ask_some(self, method: str, params: Sequence[Sequence[Any]]) -> list[Any]:
        calls = [
            {"jsonrpc": "2.0", "id": at, "method": method, "params": list(each)}
            for at, each in enumerate(params)
        ]
        try:
            async with self._session.post(self._url, json=calls) as response:
                answers = await response.json()
        except (aiohttp.ClientError, OSError) as error:
            raise Killed from error
        failed = [each for each in answers if "error" in each]
        assert not failed, failed[0]
        self.count()
        return [each["result"] for each in answers]

    async def ask(self, method: str, *params: Any) -> Any:
        (result,) = await self.ask_all(method, [params])
        return result


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    chain = {"dev": True, "genesis_time": 1_700_000_000, "gas_limit": GAS_LIMIT}
    create_cluster(tmp_path, operators=1, chain=chain)
    made = Node(tmp_path)
    config = json.loads(made.config.read_text())
    made.config.write_text(json.dumps({**config, "history_blocks": HISTORY_BLOCKS}))
    try:
        yield made
    finally:
        if made.process is not None and made.process.poll() is None:
            made.stop()


def test_what_was_answered_survives_a_kill_at_any_moment(node: Node) -> None:
    chance = random.Random(SEED)
    node.start()
    told, walked = asyncio.run(begin(node))
    for _ in range(KILLS):
        asyncio.run(load_and_kill(node, told, chance))
        node.start()
        asyncio.run(check(node, told, walked))
    asyncio.run(check_that_all_get_in(node, told, walked))
    assert node.stop() == 0


@asynccontextmanager
async def connected(node: Node) -> AsyncIterator[Client]:
    engine = node.client()
    async with aiohttp.ClientSession() as session:
        try:
            yield Client(node, engine, session)
        finally:
            await engine.close()


async def begin(node: Node) -> tuple[Told, dict[str, Block]]:
    """Deploy the counter in block 1; so many blocks that old states are pruned from now on."""
    async with connected(node) as client:
        genesis = await client.engine.block("latest")
        assert genesis is not None
        told = Told(genesis.hash, genesis.hash)
        counter = {"data": COUNTER_INIT, "gas": 200_000, "to": b""}
        (deployment,) = await send(client, 0, 0, [counter])
        told.accepted.append(deployment)
        await make_block(client, told, random.Random(0))
        receipt = await client.ask("eth_getTransactionReceipt", deployment)
        told.counter = receipt["contractAddress"]
        given = int(await client.ask("eth_getBalance", OTHER, "earliest"), 16)
        walked = {to_hex(genesis.hash): Block(0, "", {}, given, 0)}
        for _ in range(HISTORY_BLOCKS):
            await make_block(client, told, random.Random(0))
        await walk(client, told.counter, walked, to_hex(told.head))
    return told, walked


# the load


async def load_and_kill(node: Node, told: Told, chance: random.Random) -> None:
    async with connected(node) as client:
        load = asyncio.gather(
            _until_killed(make_blocks(client, told, chance)),
            *(_until_killed(send_many(client, told, number)) for number in range(len(SENDERS))),
        )
        await client.after(chance.randrange(2, MOST_ANSWERS))
        await asyncio.sleep(chance.random() * LONGEST_PAUSE_S)
        assert node.stop(signal.SIGKILL) == -signal.SIGKILL
        await load


async def _until_killed(work: Any) -> None:
    with suppress(Killed, Unavailable):
        await work


async def make_blocks(client: Client, told: Told, chance: random.Random) -> None:
    while True:
        await make_block(client, told, chance)


async def make_block(client: Client, told: Told, chance: random.Random) -> None:
    """What a rollup node does for a slot; now and then beside the head instead of on it."""
    engine, parent = client.engine, await client.engine.block("latest")
    assert parent is not None
    assert parent.hash == told.head
    attributes = attributes_after(parent)
    if parent.number > 1 and chance.random() < REORGS:
        below = await engine.block(parent.number - 1)
        assert below is not None
        parent, attributes = below, replace(attributes, timestamp=parent.timestamp + 1)
    payload_id = await point(client, told, parent.hash, parent.number, attributes)
    assert payload_id is not None
    built = await engine.get_payload_v4(payload_id)
    block_hash = Hash32(built.payload.block_hash)
    status = await engine.new_payload_v4(
        built.payload,
        parent_beacon_block_root=attributes.parent_beacon_block_root,
        execution_requests=built.execution_requests,
    )
    assert status.status is PayloadStatusKind.VALID
    told.valid.add(block_hash)
    client.count()
    await point(client, told, block_hash, parent.number + 1)


async def point(
    client: Client, told: Told, head: Hash32, number: int, attributes: Any = None
) -> bytes | None:
    final = await client.engine.block(number - FINAL_DEPTH) if number > FINAL_DEPTH else None
    state = ForkchoiceState(
        head_block_hash=head,
        safe_block_hash=ZERO_HASH,
        finalized_block_hash=ZERO_HASH if final is None else final.hash,
    )
    told.asked = head
    answer = await client.engine.forkchoice_updated_v3(state, attributes)
    assert answer.payload_status.status is PayloadStatusKind.VALID
    told.head = head
    client.count()
    return answer.payload_id


async def send_many(client: Client, told: Told, number: int) -> None:
    """Transfers and calls of the counter, a few at a time, as fast as they are taken."""
    sender = SENDERS[number].address
    assert told.counter is not None
    nonce = int(await client.ask("eth_getTransactionCount", sender, "pending"), 16)
    while True:
        mined = int(await client.ask("eth_getTransactionCount", sender, "latest"), 16)
        if nonce - mined > WAITING:
            continue
        transfer = {"to": OTHER, "value": 1 + nonce, "gas": 21_000}
        call = {"to": bytes.fromhex(told.counter[2:]), "gas": 100_000}
        hashes = await send(client, number, nonce, [transfer, call, transfer])
        told.accepted += hashes
        nonce += len(hashes)


async def send(
    client: Client, number: int, nonce: int, transactions: Sequence[dict[str, Any]]
) -> list[str]:
    """Their hashes, once the role has taken them."""
    common = {"chainId": 0, "maxFeePerGas": 10 * BASE_FEE, "maxPriorityFeePerGas": 1, "value": 0}
    common["chainId"] = int(await client.ask("eth_chainId"), 16)
    signed = [
        SENDERS[number].sign_transaction({**common, **each, "nonce": nonce + at, "type": 2})
        for at, each in enumerate(transactions)
    ]
    raws = [[to_hex(bytes(each.raw_transaction))] for each in signed]
    hashes: list[str] = await client.ask_all("eth_sendRawTransaction", raws)
    return hashes


# what must hold


async def check(node: Node, told: Told, walked: dict[str, Block]) -> None:
    async with connected(node) as client:
        head = await client.engine.block("latest")
        assert head is not None
        assert head.hash in (told.head, told.asked)
        told.head = told.asked = head.hash
        blocks = await client.ask_all(
            "eth_getBlockByHash", [(to_hex(each), False) for each in told.valid]
        )
        assert all(blocks), "a block that was called VALID is gone"
        told.valid.clear()
        assert told.counter is not None
        await walk(client, told.counter, walked, to_hex(head.hash))
        await check_state(client, told.counter, walked[to_hex(head.hash)])
        assert await client.engine.block(head.number + 1) is None
        await until_known(client, told.accepted, chain_of(walked, to_hex(head.hash)))
        await make_block(client, told, random.Random(0))


async def walk(client: Client, counter: str, walked: dict[str, Block], head: str) -> None:
    """Read the blocks below `head` that were not walked yet, with receipts and indices."""
    new: list[dict[str, Any]] = []
    block_hash = head
    while block_hash not in walked:
        block = await client.ask("eth_getBlockByHash", block_hash, True)
        new.append(block)
        block_hash = block["parentHash"]
    for block in reversed(new):
        await check_indices(client, block)
        parent = walked[block["parentHash"]]
        walked[block["hash"]] = add_up(block, parent, counter)


async def check_indices(client: Client, block: dict[str, Any]) -> None:
    by_number = await client.ask("eth_getBlockByNumber", block["number"], True)
    assert by_number == block
    hashes = [each["hash"] for each in block["transactions"]]
    receipts = await client.ask("eth_getBlockReceipts", block["hash"])
    assert [each["transactionHash"] for each in receipts] == hashes
    assert all(each["status"] == "0x1" for each in receipts)
    one_by_one = [[each] for each in hashes]
    assert await client.ask_all("eth_getTransactionReceipt", one_by_one) == receipts
    assert await client.ask_all("eth_getTransactionByHash", one_by_one) == block["transactions"]


def add_up(block: dict[str, Any], parent: Block, counter: str) -> Block:
    nonces, given, calls = dict(parent.nonces), parent.given, parent.calls
    for each in block["transactions"]:
        sender = each["from"]
        assert int(each["nonce"], 16) == nonces.get(sender, 0)
        nonces[sender] = int(each["nonce"], 16) + 1
        given += int(each["value"], 16)
        calls += each["to"] == counter
    return Block(int(block["number"], 16), block["parentHash"], nonces, given, calls)


async def check_state(client: Client, counter: str, block: Block) -> None:
    """At the head, and at the oldest block whose state is surely kept."""
    at = hex(block.number)
    assert int(await client.ask("eth_getBalance", OTHER, at), 16) == block.given
    assert int(await client.ask("eth_getStorageAt", counter, "0x0", at), 16) == block.calls
    for sender, nonce in block.nonces.items():
        assert int(await client.ask("eth_getTransactionCount", sender, at), 16) == nonce
    proof = await client.ask("eth_getProof", counter, ["0x0"], at)
    assert int(proof["storageProof"][0]["value"], 16) == block.calls


def chain_of(walked: dict[str, Block], head: str) -> set[str | None]:
    chain: set[str | None] = set()
    block_hash = head
    while block_hash:
        chain.add(block_hash)
        block_hash = walked[block_hash].parent
    return chain


async def until_known(client: Client, accepted: Sequence[str], chain: set[str | None]) -> None:
    """Each is in a block of the chain, or waits. The journal is read beside the first requests."""
    missing = list(accepted)
    async with asyncio.timeout(DEADLINE_S):
        while missing:
            found = await client.ask_all("eth_getTransactionByHash", [[each] for each in missing])
            missing = [each for each, known in zip(missing, found, strict=True) if not known]
            assert all(each["blockHash"] in {None, *chain} for each in found if each)


async def check_that_all_get_in(node: Node, told: Told, walked: dict[str, Block]) -> None:
    async with connected(node) as client:
        assert told.counter is not None
        async with asyncio.timeout(DEADLINE_S):
            while int((await client.ask("txpool_status"))["pending"], 16):
                await make_block(client, told, random.Random(0))
        receipts = await client.ask_all(
            "eth_getTransactionReceipt", [[each] for each in told.accepted]
        )
        assert all(receipts), "a transaction that was taken is in no block"
        head = to_hex(told.head)
        await walk(client, told.counter, walked, head)
        await check_state(client, told.counter, walked[head])
