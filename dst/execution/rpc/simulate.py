"""`eth_simulateV1`: blocks that nobody proposes, on the state of a block that is here.

Source: execution-apis, `eth_simulateV1`, its notes and its error codes.
"""

from typing import Final

import msgspec

from dst.apis.eth import parse_block_id
from dst.apis.jsonrpc import INTERNAL_ERROR, INVALID_PARAMS, REFUSED, REVERTED, RpcError
from dst.apis.simulate import MAX_CALLS, Simulation, parse_simulation
from dst.execution.block.call_objects import CALL_GAS_CAP
from dst.execution.block.call_run import CallOutcome, Fault
from dst.execution.block.simulation import (
    CLIENT_LIMIT,
    MAX_BLOCKS,
    SimulatedBlock,
    SimulatedCall,
    SimulatedCallRefused,
    SimulationRefused,
    Simulator,
)
from dst.execution.call_workers import time_limit
from dst.execution.chain import Chain
from dst.execution.evm.overrides import OverrideRefused
from dst.execution.reverts import revert_message
from dst.execution.rpc import views
from dst.execution.rpc.blocks_by_id import BlocksById
from dst.execution.rpc.call_stage import refusals
from dst.execution.rpc.dispatch import Where, rpc
from dst.execution.rpc.parameters import BlockParam, SimulationParam
from dst.execution.store import Body
from dst.spec.primitives import to_hex

VM_ERROR: Final = -32_015
MAX_ANSWER_BYTES: Final = 25 * 2**20

_CODES: Final = {
    Fault.NONCE_TOO_LOW: -38_010,
    Fault.NONCE_TOO_HIGH: -38_011,
    Fault.FEE_BELOW_BASE_FEE: -38_012,
    Fault.INTRINSIC_GAS: -38_013,
    Fault.FLOOR_GAS: -38_013,
    Fault.INSUFFICIENT_FUNDS: -38_014,
    Fault.INIT_CODE_SIZE: -38_025,
    Fault.TIP_ABOVE_FEE: INVALID_PARAMS,
}
"""The rest is -32603, as in geth."""


class Simulations:
    """`seconds_per_slot`: between blocks whose time nobody gives."""

    def __init__(self, chain: Chain, blocks: BlocksById, seconds_per_slot: int) -> None:
        self._chain, self._blocks = chain, blocks
        self._seconds_per_slot = seconds_per_slot

    @rpc(
        "eth_simulateV1",
        where=Where.CALL,
        errors=(
            "-38010 to -38014: a call's nonce, fee, gas or funds",
            "-38015: the block's gas is used up",
            "-38020, -38021: numbers or times do not increase",
            "-38025: init code too large",
            "-38026: more blocks than the limit",
            "-32000: contradicting overrides, or it took too long",
        ),
        limits=(
            f"{MAX_BLOCKS} blocks",
            f"{MAX_CALLS} calls",
            f"{CALL_GAS_CAP} gas in all",
            "5 s",
            f"an answer of {MAX_ANSWER_BYTES >> 20} MiB",
        ),
    )
    def simulate(self, simulation: SimulationParam, block: BlockParam = "latest") -> msgspec.Raw:
        """Blocks of calls, each on the one before, with their results, logs and headers."""
        request = parse_simulation(simulation)
        base, base_hash = self._blocks.resolve(parse_block_id(block))
        with refusals():
            simulator = Simulator(
                self._chain.reader_after(base_hash),
                base,
                base_hash,
                self._chain.environment(base),
                request,
                time_limit(),
                gas=CALL_GAS_CAP,
                seconds_per_slot=self._seconds_per_slot,
            )
            return self._answer(simulator, request)

    @staticmethod
    def _answer(simulator: Simulator, request: Simulation) -> msgspec.Raw:
        shown: list[bytes] = []
        size = 0
        try:
            for each in simulator.run():
                shown.append(msgspec.json.encode(_show_block(each, request)))
                size += len(shown[-1])
                if size > MAX_ANSWER_BYTES:
                    raise RpcError(CLIENT_LIMIT, "answer too large")
        except SimulationRefused as error:
            raise RpcError(error.code, str(error)) from None
        except SimulatedCallRefused as error:
            raise RpcError(_CODES.get(error.fault, INTERNAL_ERROR), str(error)) from None
        except OverrideRefused as error:
            raise RpcError(REFUSED, str(error)) from None
        return msgspec.Raw(b"[" + b",".join(shown) + b"]")


def _show_block(block: SimulatedBlock, request: Simulation) -> dict[str, object]:
    view = views.BlockView(
        header=block.header,
        hash=block.hash,
        body=Body(
            transactions=tuple(each.transaction.raw for each in block.calls),
            transaction_hashes=tuple(each.transaction.hash for each in block.calls),
            withdrawals=(),
            requests=(),
            touched=(),
        ),
    )
    shown = views.show_block(view, full=False)
    shown.pop("totalDifficulty", None)
    if request.return_full_transactions:
        shown["transactions"] = [
            views.show_transaction_at(block.header, block.hash, index, each.transaction)
            for index, each in enumerate(block.calls)
        ]
    shown["calls"] = _show_calls(view, block.calls)
    return shown


def _show_calls(view: views.BlockView, calls: tuple[SimulatedCall, ...]) -> list[dict[str, object]]:
    return [
        {
            "returnData": to_hex(call.outcome.output),
            "logs": [
                views.show_log(view, position, call.transaction.hash, index, log)
                for index, log in call.logs
            ],
            "gasUsed": hex(call.outcome.gas_used),
            "maxUsedGas": hex(call.outcome.gas_before_refund),
            **_show_status(call.outcome),
        }
        for position, call in enumerate(calls)
    ]


def _show_status(outcome: CallOutcome) -> dict[str, object]:
    if outcome.error is None:
        return {"status": "0x1"}
    if not outcome.reverted:
        return {"status": "0x0", "error": {"code": VM_ERROR, "message": outcome.error}}
    error = {
        "code": REVERTED,
        "message": revert_message(outcome.output),
        "data": to_hex(outcome.output),
    }
    return {"status": "0x0", "error": error}
