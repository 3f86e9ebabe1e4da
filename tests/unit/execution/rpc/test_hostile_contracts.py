"""Every hostile transaction of the catalogue, through each door: call, estimate, access list,
trace, simulation, pool, forced inclusion, import. The doors agree on what it does, none fails by an
error of ours, and questions change nothing.

How long each may take is judged elsewhere: `evm/test_bounded_steps.py` (any step between two looks
at the clock), `test_calls.py` and `test_workers.py` (time limits), `tests/e2e` (blocks on time).
"""

from pathlib import Path
from typing import Any

import pytest

from devnet.workload.hostile.catalogue import CATALOGUE
from devnet.workload.hostile.signing import sign
from dst.spec.primitives import to_hex
from dst.transactions.transaction import Transaction, decode_transaction
from tests.unit.execution.rpc.bench import Rpc, running
from tests.unit.execution.worlds import CHAIN_ID, GWEI, KEYS, make_world

GAS = 500_000
LARGE = {"deploy-jumpdests": 6_000_000, "create-jumpdests": 1_500_000}
"""Whose least is more."""
REVERTED, FAILED = 3, -32000


def hostile(name: str) -> Transaction:
    gas = LARGE.get(name, GAS)
    body, key = CATALOGUE[name](gas), KEYS[0].hex()
    signed = sign(body, key=key, chain_id=CHAIN_ID, nonce=0, gas=gas, tip=GWEI)
    return decode_transaction(bytes.fromhex(signed.raw[2:]))


def request_of(transaction: Transaction, shown: dict[str, Any]) -> dict[str, Any]:
    """The transaction as a message: what a wallet would ask about before it signs."""
    wanted = ("to", "input", "value", "gas", "accessList", "authorizationList")
    fields = {name: shown[name] for name in wanted if shown.get(name) is not None}
    return {"from": to_hex(transaction.sender), **fields}


async def verdict(rpc: Rpc, method: str, *params: Any) -> tuple[bool, Any]:
    """(succeeded, result or error); an internal error fails the test."""
    answer = await rpc.reply(method, *params)
    if "error" in answer:
        assert answer["error"]["code"] in (REVERTED, FAILED), (method, answer["error"])
        return False, answer["error"]
    return True, answer["result"]


@pytest.mark.parametrize("name", CATALOGUE)
async def test_every_door_agrees(tmp_path: Path, name: str) -> None:
    transaction = hostile(name)
    for folder in ("asked", "forcing"):
        (tmp_path / folder).mkdir()
    asked, forcing = make_world(tmp_path / "asked"), make_world(tmp_path / "forcing")
    with running(asked) as rpc:
        # the pool takes it, and shows what it is
        rpc.add(transaction)
        shown = await rpc.ask("eth_getTransactionByHash", to_hex(transaction.hash))
        message = request_of(transaction, shown)
        before = asked.chain.heads

        called, _ = await verdict(rpc, "eth_call", message, "latest")
        estimated, _ = await verdict(rpc, "eth_estimateGas", message, "latest")
        assert called or not estimated, "what fails with all of its gas has no estimate"
        await verdict(rpc, "eth_createAccessList", message, "latest")
        _, tree = await verdict(rpc, "debug_traceCall", message, "latest", {"tracer": "callTracer"})
        assert ("error" not in tree) is called
        await verdict(
            rpc,
            "debug_traceCall",
            message,
            "latest",
            {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}},
        )
        stepped, steps = await verdict(rpc, "debug_traceCall", message, "latest", {"limit": 1})
        assert stepped
        assert steps["failed"] is not called
        await verdict(rpc, "trace_call", message, ["trace", "stateDiff"], "latest")
        simulated, blocks = await verdict(
            rpc, "eth_simulateV1", {"blockStateCalls": [{"calls": [message]}]}, "latest"
        )
        assert simulated
        ((outcome,),) = (each["calls"] for each in blocks)
        assert (outcome["status"] == "0x1") is called
        assert asked.chain.heads == before, "questions change nothing"

        # the pool's way into a block, and every other node's check of it
        mined = rpc.extend([transaction])
        (receipt,) = mined.result.receipts
        assert receipt.succeeded is called
        traced = await rpc.ask(
            "debug_traceTransaction", to_hex(transaction.hash), {"tracer": "callTracer"}
        )
        assert int(traced["gasUsed"], 16) == mined.header.gas_used
        assert ("error" not in traced) is called

        # forced inclusion: the same block
        forced = forcing.build(transactions=(transaction.raw,), no_tx_pool=True).block
        assert forced.hash == mined.hash
        assert forcing.execute(mined).result.state.root == mined.header.state_root
    asked.store.close()
    forcing.store.close()
