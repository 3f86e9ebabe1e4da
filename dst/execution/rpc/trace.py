"""`trace_*`: messages as a flat list, in the form of OpenEthereum that indexers read.

Source: OpenEthereum JSON-RPC trace module; where it leaves room, what anvil answers.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from dst.apis.eth import BlockTag, parse_address, parse_block_id, parse_hash
from dst.apis.jsonrpc import REFUSED, RpcError
from dst.apis.quantity import parse_count
from dst.apis.transaction_object import parse_transaction_object
from dst.execution.block.call_objects import CALL_GAS_CAP, is_free, message_of
from dst.execution.block.call_run import CallOutcome
from dst.execution.block.replay import Replay, trace_call
from dst.execution.call_workers import time_limit
from dst.execution.chain import Chain
from dst.execution.environment import Interrupt
from dst.execution.evm.tracing import Tracing
from dst.execution.header import Header
from dst.execution.rpc.blocks_by_id import BlocksById
from dst.execution.rpc.call_stage import Stage, refusals, stage_of
from dst.execution.rpc.debug import (
    MAX_ANSWER_BYTES,
    TRACE_ERRORS,
    TRACE_LIMITS,
    encode,
    trace_refusals,
)
from dst.execution.rpc.dispatch import Where, rpc
from dst.execution.rpc.parameters import (
    BlockParam,
    CallParam,
    CallsParam,
    DataParam,
    HashParam,
    PositionParam,
    TraceFilterParam,
    TraceTypesParam,
)
from dst.execution.tracers.base import Budget, ClientTracer
from dst.execution.tracers.calls import CallTracer
from dst.execution.tracers.flat import flatten
from dst.execution.tracers.prestate import PrestateTracer
from dst.execution.tracers.small import MuxTracer
from dst.execution.tracers.vm import VmTracer
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Hash32, parse_hex, to_hex
from dst.transactions.transaction import InvalidTransaction, Transaction, decode_transaction

MAX_FILTER_BLOCKS: Final = 100
"""Each is executed again."""
MAX_CALLS: Final = 100
TRACE_TYPES: Final = ("trace", "stateDiff", "vmTrace")


class FlatTraces:
    def __init__(self, chain: Chain, blocks: BlocksById) -> None:
        self._chain, self._blocks = chain, blocks

    # mined

    @rpc("trace_block", where=Where.CALL, errors=TRACE_ERRORS, limits=TRACE_LIMITS)
    def trace_block(self, block: BlockParam) -> msgspec.Raw | None:
        """Every message of every transaction of a block; null when it is not here."""
        found = self._find(block)
        if found is None:
            return None
        with trace_refusals():
            traces = list(self._of_block(*found, time_limit(), Budget(MAX_ANSWER_BYTES)))
            return encode(traces)

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

    @rpc(
        "trace_filter",
        where=Where.CALL,
        errors=TRACE_ERRORS,
        limits=(*TRACE_LIMITS, f"{MAX_FILTER_BLOCKS} blocks"),
    )
    def trace_filter(self, wanted: TraceFilterParam) -> msgspec.Raw:
        """Messages of a range of blocks by sender and receiver (`mode`: union or intersection)."""
        first, last, matches, after, count = self._parse_filter(wanted)
        stop, budget = time_limit(), Budget(MAX_ANSWER_BYTES)
        found: list[dict[str, Any]] = []
        with trace_refusals():
            for number in range(max(first, 1), last + 1):
                block = self._blocks.find(number)
                if block is None or (count is not None and len(found) >= after + count):
                    break
                found.extend(each for each in self._of_block(*block, stop, budget) if matches(each))
            return encode(found[after:] if count is None else found[after : after + count])

    @rpc("trace_replayTransaction", where=Where.CALL, errors=TRACE_ERRORS, limits=TRACE_LIMITS)
    def replay_transaction(
        self, transaction_hash: HashParam, types: TraceTypesParam
    ) -> msgspec.Raw:
        """A mined transaction executed again: output, and of `types` trace, stateDiff, vmTrace."""
        wanted, kinds = parse_hash(transaction_hash, "transaction hash"), _types(types)
        location = self._chain.location(wanted)
        if location is None:
            raise RpcError(REFUSED, "transaction not found")
        block_hash, index = location
        with trace_refusals():
            replay = self._replay(block_hash, time_limit())
            replay.run_to(index)
            tracers = _Tracers(kinds, Budget(MAX_ANSWER_BYTES))
            replay.trace(tracers.together)
            return encode(tracers.show())

    @rpc(
        "trace_replayBlockTransactions", where=Where.CALL, errors=TRACE_ERRORS, limits=TRACE_LIMITS
    )
    def replay_block(self, block: BlockParam, types: TraceTypesParam) -> msgspec.Raw | None:
        """Each transaction of a block as trace_replayTransaction; null when it is not here."""
        found, kinds = self._find(block), _types(types)
        if found is None:
            return None
        budget, shown = Budget(MAX_ANSWER_BYTES), []
        with trace_refusals():
            replay = Replay(self._chain, *found, time_limit())
            for _, transaction in replay.rest():
                tracers = _Tracers(kinds, budget)
                replay.trace(tracers.together)
                shown.append({**tracers.show(), "transactionHash": to_hex(transaction.hash)})
            return encode(shown)

    # never mined

    @rpc("trace_call", where=Where.CALL, errors=TRACE_ERRORS, limits=TRACE_LIMITS)
    def trace_call(
        self, transaction: CallParam, types: TraceTypesParam, block: BlockParam = "latest"
    ) -> msgspec.Raw:
        """A message run on the state of a block: output, and of `types` what is asked."""
        call, kinds = parse_transaction_object(transaction), _types(types)
        message = message_of(call, chain_id=self._chain.chain_id, gas=CALL_GAS_CAP)
        return encode(self._run(stage_of(self._blocks, block), message, kinds))

    @rpc(
        "trace_callMany",
        where=Where.CALL,
        errors=TRACE_ERRORS,
        limits=(*TRACE_LIMITS, f"{MAX_CALLS} calls"),
    )
    def trace_call_many(self, calls: CallsParam, block: BlockParam = "latest") -> msgspec.Raw:
        """Messages one after another, each on what the ones before it left."""
        if not isinstance(calls, list) or len(calls) > MAX_CALLS:
            raise InvalidInput(f"calls: expected a list of at most {MAX_CALLS}")
        asked = [self._parse_pair(each) for each in calls]
        stage, budget, shown = stage_of(self._blocks, block), Budget(MAX_ANSWER_BYTES), []
        tracing = Tracing()
        with trace_refusals():
            free = all(is_free(message) for message, _ in asked)
            run = stage.run(free=free, tracing=tracing)
            for message, kinds in asked:
                tracers = _Tracers(kinds, budget)
                recipient = stage.environment.fee_recipient
                with refusals(message):
                    trace_call(run, tracing, message, recipient, tracers.together)
                shown.append(tracers.show())
            return encode(shown)

    @rpc("trace_rawTransaction", where=Where.CALL, errors=TRACE_ERRORS, limits=TRACE_LIMITS)
    def trace_raw_transaction(self, raw: DataParam, types: TraceTypesParam) -> msgspec.Raw:
        """A signed transaction run on the head's state and not sent."""
        kinds = _types(types)
        try:
            transaction = decode_transaction(parse_hex(raw, what="raw transaction"))
        except InvalidTransaction as error:
            raise RpcError(REFUSED, str(error)) from None
        return encode(self._run(stage_of(self._blocks, "latest"), transaction, kinds))

    # parts

    def _parse_pair(self, pair: object) -> tuple[Transaction, frozenset[str]]:
        if not isinstance(pair, list) or len(pair) != 2:
            raise InvalidInput("calls: expected pairs of a transaction and trace types")
        call = parse_transaction_object(pair[0])
        message = message_of(call, chain_id=self._chain.chain_id, gas=CALL_GAS_CAP)
        return message, _types(pair[1])

    @staticmethod
    def _run(stage: Stage, message: Transaction, kinds: frozenset[str]) -> dict[str, Any]:
        tracing, tracers = Tracing(), _Tracers(kinds, Budget(MAX_ANSWER_BYTES))
        with trace_refusals(), refusals(message):
            run = stage.run(free=is_free(message), tracing=tracing)
            recipient = stage.environment.fee_recipient
            outcome: CallOutcome = trace_call(run, tracing, message, recipient, tracers.together)
            return {**tracers.show(), "output": to_hex(outcome.output)}

    def _find(self, block: object) -> tuple[Header, Hash32] | None:
        block_id = parse_block_id(block)
        return None if block_id is BlockTag.PENDING else self._blocks.find(block_id)

    def _replay(self, block_hash: Hash32, stop: Interrupt) -> Replay:
        header = self._chain.header(block_hash)
        assert header is not None, "the index names blocks that are here"
        return Replay(self._chain, header, block_hash, stop)

    def _of_transaction(self, transaction_hash: object) -> list[dict[str, Any]] | None:
        location = self._chain.location(parse_hash(transaction_hash, "transaction hash"))
        if location is None:
            return None
        block_hash, index = location
        with trace_refusals():
            replay = self._replay(block_hash, time_limit())
            replay.run_to(index)
            tracer = CallTracer(Budget(MAX_ANSWER_BYTES))
            replay.trace(tracer)
            return flatten(tracer.tree, replay.place(index))

    def _of_block(
        self, header: Header, block_hash: Hash32, stop: Interrupt, budget: Budget
    ) -> Iterator[dict[str, Any]]:
        if header.number == 0:
            return
        replay = Replay(self._chain, header, block_hash, stop)
        for index, _ in replay.rest():
            tracer = CallTracer(budget)
            replay.trace(tracer)
            yield from flatten(tracer.tree, replay.place(index))

    def _parse_filter(self, value: object) -> tuple[int, int, "_Matches", int, int | None]:
        """(first block, last block, which traces, how many to skip, how many at most).

        Raises: InvalidInput, RpcError.
        """
        if not isinstance(value, dict):
            raise InvalidInput("filter: expected an object")
        first = self._bound(value.get("fromBlock"), BlockTag.LATEST)
        last = self._bound(value.get("toBlock"), BlockTag.LATEST)
        if first > last:
            raise InvalidInput("invalid block range params: fromBlock is above toBlock")
        if last - first >= MAX_FILTER_BLOCKS:
            raise InvalidInput(f"block range too large: at most {MAX_FILTER_BLOCKS} blocks")
        after, count = value.get("after"), value.get("count")
        return (
            first,
            last,
            _matcher(value),
            0 if after is None else parse_count(after, what="after"),
            None if count is None else parse_count(count, what="count"),
        )

    def _bound(self, value: object, default: BlockTag) -> int:
        block_id = default if value is None else parse_block_id(value)
        return self._blocks.resolve(block_id)[0].number


