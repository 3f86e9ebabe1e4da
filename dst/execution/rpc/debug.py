"""`debug_trace*`: a transaction, a block or a call executed again under a tracer.

Source: execution-apis, `src/debug/trace.yaml`; geth for the named tracers.
"""

import msgspec

from dst.apis.eth import BlockId, BlockTag, parse_block_id, parse_hash
from dst.apis.jsonrpc import REFUSED, RpcError
from dst.apis.traces import TraceConfig, parse_trace_config
from dst.apis.transaction_object import parse_transaction_object
from dst.execution.block.call_objects import CALL_GAS_CAP, is_free, message_of
from dst.execution.block.replay import Replay, trace_call
from dst.execution.call_workers import time_limit
from dst.execution.chain import Chain
from dst.execution.environment import Interrupt
from dst.execution.evm.overrides import override_block
from dst.execution.evm.tracing import Tracing
from dst.execution.header import Header
from dst.execution.rpc.blocks_by_id import BlocksById
from dst.execution.rpc.call_stage import Stage, refusals
from dst.execution.rpc.dispatch import Where, rpc
from dst.execution.rpc.parameters import (
    BlockParam,
    CallParam,
    HashParam,
    TraceConfigParam,
)
from dst.execution.rpc.replays import (
    TRACE_ERRORS,
    TRACE_LIMITS,
    Replays,
    encode,
    new_budget,
    trace_refusals,
)
from dst.execution.tracers.base import ClientTracer
from dst.execution.tracers.choose import make_tracer
from dst.execution.tracers.flat import FlatCallTracer, Place
from dst.spec.primitives import Hash32, to_hex


class DebugTraces:
    def __init__(self, chain: Chain, blocks: BlocksById, replays: Replays) -> None:
        self._chain, self._blocks, self._replays = chain, blocks, replays

    @rpc("debug_traceTransaction", where=Where.CALL, errors=TRACE_ERRORS, limits=TRACE_LIMITS)
    def trace_transaction(
        self, transaction_hash: HashParam, config: TraceConfigParam = None
    ) -> msgspec.Raw:
        """A mined transaction executed again as it was, under a tracer (default: every opcode)."""
        asked = _asked(config)
        with trace_refusals():
            found = self._replays.of_transaction(transaction_hash, lambda: _stop(asked))
            if found is None:
                raise RpcError(REFUSED, "transaction not found")
            replay, index = found
            tracer = make_tracer(asked, new_budget())
            _locate(tracer, replay.place(index))
            replay.trace(tracer)
            return encode(tracer.result())

    @rpc("debug_traceBlockByNumber", where=Where.CALL, errors=TRACE_ERRORS, limits=TRACE_LIMITS)
    def trace_block_by_number(
        self, block: BlockParam, config: TraceConfigParam = None
    ) -> msgspec.Raw:
        """Every transaction of a block, as debug_traceTransaction."""
        block_id, asked = parse_block_id(block), _asked(config)
        found = self._blocks.find(block_id)
        if found is None or block_id is BlockTag.PENDING:
            raise RpcError(REFUSED, f"block #{_name(block_id)} not found")
        return self._trace_block(*found, asked)

    @rpc("debug_traceBlockByHash", where=Where.CALL, errors=TRACE_ERRORS, limits=TRACE_LIMITS)
    def trace_block_by_hash(
        self, block_hash: HashParam, config: TraceConfigParam = None
    ) -> msgspec.Raw:
        """Every transaction of a block, as debug_traceTransaction."""
        wanted, asked = parse_hash(block_hash, "block hash"), _asked(config)
        found = self._blocks.find(wanted)
        if found is None:
            raise RpcError(REFUSED, f"block {to_hex(wanted)} not found")
        return self._trace_block(*found, asked)

    @rpc("debug_traceCall", where=Where.CALL, errors=TRACE_ERRORS, limits=TRACE_LIMITS)
    def trace_call(
        self, transaction: CallParam, block: BlockParam, config: TraceConfigParam = None
    ) -> msgspec.Raw:
        """A message run on the state of a block under a tracer; `config` may hold overrides, and
        `txIndex`: run before that transaction of the block, not after its last."""
        call = parse_transaction_object(transaction)
        asked = _asked(config)
        block_id = parse_block_id(block)
        message = message_of(call, chain_id=self._chain.chain_id, gas=CALL_GAS_CAP)
        tracing = Tracing()
        with trace_refusals(), refusals(message):
            stage = self._stage(block_id, asked)
            run = stage.run(free=is_free(message), tracing=tracing)
            tracer = make_tracer(asked, new_budget())
            trace_call(run, tracing, message, stage.environment.fee_recipient, tracer)
            return encode(tracer.result())

    def _stage(self, block_id: BlockId, asked: TraceConfig) -> Stage:
        stop = _stop(asked)
        reader, environment = self._blocks.environment_for(block_id)
        accounts = None
        if asked.transaction_index is not None:
            before = self._before(block_id, asked.transaction_index, stop)
            reader, accounts = before.reader, before.accounts
        return Stage(
            reader=reader,
            environment=override_block(environment, asked.block_overrides),
            overrides=asked.state_overrides,
            stop=stop,
            accounts=accounts,
        )

    def _before(self, block_id: BlockId, index: int, stop: Interrupt) -> Replay:
        """The block run up to a transaction of it; an empty one to its beginning.

        Raises: RpcError, GenesisNotTraceable.
        """
        if block_id is BlockTag.PENDING:
            raise RpcError(REFUSED, "txIndex: the pending block has no transactions yet")
        header, block_hash = self._blocks.resolve(block_id)
        replay = self._replays.of_block(header, block_hash, stop)
        if index >= max(len(replay.transactions), 1):
            where = to_hex(block_hash)
            raise RpcError(REFUSED, f"transaction index {index} out of range for block {where}")
        replay.run_to(index)
        return replay

    def _trace_block(self, header: Header, block_hash: Hash32, asked: TraceConfig) -> msgspec.Raw:
        budget = new_budget()
        shown: list[bytes] = []
        with trace_refusals():
            replay = self._replays.of_block(header, block_hash, _stop(asked))
            for index, transaction in replay.rest():
                tracer = make_tracer(asked, budget)
                _locate(tracer, replay.place(index))
                replay.trace(tracer)
                each = {"txHash": to_hex(transaction.hash), "result": tracer.result()}
                shown.append(msgspec.json.encode(each))
        return msgspec.Raw(b"[" + b",".join(shown) + b"]")


def _locate(tracer: ClientTracer, place: Place) -> None:
    """The flat form says of each call where it is."""
    if isinstance(tracer, FlatCallTracer):
        tracer.place = place


def _asked(config: object) -> TraceConfig:
    """Checked to the last option before anything is looked up. Raises: InvalidInput."""
    asked = parse_trace_config(config)
    make_tracer(asked, new_budget())
    return asked


def _stop(asked: TraceConfig) -> Interrupt:
    return time_limit(asked.timeout_s)


def _name(block_id: BlockId) -> str:
    return to_hex(block_id) if isinstance(block_id, bytes) else str(block_id)
