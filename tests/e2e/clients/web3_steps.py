"""web3.py 8, as an application uses it: argv is URL, WebSocket URL, artifact, two private keys."""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eth_account import Account
from web3 import AsyncWeb3, Web3, WebSocketProvider
from web3.exceptions import (
    BlockNotFound,
    ContractCustomError,
    ContractLogicError,
    ContractPanicError,
    TransactionNotFound,
    Web3RPCError,
)
from web3.middleware import SignAndSendRawMiddlewareBuilder

from tests.e2e.clients.steps import (
    FACTORY,
    LIMIT_SECONDS,
    NOBODY,
    expect,
    expect_equal,
    run_steps,
    step,
    until,
)

URL, WS, ARTIFACT, *KEYS = sys.argv[1:]
PROBE = json.loads(Path(ARTIFACT).read_text())
ONE, TWO = (Account.from_key(key) for key in KEYS)
GWEI = 10**9

web3: Any = Web3(Web3.HTTPProvider(URL))
web3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build([ONE, TWO]), layer=0)
web3.eth.default_account = ONE.address
state: dict[str, Any] = {}


def probe() -> Any:
    return state["probe"]


def mined(transaction_hash: Any) -> Any:
    receipt = web3.eth.wait_for_transaction_receipt(transaction_hash, LIMIT_SECONDS / 2, 0.05)
    return receipt


def new_block() -> None:
    before = web3.eth.block_number
    until(lambda: web3.eth.block_number > before, "a block")


def raises(kind: type[Exception], work: Callable[[], object], words: str = "") -> Exception:
    try:
        work()
    except kind as error:
        expect(words in str(error), f"{words!r} in {error}")
        return error
    raise AssertionError(f"no {kind.__name__}")


def transfer(**more: Any) -> dict[str, Any]:
    return {"to": Web3.to_checksum_address(NOBODY), "value": 1, "gas": 21_000, **more}


@step("connection and versions")
def _() -> None:
    expect(web3.is_connected(), "a connection")
    expect_equal(web3.eth.chain_id, 901, "chain id")
    expect(web3.client_version, "a version")
    expect_equal(int(web3.net.version), 901, "net version")
    expect_equal(web3.eth.syncing, False, "syncing")


@step("fees")
def _() -> None:
    expect(web3.eth.gas_price > 0, "a price")
    expect(web3.eth.max_priority_fee >= 0, "a tip")
    until(lambda: web3.eth.block_number > 4, "five blocks")
    history = web3.eth.fee_history(4, "latest", [25, 75])
    expect_equal(len(history["baseFeePerGas"]), 5, "base fees")
    expect_equal(len(history["reward"]), 4, "rewards")


@step("deploy")
def _() -> None:
    factory = web3.eth.contract(abi=PROBE["abi"], bytecode=PROBE["bytecode"])
    receipt = mined(factory.constructor(5).transact())
    state["probe"] = web3.eth.contract(address=receipt["contractAddress"], abi=PROBE["abi"])
    expect_equal(probe().functions.value().call(), 5, "constructor's value")


@step("send and read")
def _() -> None:
    receipt = mined(probe().functions.store(42).transact())
    expect_equal(receipt["status"], 1, "status")
    expect_equal(probe().functions.value().call(), 42, "value")
    before = probe().functions.value().call(block_identifier=receipt["blockNumber"] - 1)
    expect_equal(before, 5, "value before")
    (event,) = probe().events.Stored().process_receipt(receipt)
    expect_equal(event["args"]["value"], 42, "event")


@step("revert reason")
def _() -> None:
    raises(ContractLogicError, probe().functions.store(0).call, "zero is not stored")
    raises(ContractLogicError, probe().functions.store(0).estimate_gas, "zero is not stored")


@step("custom error")
def _() -> None:
    selector = Web3.keccak(text="TooBig(uint256,uint256)")[:4].hex()
    raises(ContractCustomError, probe().functions.store(2_000_000).call, selector)


@step("panic")
def _() -> None:
    raises(ContractPanicError, probe().functions.divide(1, 0).call, "0x12")


