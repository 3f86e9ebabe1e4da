"""`vmTrace`: every opcode with what it pushed, wrote to memory and stored, code within code.

Source: OpenEthereum, `executive_tracer.rs` and the interpreter's `mem_written`, in the JSON of its
`trace_` module (`used` is the gas that is left); `op` as erigon and reth have it.
"""

from typing import Any, Final

import msgspec

from dst.execution.evm import opcodes
from dst.execution.evm.tracer import Frame, Outcome, Step
from dst.execution.tracers.base import Budget, ClientTracer
from dst.spec.primitives import to_hex

_MLOAD, _MSTORE, _MSTORE8, _MCOPY = 0x51, 0x52, 0x53, 0x5E
_DUP1, _DUP16, _SWAP1, _SWAP16 = 0x80, 0x8F, 0x90, 0x9F
_REVERT: Final = 0xFD

PUSHES_NOTHING: Final = frozenset(
    {
        *(0x00, 0x50, _MSTORE, _MSTORE8, opcodes.SSTORE, 0x56, 0x57, 0x5B, 0x5D),
        *(0x37, 0x39, 0x3C, 0x3E, _MCOPY),
        *opcodes.LOGS,
        *(0xF3, _REVERT, 0xFE, opcodes.SELFDESTRUCT),
    }
)
_FIXED_SIZE: Final = {_MLOAD: 32, _MSTORE: 32, _MSTORE8: 1}
_WHERE_WRITTEN: Final = {
    **dict.fromkeys((0x37, 0x39, 0x3E, _MCOPY), (0, 2)),
    opcodes.EXTCODECOPY: (1, 3),
    **dict.fromkeys((opcodes.CALL, opcodes.CALLCODE), (5, 6)),
    **dict.fromkeys((opcodes.DELEGATECALL, opcodes.STATICCALL), (4, 5)),
}
"""Depths at which the stack says where an opcode writes to memory, and how much."""

_NO_CODE: Final = b'{"code":"0x","ops":[]}'


class _Operation:
    """An opcode that has begun."""

    __slots__ = ("has_sub", "memory", "step", "store")

    def __init__(self, step: Step) -> None:
        self.step = step
        self.memory = _memory_written(step)
        self.store = step.top(2) if step.opcode == opcodes.SSTORE else None
        self.has_sub = False


class _Code:
    """A frame's code as it runs."""

    __slots__ = ("now", "operations", "size", "waiting")

    def __init__(self) -> None:
        self.size: int | None = None
        """None until the first opcode."""
        self.operations = 0
        self.now: _Operation | None = None
        self.waiting: _Operation | None = None
        """A call or creation whose frame runs: what it did shows when that is over."""


class VmTracer(ClientTracer):
    """Writes JSON as it comes, in the order of the document: what is nested is never copied."""

    watched = opcodes.EVERY

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._parts: list[bytes] = []
        self._frames: list[_Code] = []

    def enter(self, frame: Frame) -> None:
        self._frames.append(_Code())

    def step(self, step: Step) -> None:
        code = self._frames[-1]
        self._close_call(code)
        if code.size is None:
            self._open_code(code, bytes(step.computation.msg.code))
        assert code.size is not None
        code.now = _Operation(step) if step.pc < code.size else None  # behind the end: no opcode

    def stepped(self, step: Step) -> None:
        code = self._frames[-1]
        operation, code.now = code.now, None
        if operation is None:
            return
        head = b"," if code.operations else b""
        code.operations += 1
        head += b'{"pc":%d,"op":"%s","cost":%d,"sub":' % (step.pc, step.name.encode(), step.cost)
        self._write(head)
        if step.entered:
            code.waiting = operation
        else:
            self._write(b"null")
            self._write_what_it_did(operation)

    def leave(self, frame: Frame, outcome: Outcome) -> None:
        code = self._frames.pop()
        self._close_call(code)
        if code.size is None:
            return
        self._write(b"]}")
        if self._frames and (call := self._frames[-1].waiting) is not None:
            call.has_sub = True

    def result(self) -> Any:
        return msgspec.Raw(b"".join(self._parts) or _NO_CODE)

    def _open_code(self, code: _Code, text: bytes) -> None:
        code.size = len(text)
        self._write(b'{"code":"%s","ops":[' % to_hex(text).encode())

    def _close_call(self, code: _Code) -> None:
        operation, code.waiting = code.waiting, None
        if operation is not None:
            if not operation.has_sub:
                self._write(b"null")
            self._write_what_it_did(operation)

    def _write_what_it_did(self, operation: _Operation) -> None:
        did = msgspec.json.encode(_what_it_did(operation))
        self._write(b',"ex":%s}' % did)

    def _write(self, part: bytes) -> None:
        self._budget.spend(len(part))
        self._parts.append(part)


def _what_it_did(operation: _Operation) -> dict[str, Any] | None:
    """None for an opcode that halted its frame exceptionally."""
    step = operation.step
    if step.error is not None and step.opcode != _REVERT:
        return None
    shown: dict[str, Any] = {"mem": None, "push": _pushed(step), "store": None}
    if operation.memory is not None:
        start, size = operation.memory
        shown["mem"] = {"off": start, "data": to_hex(step.memory_at(start, size))}
    if operation.store is not None:
        key, value = operation.store
        shown["store"] = {"key": hex(key), "val": hex(value)}
    return {**shown, "used": step.computation.gas_left}


def _pushed(step: Step) -> list[str]:
    """Bottom first; DUP and SWAP push all that they reach."""
    opcode = step.opcode
    if _DUP1 <= opcode <= _DUP16:
        count = opcode - _DUP1 + 2
    elif _SWAP1 <= opcode <= _SWAP16:
        count = opcode - _SWAP1 + 2
    else:
        count = 0 if opcode in PUSHES_NOTHING else 1
    return [hex(each) for each in reversed(step.top(count))] if count else []


def _memory_written(step: Step) -> tuple[int, int] | None:
    """(start, size) of the memory that the opcode is about to write, or to reach by reading."""
    fixed = _FIXED_SIZE.get(step.opcode)
    where = (0, 0) if fixed else _WHERE_WRITTEN.get(step.opcode)
    if where is None:
        return None
    stack = step.top(max(where) + 1)
    if len(stack) <= max(where):
        return None  # it will fail
    size = fixed or stack[where[1]]
    return (stack[where[0]], size) if size else None
