"""Transactions on their way in: words and reasons, the one that waits, the ten accounts of a dev
network, tools of test nodes."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data

from dst.apis.jsonrpc import answer_body
from dst.execution.pool import service
from dst.execution.pool.service import Source
from dst.execution.rpc.dev_tools import REFUSED_NAMES
from dst.mempool.pool import MAX_TRANSACTION_BYTES
from dst.spec.primitives import to_hex
from dst.transactions.transaction import decode_transaction
from tests.unit.execution.rpc.bench import DEV_KEYS, Rpc, running
from tests.unit.execution.rpc.contracts import LOGGER, REVERTER
from tests.unit.execution.worlds import (
    ADDRESSES,
    CHAIN_ID,
    GENESIS_TIME,
    GWEI,
    KEYS,
    RICH,
    make_world,
    signed,
)

OWN = [to_hex(key.address) for key in DEV_KEYS]
POOR = Account.from_key(b"\x77" * 32)


async def test_a_clients_transaction_is_forwarded_an_operators_is_not(rpc: Rpc) -> None:
    ours, theirs = signed(KEYS[0]), signed(KEYS[1])
    assert await rpc.ask("eth_sendRawTransaction", to_hex(ours.raw)) == to_hex(ours.hash)
    send = rpc.served.from_operator["eth_sendRawTransaction"]
    assert await send([to_hex(theirs.raw)]) == to_hex(theirs.hash)
    assert [each.hash for each in rpc.accepted] == [ours.hash]
    assert rpc.pool.get(theirs.hash) is not None


@pytest.mark.parametrize(
    ("words", "reason", "transaction"),
    [
        ("already known", "already_known", signed(KEYS[0], nonce=1)),
        ("nonce too low", "nonce_too_low", signed(KEYS[0], nonce=0)),
        (
            "replacement transaction underpriced",
            "underpriced_replacement",
            signed(KEYS[0], nonce=1, value=2),
        ),
        (
            "insufficient funds for gas * price + value",
            "insufficient_funds",
            signed(POOR.key, nonce=0),
        ),
        ("intrinsic gas too low", "intrinsic_gas", signed(KEYS[1], gas=20_999)),
        ("exceeds block gas limit", "block_gas", signed(KEYS[1], gas=10_000_001)),
        ("invalid chain id", "chain_id", signed(KEYS[1], chainId=1)),
    ],
)
async def test_refusals_are_geths_words_with_a_reason(
    rpc: Rpc, words: str, reason: str, transaction: Any
) -> None:
    rpc.extend([signed(KEYS[0])])
    rpc.add(signed(KEYS[0], nonce=1))
    error = await rpc.error("eth_sendRawTransaction", to_hex(transaction.raw))
    assert error["code"] == -32000
    assert words in error["message"]
    assert error["data"] == {"reason": reason}


async def send_batch(rpc: Rpc, *params: Sequence[object]) -> list[dict[str, Any]]:
    requests = [
        {"jsonrpc": "2.0", "id": at, "method": "eth_sendRawTransaction", "params": each}
        for at, each in enumerate(params)
    ]
    body = await answer_body(msgspec.json.encode(requests), rpc.served.from_client)
    assert body is not None
    answers: list[dict[str, Any]] = msgspec.json.decode(body)
    assert [each["id"] for each in answers] == list(range(len(params)))
    return answers


async def test_a_batch_visits_the_pool_once_and_judges_each_on_its_own(
    rpc: Rpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    visits: list[int] = []
    submit_all = rpc.pool.submit_all

    async def counted(raws: Sequence[bytes], source: Source) -> Any:
        visits.append(len(raws))
        return await submit_all(raws, source)

    monkeypatch.setattr(rpc.pool, "submit_all", counted)
    first, second = signed(KEYS[0]), signed(KEYS[0], nonce=1)
    answers = await send_batch(
        rpc,
        [to_hex(first.raw)],
        ["0xzz"],
        [to_hex(first.raw)],
        ["0x02c0"],
        [to_hex(bytes(MAX_TRANSACTION_BYTES + 1))],
        [to_hex(second.raw), None],
        [7],
    )
    assert [each.get("result") for each in answers] == [
        to_hex(first.hash), None, None, None, None, to_hex(second.hash), None
    ]  # fmt: skip
    errors = [each.get("error", {}) for each in answers]
    assert [each.get("code") for each in errors] == [
        None, -32602, -32000, -32000, -32000, None, -32602
    ]  # fmt: skip
    assert [each.get("data", {}).get("reason") for each in errors[2:5]] == [
        "already_known", "malformed", "oversized"
    ]  # fmt: skip
    assert visits == [5]
    assert rpc.pool.hashes() == [first.hash, second.hash]


async def test_a_batch_to_a_busy_node_is_told_so_request_by_request(
    rpc: Rpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MAX_SUBMITTED", 1)
    answers = await send_batch(rpc, *([to_hex(signed(key).raw)] for key in KEYS))
    assert {each["error"]["code"] for each in answers} == {-32000}
    assert all(each["error"]["message"].startswith("busy") for each in answers)


async def test_the_one_that_waits_answers_the_receipt(rpc: Rpc) -> None:
    sent = signed(KEYS[0])
    asked = asyncio.ensure_future(rpc.ask("eth_sendRawTransactionSync", to_hex(sent.raw)))  # noqa: TID251
    while rpc.pool.get(sent.hash) is None:
        await asyncio.sleep(0)
    rpc.extend()
    rpc.extend([sent])
    receipt = await asked
    assert receipt == await rpc.ask("eth_getTransactionReceipt", to_hex(sent.hash))
    assert receipt["status"] == "0x1"


async def test_the_one_that_waits_says_that_the_chain_stands(rpc: Rpc) -> None:
    sent = signed(KEYS[0])
    error = await rpc.error("eth_sendRawTransactionSync", to_hex(sent.raw), 1)
    assert (error["code"], error["data"]) == (4, to_hex(sent.hash))
    assert "no block came" not in error["message"]
    rpc.now = GENESIS_TIME + 60
    other = signed(KEYS[1])
    error = await rpc.error("eth_sendRawTransactionSync", to_hex(other.raw), "0x1")
    assert error["message"].endswith("no block came for 60s")
    assert (await rpc.error("eth_sendRawTransactionSync", to_hex(other.raw), 0))["code"] == -32602


async def test_a_chain_that_stands_is_told_to_whom_it_makes_wait(rpc: Rpc) -> None:
    mined, waits, gap = signed(KEYS[0]), signed(KEYS[1]), signed(KEYS[2], nonce=3)
    rpc.now = rpc.extend([mined]).header.timestamp + 10.0
    rpc.add(waits, gap)

    async def warnings() -> list[str | None]:
        hashes = [to_hex(each) for each in (waits.hash, gap.hash, b"\x77" * 32, mined.hash)]
        told = [await rpc.ask("dst_transactionStatus", each) for each in hashes]
        assert [each["state"] for each in told] == ["pending", "queued", "unknown", "included"]
        return [each.get("warning") for each in told]

    assert await warnings() == [None, None, None, None]
    rpc.now += 15.0
    told = "head 1 is 25 s old (12 slots): this node lags, or the chain stands"
    assert await warnings() == [told, told, told, None]


# filling


async def test_filling_leaves_what_is_given_and_adds_the_rest(rpc: Rpc) -> None:
    sender = to_hex(ADDRESSES[0])
    rpc.add(signed(KEYS[0]))
    filled = await rpc.ask("eth_fillTransaction", {"from": sender, "to": OWN[0], "value": "0x5"})
    tx = filled["tx"]
    assert (tx["nonce"], tx["gas"], tx["value"], tx["type"]) == ("0x1", "0x5208", "0x5", "0x2")
    assert tx["chainId"] == hex(CHAIN_ID)
    assert int(tx["maxFeePerGas"], 16) > int(tx["maxPriorityFeePerGas"], 16)
    given = {
        "from": sender,
        "to": OWN[0],
        "gas": "0x9999",
        "nonce": "0x7",
        "gasPrice": "0x77777777",
    }
    tx = (await rpc.ask("eth_fillTransaction", given))["tx"]
    assert (tx["type"], tx["gas"], tx["nonce"], tx["gasPrice"]) == (
        "0x0",
        "0x9999",
        "0x7",
        "0x77777777",
    )


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"gasPrice": "0x1", "maxFeePerGas": "0x1"}, -32602, "both gasPrice and"),
        ({"maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x2"}, -32602, "maxPriorityFeePerGas"),
        ({"chainId": "0x1"}, -32602, "chainId does not match"),
        ({"to": None}, -32602, "contract creation without any data"),
        ({"type": "0x3"}, -32602, "type not supported"),
        ({"type": "0x0", "maxFeePerGas": "0x1"}, -32602, "not for type 0"),
        ({"blobVersionedHashes": []}, -32602, "blob"),
        ({"authorizationList": []}, -32602, "at least one"),
        ({"data": "0x12", "input": "0x13"}, -32602, "not equal"),
        ({"to": to_hex(REVERTER)}, 3, "execution reverted"),
    ],
)
async def test_what_cannot_be_filled(
    rpc: Rpc, fields: dict[str, Any], code: int, words: str
) -> None:
    error = await rpc.error("eth_fillTransaction", {"from": OWN[0], "to": OWN[1], **fields})
    assert error["code"] == code
    assert words in error["message"]


# the ten accounts


async def test_the_ten_accounts_of_a_dev_network(rpc: Rpc) -> None:
    Account.enable_unaudited_hdwallet_features()
    phrase = "test test test test test test test test test test test junk"
    wanted = [
        Account.from_mnemonic(phrase, account_path=f"m/44'/60'/0'/0/{index}").address.lower()
        for index in range(10)
    ]
    assert await rpc.ask("eth_accounts") == wanted == OWN


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"gasPrice": hex(3 * GWEI)},
        {"gasPrice": hex(3 * GWEI), "accessList": [{"address": OWN[5], "storageKeys": []}]},
        {"maxFeePerGas": hex(3 * GWEI), "maxPriorityFeePerGas": "0x1"},
        {"data": "0x" + "07" * 32, "to": to_hex(LOGGER)},
    ],
)
async def test_a_dev_account_sends(rpc: Rpc, fields: dict[str, Any]) -> None:
    asked = {"from": OWN[0], "to": OWN[1], "value": "0x9", **fields}
    sent = await rpc.ask("eth_sendTransaction", asked)
    waiting = await rpc.ask("eth_getTransactionByHash", sent)
    assert (waiting["from"], waiting["to"]) == (OWN[0], asked["to"])
    assert [to_hex(each.hash) for each in rpc.accepted] == [sent], "forwarded as any other"
    rpc.extend(rpc.accepted)
    assert (await rpc.ask("eth_getTransactionReceipt", sent))["status"] == "0x1"


async def test_transactions_sent_at_once_get_nonces_of_their_own(rpc: Rpc) -> None:
    asked = {"from": OWN[0], "to": OWN[1], "value": "0x1"}
    hashes = await asyncio.gather(*(rpc.ask("eth_sendTransaction", asked) for _ in range(8)))
    assert len(set(hashes)) == 8
    assert sorted(each.nonce for each in rpc.accepted) == list(range(8))


NOTE: dict[str, Any] = {
    "types": {
        "EIP712Domain": [{"name": "name", "type": "string"}],
        "Note": [{"name": "text", "type": "string"}],
    },
    "primaryType": "Note",
    "domain": {"name": "notes"},
    "message": {"text": "hello"},
}


async def test_a_dev_account_signs(rpc: Rpc) -> None:
    text = b"hello"
    for signature in (
        await rpc.ask("eth_sign", OWN[3], to_hex(text)),
        await rpc.ask("personal_sign", to_hex(text), OWN[3]),
    ):
        signer = Account.recover_message(encode_defunct(text), signature=signature)
        assert signer.lower() == OWN[3]
    for method in ("eth_signTypedData_v4", "eth_signTypedData"):
        signature = await rpc.ask(method, OWN[3], json.dumps(NOTE))
        assert signature == await rpc.ask(method, OWN[3], NOTE)
        signer = Account.recover_message(encode_typed_data(full_message=NOTE), signature=signature)
        assert signer.lower() == OWN[3]
    asked = {"from": OWN[2], "to": OWN[1], "gasPrice": hex(3 * GWEI)}
    signed_only = await rpc.ask("eth_signTransaction", asked)
    raw = decode_transaction(bytes.fromhex(signed_only["raw"][2:]))
    assert (to_hex(raw.sender), raw.type_id, raw.chain_id) == (OWN[2], 0, CHAIN_ID)
    assert rpc.pool.counts() == (0, 0)


async def test_other_peoples_accounts_are_unknown(rpc: Rpc) -> None:
    theirs = to_hex(ADDRESSES[0])
    for method, params in (
        ("eth_sendTransaction", [{"from": theirs, "to": OWN[0]}]),
        ("eth_sign", [theirs, "0x12"]),
        ("eth_signTypedData_v4", [theirs, NOTE]),
    ):
        error = await rpc.error(method, *params)
        assert (error["code"], error["message"]) == (-32000, "unknown account")


async def test_no_other_network_has_accounts_or_tools(tmp_path: Path) -> None:
    world = make_world(tmp_path, balances=dict.fromkeys(ADDRESSES, RICH))
    with running(world, dev=False) as rpc:
        assert await rpc.ask("eth_accounts") == []
        for method in ("eth_sendTransaction", "eth_sign", "eth_signTypedData_v4", "evm_mine"):
            assert (await rpc.error(method))["code"] == -32601
        error = await rpc.error("evm_snapshot")
        assert "operators agree" not in error["message"]
    world.store.close()


# tools of test nodes


async def test_mining_is_waiting_for_the_operators(rpc: Rpc) -> None:
    for method, params, blocks in (("evm_mine", [], 1), ("anvil_mine", ["0x2"], 2)):
        asked = asyncio.ensure_future(rpc.ask(method, *params))  # noqa: TID251
        for _ in range(blocks):
            await asyncio.sleep(0)
            assert not asked.done()
            rpc.extend()
        await asked
    assert (await rpc.error("hardhat_mine", "0x1", "0x5"))["code"] == -32000
    assert (await rpc.error("hardhat_mine", 17))["code"] == -32602


async def test_what_one_node_of_many_cannot_do_is_refused_by_name(rpc: Rpc) -> None:
    for name in REFUSED_NAMES:
        error = await rpc.error(name, "0x1")
        assert error["code"] == -32601
        assert name in error["message"]
        assert "operators agree" in error["message"]
    assert await rpc.ask("anvil_getIntervalMining") == 2
    assert (await rpc.ask("hardhat_metadata"))["chainId"] == CHAIN_ID