@step("mined revert")
def _() -> None:
    receipt = mined(probe().functions.store(0).transact({"gas": 100_000}))
    expect_equal(receipt["status"], 0, "status")


@step("events by range, topic and block hash")
def _() -> None:
    found = probe().events.Stored.get_logs(from_block=0)
    expect(found, "an event")
    by_topic = probe().events.Stored.get_logs(from_block=0, argument_filters={"by": TWO.address})
    expect_equal(len(by_topic), 0, "events of somebody else")
    logs = web3.eth.get_logs({"blockHash": found[0]["blockHash"], "address": probe().address})
    expect_equal(len(logs), 1, "logs of the block")


@step("event filter")
def _() -> None:
    watching = probe().events.Stored.create_filter(from_block="latest")
    receipt = mined(probe().functions.store(11).transact())
    new = until(watching.get_new_entries, "the event")
    expect_equal(new[-1]["transactionHash"], receipt["transactionHash"], "transaction")
    expect(watching.get_all_entries(), "all entries")
    expect_equal(web3.eth.uninstall_filter(watching.filter_id), True, "uninstalled")


@step("block and pending filters")
def _() -> None:
    blocks, pending = web3.eth.filter("latest"), web3.eth.filter("pending")
    new_block()
    sent = web3.eth.send_transaction(transfer())
    until(lambda: sent in pending.get_new_entries(), "the pending transaction")
    mined(sent)
    expect(blocks.get_new_entries(), "a block's hash")


def over_websocket(kind: str, *more: Any, act: Callable[[], object] = lambda: None) -> Any:
    """What the first notification of a subscription holds."""

    async def listen() -> Any:
        async with AsyncWeb3(WebSocketProvider(WS)) as socket:
            subscription = await socket.eth.subscribe(kind, *more)
            await asyncio.to_thread(act)
            async with asyncio.timeout(LIMIT_SECONDS / 2):
                async for message in socket.socket.process_subscriptions():
                    assert message["subscription"] == subscription
                    await socket.eth.unsubscribe(subscription)
                    return message["result"]
        return None

    return asyncio.run(listen())


@step("websocket: requests")
def _() -> None:
    async def ask() -> int:
        async with AsyncWeb3(WebSocketProvider(WS)) as socket:
            return int(await socket.eth.chain_id)

    expect_equal(asyncio.run(ask()), 901, "chain id")


@step("websocket: heads")
def _() -> None:
    expect(over_websocket("newHeads")["number"] > 0, "a head")


@step("websocket: logs")
def _() -> None:
    log = over_websocket(
        "logs", {"address": probe().address}, act=lambda: probe().functions.store(12).transact()
    )
    expect_equal(log["address"], probe().address, "address")


@step("websocket: pending transactions")
def _() -> None:
    sent: list[Any] = []

    def act() -> None:
        new_block()
        sent.append(web3.eth.send_transaction(transfer()))

    expect_equal(over_websocket("newPendingTransactions", act=act), sent[0], "hash")
    mined(sent[0])


@step("batch")
def _() -> None:
    with web3.batch_requests() as batch:
        batch.add(probe().functions.value())
        batch.add(web3.eth.get_block("latest"))
        batch.add(web3.eth.get_balance(ONE.address))
        answers = batch.execute()
    expect_equal(len(answers), 3, "answers")


@step("state override")
def _() -> None:
    slot = "0x" + "00" * 32
    override = {probe().address: {"stateDiff": {slot: "0x" + (99).to_bytes(32, "big").hex()}}}
    expect_equal(probe().functions.value().call(state_override=override), 99, "value")
    code = {Web3.to_checksum_address(NOBODY): {"code": "0x602a5f5260205ff3"}}
    answer = web3.eth.call({"to": Web3.to_checksum_address(NOBODY)}, state_override=code)
    expect_equal(int.from_bytes(answer, "big"), 42, "code")


