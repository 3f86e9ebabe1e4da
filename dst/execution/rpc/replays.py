"""What the trace families share: mined transactions made ready to run again; bounds, refusals."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from dst.apis.eth import BlockTag, parse_block_id, parse_hash
from dst.apis.jsonrpc import REFUSED, RpcError
from dst.execution.block.replay import GenesisNotTraceable, Replay
from dst.execution.call_workers import CALL_TIMEOUT_S, time_limit
from dst.execution.chain import Chain
from dst.execution.environment import Interrupt
from dst.execution.header import Header
from dst.execution.rpc.blocks_by_id import BlocksById
from dst.execution.rpc.call_stage import refusals
from dst.execution.tracers.base import Budget, TraceTooLarge
from dst.execution.tracers.calls import Call, CallTracer
from dst.spec.primitives import Hash32

MAX_ANSWER_BYTES: Final = 25 * 2**20
TRACE_LIMITS: Final = (
    f"{CALL_TIMEOUT_S:g} s, less with `timeout`",
    f"an answer of {MAX_ANSWER_BYTES >> 20} MiB",
)
TRACE_ERRORS: Final = (
    "-32000: not here, state pruned, genesis, too large, or it took too long",
    "-32005: too many calls are waiting",
)


class Replays:
    """Mined transactions by hash, blocks by number, tag or hash."""

    def __init__(self, chain: Chain, blocks: BlocksById) -> None:
        self._chain, self._blocks = chain, blocks

    def of_transaction(
        self, transaction_hash: object, stop: Callable[[], Interrupt] = time_limit
    ) -> tuple[Replay, int] | None:
        """Its block, run up to it, and its index there; None when it is not mined. `stop` is asked
        once it is found.

        Raises: InvalidInput, GenesisNotTraceable, StateUnavailable, ExecutionAborted.
        """
        location = self._chain.location(parse_hash(transaction_hash, "transaction hash"))
        if location is None:
            return None
        block_hash, index = location
        header, _ = self._blocks.resolve(block_hash)
        replay = self.of_block(header, block_hash, stop())
        replay.run_to(index)
        return replay, index

    def of_block(self, header: Header, block_hash: Hash32, stop: Interrupt) -> Replay:
        """At its beginning. Raises: GenesisNotTraceable, StateUnavailable."""
        return Replay(self._chain, header, block_hash, stop)

    def call_tree(self, transaction_hash: object) -> tuple[Call, Replay, int] | None:
        """The messages of a mined transaction, with what `of_transaction` says. Raises: RpcError,
        InvalidInput."""
        with trace_refusals():
            found = self.of_transaction(transaction_hash)
            if found is None:
                return None
            replay, index = found
            tracer = CallTracer(new_budget())
            replay.trace(tracer)
            return tracer.tree, replay, index

    def find_block(self, block: object) -> tuple[Header, Hash32] | None:
        """None when it is not here, or not yet. Raises: InvalidInput."""
        block_id = parse_block_id(block)
        return None if block_id is BlockTag.PENDING else self._blocks.find(block_id)


def new_budget() -> Budget:
    """Bytes that one answer may take."""
    return Budget(MAX_ANSWER_BYTES)


@contextmanager
def trace_refusals() -> Iterator[None]:
    """Raises: RpcError."""
    try:
        with refusals():
            yield
    except (GenesisNotTraceable, TraceTooLarge) as error:
        raise RpcError(REFUSED, str(error)) from None


def encode(result: Any) -> msgspec.Raw:
    """On the worker: a large answer must not be encoded on the event loop."""
    return msgspec.Raw(msgspec.json.encode(result))
