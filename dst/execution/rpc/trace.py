"""`trace_*` of what is mined: messages as a flat list, in the form of OpenEthereum that indexers
read.

Source: OpenEthereum JSON-RPC trace module; where it leaves room, what anvil answers.
"""

from typing import Any

import msgspec

from dst.apis.jsonrpc import REFUSED, RpcError
from dst.apis.quantity import parse_count
from dst.execution.call_workers import time_limit
from dst.execution.rpc.dispatch import Where, rpc
from dst.execution.rpc.parameters import BlockParam, HashParam, PositionParam, TraceTypesParam
from dst.execution.rpc.replays import (
    TRACE_ERRORS,
    TRACE_LIMITS,
    Replays,
    encode,
    new_budget,
    trace_refusals,
)
from dst.execution.rpc.trace_filter import flat_traces
from dst.execution.rpc.trace_types import TypedTracers, parse_trace_types
from dst.execution.tracers.flat import flatten
from dst.spec.errors import InvalidInput
from dst.spec.primitives import to_hex


class FlatTraces:
    def __init__(self, replays: Replays) -> None:
        self._replays = replays

    @rpc("trace_block", where=Where.CALL, errors=TRACE_ERRORS, limits=TRACE_LIMITS)
    def trace_block(self, block: BlockParam) -> msgspec.Raw | None:
        """Every message of every transaction of a block; null when it is not here."""
        found = self._replays.find_block(block)
        if found is None:
            return None
        with trace_refusals():
            return encode(list(flat_traces(self._replays, *found, time_limit(), new_budget())))

    @rpc("trace_transaction", where=Where.CALL, errors=TRACE_ERRORS, limits=TRACE_LIMITS)
    def trace_transaction(self, transaction_hash: HashParam) -> msgspec.Raw | None:
        """Every message of a mined transaction; null when it is not here."""
        traces = self._of_transaction(transaction_hash)
        return None if traces is None else encode(traces)

    @rpc("trace_get", where=Where.CALL, errors=TRACE_ERRORS, limits=TRACE_LIMITS)
    def trace_get(
        self, transaction_hash: HashParam, position: PositionParam
    ) -> dict[str, Any] | None:
        """The message at a trace address; null when there is none."""
        if not isinstance(position, list):
            raise InvalidInput("trace address: expected a list")
        address = [parse_count(each, what="trace address") for each in position]
        for trace in self._of_transaction(transaction_hash) or ():
            if trace["traceAddress"] == address:
                return trace
        return None

    @rpc("trace_replayTransaction", where=Where.CALL, errors=TRACE_ERRORS, limits=TRACE_LIMITS)
    def replay_transaction(
        self, transaction_hash: HashParam, types: TraceTypesParam
    ) -> msgspec.Raw:
        """A mined transaction executed again: output, and of `types` what is asked."""
        asked = parse_trace_types(types)
        with trace_refusals():
            found = self._replays.of_transaction(transaction_hash)
            if found is None:
                raise RpcError(REFUSED, "transaction not found")
            replay, _ = found
            tracers = TypedTracers(asked, new_budget())
            replay.trace(tracers.together)
            return encode(tracers.show())

    @rpc(
        "trace_replayBlockTransactions", where=Where.CALL, errors=TRACE_ERRORS, limits=TRACE_LIMITS
    )
    def replay_block(self, block: BlockParam, types: TraceTypesParam) -> msgspec.Raw | None:
        """Each transaction of a block as trace_replayTransaction; null when it is not here."""
        found, asked = self._replays.find_block(block), parse_trace_types(types)
        if found is None:
            return None
        budget, shown = new_budget(), []
        with trace_refusals():
            replay = self._replays.of_block(*found, time_limit())
            for _, transaction in replay.rest():
                tracers = TypedTracers(asked, budget)
                replay.trace(tracers.together)
                shown.append({**tracers.show(), "transactionHash": to_hex(transaction.hash)})
            return encode(shown)

    def _of_transaction(self, transaction_hash: object) -> list[dict[str, Any]] | None:
        found = self._replays.call_tree(transaction_hash)
        if found is None:
            return None
        tree, replay, index = found
        return flatten(tree, replay.place(index))