@step("simulated blocks")
def _() -> None:
    call = {"from": ONE.address, "to": probe().address, "input": _data("value")}
    payload: Any = {"blockStateCalls": [{"calls": [call]}], "traceTransfers": True}
    (block,) = web3.eth.simulate_v1(payload, "latest")
    expect_equal(block["calls"][0]["status"], 1, "status")


def _data(name: str, *values: Any) -> str:
    return str(probe().encode_abi(name, args=list(values)))


@step("access list")
def _() -> None:
    call = {"from": ONE.address, "to": probe().address, "data": _data("store", 77)}
    made = web3.eth.create_access_list(call)
    expect(made["accessList"] and made["gasUsed"] > 21_000, "a list and its gas")
    listed = [dict(each) for each in made["accessList"]]
    receipt = mined(web3.eth.send_transaction({**call, "accessList": listed, "gas": 100_000}))
    expect_equal(receipt["status"], 1, "status")


@step("proof")
def _() -> None:
    proof = web3.eth.get_proof(probe().address, ["0x" + "00" * 32], "latest")
    expect(proof["accountProof"] and proof["storageProof"][0]["proof"], "proofs")


@step("pending nonce")
def _() -> None:
    new_block()
    nonce = web3.eth.get_transaction_count(TWO.address)
    sent = [
        web3.eth.send_transaction(transfer(**{"from": TWO.address, "nonce": nonce + i}))
        for i in range(3)
    ]
    pending = web3.eth.get_transaction_count(TWO.address, "pending")
    for each in sent:
        mined(each)
    expect_equal(pending, nonce + 3, "pending nonce")


def _fees(cap: int, tip: int) -> dict[str, int]:
    return {"maxFeePerGas": cap * GWEI, "maxPriorityFeePerGas": tip * GWEI}


@step("replacement")
def _() -> None:
    nonce = web3.eth.get_transaction_count(TWO.address)
    later = transfer(**{"from": TWO.address, "nonce": nonce + 1})
    first = web3.eth.send_transaction({**later, **_fees(40, 1)})
    second = web3.eth.replace_transaction(first, {**later, **_fees(80, 2), "value": 2})
    web3.eth.send_transaction(transfer(**{"from": TWO.address, "nonce": nonce}))
    expect_equal(mined(second)["status"], 1, "status")
    raises(TransactionNotFound, lambda: web3.eth.get_transaction_receipt(first))


@step("underpriced replacement")
def _() -> None:
    nonce = web3.eth.get_transaction_count(TWO.address)
    later = transfer(**{"from": TWO.address, "nonce": nonce + 1}, **_fees(40, 1))
    web3.eth.send_transaction(later)
    raises(Web3RPCError, lambda: web3.eth.send_transaction({**later, "value": 2}), "underpriced")
    mined(web3.eth.send_transaction(transfer(**{"from": TWO.address, "nonce": nonce})))
    until(lambda: web3.eth.get_transaction_count(TWO.address) == nonce + 2, "both mined")


@step("used nonce")
def _() -> None:
    used = transfer(**{"from": TWO.address, "nonce": 0}, **_fees(40, 1))
    raises(Web3RPCError, lambda: web3.eth.send_transaction(used), "nonce too low")


@step("authorization (EIP-7702)")
def _() -> None:
    authority = Account.create()
    grant = {"chainId": 901, "address": probe().address, "nonce": 0}
    signed = authority.sign_authorization(grant)
    call = {"to": authority.address, "authorizationList": [signed], "gas": 200_000, **_fees(40, 1)}
    nonce = web3.eth.get_transaction_count(ONE.address)
    filled = {**call, "chainId": 901, "nonce": nonce, "value": 0, "type": 4}
    receipt = mined(web3.eth.send_raw_transaction(ONE.sign_transaction(filled).raw_transaction))
    expect_equal(receipt["status"], 1, "status")
    code = bytes.fromhex("ef0100") + bytes.fromhex(probe().address[2:])
    expect_equal(bytes(web3.eth.get_code(authority.address)), code, "delegation")
    shown = web3.eth.get_transaction(receipt["transactionHash"])
    expect_equal(len(shown["authorizationList"]), 1, "authorizations")


