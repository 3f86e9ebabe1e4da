"""One block, opcode by opcode: what each adds to the segment, to the stack and to the text."""

from collections.abc import Callable, Sequence
from typing import Final

from dst.execution.evm.opcode_table import EXPRESSIONS, STATEMENTS
from dst.execution.evm.program import Program
from dst.execution.evm.translation.lines import Lines
from dst.execution.evm.translation.memory import Memory
from dst.execution.evm.translation.segment import AHEAD, Segment
from dst.execution.evm.translation.stack import Stack
from dst.execution.evm.translation.values import is_known

HALTED: Final = -1
"""STOP or RETURN."""

MAX_OPCODES: Final = 256
"""Of a block. At 10 to 20 us to translate an opcode: 5 ms."""
MAX_SOURCE_CHARACTERS: Final = 24_000
"""Of a block; ways out with many values on the stack are long. It is what `compile` takes 5 ms for.
"""

_STOP, _JUMP, _JUMPI, _PC, _JUMPDEST = 0x00, 0x56, 0x57, 0x58, 0x5B
_POP, _MLOAD, _MSTORE, _MSTORE8 = 0x50, 0x51, 0x52, 0x53
_PUSH0, _PUSH32, _DUP1, _DUP16, _SWAP1, _SWAP16 = 0x5F, 0x7F, 0x80, 0x8F, 0x90, 0x9F
_RETURN, _REVERT = 0xF3, 0xFD

_DESTINATIONS: Final = "c.code.program.destinations"

INLINE: Final = frozenset(
    {
        *EXPRESSIONS,
        *STATEMENTS,
        *(_POP, _MLOAD, _MSTORE, _MSTORE8, _JUMPDEST, _PUSH0),
        *range(_DUP1, _SWAP16 + 1),
    }
)
"""Opcodes that are the same alone and in a block."""


