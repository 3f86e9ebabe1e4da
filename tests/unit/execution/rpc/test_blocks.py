"""Blocks, the pending one included, and what is null because it is not here."""

import asyncio
from typing import Any

import msgspec
import pytest

from dst.apis.eth import BlockTag
from dst.apis.jsonrpc import answer_body
from dst.execution.header import decode_header, next_base_fee
from dst.execution.rpc import dispatch
from dst.execution.rpc.blocks_by_id import BlocksById
from dst.spec import rlp
from dst.spec.primitives import Hash32, to_hex
from tests.unit.execution.rpc.bench import SECONDS_PER_SLOT, Rpc
from tests.unit.execution.rpc.contracts import ENVIRONMENT, LOGGER
from tests.unit.execution.worlds import ADDRESSES, GENESIS_TIME, GWEI, KEYS, address_of, signed

UNKNOWN = "0x" + "ab" * 32


async def test_the_size_is_that_of_the_raw_block_with_typed_transactions(rpc: Rpc) -> None:
    legacy = {"type": None, "maxFeePerGas": None, "maxPriorityFeePerGas": None}
    rpc.extend([signed(KEYS[0]), signed(KEYS[1], gasPrice=2 * GWEI, **legacy)])
    raw = bytes.fromhex((await rpc.ask("debug_getRawBlock", "latest"))[2:])
    block = await rpc.ask("eth_getBlockByNumber", "latest", True)
    assert int(block["size"], 16) == len(raw)
    header, transactions, uncles, withdrawals = rlp.decode_list(raw)
    assert decode_header(rlp.encode(header)).hash.hex() == block["hash"][2:]
    typed, untyped = transactions
    assert isinstance(typed, bytes), "a typed transaction is a byte string"
    assert typed[0] == 2
    assert isinstance(untyped, list), "a legacy one is a list"
    assert uncles == withdrawals == []


async def test_raw_forms_commit_to_the_headers_roots(rpc: Rpc) -> None:
    rpc.extend([signed(KEYS[0])])
    block = await rpc.ask("eth_getBlockByNumber", "latest", False)
    header = bytes.fromhex((await rpc.ask("debug_getRawHeader", block["hash"]))[2:])
    assert decode_header(header).hash.hex() == block["hash"][2:]
    (receipt,) = await rpc.ask("debug_getRawReceipts", "latest")
    assert receipt.startswith("0x02")
    raw = await rpc.ask("debug_getRawTransaction", block["transactions"][0])
    assert raw == to_hex(signed(KEYS[0]).raw)


async def test_header_is_the_block_without_its_body(rpc: Rpc) -> None:
    block_hash = to_hex(rpc.extend([signed(KEYS[0])]).hash)
    block = await rpc.ask("eth_getBlockByNumber", "0x1", False)
    wanted = {
        name: value
        for name, value in block.items()
        if name not in ("size", "transactions", "uncles", "withdrawals")
    }
    assert await rpc.ask("eth_getHeaderByNumber", "0x1") == wanted
    assert await rpc.ask("eth_getHeaderByHash", block_hash) == wanted
    assert wanted["hash"] == block_hash


async def test_a_receipt_alone_is_the_one_among_its_blocks(rpc: Rpc) -> None:
    """With logs before it, whose numbers go on."""
    emitters = [signed(key, to=LOGGER, gas=60_000) for key in KEYS]
    rpc.extend([signed(KEYS[0]), *(emitters[1:])])
    together = await rpc.ask("eth_getBlockReceipts", "latest")
    assert [each["logs"] and each["logs"][0]["logIndex"] for each in together][:3] == [
        [], "0x0", hex(len(together[1]["logs"]))
    ]  # fmt: skip
    alone = [
        await rpc.ask("eth_getTransactionReceipt", each["transactionHash"]) for each in together
    ]
    assert alone == together


