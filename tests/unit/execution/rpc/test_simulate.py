"""eth_simulateV1: blocks on blocks, as if they were mined; the specification's error codes."""

from typing import Any

import pytest

from dst.crypto.checksum import checksum_address
from tests.unit.execution.evm.asm import asm, call
from tests.unit.execution.rpc.bench import SECONDS_PER_SLOT, Rpc
from tests.unit.execution.rpc.contracts import LOGGER, STORE
from tests.unit.execution.worlds import (
    ADDRESSES,
    GENESIS_TIME,
    GWEI,
    KEYS,
    RICH,
    address_of,
    signed,
)

POOR, OTHER, THIRD = ("0x" + address_of(number).hex() for number in (0xC0, 0xC1, 0xC2))
RICH_ONE = "0x" + ADDRESSES[0].hex()
POOR_NAME = checksum_address(bytes.fromhex(POOR[2:]))
FUNDED = {POOR: {"balance": hex(10_000)}}
VALUE_TOKEN = "0x" + "ee" * 20


def transfer(
    sender: str = POOR, to: str = OTHER, value: int = 1_000, **more: Any
) -> dict[str, str]:
    return {"from": sender, "to": to, "value": hex(value), **more}


def blocks(*calls_of: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"blockStateCalls": [{"calls": calls} for calls in calls_of], **more}


async def test_blocks_follow_the_head_and_each_other(rpc: Rpc) -> None:
    head = rpc.extend()
    answer = await rpc.ask(
        "eth_simulateV1",
        {
            "blockStateCalls": [
                {"stateOverrides": FUNDED, "calls": [transfer(), transfer(OTHER, THIRD)]},
                {"calls": [transfer(THIRD, POOR, 400)]},
            ]
        },
    )
    first, second = answer
    assert first["parentHash"] == "0x" + head.hash.hex()
    assert second["parentHash"] == first["hash"]
    assert [int(each["number"], 16) for each in answer] == [2, 3]
    assert int(second["timestamp"], 16) - int(first["timestamp"], 16) == SECONDS_PER_SLOT
    assert [each["status"] for each in (*first["calls"], *second["calls"])] == ["0x1"] * 3
    assert first["gasUsed"] == hex(42_000)
    assert rpc.world.chain.heads.head.number == 1, "nothing was mined"


async def test_a_simulated_block_is_the_block_that_is_mined(rpc: Rpc) -> None:
    """The same transactions with validation: gas, logs, receipts and state root are the same."""
    sent = [
        signed(nonce=0, to=LOGGER, value=0, data=(7).to_bytes(32, "big"), gas=100_000),
        signed(nonce=1, to=STORE, value=0, data=(9).to_bytes(32, "big"), gas=100_000),
        signed(KEYS[1], nonce=0, to=ADDRESSES[2], value=5),
    ]
    calls = [
        {
            "from": "0x" + each.sender.hex(),
            "to": "0x" + each.to.hex(),
            "value": hex(each.value),
            "gas": hex(each.gas),
            "input": "0x" + each.data.hex(),
            "maxFeePerGas": hex(each.max_fee_per_gas),
            "maxPriorityFeePerGas": hex(each.max_priority_fee_per_gas),
            "nonce": hex(each.nonce),
        }
        for each in sent
    ]
    overrides = {
        "time": hex(GENESIS_TIME + 2),
        "prevRandao": "0x" + "11" * 32,
        "feeRecipient": "0x" + address_of(0xFE).hex(),
        "beaconRoot": "0x" + "22" * 32,
    }
    request = {
        "blockStateCalls": [{"blockOverrides": overrides, "calls": calls}],
        "validation": True,
    }
    (simulated,) = await rpc.ask("eth_simulateV1", request)
    mined = await rpc.ask("eth_getBlockByNumber", hex(rpc.extend(sent).header.number), False)
    for field in (
        "number timestamp gasUsed stateRoot receiptsRoot logsBloom baseFeePerGas mixHash parentHash"
    ).split():
        assert simulated[field] == mined[field], field
    receipts = await rpc.ask("eth_getBlockReceipts", "latest")
    assert [each["gasUsed"] for each in simulated["calls"]] == [r["gasUsed"] for r in receipts]
    (log,), (simulated_log,) = receipts[0]["logs"], simulated["calls"][0]["logs"]
    assert {key: log[key] for key in ("address", "topics", "data", "logIndex")} == {
        key: simulated_log[key] for key in ("address", "topics", "data", "logIndex")
    }