_Matches = Callable[[dict[str, Any]], bool]


def _matcher(value: dict[str, Any]) -> _Matches:
    """Raises: InvalidInput."""
    senders, receivers = _addresses(value, "fromAddress"), _addresses(value, "toAddress")
    mode = value.get("mode") or "union"
    if mode not in ("union", "intersection"):
        raise InvalidInput("mode: expected union or intersection")

    def matches(trace: dict[str, Any]) -> bool:
        action, result = trace["action"], trace.get("result") or {}
        sender = action.get("from") or action.get("address")
        receiver = action.get("to") or action.get("refundAddress") or result.get("address")
        sent, received = sender in senders, receiver in receivers
        if senders and receivers:
            return sent and received if mode == "intersection" else sent or received
        return (not senders or sent) and (not receivers or received)

    return matches


def _addresses(value: dict[str, Any], name: str) -> frozenset[str]:
    found = value.get(name) or []
    if not isinstance(found, list):
        raise InvalidInput(f"{name}: expected a list")
    return frozenset(to_hex(parse_address(each, name)) for each in found)


def _types(value: object) -> frozenset[str]:
    """Raises: InvalidInput."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise InvalidInput("trace types: expected a list of names")
    unknown = set(value).difference(TRACE_TYPES)
    if unknown:
        names, known = ", ".join(sorted(unknown))[:80], ", ".join(TRACE_TYPES)
        raise InvalidInput(f"trace types: there are {known}, not {names}")
    return frozenset(value)


class _Tracers:
    """What the trace types need, run together."""

    def __init__(self, kinds: frozenset[str], budget: Budget) -> None:
        self._kinds = kinds
        self._calls, self._state = CallTracer(budget), PrestateTracer(budget)
        self._steps = VmTracer(budget)
        tracers: dict[str, ClientTracer] = {"trace": self._calls}
        if "stateDiff" in kinds:
            tracers["stateDiff"] = self._state
        if "vmTrace" in kinds:
            tracers["vmTrace"] = self._steps
        self.together = MuxTracer(tracers)

    def show(self) -> dict[str, Any]:
        outcome = self._calls.tree.outcome
        assert outcome is not None
        return {
            "output": to_hex(outcome.output),
            "stateDiff": self._state.state_diff() if "stateDiff" in self._kinds else None,
            "trace": flatten(self._calls.tree, None) if "trace" in self._kinds else [],
            "vmTrace": self._steps.result() if "vmTrace" in self._kinds else None,
        }