@pytest.mark.parametrize(("hold_s", "expected"), [(60.0, 1), (-1.0, 16)])
async def test_reads_of_a_batch_share_a_hop_as_long_as_their_time_lasts(
    rpc: Rpc, monkeypatch: pytest.MonkeyPatch, hold_s: float, expected: int
) -> None:
    monkeypatch.setattr(dispatch, "HOLD_S", hold_s)
    loop, hops = asyncio.get_running_loop(), 0
    hop = loop.run_in_executor

    def counted(*args: Any) -> Any:
        nonlocal hops
        hops += 1
        return hop(*args)

    monkeypatch.setattr(loop, "run_in_executor", counted)
    count = {"id": 1, "method": "eth_getBalance", "params": [UNKNOWN[:42], "latest"]}
    receipt = {"id": 2, "method": "eth_getTransactionReceipt", "params": [UNKNOWN]}
    body = await answer_body(msgspec.json.encode([count, receipt] * 8), rpc.served.from_client)
    assert body is not None
    answers = msgspec.json.decode(body)
    assert [each["id"] for each in answers] == [1, 2] * 8
    assert answers[0]["result"] == "0x0"
    assert hops == expected


async def test_what_is_not_here_is_null(rpc: Rpc) -> None:
    for method, params in (
        ("eth_getBlockByNumber", ["0x9", False]),
        ("eth_getBlockByHash", [UNKNOWN, False]),
        ("eth_getHeaderByNumber", ["0x9"]),
        ("eth_getHeaderByHash", [UNKNOWN]),
        ("eth_getBlockReceipts", ["0x9"]),
        ("eth_getBlockTransactionCountByNumber", ["0x9"]),
        ("eth_getBlockTransactionCountByHash", [UNKNOWN]),
        ("eth_getUncleCountByBlockNumber", ["0x9"]),
        ("eth_getUncleCountByBlockHash", [UNKNOWN]),
        ("eth_getUncleByBlockNumberAndIndex", ["latest", "0x0"]),
        ("eth_getTransactionByHash", [UNKNOWN]),
        ("eth_getTransactionReceipt", [UNKNOWN]),
        ("eth_getRawTransactionByHash", [UNKNOWN]),
        ("eth_getRawTransactionByBlockNumberAndIndex", ["0x9", "0x0"]),
        ("eth_getTransactionByBlockHashAndIndex", [UNKNOWN, "0x0"]),
        ("eth_getTransactionByBlockNumberAndIndex", ["latest", "0x0"]),
    ):
        assert await rpc.ask(method, *params) is None, method
    assert await rpc.ask("eth_getUncleCountByBlockNumber", "latest") == "0x0"


async def test_what_needs_a_block_that_is_not_here_says_so(rpc: Rpc) -> None:
    for method, params, words in (
        ("eth_getBalance", ["0x" + "11" * 20, "0x9"], "header not found"),
        ("eth_call", [{"to": "0x" + "11" * 20}, UNKNOWN], "header not found"),
        ("debug_getRawBlock", ["0x9"], "block not found"),
        ("dst_finality", ["0x9"], "header not found"),
    ):
        error = await rpc.error(method, *params)
        assert (error["code"], error["message"]) == (-32000, words), method


async def test_the_pending_block_is_the_next_one(rpc: Rpc) -> None:
    head = rpc.extend([signed(KEYS[0])])
    rpc.now = head.header.timestamp + 0.5
    waiting = signed(KEYS[1])
    rpc.add(waiting, signed(KEYS[1], nonce=5))
    pending = await rpc.ask("eth_getBlockByNumber", "pending", False)
    assert pending["number"] == "0x2"
    assert pending["parentHash"] == to_hex(head.hash)
    assert int(pending["timestamp"], 16) == head.header.timestamp + SECONDS_PER_SLOT
    assert int(pending["baseFeePerGas"], 16) == next_base_fee(head.header)
    assert pending["transactions"] == [to_hex(waiting.hash)], "one waits behind a gap"
    assert pending["hash"] is None
    assert await rpc.ask("eth_getBlockTransactionCountByNumber", "pending") == "0x1"
    (whole,) = (await rpc.ask("eth_getBlockByNumber", "pending", True))["transactions"]
    assert (whole["hash"], whole["blockHash"]) == (to_hex(waiting.hash), None)
    header = await rpc.ask("eth_getHeaderByNumber", "pending")
    assert (header["number"], header["timestamp"]) == ("0x2", pending["timestamp"])