@step("deterministic deployment")
def _() -> None:
    init = bytes.fromhex(PROBE["bytecode"][2:]) + (9).to_bytes(32, "big")
    salt = Web3.keccak(text="web3")
    mined(web3.eth.send_transaction({"to": FACTORY, "data": salt + init}))
    preimage = b"\xff" + bytes.fromhex(FACTORY[2:]) + salt + Web3.keccak(init)
    address = Web3.to_checksum_address(Web3.keccak(preimage)[12:])
    found = web3.eth.contract(address=address, abi=PROBE["abi"])
    expect_equal(found.functions.value().call(), 9, "value")


@step("blocks, transactions, receipts")
def _() -> None:
    receipt = mined(probe().functions.store(55).transact())
    block = web3.eth.get_block(receipt["blockHash"], full_transactions=True)
    number, index = block["number"], receipt["transactionIndex"]
    shown = web3.eth.get_transaction(receipt["transactionHash"])
    expect_equal(block["transactions"][index], shown, "transaction")
    expect_equal(web3.eth.get_transaction_by_block(number, index), shown, "by index")
    expect_equal(web3.eth.get_block_receipts(number)[index], receipt, "receipts")
    expect_equal(web3.eth.get_block_transaction_count(number), len(block["transactions"]), "count")
    for tag in ("earliest", "safe", "finalized", "pending"):
        web3.eth.get_block(tag)
    expect_equal(web3.eth.get_storage_at(probe().address, 0), (55).to_bytes(32, "big"), "slot")


@step("raw transaction")
def _() -> None:
    receipt = mined(web3.eth.send_transaction(transfer()))
    raw = web3.eth.get_raw_transaction(receipt["transactionHash"])
    expect_equal(Web3.keccak(raw), receipt["transactionHash"], "its hash")


@step("absent things")
def _() -> None:
    nothing = "0x" + "ab" * 32
    raises(TransactionNotFound, lambda: web3.eth.get_transaction(nothing))
    raises(BlockNotFound, lambda: web3.eth.get_block(nothing))
    raises(BlockNotFound, lambda: web3.eth.get_block(10_000_000))


@step("pool")
def _() -> None:
    pool = web3.geth.txpool
    expect("pending" in pool.status() and "pending" in pool.content(), "status and content")
    expect("pending" in pool.inspect(), "inspection")


@step("traces")
def _() -> None:
    receipt = mined(probe().functions.store(56).transact())
    transaction = receipt["transactionHash"]
    traced: Any = web3.geth.debug.trace_transaction(transaction, {"tracer": "callTracer"})
    expect_equal(traced["type"], "CALL", "type")
    steps: Any = web3.geth.debug.trace_transaction(transaction, {})
    expect(steps["structLogs"], "steps")


@step("traces as Parity's")
def _() -> None:
    receipt = mined(probe().functions.store(57).transact())
    found = web3.tracing.trace_transaction(receipt["transactionHash"])
    expect_equal(found[0]["type"], "call", "type")
    block = web3.tracing.trace_block(receipt["blockNumber"])
    expect(block, "traces of the block")
    wanted = {"fromBlock": receipt["blockNumber"], "toBlock": receipt["blockNumber"]}
    expect(web3.tracing.trace_filter(wanted), "traces by filter")


@step("node's own accounts")
def _() -> None:
    plain: Any = Web3(Web3.HTTPProvider(URL))
    account = plain.eth.accounts[0]
    sent = plain.eth.send_transaction({"from": account, **transfer()})
    expect_equal(mined(sent)["from"], account, "sender")


@step("asynchronous client")
def _() -> None:
    async def ask() -> list[Any]:
        client = AsyncWeb3(AsyncWeb3.AsyncHTTPProvider(URL))
        try:
            return await asyncio.gather(*(client.eth.get_block(number) for number in range(4)))
        finally:
            await client.provider.disconnect()

    expect_equal([block["number"] for block in asyncio.run(ask())], [0, 1, 2, 3], "numbers")


if __name__ == "__main__":
    run_steps()
