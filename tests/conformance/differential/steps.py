"""Where two executions of one transaction part: struct logs of ours and of geth, step by step."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dst.execution.genesis import read_genesis
from tests.conformance.blocks import hexed, read_block
from tests.conformance.differential.ours import OurRun
from tests.conformance.differential.plan import Plan
from tests.conformance.role import Endpoint, Role, RoleHost, RpcFailure
from tests.stock_pyevm import block_bytes

COMPARED = ("depth", "pc", "op", "gas", "gasCost", "stack")


def first_difference(geth: Endpoint, plan: Plan, ours: OurRun, number: int) -> str:
    """Of the block `number`, which geth has refused; it stands at its parent."""
    block = ours.blocks[number]
    try:
        theirs = geth.call("debug_traceBlock", hexed(block_bytes(block)), {})
        with TemporaryDirectory() as folder:
            host = RoleHost(Path(folder) / "cluster")
            with host.serving(read_genesis(plan.genesis())) as role:
                _import(role, ours, number)
                mine = [
                    role.rpc.call("debug_traceTransaction", hexed(each.hash), {})
                    for each in block.transactions
                ]
    except RpcFailure as error:
        return f"no trace: {error}"
    for index, (left, right) in enumerate(zip(mine, theirs, strict=True)):
        text = _of_one(left["structLogs"], right["result"]["structLogs"])
        if text is not None:
            return f"transaction {index}, {text}"
    return "every step is the same: what differs is outside of the EVM"


def _import(role: Role, ours: OurRun, until: int) -> None:
    for block in ours.blocks[: until + 1]:
        parameters = read_block(block_bytes(block)).parameters(block.result.requests)
        role.engine.call("engine_newPayloadV4", *parameters)
        zero = "0x" + "00" * 32
        state = {
            "headBlockHash": hexed(block.hash),
            "safeBlockHash": zero,
            "finalizedBlockHash": zero,
        }
        role.engine.call("engine_forkchoiceUpdatedV3", state, None)


def _of_one(ours: Sequence[Mapping[str, Any]], geth: Sequence[Mapping[str, Any]]) -> str | None:
    for step, (left, right) in enumerate(zip(ours, geth, strict=False)):
        for name in COMPARED:
            if left.get(name) != right.get(name):
                return (
                    f"step {step} (pc {right.get('pc')} {right.get('op')}): {name} is "
                    f"{left.get(name)} here, {right.get(name)} at geth"
                )
    if len(ours) != len(geth):
        return f"step {min(len(ours), len(geth))}: {len(ours)} steps here, {len(geth)} at geth"
    return None