async def test_transfers_are_logs_when_asked(rpc: Rpc) -> None:
    forward = asm(call(bytes.fromhex(THIRD[2:]), value=300) + "STOP")
    fails = asm(call(bytes.fromhex(THIRD[2:]), value=300) + "0 0 REVERT")
    state = {**FUNDED, OTHER: {"code": "0x" + forward.hex()}}
    request = {"blockStateCalls": [{"stateOverrides": state, "calls": [transfer()]}]}
    (block,) = await rpc.ask("eth_simulateV1", {**request, "traceTransfers": True})
    logs = block["calls"][0]["logs"]
    assert [(log["address"], int(log["data"], 16)) for log in logs] == [
        (VALUE_TOKEN, 1_000),
        (VALUE_TOKEN, 300),
    ]
    assert [log["topics"][1][-40:] for log in logs] == [POOR[2:], OTHER[2:]]
    (block,) = await rpc.ask("eth_simulateV1", request)
    assert block["calls"][0]["logs"] == []
    state[OTHER] = {"code": "0x" + fails.hex()}
    (block,) = await rpc.ask("eth_simulateV1", {**request, "traceTransfers": True})
    assert block["calls"][0]["logs"] == [], "a revert takes them along"
    assert block["calls"][0]["error"]["code"] == 3


async def test_gaps_are_filled_with_empty_blocks(rpc: Rpc) -> None:
    request = {"blockStateCalls": [{"blockOverrides": {"number": "0x5"}}]}
    answer = await rpc.ask("eth_simulateV1", request)
    assert [int(each["number"], 16) for each in answer] == [1, 2, 3, 4, 5]
    parents = [each["parentHash"] for each in answer[1:]]
    assert parents == [each["hash"] for each in answer[:-1]]


async def test_blockhash_knows_simulated_ancestors(rpc: Rpc) -> None:
    head = rpc.extend()
    code = asm("0 CALLDATALOAD BLOCKHASH 0 MSTORE 32 0 RETURN")
    asks = [{"to": OTHER, "input": f"0x{number:064x}"} for number in (0, 1, 2, 3)]
    request = {
        "blockStateCalls": [
            {"stateOverrides": {OTHER: {"code": "0x" + code.hex()}}},
            {"calls": asks},
        ]
    }
    first, second = await rpc.ask("eth_simulateV1", request)
    found = [each["returnData"] for each in second["calls"]]
    genesis = "0x" + rpc.world.chain.genesis_hash.hex()
    assert found == [genesis, "0x" + head.hash.hex(), first["hash"], "0x" + "00" * 32]


async def test_full_transactions(rpc: Rpc) -> None:
    request = blocks([transfer(RICH_ONE, value=1)], returnFullTransactions=True)
    (block,) = await rpc.ask("eth_simulateV1", request)
    (transaction,) = block["transactions"]
    assert (transaction["from"], transaction["to"], transaction["value"]) == (
        RICH_ONE,
        OTHER,
        "0x1",
    )
    (plain,) = await rpc.ask("eth_simulateV1", blocks([transfer(RICH_ONE, value=1)]))
    assert plain["transactions"] == [transaction["hash"]]


async def test_a_failing_call_does_not_stop_the_block(rpc: Rpc) -> None:
    state = {OTHER: {"code": "0xfe"}}
    calls = [{"to": OTHER, "gas": "0xffff"}, transfer(RICH_ONE, THIRD, 1)]
    request = {"blockStateCalls": [{"stateOverrides": state, "calls": calls}]}
    (block,) = await rpc.ask("eth_simulateV1", request)
    failed, worked = block["calls"]
    assert failed["error"] == {"code": -32015, "message": "invalid opcode: INVALID"}
    assert (failed["status"], worked["status"]) == ("0x0", "0x1")


