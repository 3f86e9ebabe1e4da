"""`ots_*` of one transaction: what the block explorer Otterscan shows of it, and of which level its
API is here.

Source: Otterscan JSON-RPC API, level 8.
"""

from typing import Any, Final

import msgspec

from dst.execution.rpc.dispatch import Where, rpc
from dst.execution.rpc.parameters import HashParam
from dst.execution.rpc.replays import TRACE_ERRORS, TRACE_LIMITS, Replays, encode
from dst.execution.tracers.calls import Call
from dst.spec.primitives import to_hex

API_LEVEL: Final = 8


class Otterscan:
    def __init__(self, replays: Replays) -> None:
        self._replays = replays

    @rpc("ots_getApiLevel", where=Where.LOOP)
    async def api_level(self) -> int:
        """The level of this API that is served."""
        return API_LEVEL

    @rpc("ots_getInternalOperations", where=Where.CALL, errors=TRACE_ERRORS, limits=TRACE_LIMITS)
    def internal_operations(self, transaction_hash: HashParam) -> list[dict[str, Any]]:
        """Value moved, contracts created and destroyed inside a transaction."""
        tree = self._tree(transaction_hash)
        calls = [] if tree is None else list(in_order(tree))
        return [shown for call, depth in calls if depth and (shown := _operation(call))]

    @rpc("ots_traceTransaction", where=Where.CALL, errors=TRACE_ERRORS, limits=TRACE_LIMITS)
    def trace_transaction(self, transaction_hash: HashParam) -> msgspec.Raw:
        """The messages of a transaction with their depths."""
        tree = self._tree(transaction_hash)
        if tree is None:
            return encode(None)
        return encode([_trace_entry(call, depth) for call, depth in in_order(tree)])

    @rpc("ots_getTransactionError", where=Where.CALL, errors=TRACE_ERRORS, limits=TRACE_LIMITS)
    def transaction_error(self, transaction_hash: HashParam) -> str:
        """The revert data of a transaction, `0x` when it did not revert."""
        tree = self._tree(transaction_hash)
        if tree is None or tree.outcome is None or tree.outcome.error is None:
            return "0x"
        return to_hex(tree.outcome.output)

    def _tree(self, transaction_hash: object) -> Call | None:
        found = self._replays.call_tree(transaction_hash)
        return None if found is None else found[0]


def in_order(top: Call) -> list[tuple[Call, int]]:
    """Each call before those below it, with its depth."""
    found: list[tuple[Call, int]] = []
    waiting = [(top, 0)]
    while waiting:
        call, depth = waiting.pop()
        found.append((call, depth))
        waiting.extend((each, depth + 1) for each in reversed(call.calls))
    return found


_OPERATIONS: Final = {"SELFDESTRUCT": 1, "CREATE": 2, "CREATE2": 3}


def _operation(call: Call) -> dict[str, Any] | None:
    """Type 0 is a transfer; failed messages are none."""
    frame = call.frame
    kind = _OPERATIONS.get(frame.kind, 0)
    moves = frame.kind == "CALL" and frame.value > 0
    if call.outcome is None or call.outcome.error is not None or not (kind or moves):
        return None
    return {
        "type": kind,
        "from": to_hex(frame.sender),
        "to": to_hex(frame.to),
        "value": hex(frame.value),
    }


def _trace_entry(call: Call, depth: int) -> dict[str, Any]:
    frame = call.frame
    assert call.outcome is not None
    has_value = frame.kind not in ("STATICCALL", "DELEGATECALL")
    return {
        "type": frame.kind,
        "depth": depth,
        "from": to_hex(frame.sender),
        "to": to_hex(frame.to),
        "value": hex(frame.value) if has_value else None,
        "input": to_hex(frame.data),
        "output": to_hex(call.outcome.output),
    }
