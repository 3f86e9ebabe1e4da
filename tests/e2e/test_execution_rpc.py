"""An unpatched web3.py 8 against a running execution role, driven through the Engine API as a
rollup node would."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from eth_account import Account
from web3 import AsyncWeb3, Web3, WebSocketProvider
from web3.exceptions import ContractLogicError, TransactionNotFound, Web3RPCError

from dst.apis.engine import BlockRef, ForkchoiceState, PayloadAttributes, PayloadStatusKind
from dst.apis.engine_client import EngineClient
from dst.apis.jwt import load_jwt_secret
from dst.cli.cluster import create_cluster
from dst.execution.header import header_of_payload
from dst.spec.errors import BadConfig, Unavailable
from dst.spec.primitives import ZERO_HASH, Hash32
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
"""First account of the public test mnemonic, funded by a dev genesis."""
OTHER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
START_DEADLINE_S = 60
BASE_FEE = 10**9
GAS_LIMIT = 43_000_000
"""About the most that a cluster may have: SLOW then takes seconds."""
SLOW = "6001600353" + "5b5f5f60d55f60095afa50600556" + "00" * 5
"""1 3 mstore8 jumpdest; 0 0 213 0 9 gas staticcall pop; again: a round of BLAKE2F for 130 gas, the
dearest gas there is."""

# store(x): slot 0 := x, log1(x, topic); read: slot 0; x = 0 reverts with Error("zero")
STORE_ABI = [
    {
        "type": "function",
        "name": "store",
        "inputs": [{"name": "x", "type": "uint256"}],
        "outputs": [],
        "stateMutability": "nonpayable",
    },
    {
        "type": "function",
        "name": "read",
        "inputs": [],
        "outputs": [{"name": "", "type": "uint256"}],
        "stateMutability": "view",
    },
    {
        "type": "event",
        "name": "Stored",
        "anonymous": False,
        "inputs": [{"name": "x", "type": "uint256", "indexed": False}],
    },
]


def store_contract() -> str:
    """Init code of a hand-assembled contract with the interface above."""
    store, read = Web3.keccak(text="store(uint256)")[:4], Web3.keccak(text="read()")[:4]
    topic = Web3.keccak(text="Stored(uint256)")
    head = "5f3560e01c"  # selector
    # each: dup1 push4 selector eq push1 target jumpi
    dispatch = "8063" + store.hex() + "14" + "60{a:02x}" + "57" + "63" + read.hex() + "14"
    dispatch += "60{b:02x}" + "57" + "5f5ffd"
    on_store = "5b50" + "600435" + "80" + "60{c:02x}" + "57"
    error = "08c379a0" + f"{32:064x}" + f"{4:064x}" + b"zero".hex().ljust(64, "0")
    revert = "".join(
        f"7f{error.ljust(320, '0')[at : at + 64]}60{at // 2:02x}52" for at in range(0, 256, 64)
    )
    revert += "60645ffd"
    # what follows the revert: x -> slot 0, mem 0; log1
    do_store = "5b" + "80" + "5f55" + "5f52" + "7f" + topic.hex() + "60205fa1" + "00"
    on_read = "5b" + "5f545f5260205ff3"
    a = (len(head) + len(dispatch.format(a=0, b=0))) // 2
    c = a + (len(on_store.format(c=0)) + len(revert)) // 2
    b = c + len(do_store) // 2
    code = head + dispatch.format(a=a, b=b) + on_store.format(c=c) + revert + do_store + on_read
    assert b < 256, "jump targets must fit one byte"
    size = len(code) // 2
    init: str = "0x" + f"61{size:04x}80600a5f395ff3" + code
    return init


class Node:
    """One running role, and a thread that makes blocks on it."""

    def __init__(self, folder: Path, forward_to: list[str] | None = None) -> None:
        self.folder = folder
        self.engine_port, self.rpc_port = free_port(), free_port()
        config = {
            "name": "op1",
            "data_dir": "data",
            "genesis": "genesis.json",
            "lock": "cluster-lock.json",
            "jwt_secret": "operators/op1/jwt.hex",
            "engine_listen": f"127.0.0.1:{self.engine_port}",
            "rpc_listen": f"127.0.0.1:{self.rpc_port}",
            "forward_to": forward_to or [],
        }
        self.config = folder / f"execution-{self.rpc_port}.json"
        self.config.write_text(json.dumps(config))
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.rpc_port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "dst", "execution", "--config", str(self.config)]
        self.process = subprocess.Popen(command, cwd=ROOT)
        self.run(lambda client: wait_until_up(client))

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(20)

    def client(self) -> EngineClient:
        secret = load_jwt_secret(self.folder / "operators/op1/jwt.hex")
        return EngineClient(f"http://127.0.0.1:{self.engine_port}", secret)

    def run(self, action: Any) -> Any:
        async def with_client() -> Any:
            client = self.client()
            try:
                return await action(client)
            finally:
                await client.close()

        return asyncio.run(with_client())

    def make_block(self) -> BlockRef:
        block = self.run(make_block)
        assert isinstance(block, BlockRef)
        return block

    @contextmanager
    def making_blocks(self) -> Iterator[None]:
        """Blocks keep coming while the body waits for receipts."""
        stop = threading.Event()

        def loop() -> None:
            while not stop.wait(0.05):
                self.make_block()

        thread = threading.Thread(target=loop)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


async def wait_until_up(client: EngineClient) -> None:
    end = time.monotonic() + START_DEADLINE_S
    while True:
        try:
            await client.exchange_capabilities()
            return
        except Unavailable:
            assert time.monotonic() < end, "the role does not come up"
            await asyncio.sleep(0.05)


def attributes_after(head: BlockRef) -> PayloadAttributes:
    return PayloadAttributes(
        timestamp=head.timestamp + 1,
        prev_randao=Hash32(b"\x11" * 32),
        parent_beacon_block_root=Hash32(b"\x22" * 32),
    )


async def make_block(client: EngineClient) -> BlockRef:
    """One round of what a rollup node does for a slot."""
    head = await client.block("latest")
    assert head is not None
    attributes = attributes_after(head)
    started = await client.forkchoice_updated_v3(pointing_at(head.hash), attributes)
    assert started.payload_id is not None
    built = await client.get_payload_v4(started.payload_id)
    status = await client.new_payload_v4(
        built.payload,
        parent_beacon_block_root=attributes.parent_beacon_block_root,
        execution_requests=built.execution_requests,
    )
    assert status.status is PayloadStatusKind.VALID
    await client.forkchoice_updated_v3(pointing_at(Hash32(built.payload.block_hash)))
    new_head = await client.block("latest")
    assert new_head is not None
    return new_head


def pointing_at(block_hash: Hash32) -> ForkchoiceState:
    return ForkchoiceState(
        head_block_hash=block_hash, safe_block_hash=ZERO_HASH, finalized_block_hash=ZERO_HASH
    )


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("execution")
    chain = {"dev": True, "genesis_time": 1_700_000_000, "gas_limit": GAS_LIMIT}
    create_cluster(folder, operators=1, chain=chain)
    running = Node(folder)
    running.start()
    try:
        yield running
    finally:
        if running.process is not None and running.process.poll() is None:
            running.stop()


@pytest.fixture(scope="module")
def web3(node: Node) -> Any:
    return Web3(Web3.HTTPProvider(node.url))


@pytest.fixture(scope="module")
def contract(node: Node, web3: Any) -> Any:
    """The deployed contract: web3.py signs, estimates, prices and waits by itself."""
    account = Account.from_key(KEY)
    factory = web3.eth.contract(abi=STORE_ABI, bytecode=store_contract())
    transaction = factory.constructor().build_transaction(
        {"from": account.address, "nonce": web3.eth.get_transaction_count(account.address)}
    )
    with node.making_blocks():
        sent = web3.eth.send_raw_transaction(account.sign_transaction(transaction).raw_transaction)
        receipt = web3.eth.wait_for_transaction_receipt(sent, timeout=30)
    assert receipt["status"] == 1
    return web3.eth.contract(address=receipt["contractAddress"], abi=STORE_ABI)


def send(node: Node, web3: Any, transaction: Any) -> Any:
    account = Account.from_key(KEY)
    filled = {"nonce": web3.eth.get_transaction_count(account.address, "pending"), **transaction}
    raw = account.sign_transaction(filled).raw_transaction
    with node.making_blocks():
        return web3.eth.wait_for_transaction_receipt(web3.eth.send_raw_transaction(raw), timeout=30)


def test_constants(web3: Any) -> None:
    assert web3.is_connected()
    assert web3.client_version.startswith("dst/")
    assert web3.net.listening is True
    assert int(web3.net.version) == web3.eth.chain_id
    assert web3.eth.syncing["currentBlock"] == 0, "genesis is years old"
    assert len(web3.eth.accounts) == 10, "a dev network"


def test_contract_is_called_read_and_logged(node: Node, web3: Any, contract: Any) -> None:
    sender = Account.from_key(KEY).address
    log_filter = contract.events.Stored.create_filter(from_block="latest")
    call = contract.functions.store(42)
    estimate = call.estimate_gas({"from": sender})
    transaction = call.build_transaction(
        {"from": sender, "nonce": web3.eth.get_transaction_count(sender, "pending")}
    )
    receipt = send(node, web3, transaction)

    assert receipt["status"] == 1
    assert receipt["gasUsed"] <= estimate <= receipt["gasUsed"] * 1.2
    assert contract.functions.read().call() == 42
    assert contract.functions.read().call(block_identifier=receipt["blockNumber"] - 1) == 0
    (event,) = contract.events.Stored().process_receipt(receipt)
    assert event["args"]["x"] == 42
    (logged,) = contract.events.Stored.get_logs(from_block=0)
    assert logged["transactionHash"] == receipt["transactionHash"]
    assert [each["args"]["x"] for each in log_filter.get_new_entries()] == [42]
    assert [each["args"]["x"] for each in log_filter.get_all_entries()] in ([42], [])
    assert web3.eth.uninstall_filter(log_filter.filter_id) is True
    assert web3.eth.get_storage_at(contract.address, 0) == (42).to_bytes(32, "big")
    assert len(web3.eth.get_code(contract.address)) > 100


def test_revert_carries_its_reason(contract: Any) -> None:
    with pytest.raises(ContractLogicError, match="zero"):
        contract.functions.store(0).call()
    with pytest.raises(ContractLogicError, match="zero"):
        contract.functions.store(0).estimate_gas()


def test_blocks_transactions_receipts_agree(node: Node, web3: Any) -> None:
    receipt = send(
        node,
        web3,
        {
            "to": OTHER,
            "value": 7,
            "gas": 21_000,
            "maxFeePerGas": 3 * BASE_FEE,
            "maxPriorityFeePerGas": 5,
            "chainId": web3.eth.chain_id,
            "type": 2,
        },
    )
    block = web3.eth.get_block(receipt["blockNumber"], full_transactions=True)
    shown = web3.eth.get_transaction(receipt["transactionHash"])
    assert block["hash"] == receipt["blockHash"]
    assert block["transactions"][receipt["transactionIndex"]] == shown
    assert web3.eth.get_block(block["hash"])["transactions"][0] == receipt["transactionHash"]
    assert shown["value"] == 7
    assert shown["gasPrice"] == block["baseFeePerGas"] + 5 == receipt["effectiveGasPrice"]
    assert web3.eth.get_block_receipts(block["number"])[receipt["transactionIndex"]] == receipt
    assert web3.eth.get_block("finalized")["number"] == 0
    assert web3.eth.get_block("earliest")["number"] == 0
    pending = web3.eth.get_block("pending")
    assert pending["number"] == web3.eth.block_number + 1
    before = web3.eth.get_balance(OTHER, block_identifier=receipt["blockNumber"] - 1)
    assert web3.eth.get_balance(OTHER, block_identifier=receipt["blockNumber"]) == before + 7


def test_fee_history(web3: Any) -> None:
    newest = web3.eth.block_number
    history = web3.eth.fee_history(3, "latest", [10, 90])
    assert history["oldestBlock"] == newest - 2
    assert len(history["baseFeePerGas"]) == 4
    assert len(history["reward"]) == 3
    assert web3.eth.gas_price >= history["baseFeePerGas"][-1]
    assert web3.eth.max_priority_fee >= 1


def test_block_filter(node: Node, web3: Any) -> None:
    blocks = web3.eth.filter("latest")
    made = [node.make_block().hash for _ in range(2)]
    assert [bytes(each) for each in blocks.get_new_entries()] == made
    assert blocks.get_new_entries() == []


def test_pool_answers_in_the_words_wallets_know(node: Node, web3: Any) -> None:
    account = Account.create()
    base = {
        "to": OTHER,
        "value": 1,
        "gas": 21_000,
        "gasPrice": 2 * BASE_FEE,
        "chainId": web3.eth.chain_id,
    }

    def push(key: Any, **changes: Any) -> bytes:
        raw = Account.from_key(key).sign_transaction({**base, **changes}).raw_transaction
        return bytes(web3.eth.send_raw_transaction(raw))

    nonce = web3.eth.get_transaction_count(Account.from_key(KEY).address)
    for words, key, changes in (
        ("insufficient funds", account.key, {"nonce": 0}),
        ("nonce too low", KEY, {"nonce": 0}),
        ("invalid chain id", KEY, {"nonce": nonce, "chainId": 1}),
        ("intrinsic gas too low", KEY, {"nonce": nonce, "gas": 20_999}),
        ("exceeds block gas limit", KEY, {"nonce": nonce, "gas": GAS_LIMIT + 1}),
    ):
        with pytest.raises(Web3RPCError, match=words):
            push(key, **changes)
    sent = push(KEY, nonce=nonce)
    assert web3.eth.get_transaction(sent)["blockHash"] is None
    assert web3.eth.get_transaction_count(Account.from_key(KEY).address, "pending") == nonce + 1
    with pytest.raises(Web3RPCError, match="already known"):
        push(KEY, nonce=nonce)
    with pytest.raises(Web3RPCError, match="replacement transaction underpriced"):
        push(KEY, nonce=nonce, value=2)
    replaced = push(KEY, nonce=nonce, value=2, gasPrice=3 * BASE_FEE)
    with pytest.raises(TransactionNotFound):
        web3.eth.get_transaction(sent)
    node.make_block()
    assert web3.eth.get_transaction_receipt(replaced)["status"] == 1


def test_bad_requests_get_the_codes_of_the_field(node: Node, web3: Any) -> None:
    def code(method: str, params: list[Any]) -> int:
        return int(web3.provider.make_request(method, params)["error"]["code"])

    assert code("eth_noSuchMethod", []) == -32601
    assert code("eth_getBalance", ["0x12", "latest"]) == -32602
    assert code("eth_getBalance", []) == -32602
    assert code("eth_getBlockByNumber", ["0x01", False]) == -32602
    assert code("engine_newPayloadV4", []) == -32601


def test_batch(web3: Any) -> None:
    with web3.batch_requests() as batch:
        batch.add(web3.eth.get_block("earliest"))
        batch.add(web3.eth.get_balance(OTHER))
        genesis, balance = batch.execute()
    assert genesis["number"] == 0
    assert balance > 0


def test_subscriptions_of_an_unpatched_client(node: Node) -> None:
    """web3.py's persistent connection: heads and pending transactions as it reads them."""

    async def follow() -> None:
        async with AsyncWeb3(WebSocketProvider(node.url.replace("http", "ws"))) as web3:
            heads = await web3.eth.subscribe("newHeads")
            pending = await web3.eth.subscribe("newPendingTransactions")
            account = Account.from_key(KEY)
            nonce = await web3.eth.get_transaction_count(account.address)
            raw = account.sign_transaction(
                {
                    "to": OTHER,
                    "value": 1,
                    "gas": 21_000,
                    "gasPrice": 5 * BASE_FEE,
                    "nonce": nonce,
                    "chainId": await web3.eth.chain_id,
                }
            ).raw_transaction
            sent = await web3.eth.send_raw_transaction(raw)
            block = await asyncio.to_thread(node.make_block)
            told: dict[str, Any] = {}
            async with asyncio.timeout(20):
                async for message in web3.socket.process_subscriptions():
                    told[message["subscription"]] = message["result"]
                    if told.keys() == {heads, pending}:
                        break
            assert bytes(told[pending]) == bytes(sent)
            assert bytes(told[heads]["hash"]) == block.hash
            assert await web3.eth.unsubscribe(heads) is True

    asyncio.run(follow())


