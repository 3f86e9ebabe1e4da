"""`trace_*` of what is never mined: messages and signed transactions run on the state of a block.

Source: OpenEthereum JSON-RPC trace module.
"""

from typing import Final

import msgspec

from dst.apis.fields import a_list
from dst.apis.jsonrpc import REFUSED, RpcError
from dst.apis.transaction_object import parse_transaction_object
from dst.execution.block.call_objects import CALL_GAS_CAP, is_free, message_of
from dst.execution.block.replay import trace_call
from dst.execution.chain import Chain
from dst.execution.evm.tracing import Tracing
from dst.execution.rpc.blocks_by_id import BlocksById
from dst.execution.rpc.call_stage import Stage, refusals, stage_of
from dst.execution.rpc.dispatch import Where, rpc
from dst.execution.rpc.parameters import (
    BlockParam,
    CallParam,
    CallsParam,
    DataParam,
    TraceTypesParam,
)
from dst.execution.rpc.replays import (
    TRACE_ERRORS,
    TRACE_LIMITS,
    encode,
    new_budget,
    trace_refusals,
)
from dst.execution.rpc.trace_types import TypedTracers, parse_trace_types
from dst.spec.errors import InvalidInput
from dst.spec.primitives import parse_hex
from dst.transactions.transaction import InvalidTransaction, Transaction, decode_transaction

MAX_CALLS: Final = 100


class TracedCalls:
    def __init__(self, chain: Chain, blocks: BlocksById) -> None:
        self._chain, self._blocks = chain, blocks

    @rpc("trace_call", where=Where.CALL, errors=TRACE_ERRORS, limits=TRACE_LIMITS)
    def trace_call(
        self, transaction: CallParam, types: TraceTypesParam, block: BlockParam = "latest"
    ) -> msgspec.Raw:
        """A message run on the state of a block: output, and of `types` what is asked."""
        message, asked = self._message(transaction), parse_trace_types(types)
        return self._run(stage_of(self._blocks, block), message, asked)

    @rpc(
        "trace_callMany",
        where=Where.CALL,
        errors=TRACE_ERRORS,
        limits=(*TRACE_LIMITS, f"{MAX_CALLS} calls"),
    )
    def trace_call_many(self, calls: CallsParam, block: BlockParam = "latest") -> msgspec.Raw:
        """Messages one after another, each on what the ones before it left."""
        asked = [self._parse_pair(each) for each in a_list(calls, "calls", most=MAX_CALLS)]
        stage, budget, shown = stage_of(self._blocks, block), new_budget(), []
        tracing = Tracing()
        with trace_refusals():
            free = all(is_free(message) for message, _ in asked)
            run = stage.run(free=free, tracing=tracing)
            for message, types in asked:
                tracers = TypedTracers(types, budget)
                recipient = stage.environment.fee_recipient
                with refusals(message):
                    trace_call(run, tracing, message, recipient, tracers.together)
                shown.append(tracers.show())
            return encode(shown)

    @rpc("trace_rawTransaction", where=Where.CALL, errors=TRACE_ERRORS, limits=TRACE_LIMITS)
    def trace_raw_transaction(self, raw: DataParam, types: TraceTypesParam) -> msgspec.Raw:
        """A signed transaction run on the head's state and not sent."""
        asked = parse_trace_types(types)
        try:
            transaction = decode_transaction(parse_hex(raw, what="raw transaction"))
        except InvalidTransaction as error:
            raise RpcError(REFUSED, str(error)) from None
        return self._run(stage_of(self._blocks, "latest"), transaction, asked)

    def _parse_pair(self, pair: object) -> tuple[Transaction, frozenset[str]]:
        if not isinstance(pair, list) or len(pair) != 2:
            raise InvalidInput("calls: expected pairs of a transaction and trace types")
        return self._message(pair[0]), parse_trace_types(pair[1])

    def _message(self, value: object) -> Transaction:
        call = parse_transaction_object(value)
        return message_of(call, chain_id=self._chain.chain_id, gas=CALL_GAS_CAP)

    @staticmethod
    def _run(stage: Stage, message: Transaction, types: frozenset[str]) -> msgspec.Raw:
        tracing, tracers = Tracing(), TypedTracers(types, new_budget())
        with trace_refusals(), refusals(message):
            run = stage.run(free=is_free(message), tracing=tracing)
            recipient = stage.environment.fee_recipient
            trace_call(run, tracing, message, recipient, tracers.together)
            return encode(tracers.show())