class BlockWriter:
    """Writes the block that begins at `start`, or one opcode alone; once."""

    def __init__(self, program: Program, start: int) -> None:
        self._program, self._start = program, start
        self._position = start
        self._lines = Lines()
        self._stack = Stack(self._lines)
        self._memory = Memory(self._lines)
        self._visited: set[int] = set()
        """JUMPDESTs that the block has passed."""
        self._segment = Segment(self._lines, self._stack, start)

    def source(self) -> str:
        """The block's Python."""
        code = self._program.code
        position = self._start
        for _ in range(MAX_OPCODES):
            if self._lines.length > MAX_SOURCE_CHARACTERS:
                break
            opcode = code[position] if position < len(code) else _STOP
            following = self._write(opcode, position)
            if following is None:
                return self._lines.source()
            position = following
        self._leave(str(position))
        return self._lines.source()

    def source_of_one(self) -> str:
        """The first opcode's as a handler: it raises where a block would leave."""
        self._write(self._program.code[0], 0)
        self._segment.end(failing=True)
        self._lines.emit(*self._stack.flush(), "c.gas_left = gas", "return")
        return (
            self._lines.source()
            .replace("def block(c)", "def block(computation)", 1)
            .replace("\n", "\n  c = computation\n", 1)
        )

    def _write(self, opcode: int, position: int) -> int | None:
        """Returns where the block goes on, None when it ends."""
        self._position = position
        following = position + 1
        if expression := EXPRESSIONS.get(opcode):
            self._segment.gas += expression.gas
            operands = [self._stack.pop() for _ in range(expression.operands)]
            self._stack.push_new(self._lines.using(expression.python).format(*operands))
        elif statements := STATEMENTS.get(opcode):
            self._write_statements(statements.gas, statements.operands, statements.pushes,
                                   statements.python)  # fmt: skip
        elif _PUSH0 <= opcode <= _PUSH32:
            following += self._write_push(opcode - _PUSH0, following)
        elif _DUP1 <= opcode <= _DUP16:
            self._segment.gas += 3
            self._stack.push(self._stack.peek(opcode - _DUP1 + 1))
        elif _SWAP1 <= opcode <= _SWAP16:
            self._segment.gas += 3
            self._stack.swap(opcode - _SWAP1 + 1)
        elif opcode in _WRITERS:
            return _WRITERS[opcode](self)
        else:
            return self._write_handler(opcode)
        return following

    def _leave(self, to: str) -> None:
        """End the block: go on at `to`."""
        self._segment.end()
        self._lines.emit(*self._stack.flush(), "c.gas_left = gas", f"return {to}")

    def _go_on(self) -> int:
        """In a new segment, behind the opcode that ended the last one."""
        following = self._position + 1
        self._segment = Segment(self._lines, self._stack, following)
        return following

    # values

    def _write_statements(
        self, gas: int, operands: int, pushes: bool, python: Sequence[str]
    ) -> None:
        self._segment.gas += gas
        taken = [self._stack.pop() for _ in range(operands)]
        name = self._lines.name() if pushes else ""
        for line in python:
            self._segment.emit(self._lines.using(line).format(*taken, t=name, ahead=AHEAD))
        if pushes:
            self._stack.push(name)

    def _write_push(self, size: int, at: int) -> int:
        self._segment.gas += 3 if size else 2
        data = self._program.code[at : at + size].ljust(size, b"\0")
        self._stack.push(hex(int.from_bytes(data, "big")))
        return size

    def _write_pop(self) -> int:
        self._segment.gas += 2
        self._stack.drop()
        return self._position + 1

    def _write_pc(self) -> int:
        self._segment.gas += 2
        self._stack.push(hex(self._position))
        return self._position + 1

    # memory

    def _write_mload(self) -> int:
        self._segment.gas += 3
        self._stack.push_new(self._memory.word(self._stack.pop()))
        return self._position + 1

    def _write_mstore(self) -> int:
        self._segment.gas += 3
        at, value = self._stack.pop(), self._stack.pop()
        self._memory.write_word(at, value)
        return self._position + 1

    def _write_mstore8(self) -> int:
        self._segment.gas += 3
        at, value = self._stack.pop(), self._stack.pop()
        self._memory.write_byte(at, value)
        return self._position + 1

    # jumps

    def _write_jumpdest(self) -> int | None:
        if self._position in self._visited:
            self._leave(str(self._position))
            return None
        self._visited.add(self._position)
        self._segment.gas += 1
        return self._position + 1

    def _write_jump(self) -> int | None:
        self._segment.gas += 8
        to = self._stack.pop()
        if not is_known(to):
            self._lines.emit(f"if {to} not in {_DESTINATIONS}: raise BadJump('JUMP')")
            self._leave(to)
            return None
        destination = int(to, 16)
        if not self._is_destination(destination):
            self._segment.end()
            self._lines.emit("raise BadJump('JUMP')")
            return None
        if destination not in self._visited:
            return destination
        if destination == self._start:
            self._segment.end()
            self._lines.emit(*self._stack.flush(), *self._around())
        else:
            self._leave(str(destination))
        return None

    def _write_jumpi(self) -> int:
        self._segment.gas += 10
        to, condition = self._stack.pop(), self._stack.pop()
        self._segment.end()
        exits = self._stack.flush()
        if not is_known(to):
            exits = [f"if {to} not in {_DESTINATIONS}: raise BadJump('JUMPI')", *exits]
            exits += ["c.gas_left = gas", f"return {to}"]
        elif not self._is_destination(int(to, 16)):
            exits = ["raise BadJump('JUMPI')"]
        elif int(to, 16) == self._start:
            exits += self._around()
        else:
            exits += ["c.gas_left = gas", f"return {int(to, 16)}"]
        self._lines.emit(f"if {condition}:", *[f"  {line}" for line in exits])
        return self._go_on()

    def _around(self) -> list[str]:
        """Back to the block's beginning, the stack written back."""
        return [
            f"if gas < c.check_at: c.gas_left = gas; return {self._start}",
            "continue",
        ]

    def _is_destination(self, position: int) -> bool:
        return position in self._program.destinations

    # ends and ways out

    def _write_stop(self) -> None:
        self._segment.end()
        self._lines.emit("c.gas_left = gas", f"return {HALTED}")

    def _write_return(self) -> None:
        self._write_output()
        self._lines.emit(f"return {HALTED}")

    def _write_revert(self) -> None:
        self._write_output()
        self._lines.emit("raise Revert(c._output)")

    def _write_output(self) -> None:
        at, size = self._stack.pop(), self._stack.pop()
        self._segment.end()
        self._lines.emit(
            "c.gas_left = gas",
            f"c.extend_memory({at}, {size})",
            f"c._output = c.memory_read_bytes({at}, {size})",
        )

    def _write_handler(self, opcode: int) -> int | None:
        self._segment.end()
        self._lines.emit(
            *self._stack.flush(),
            "c.gas_left = gas",
            f"c.code.program_counter = {self._position + 1}",
            f"c._handlers[{opcode}](c)",
        )
        if opcode not in _RETURNING:
            self._lines.emit(f"return {HALTED}")  # not reached: it raises
            return None
        self._lines.emit("gas = c.gas_left")
        self._stack.forget()
        return self._go_on()


_RETURNING: Final = frozenset({0xF0, 0xF1, 0xF2, 0xF4, 0xF5, 0xFA})
"""Creations and calls. Any other that has no writer raises."""

_WRITERS: Final[dict[int, Callable[[BlockWriter], int | None]]] = {
    _STOP: BlockWriter._write_stop,
    _POP: BlockWriter._write_pop,
    _MLOAD: BlockWriter._write_mload,
    _MSTORE: BlockWriter._write_mstore,
    _MSTORE8: BlockWriter._write_mstore8,
    _JUMP: BlockWriter._write_jump,
    _JUMPI: BlockWriter._write_jumpi,
    _PC: BlockWriter._write_pc,
    _JUMPDEST: BlockWriter._write_jumpdest,
    _RETURN: BlockWriter._write_return,
    _REVERT: BlockWriter._write_revert,
}
