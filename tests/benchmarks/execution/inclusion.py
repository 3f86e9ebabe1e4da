"""From a client's JSON-RPC batches to blocks with receipts: one execution role beside anvil.

One client sends the same signed transfers in the same batches over as many connections to both, one
after the other, until all are in blocks, and asks for each receipt, in batches too. Blocks are made
while transactions come in, ours through the Engine API as a rollup node drives it (build,
getPayload, newPayload, forkchoiceUpdated), anvil's by `evm_mine`: at a cadence, or one behind the
other as fast as each can, which then makes ever smaller ones. Wall clock, client included: anvil
has several threads. The ratio is of the same minute.

Anvil leaves a part of such a load waiting for ever now and then (always, with its automine); a run
that it does not end is run again, and counted.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from subprocess import DEVNULL
from time import monotonic
from typing import Any, Final, Protocol

import aiohttp
import msgspec

from devnet.toolchain.tools import ANVIL, ensure
from dst.apis.engine import ForkchoiceState, PayloadAttributes
from dst.apis.engine_client import EngineClient
from dst.apis.jwt import load_jwt_secret
from dst.cli.cluster import create_cluster
from dst.spec.primitives import ZERO_HASH, Address, Hash32, to_hex
from tests.benchmarks.execution.loads import Sending, sender, transfer
from tests.ports import free_port

TRANSFERS: Final = 8_000
SENDERS: Final = 50
BATCH: Final = 100
CONNECTIONS: Final = 4
GAS_LIMIT: Final = 30_000_000
CHAIN_ID: Final = 901
BALANCE: Final = 10**24
PAUSE_S: Final = 0.002
START_S: Final = 30.0
STALLED_S: Final = 10.0
"""Without a transaction in a block while some wait."""
MAX_STALLED: Final = 5
CADENCES: Final = {"every 100 ms": 0.1, "one behind the other": 0.0}
"""Seconds from the start of one block to the next one's, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inclusion:
    """Transfers a second, medians over rounds."""

    ours: float
    anvil: float
    stalled: int
    """Runs of anvil's that left transactions waiting."""

    @property
    def ratio(self) -> float:
        return self.ours / self.anvil


class Stalled(Exception):
    """Transactions wait, and no block takes them."""


class Node(Protocol):
    url: str

    async def mine(self) -> int:
        """Make a block; how many transactions it holds."""
        ...


def inclusion(rounds: int, every_s: float, transfers: int = TRANSFERS) -> Inclusion:
    """Each round on fresh chains, both in turn. Raises: Stalled."""
    ours, anvil, stalled = [], [], 0
    raws = _signed(transfers)
    for _ in range(rounds):
        ours.append(transfers / asyncio.run(_measure(_serve_ours(), raws, every_s)))
        seconds, again = _anvil_seconds(raws, every_s)
        anvil.append(transfers / seconds)
        stalled += again
    return Inclusion(ours=median(ours), anvil=median(anvil), stalled=stalled)


def _anvil_seconds(raws: Sequence[str], every_s: float) -> tuple[float, int]:
    """Of the first run that it ended, and how many it did not. Raises: Stalled."""
    for stalled in range(MAX_STALLED):
        try:
            return asyncio.run(_measure(_serve_anvil(), raws, every_s)), stalled
        except Stalled as error:
            print(f"anvil: {error}; again", file=sys.stderr)
    raise Stalled(f"anvil did not end {MAX_STALLED} runs")


async def _measure(
    serving: AbstractAsyncContextManager[Node], raws: Sequence[str], every_s: float
) -> float:
    """Raises: Stalled."""
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(serving)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        try:
            return await _send_and_collect(_Client(session, node.url), node, raws, every_s)
        except* Stalled as group:
            stalled = group.exceptions[0]
    raise stalled


async def _send_and_collect(
    client: "_Client", node: Node, raws: Sequence[str], every_s: float
) -> float:
    """Seconds from the first byte sent to the last receipt. Raises: a group with Stalled."""
    batches = [raws[start : start + BATCH] for start in range(0, len(raws), BATCH)]
    queue, hashes = list(reversed(batches)), []
    started = monotonic()

    async def send() -> None:
        while queue:
            batch = queue.pop()
            hashes.extend(await client.batch("eth_sendRawTransaction", [[raw] for raw in batch]))

    async def mine() -> None:
        left, last_s = len(raws), monotonic()
        while left:
            began_s = monotonic()
            held = await node.mine()
            left -= held
            if held:
                last_s = monotonic()
            elif monotonic() - last_s > STALLED_S:
                raise Stalled(f"{left} of {len(raws)} transactions wait, and no block takes them")
            pause_s = began_s + every_s - monotonic()
            await asyncio.sleep(max(pause_s, 0.0 if held else PAUSE_S))

    async with asyncio.TaskGroup() as mining:
        mining.create_task(mine())
        async with asyncio.TaskGroup() as sending:
            for _ in range(CONNECTIONS):
                sending.create_task(send())
        await _collect(client, hashes)
    return monotonic() - started


async def _collect(client: "_Client", hashes: Sequence[str]) -> None:
    """Until each has its receipt."""
    waiting = [hashes[start : start + BATCH] for start in range(0, len(hashes), BATCH)]
    while waiting:
        batch = waiting.pop(0)
        receipts = await client.batch("eth_getTransactionReceipt", [[each] for each in batch])
        if not all(receipts):
            waiting.insert(0, batch)
            await asyncio.sleep(PAUSE_S)
            continue
        assert all(each["status"] == "0x1" for each in receipts)


