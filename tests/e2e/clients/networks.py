"""The two chains that a client is run against: anvil, whose behaviour its users know, and ours."""

import asyncio
import json
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from devnet.model.accounts import ACCOUNTS
from devnet.toolchain.tools import ANVIL, ensure
from dst.cli.cluster import create_cluster
from dst.cli.dev_contracts import contract_alloc
from tests.e2e.test_execution_rpc import Node, make_block
from tests.ports import free_port

CHAIN_ID: Final = 901
BLOCK_SECONDS: Final = 0.3
"""Short, because clients wait for blocks most of their time; long enough for two transactions to
meet in the pool."""
START_SECONDS: Final = 20


@dataclass(frozen=True, slots=True)
class Chain:
    """Where a client connects; WebSocket is on the same port."""

    name: str
    url: str

    @property
    def ws(self) -> str:
        return self.url.replace("http://", "ws://")

    def call(self, method: str, *params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            decoded = json.load(answer)
        assert "error" not in decoded, (method, decoded["error"])
        return decoded["result"]


@contextmanager
def anvil() -> Iterator[Chain]:
    """anvil with the contracts of our dev genesis."""
    port = free_port()
    flags = {
        "--port": port,
        "--chain-id": CHAIN_ID,
        "--block-time": BLOCK_SECONDS,
        "--hardfork": "prague",
        "--gas-limit": 10_000_000,
        "--accounts": len(ACCOUNTS),
    }
    words = [str(word) for pair in flags.items() for word in pair]
    process = subprocess.Popen([ensure(ANVIL), *words, "--silent", "--steps-tracing"])
    try:
        chain = Chain("anvil", f"http://127.0.0.1:{port}")
        _wait_until_up(chain)
        for address, account in contract_alloc(CHAIN_ID).items():
            assert isinstance(account, dict)
            chain.call("anvil_setCode", address, account["code"])
        yield chain
    finally:
        process.terminate()
        process.wait(10)


def _wait_until_up(chain: Chain) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            chain.call("eth_chainId")
            return
        except OSError:
            assert time.monotonic() < end, f"{chain.name} does not come up"
            time.sleep(0.05)


@contextmanager
def ours(folder: Path) -> Iterator[Chain]:
    """One execution role with a dev genesis, driven as a rollup node would. Its blocks begin now:
    a node whose head is old says that it is syncing."""
    constants = {"dev": True, "genesis_time": int(time.time()), "chain_id": CHAIN_ID}
    create_cluster(folder, operators=1, chain=constants)
    node = Node(folder)
    node.start()
    try:
        with _blocks(node):
            yield Chain("ours", node.url)
    finally:
        node.stop()


@contextmanager
def _blocks(node: Node) -> Iterator[None]:
    stop = threading.Event()

    async def produce() -> None:
        client = node.client()
        try:
            while not stop.is_set():
                due = time.monotonic() + BLOCK_SECONDS
                await make_block(client)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
        finally:
            await client.close()

    thread = threading.Thread(target=lambda: asyncio.run(produce()))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
