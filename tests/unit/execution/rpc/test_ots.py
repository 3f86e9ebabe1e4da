"""ots_*: what Otterscan shows of the trace scenario."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.execution.rpc.bench import Rpc
from tests.unit.execution.rpc.test_debug import HASHES
from tests.unit.execution.rpc.traced_world import FIRST_BLOCK, traced_world
from tests.unit.execution.trace_scenario import (
    CHILD,
    ERROR_TEXT,
    LOGGER,
    MAKER,
    PARENT,
    REVERTER,
    transactions,
)
from tests.unit.execution.worlds import ADDRESSES

SENDER = "0x" + ADDRESSES[0].hex()
SENT = transactions()


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rpc]:
    with traced_world(tmp_path_factory.mktemp("traced")) as bench:
        yield bench


def hash_of(to: bytes) -> str:
    return HASHES[next(index for index, each in enumerate(SENT) if each.to == to)]


async def test_level_and_code(traced: Rpc) -> None:
    assert await traced.ask("ots_getApiLevel") == 8
    assert await traced.ask("ots_hasCode", "0x" + CHILD.hex(), "latest") is True
    assert await traced.ask("ots_hasCode", SENDER, "latest") is False


async def test_internal_operations(traced: Rpc) -> None:
    made = await traced.ask("ots_getInternalOperations", hash_of(MAKER))
    assert [each["type"] for each in made] == [2, 3], "one that failed and one refused are none"
    moved = await traced.ask("ots_getInternalOperations", hash_of(PARENT))
    assert {
        "type": 0,
        "from": "0x" + PARENT.hex(),
        "to": "0x" + CHILD.hex(),
        "value": "0x3",
    } in moved


async def test_traces_with_depths(traced: Rpc) -> None:
    entries = await traced.ask("ots_traceTransaction", hash_of(PARENT))
    assert [each["depth"] for each in entries] == [0] + [1] * (len(entries) - 1)
    assert entries[0]["from"] == SENDER
    static = next(each for each in entries if each["type"] == "STATICCALL")
    assert static["value"] is None
    assert await traced.ask("ots_traceTransaction", "0x" + "11" * 32) is None


async def test_revert_data(traced: Rpc) -> None:
    error = await traced.ask("ots_getTransactionError", hash_of(REVERTER))
    assert error == "0x" + ERROR_TEXT.hex()
    assert await traced.ask("ots_getTransactionError", HASHES[0]) == "0x"


@pytest.mark.parametrize("nonce", range(len(HASHES)))
async def test_by_sender_and_nonce(traced: Rpc, nonce: int) -> None:
    assert await traced.ask("ots_getTransactionBySenderAndNonce", SENDER, nonce) == HASHES[nonce]
    missing = await traced.ask("ots_getTransactionBySenderAndNonce", SENDER, len(HASHES))
    assert missing is None


async def test_creators(traced: Rpc) -> None:
    for index, transaction in enumerate(SENT):
        receipt = await traced.ask("eth_getTransactionReceipt", HASHES[index])
        created = receipt["contractAddress"]
        code = await traced.ask("eth_getCode", created, "latest") if created else "0x"
        if transaction.is_create and code != "0x":
            creator = {"hash": HASHES[index], "creator": SENDER}
            assert await traced.ask("ots_getContractCreator", created) == creator
    assert await traced.ask("ots_getContractCreator", "0x" + CHILD.hex()) is None, "genesis"
    assert await traced.ask("ots_getContractCreator", SENDER) is None


async def test_block_details(traced: Rpc) -> None:
    details = await traced.ask("ots_getBlockDetails", "0x1")
    receipts = await traced.ask("eth_getBlockReceipts", "0x1")
    fees = sum(int(r["gasUsed"], 16) * int(r["effectiveGasPrice"], 16) for r in receipts)
    assert details["totalFees"] == hex(fees)
    assert details["block"]["transactionCount"] == FIRST_BLOCK
    by_hash = await traced.ask("ots_getBlockDetailsByHash", details["block"]["hash"])
    assert by_hash == details
    assert await traced.ask("ots_getBlockDetails", "0x99") is None


async def test_pages_of_a_block(traced: Rpc) -> None:
    pages = [await traced.ask("ots_getBlockTransactions", "0x1", page, 4) for page in range(3)]
    shown = [each["hash"] for page in pages for each in page["fullblock"]["transactions"]]
    assert shown == HASHES[:FIRST_BLOCK][::-1]
    assert [len(page["receipts"]) for page in pages] == [4, 4, 2]
    assert (await traced.error("ots_getBlockTransactions", "0x1", 0, 101))["code"] == -32602


async def test_a_search_finds_whom_contracts_met_on_their_way(traced: Rpc) -> None:
    """The dumb twin reads every trace; a frame that failed takes with it whom it met."""
    blocks = [await traced.ask("trace_block", number) for number in ("0x1", "0x2")]
    traces = [each for block in blocks for each in block]
    failed = {
        (each["transactionHash"], tuple(each["traceAddress"])) for each in traces if "error" in each
    }

    def is_undone(trace: dict[str, Any]) -> bool:
        address = trace["traceAddress"]
        above = (tuple(address[:length]) for length in range(len(address)))
        return any((trace["transactionHash"], each) in failed for each in above)

    met: dict[str, set[str]] = {}
    for each in traces:
        to = each["action"].get("to") or (each.get("result") or {}).get("address")
        if to is not None and not is_undone(each):
            met.setdefault(to, set()).add(each["transactionHash"])
    internal = 0
    for address, hashes in met.items():
        found = await traced.ask("ots_searchTransactionsBefore", address, 0, 100)
        shown = {each["hash"] for each in found["txs"]}
        assert hashes <= shown, address
        internal += sum(each["to"] != address for each in found["txs"])
    assert internal > 10
    nobody = await traced.ask("ots_searchTransactionsBefore", "0x" + "d1" * 20, 0, 100)
    assert nobody["txs"] == []


async def test_searches_go_both_ways(traced: Rpc) -> None:
    logger = "0x" + LOGGER.hex()
    found = await traced.ask("ots_searchTransactionsBefore", logger, 0, 25)
    assert hash_of(PARENT) in [each["hash"] for each in found["txs"]], "it logged there"
    assert (found["firstPage"], found["lastPage"]) == (True, True)
    everything = await traced.ask("ots_searchTransactionsBefore", SENDER, 0, 100)
    assert [each["hash"] for each in everything["txs"]] == HASHES[::-1]
    page = await traced.ask("ots_searchTransactionsBefore", SENDER, 0, 5)
    assert [each["hash"] for each in page["txs"]] == HASHES[FIRST_BLOCK:][::-1], "whole blocks"
    assert page["lastPage"] is False
    after = await traced.ask("ots_searchTransactionsAfter", SENDER, 1, 100)
    assert [each["hash"] for each in after["txs"]] == HASHES[FIRST_BLOCK:][::-1]
    assert (after["firstPage"], after["lastPage"]) == (True, False)