def test_an_account_of_the_dev_network_sends(node: Node, web3: Any) -> None:
    sender = web3.eth.accounts[4]
    with node.making_blocks():
        sent = web3.eth.send_transaction({"from": sender, "to": OTHER, "value": 3})
        receipt = web3.eth.wait_for_transaction_receipt(sent, timeout=30)
    assert (receipt["status"], receipt["from"]) == (1, sender)


def test_a_wrong_token_is_refused(node: Node) -> None:
    async def ask() -> None:
        client = EngineClient(f"http://127.0.0.1:{node.engine_port}", b"\x01" * 32)
        try:
            await client.exchange_capabilities()
        finally:
            await client.close()

    with pytest.raises(BadConfig, match="different JWT secrets"):
        asyncio.run(ask())


def test_transaction_is_forwarded_once(node: Node, web3: Any) -> None:
    follower = Node(node.folder, forward_to=[node.url])
    follower.config.write_text(follower.config.read_text().replace('"data"', '"data-follower"'))
    follower.start()
    try:
        account = Account.from_key(KEY)
        transaction = {
            "to": OTHER,
            "value": 1,
            "gas": 21_000,
            "gasPrice": 2 * BASE_FEE,
            "chainId": web3.eth.chain_id,
            # The follower is at genesis: a nonce it takes, and the operator too.
            "nonce": web3.eth.get_transaction_count(account.address),
        }
        raw = account.sign_transaction(transaction).raw_transaction
        sent = Web3(Web3.HTTPProvider(follower.url)).eth.send_raw_transaction(raw)
        end = time.monotonic() + 20
        while (
            web3.provider.make_request("eth_getTransactionByHash", [sent.to_0x_hex()]).get("result")
            is None
        ):
            assert time.monotonic() < end, "not forwarded"
            time.sleep(0.02)
        node.make_block()
        assert web3.eth.get_transaction_receipt(sent)["status"] == 1
    finally:
        assert follower.stop() == 0