class _Client:
    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url = session, url

    async def call(self, method: str, *params: Any) -> Any:
        return (await self.batch(method, [list(params)]))[0]

    async def batch(self, method: str, params: Sequence[Sequence[Any]]) -> list[Any]:
        requests = [
            {"jsonrpc": "2.0", "id": index, "method": method, "params": each}
            for index, each in enumerate(params)
        ]
        async with self._session.post(
            self._url,
            data=msgspec.json.encode(requests),
            headers={"Content-Type": "application/json"},
        ) as response:
            answers = msgspec.json.decode(await response.read())
        assert all("error" not in each for each in answers), (method, answers[:2])
        return [each["result"] for each in answers]


# --- ours ---


@dataclass(slots=True, kw_only=True)
class _Ours:
    url: str
    engine: EngineClient
    head: Hash32
    timestamp: int

    async def mine(self) -> int:
        self.timestamp += 1
        started = await self.engine.forkchoice_updated_v3(self._state(), self._attributes())
        assert started.payload_id is not None
        built = await self.engine.get_payload_v4(started.payload_id)
        if not built.payload.transactions:
            return 0
        await self.engine.new_payload_v4(
            built.payload,
            parent_beacon_block_root=ZERO_HASH,
            execution_requests=built.execution_requests,
        )
        self.head = Hash32(built.payload.block_hash)
        await self.engine.forkchoice_updated_v3(self._state())
        return len(built.payload.transactions)

    def _state(self) -> ForkchoiceState:
        return ForkchoiceState(
            head_block_hash=self.head,
            safe_block_hash=ZERO_HASH,
            finalized_block_hash=ZERO_HASH,
        )

    def _attributes(self) -> PayloadAttributes:
        return PayloadAttributes(
            timestamp=self.timestamp,
            prev_randao=ZERO_HASH,
            suggested_fee_recipient=Address(b"\xfe" * 20),
            withdrawals=(),
            parent_beacon_block_root=ZERO_HASH,
        )


@asynccontextmanager
async def _serve_ours() -> AsyncIterator[_Ours]:
    with tempfile.TemporaryDirectory(prefix="inclusion-") as name:
        folder = Path(name)
        chain = {"chain_id": CHAIN_ID, "gas_limit": GAS_LIMIT, "genesis_time": 1_700_000_000}
        lock = create_cluster(folder, operators=1, chain=chain, alloc=_alloc())
        engine_port, rpc_port = free_port(), free_port()
        config = folder / "execution.json"
        config.write_text(json.dumps(_config(folder, engine_port, rpc_port)))
        command = (sys.executable, "-P", "-m", "dst", "execution", "--config", str(config))
        async with _running(*command), aiohttp.ClientSession() as session:
            secret = load_jwt_secret(folder / "operators/op1/jwt.hex")
            engine = EngineClient(f"http://127.0.0.1:{engine_port}", secret, session)
            url = f"http://127.0.0.1:{rpc_port}"
            await _is_up(session, url)
            head = lock.chain.l2_genesis_hash
            yield _Ours(url=url, engine=engine, head=head, timestamp=lock.chain.genesis_time)


def _config(folder: Path, engine_port: int, rpc_port: int) -> dict[str, str]:
    return {
        "name": "op1",
        "data_dir": str(folder / "data"),
        "genesis": "genesis.json",
        "lock": "cluster-lock.json",
        "jwt_secret": "operators/op1/jwt.hex",
        "engine_listen": f"127.0.0.1:{engine_port}",
        "rpc_listen": f"127.0.0.1:{rpc_port}",
        "log_level": "warning",
    }


# --- anvil ---


@dataclass(slots=True, kw_only=True)
class _Anvil:
    url: str
    client: _Client

    async def mine(self) -> int:
        await self.client.call("evm_mine")
        block = await self.client.call("eth_getBlockByNumber", "latest", False)
        return len(block["transactions"])


@asynccontextmanager
async def _serve_anvil() -> AsyncIterator[_Anvil]:
    binary = await asyncio.to_thread(ensure, ANVIL)
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="inclusion-") as folder:
        genesis = Path(folder) / "genesis.json"
        genesis.write_text(json.dumps(_anvil_genesis()))
        options = ["--port", str(port), "--hardfork", "prague", "--silent"]
        options += ["--chain-id", str(CHAIN_ID), "--gas-limit", str(GAS_LIMIT)]
        options += ["--init", str(genesis), "--no-mining"]
        async with _running(str(binary), *options), aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{port}"
            await _is_up(session, url)
            yield _Anvil(url=url, client=_Client(session, url))


def _anvil_genesis() -> dict[str, object]:
    return {
        "config": {"chainId": CHAIN_ID, "terminalTotalDifficulty": 0, "shanghaiTime": 0,
                   "cancunTime": 0, "pragueTime": 0},
        "nonce": "0x0", "timestamp": hex(1_700_000_000), "extraData": "0x",
        "gasLimit": hex(GAS_LIMIT), "difficulty": "0x0", "baseFeePerGas": hex(10**9),
        "mixHash": to_hex(ZERO_HASH), "coinbase": "0x" + "00" * 20, "alloc": _alloc(),
    }  # fmt: skip


# --- both ---


def _signed(count: int) -> list[str]:
    """Transfers of all senders in turn, each in nonce order."""
    sending = Sending()
    return [
        to_hex(transfer(sending, index % SENDERS, index // SENDERS).raw) for index in range(count)
    ]


def _alloc() -> dict[str, object]:
    return {to_hex(sender(number)[1]): {"balance": hex(BALANCE)} for number in range(SENDERS)}


@asynccontextmanager
async def _running(*command: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def _is_up(session: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(START_S):
        while True:
            try:
                await _Client(session, url).call("eth_blockNumber")
                return
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(0.05)