async def test_the_pending_block_of_a_chain_that_stands_is_of_now(rpc: Rpc) -> None:
    rpc.now = GENESIS_TIME + 101.0
    pending = await rpc.ask("eth_getBlockByNumber", "pending", False)
    assert int(pending["timestamp"], 16) == GENESIS_TIME + 100, "the slot that runs"


async def test_a_gap_of_gas_leaves_a_later_nonce_out_of_the_pending_block(rpc: Rpc) -> None:
    limit = rpc.world.chain.heads.head.gas_limit
    big = [signed(KEYS[0], nonce=nonce, gas=limit - 21_000) for nonce in (0, 1)]
    small = signed(KEYS[0], nonce=2)
    rpc.add(*big, small)
    pending = await rpc.ask("eth_getBlockByNumber", "pending", False)
    assert pending["transactions"] == [to_hex(big[0].hash)]


def test_environment_at_pending_is_the_next_blocks(rpc: Rpc) -> None:
    head = rpc.extend()
    blocks = BlocksById(rpc.world.chain, rpc.clock)
    state, environment = blocks.environment_for(BlockTag.PENDING)
    assert environment.number == head.header.number + 1
    assert environment.timestamp > head.header.timestamp
    assert environment.base_fee_per_gas == next_base_fee(head.header)
    assert environment.ancestor_hash(head.header.number) == head.hash
    assert state.get_code(ENVIRONMENT), "the head's state"
    _, at_latest = blocks.environment_for(BlockTag.LATEST)
    assert (at_latest.number, at_latest.timestamp) == (head.header.number, head.header.timestamp)


async def test_finality_follows_the_pointers(rpc: Rpc) -> None:
    blocks = [rpc.extend() for _ in range(4)]
    orphan = rpc.fork(blocks[0].hash, timestamp=blocks[0].header.timestamp + 7)
    rpc.point_at(blocks[3].hash, blocks[1].hash, blocks[0].hash)

    async def stages(block: str) -> tuple[object, ...]:
        found = await rpc.ask("dst_finality", block)
        return tuple(found[name] for name in ("decided", "sealed", "safe", "finalized"))

    assert await stages("0x3") == (True, None, False, False), "no rollup node to ask"
    assert await stages("0x1") == (True, True, True, True), "what is on L1 is sealed"
    assert await stages(to_hex(orphan.hash)) == (False, False, False, False)
    rpc.sealed = 3
    assert await stages("0x1") == (True, True, True, True)
    assert await stages("0x2") == (True, True, True, False)
    assert await stages("0x3") == (True, True, False, False)
    assert await stages("latest") == (True, False, False, False)
    assert await stages(to_hex(orphan.hash)) == (False, False, False, False)


async def test_tags_are_what_the_fork_choice_says(rpc: Rpc) -> None:
    """As hive views them: newPayload moves none of latest, safe and finalized, fork choice all."""
    blocks = [rpc.extend([signed(nonce=nonce, value=1)]) for nonce in range(3)]
    rpc.point_at(blocks[2].hash, safe=blocks[1].hash, final=blocks[0].hash)

    async def seen() -> list[int]:
        """Of each tag the block's number, which a balance and a count of that state confirm."""
        numbers = []
        for tag in ("latest", "safe", "finalized"):
            number = int((await rpc.ask("eth_getBlockByNumber", tag, False))["number"], 16)
            assert int(await rpc.ask("eth_getBalance", to_hex(address_of(0xBB)), tag), 16) == number
            assert await rpc.ask("eth_getTransactionCount", to_hex(ADDRESSES[0]), tag) == hex(
                number
            )
            numbers.append(number)
        assert await rpc.ask("eth_blockNumber") == hex(numbers[0])
        return numbers

    assert await seen() == [3, 2, 1]
    side = rpc.fork(blocks[0].hash, [signed(nonce=1, value=1)], prev_randao=Hash32(b"\x77" * 32))
    assert await seen() == [3, 2, 1], "a block that only came"
    rpc.point_at(side.hash, safe=blocks[0].hash, final=blocks[0].hash)
    assert await seen() == [2, 1, 1]
    assert (await rpc.ask("eth_getBlockByNumber", "latest", False))["hash"] == to_hex(side.hash)
    rpc.point_at(blocks[2].hash, safe=blocks[2].hash, final=blocks[1].hash)
    assert await seen() == [3, 3, 2]
