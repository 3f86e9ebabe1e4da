"""`trace_filter`: messages of a range of blocks by who sent and who received them."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from dst.apis.eth import BlockTag, parse_address, parse_block_id
from dst.apis.fields import a_list, an_object
from dst.apis.quantity import parse_count
from dst.execution.call_workers import time_limit
from dst.execution.environment import Interrupt
from dst.execution.header import Header
from dst.execution.rpc.blocks_by_id import BlocksById
from dst.execution.rpc.dispatch import Where, rpc
from dst.execution.rpc.parameters import TraceFilterParam
from dst.execution.rpc.replays import (
    TRACE_ERRORS,
    TRACE_LIMITS,
    Replays,
    encode,
    new_budget,
    trace_refusals,
)
from dst.execution.tracers.base import Budget
from dst.execution.tracers.calls import CallTracer
from dst.execution.tracers.flat import flatten
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Hash32, to_hex

MAX_FILTER_BLOCKS: Final = 100
"""Each is executed again."""

Matches = Callable[[dict[str, Any]], bool]


class TraceFilter:
    def __init__(self, replays: Replays, blocks: BlocksById) -> None:
        self._replays, self._blocks = replays, blocks

    @rpc(
        "trace_filter",
        where=Where.CALL,
        errors=TRACE_ERRORS,
        limits=(*TRACE_LIMITS, f"{MAX_FILTER_BLOCKS} blocks"),
    )
    def trace_filter(self, wanted: TraceFilterParam) -> msgspec.Raw:
        """Messages of a range of blocks by sender and receiver (`mode`: union or intersection)."""
        fields = an_object(wanted, "filter")
        first, last = self._span(fields)
        matches, after, count = _matcher(fields), _count(fields, "after"), _count(fields, "count")
        skipped = after or 0
        end = None if count is None else skipped + count
        stop, budget = time_limit(), new_budget()
        found: list[dict[str, Any]] = []
        with trace_refusals():
            for number in range(max(first, 1), last + 1):
                block = self._blocks.find(number)
                if block is None or (end is not None and len(found) >= end):
                    break
                traces = flat_traces(self._replays, *block, stop, budget)
                found.extend(each for each in traces if matches(each))
            return encode(found[skipped:end])

    def _span(self, fields: dict[str, Any]) -> tuple[int, int]:
        """First and last block. Raises: InvalidInput, RpcError."""
        first = self._bound(fields.get("fromBlock"))
        last = self._bound(fields.get("toBlock"))
        if first > last:
            raise InvalidInput("invalid block range params: fromBlock is above toBlock")
        if last - first >= MAX_FILTER_BLOCKS:
            raise InvalidInput(f"block range too large: at most {MAX_FILTER_BLOCKS} blocks")
        return first, last

    def _bound(self, value: object) -> int:
        block_id = BlockTag.LATEST if value is None else parse_block_id(value)
        return self._blocks.resolve(block_id)[0].number


def flat_traces(
    replays: Replays, header: Header, block_hash: Hash32, stop: Interrupt, budget: Budget
) -> Iterator[dict[str, Any]]:
    """Every message of every transaction of a block."""
    if header.number == 0:
        return
    replay = replays.of_block(header, block_hash, stop)
    for index, _ in replay.rest():
        tracer = CallTracer(budget)
        replay.trace(tracer)
        yield from flatten(tracer.tree, replay.place(index))


def _matcher(fields: dict[str, Any]) -> Matches:
    """Raises: InvalidInput."""
    senders, receivers = _addresses(fields, "fromAddress"), _addresses(fields, "toAddress")
    mode = fields.get("mode") or "union"
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


def _addresses(fields: dict[str, Any], name: str) -> frozenset[str]:
    found = a_list(fields.get(name) or [], name)
    return frozenset(to_hex(parse_address(each, name)) for each in found)


def _count(fields: dict[str, Any], name: str) -> int | None:
    value = fields.get(name)
    return None if value is None else parse_count(value, what=name)