def test_a_client_that_leaves_aborts_its_validation(node: Node, web3: Any) -> None:
    """An abort answers SYNCING, to nobody; run to its end the block would be INVALID."""
    account = Account.from_key(KEY)
    fields = {"gasPrice": 2 * BASE_FEE, "chainId": web3.eth.chain_id, "value": 0}
    deploy = {**fields, "to": b"", "data": f"77{SLOW}5f5260186008f3", "gas": 200_000}
    slow = send(node, web3, deploy)["contractAddress"]
    nonce = web3.eth.get_transaction_count(account.address)
    spin = {**fields, "to": slow, "gas": GAS_LIMIT - 1_000_000, "nonce": nonce}
    raw = bytes(account.sign_transaction(spin).raw_transaction)

    async def offer_and_leave(client: EngineClient) -> None:
        head = await client.block("latest")
        assert head is not None
        attributes = attributes_after(head)
        started = await client.forkchoice_updated_v3(pointing_at(head.hash), attributes)
        assert started.payload_id is not None
        empty = (await client.get_payload_v4(started.payload_id)).payload
        root = attributes.parent_beacon_block_root
        claim = replace(empty, transactions=(raw,), gas_used=spin["gas"])
        block_hash = header_of_payload(claim, root, ()).hash
        offered = replace(claim, block_hash=block_hash)
        with pytest.raises(Unavailable):
            await client.new_payload_v4(offered, parent_beacon_block_root=root, timeout=0.2)

    before = judged(node)
    node.run(offer_and_leave)
    end = time.monotonic() + 20
    while (after := judged(node)) == before:
        assert time.monotonic() < end, "the worker is still busy with what nobody waits for"
        time.sleep(0.02)
    assert after == before + Counter(SYNCING=1)


def judged(node: Node) -> Counter[str]:
    """How many payloads got which status."""
    with urlopen(f"{node.url}/metrics") as answer:
        text = answer.read().decode()
    found = re.findall(r'^\S*engine_new_payload_total\{status="(\w+)"\} (\d+)', text, re.M)
    return Counter({status: int(count) for status, count in found})


def test_kill_and_restart_keep_the_chain(node: Node, web3: Any, contract: Any) -> None:
    """Last in the file: it kills the node of all tests."""
    head = node.make_block()
    root = web3.eth.get_block("latest")["stateRoot"]
    killed = node.stop(signal.SIGKILL)
    assert killed == -signal.SIGKILL
    node.start()
    block = web3.eth.get_block("latest")
    assert (bytes(block["hash"]), block["stateRoot"]) == (head.hash, root)
    assert contract.functions.read().call() == 42
    assert node.make_block().parent_hash == head.hash
    assert node.stop() == 0
    assert os.listdir(node.folder / "data")
