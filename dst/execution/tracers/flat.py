"""A call tree as a list, in the form of OpenEthereum's `trace_` module, which indexers read.

Source: OpenEthereum JSON-RPC trace module; geth's `flatCallTracer`; anvil.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from dst.execution.evm.tracer import Outcome
from dst.execution.evm.words import REVERTED
from dst.execution.tracers.base import Budget
from dst.execution.tracers.calls import Call, CallTracer
from dst.spec.primitives import to_hex

_PARITY_WORDS: Final = {
    "out of gas": "Out of gas",
    "contract creation code storage out of gas": "Out of gas",
    "max code size exceeded": "Out of gas",
    "invalid jump destination": "Bad jump destination",
    REVERTED: "Reverted",
    "return data out of bounds": "Out of bounds",
    "stack limit reached 1024 (1023)": "Out of stack",
    "write protection": "Mutable Call In Static Context",
}
_PARITY_PREFIXES: Final = (
    ("invalid opcode", "Bad instruction"),
    ("stack underflow", "Stack underflow"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a transaction stands; None for a call."""

    block_hash: bytes
    block_number: int
    transaction_hash: bytes
    position: int

    def show(self) -> dict[str, Any]:
        return {
            "blockHash": to_hex(self.block_hash),
            "blockNumber": self.block_number,
            "transactionHash": to_hex(self.transaction_hash),
            "transactionPosition": self.position,
        }


class FlatCallTracer(CallTracer):
    """geth's: the outermost call shows the transaction's gas and what it was charged."""

    def __init__(
        self, budget: Budget, *, parity_errors: bool = False, include_precompiles: bool = False
    ) -> None:
        super().__init__(budget)
        self._parity_errors, self._precompiles = parity_errors, include_precompiles
        self.place: Place | None = None

    def result(self) -> Any:
        shown = flatten(
            self.tree, self.place, parity_errors=self._parity_errors, precompiles=self._precompiles
        )
        shown[0]["action"]["gas"] = hex(self.gas)
        if shown[0].get("result"):
            shown[0]["result"]["gasUsed"] = hex(self.gas_used)
        return shown


def flatten(
    top: Call, place: Place | None, *, parity_errors: bool = True, precompiles: bool = False
) -> list[dict[str, Any]]:
    """Each message before those below it. Gas is what the message itself got and used.

    With `parity_errors` in OpenEthereum's own form: its words for errors, and a null result where
    geth has none.
    """
    where = {} if place is None else place.show()
    return [
        {**_show(call, address, subtraces, parity_errors), **where}
        for call, address, subtraces in _walk(top, precompiles)
    ]


def _walk(top: Call, precompiles: bool) -> Iterator[tuple[Call, list[int], int]]:
    """(call, trace address, number of subtraces), without recursion: a tree may be 1,024 deep."""
    waiting: list[tuple[Call, list[int]]] = [(top, [])]
    while waiting:
        call, address = waiting.pop()
        below = [each for each in call.calls if precompiles or not _is_left_out(each)]
        yield call, address, len(below)
        waiting.extend(
            (each, [*address, index]) for index, each in reversed(list(enumerate(below)))
        )


def _is_left_out(call: Call) -> bool:
    """Calls of precompiles are no traces; they are there where a client counts on it."""
    return call.frame.is_precompile and call.frame.kind in ("CALL", "STATICCALL")


def _show(call: Call, address: list[int], subtraces: int, parity_errors: bool) -> dict[str, Any]:
    outcome = call.outcome
    assert outcome is not None
    kind, action, result = _parts(call, outcome)
    shown: dict[str, Any] = {
        "action": action,
        "subtraces": subtraces,
        "traceAddress": address,
        "type": kind,
    }
    if outcome.error is not None:
        shown["error"] = parity_error(outcome.error) if parity_errors else outcome.error
    if result is not None and (outcome.error is None or outcome.reverted):
        shown["result"] = result
    elif parity_errors:
        shown["result"] = None
    return shown


def _parts(call: Call, outcome: Outcome) -> tuple[str, dict[str, Any], dict[str, Any] | None]:
    frame = call.frame
    if frame.kind == "SELFDESTRUCT":
        action = {
            "address": to_hex(frame.sender),
            "balance": hex(frame.value),
            "refundAddress": to_hex(frame.to),
        }
        return "suicide", action, None
    action = {"from": to_hex(frame.sender), "gas": hex(frame.gas)}
    used, output = hex(outcome.gas_used), to_hex(outcome.output)
    if frame.kind.startswith("CREATE"):
        action.update(init=to_hex(frame.data), value=hex(frame.value))
        action["creationMethod"] = frame.kind.lower()
        result = {"code": output, "gasUsed": used}
        if outcome.error is None:
            result["address"] = to_hex(frame.to)
        return "create", action, result
    value = 0 if frame.kind == "STATICCALL" else frame.value
    action.update(to=to_hex(frame.to), input=to_hex(frame.data), value=hex(value))
    action["callType"] = frame.kind.lower()
    return "call", action, {"gasUsed": used, "output": output}


def parity_error(error: str) -> str:
    """geth's words for a failure in OpenEthereum's."""
    for prefix, words in _PARITY_PREFIXES:
        if error.startswith(prefix):
            return words
    return _PARITY_WORDS.get(error, error)
