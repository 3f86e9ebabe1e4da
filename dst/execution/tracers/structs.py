"""The struct logger: every opcode with stack, memory and storage.

Source: execution-apis, `src/schemas/opcode-tracer.yaml`; geth for what is counted as cost.
"""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from dst.apis.eth import show_word
from dst.execution.evm import opcodes
from dst.execution.evm.tracer import Frame, Outcome, Step
from dst.execution.receipts import Receipt
from dst.execution.tracers.base import Budget, ClientTracer
from dst.spec.primitives import Address, to_hex

_WORD: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class StructConfig:
    """`limit` 0: every step, as far as the answer may grow."""

    stack: bool = True
    storage: bool = True
    memory: bool = False
    return_data: bool = False
    limit: int = 0


class StructTracer(ClientTracer):
    """Keeps each step as its JSON bytes: what it holds is what will be sent."""

    watched = opcodes.EVERY

    def __init__(self, budget: Budget, config: StructConfig) -> None:
        self._budget, self._config = budget, config
        self._steps: list[bytes] = []
        self._pending: dict[str, Any] | None = None
        """The step that runs."""
        self._slot: int | None = None
        self._storage: dict[Address, dict[str, str]] = {}
        self._outcome = Outcome()
        self._gas_used = 0

    def step(self, step: Step) -> None:
        self._pending = None
        config = self._config
        if config.limit and len(self._steps) >= config.limit:
            return
        shown: dict[str, Any] = {"pc": step.pc, "op": step.name, "gas": step.gas}
        shown.update(gasCost=0, depth=step.depth)
        if config.stack:
            shown["stack"] = [hex(each) for each in step.stack()]
        if config.memory and (memory := step.memory()):
            shown["memory"] = _words(memory)
        if config.return_data and step.return_data:
            shown["returnData"] = to_hex(step.return_data)
        if config.storage and step.opcode in opcodes.SLOTS:
            arguments = step.top(2)
            self._slot = arguments[0] if arguments else None
            if step.opcode == opcodes.SSTORE and len(arguments) == 2:
                self._remember(step, arguments[0], arguments[1])
        self._pending = shown

    def stepped(self, step: Step) -> None:
        shown, self._pending = self._pending, None
        if shown is None:
            return
        shown["gasCost"], shown["refund"] = step.cost, step.refund
        if step.failed_early:
            shown["error"] = step.error
        if self._config.storage and step.opcode in opcodes.SLOTS and self._slot is not None:
            if step.opcode == opcodes.SLOAD and step.error is None:
                self._remember(step, self._slot, step.top(1)[0])
            shown["storage"] = self._storage.get(step.address, {})
        encoded = msgspec.json.encode(shown)
        self._budget.spend(len(encoded) + 1)
        self._steps.append(encoded)

    def leave(self, frame: Frame, outcome: Outcome) -> None:
        if frame.depth == 0:
            self._outcome = outcome

    def end(self, receipt: Receipt) -> None:
        self._gas_used = receipt.gas_used

    def result(self) -> dict[str, Any]:
        return {
            "gas": self._gas_used,
            "failed": self._outcome.error is not None,
            "returnValue": to_hex(self._outcome.output),
            "structLogs": msgspec.Raw(b"[" + b",".join(self._steps) + b"]"),
        }

    def _remember(self, step: Step, slot: int, value: int) -> None:
        known = self._storage.setdefault(step.address, {})
        known[show_word(slot)] = show_word(value)


def _words(memory: bytes) -> list[str]:
    return [to_hex(memory[at : at + _WORD]) for at in range(0, len(memory), _WORD)]