async def test_a_free_call_in_a_block_with_a_base_fee_pays_nothing(rpc: Rpc) -> None:
    overrides = {"baseFeePerGas": hex(GWEI), "feeRecipient": THIRD}
    calls = [transfer(), {"to": THIRD}]
    request = {
        "blockStateCalls": [{"blockOverrides": overrides, "stateOverrides": FUNDED, "calls": calls}]
    }
    (block,) = await rpc.ask("eth_simulateV1", request)
    assert [each["status"] for each in block["calls"]] == ["0x1", "0x1"]


VALIDATES = {"validation": True}
PAYS: dict[str, Any] = {"maxFeePerGas": hex(2 * GWEI)}
PAID = transfer(RICH_ONE, **PAYS)


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (blocks([transfer(value=1)]), -38014, f"address {POOR_NAME} have 0 want 1"),
        (blocks([transfer(RICH_ONE, gas="0x0")]), -38013, "have 0, want 21000"),
        (blocks([transfer(RICH_ONE)], **VALIDATES), -38012, "maxFeePerGas: 0"),
        (blocks([transfer(RICH_ONE, nonce="0x1", **PAYS)], **VALIDATES), -38011, "nonce too high"),
        (
            blocks([PAID, {**PAID, "nonce": "0x0"}], **VALIDATES),
            -38010,
            "nonce too low",
        ),
        (blocks([transfer(RICH_ONE, gas="0x989681")]), -38015, "block gas limit reached"),
        (
            {"blockStateCalls": [{"blockOverrides": {"number": "0x0"}}]},
            -38020,
            "block numbers must be in order: 0 <= 0",
        ),
        (
            {"blockStateCalls": [{"blockOverrides": {"time": hex(GENESIS_TIME)}}]},
            -38021,
            f"block timestamps must be in order: {GENESIS_TIME} <= {GENESIS_TIME}",
        ),
        ({"blockStateCalls": [{"calls": [{"from": RICH_ONE, "data": "0x" + "00" * 49_153}]}]},
            -38025, "max initcode size exceeded"),
        ({"blockStateCalls": [{}] * 257}, -38026, "too many blocks"),
        ({"blockStateCalls": [{"blockOverrides": {"number": "0x101"}}]}, -38026, "too many blocks"),
        ({"blockStateCalls": [{"stateOverrides": {OTHER: {"movePrecompileToAddress": THIRD}}}]},
            -32000, "is not a precompile"),
        ({"blockStateCalls": []}, -32602, "empty input"),
        (blocks([transfer(RICH_ONE)] * 5_001), -32602, "at most 5000 calls"),
    ],
)  # fmt: skip
async def test_refusals(rpc: Rpc, request_: dict[str, Any], code: int, message: str) -> None:
    error = await rpc.error("eth_simulateV1", request_)
    assert error["code"] == code, error
    assert message in error["message"]


async def test_all_calls_share_one_gas_cap(rpc: Rpc) -> None:
    """20 blocks of calls that burn their gas use up 50 M gas; the next one gets what is left."""
    burner = {OTHER: {"code": "0xfe"}}
    call_ = {"to": OTHER, "gas": hex(9_000_000)}
    request = {"blockStateCalls": [{"stateOverrides": burner, "calls": [call_]}] * 6}
    answer = await rpc.ask("eth_simulateV1", request)
    used = [int(block["calls"][0]["gasUsed"], 16) for block in answer]
    assert used == [9_000_000] * 5 + [5_000_000]


async def test_nothing_of_a_simulation_stays(rpc: Rpc) -> None:
    request = {"blockStateCalls": [{"stateOverrides": FUNDED, "calls": [transfer()]}]}
    before = await rpc.ask("eth_simulateV1", request)
    assert await rpc.ask("eth_getBalance", OTHER) == "0x0"
    assert await rpc.ask("eth_simulateV1", request) == before
    assert await rpc.ask("eth_getBalance", RICH_ONE) == hex(RICH)
