"""Methods that need a state that was let go say so; blocks, and newer states, are still there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dst.execution.pruning import MIN_HISTORY_BLOCKS, Retention
from tests.unit.execution.rpc.bench import Rpc, running
from tests.unit.execution.rpc.contracts import CODES, ENVIRONMENT
from tests.unit.execution.worlds import ADDRESSES, World, make_world, signed

OLD, ENV = "0x1", "0x" + ENVIRONMENT.hex()


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rpc]:
    folder: Path = tmp_path_factory.mktemp("pruned")
    archive = make_world(folder, CODES)
    archive.store.close()
    world = World(folder, archive.genesis, Retention(history_blocks=MIN_HISTORY_BLOCKS))
    with running(world) as bench:
        for number in range(MIN_HISTORY_BLOCKS + 20):
            block = bench.extend([signed(nonce=number)])
            bench.point_at(block.hash, block.hash, block.hash)
        assert world.chain.oldest_state > 2
        yield bench
    world.store.close()


async def needing_states(pruned: Rpc) -> list[tuple[str, list[Any]]]:
    block = await pruned.ask("eth_getBlockByNumber", OLD, False)
    mined = block["transactions"][0]
    return [
        ("eth_call", [{"to": ENV}, OLD]),
        ("eth_estimateGas", [{"to": ENV}, OLD]),
        ("eth_createAccessList", [{"to": ENV}, OLD]),
        ("eth_getProof", [ENV, ["0x0"], OLD]),
        ("eth_simulateV1", [{"blockStateCalls": [{}]}, OLD]),
        ("debug_traceCall", [{"to": ENV}, OLD]),
        ("debug_traceTransaction", [mined]),
        ("debug_traceBlockByNumber", [OLD]),
        ("debug_traceBlockByHash", [block["hash"]]),
        ("trace_call", [{"to": ENV}, ["trace"], OLD]),
        ("trace_block", [OLD]),
        ("trace_transaction", [mined]),
        ("trace_filter", [{"fromBlock": OLD, "toBlock": "0x2"}]),
        ("trace_replayTransaction", [mined, ["trace"]]),
        ("trace_replayBlockTransactions", [OLD, ["trace"]]),
        ("ots_hasCode", [ENV, OLD]),
        ("ots_traceTransaction", [mined]),
        ("ots_getTransactionBySenderAndNonce", ["0x" + ADDRESSES[0].hex(), 0]),
    ]


async def test_a_pruned_state_is_said_to_be_pruned(pruned: Rpc) -> None:
    for method, params in await needing_states(pruned):
        error = await pruned.error(method, *params)
        assert error["code"] == -32000, (method, error)
        assert "not available: pruned" in error["message"], (method, error)


async def test_blocks_and_newer_states_are_there(pruned: Rpc) -> None:
    assert (await pruned.ask("ots_getBlockDetails", OLD))["block"]["transactionCount"] == 1
    for method, params in (
        ("eth_call", [{"to": ENV}, "latest"]),
        ("debug_traceBlockByNumber", ["latest"]),
        ("trace_block", ["latest"]),
        ("eth_getProof", [ENV, [], "latest"]),
    ):
        assert await pruned.ask(method, *params)
