"""EVM bytecode to Python functions: a block of opcodes becomes one function of the computation.

Why: py-evm's loop spends a microsecond an opcode on calls; a translated opcode costs what its
Python costs, about 50 ns. Constants, the stack and gas become locals; everything that makes a child
or ends strangely calls the handler of its opcode.

A *block* begins anywhere and goes straight on: past JUMPDESTs, past JUMPIs (whose jump is a way out
of the block) and through jumps whose destination is known, until a jump that is not known or closes
a loop, a halt, or a limit of size. So blocks overlap; each is made when its beginning has been hot
(`interpreter`), takes milliseconds at most to make, and cannot cost much more than running its
opcodes has cost already.

What a block function returns: the position where to go on; `HALTED`; or `-2 - position`, "run the
handlers from there": then an exceptional halt is certain, and the handlers find out which.

Invariants, by which a block is the same as its opcodes one by one:

1. *Way out.* When the function returns or calls a handler, stack, memory, gas and state are exactly
   as after the opcodes before it. The stack is written back (`_flush`) only there.
2. *Segment.* Between ways out, gas of fixed price is charged in advance, and the stack is checked
   against its deepest and highest point in advance. A segment that cannot pay or stand its whole
   length has changed nothing yet and leaves it to the handlers. One that can, runs to its end, or
   to an exceptional halt of one of its opcodes.
3. *Halts.* An exceptional halt inside of a segment burns all gas and undoes all effects of the
   frame, so it cannot be told from another, earlier or later in the segment (only the words of the
   error may differ: two opcodes of one segment that both must fail). Hence effects may come after
   charges for opcodes that follow them. Nothing that survives an exceptional halt (a child's run,
   an interrupt that counts) happens inside of a segment.
4. *Gas that is seen.* GAS pushes, and SSTORE checks, what is left plus what was charged in advance
   (`{ahead}`). Children and memory see exact gas because they are ways out, or only ever compare it
   with more than the segment needs.
5. *Time.* A loop inside of a block leaves it when `check_at` is passed, so that the interrupt is
   asked; operations that may take long ask themselves.
"""

from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any, Final, TypeAlias

from eth.exceptions import FullStack, InsufficientStack, InvalidJumpDestination, OutOfGas, Revert

from dst.execution.evm import operations
from dst.execution.evm.opcode_table import EXPRESSIONS, STATEMENTS
from dst.execution.evm.program import Block, Program, program_at

Computation: TypeAlias = Any
Handler: TypeAlias = Callable[[Computation], object]

HALTED: Final = -1
"""STOP or RETURN."""

MAX_OPCODES: Final = 256
"""Of a block. At 10 to 20 us to translate an opcode: 5 ms."""
MAX_SOURCE_CHARACTERS: Final = 24_000
"""Of a block; ways out with many values on the stack are long. It is what `compile` takes 5 ms for.
"""
BYTES_OF_A_BLOCK: Final = 1_000
BYTES_PER_CHARACTER: Final = 3
"""Estimate of what a block holds in memory, by the length of its source."""

STACK_LIMIT: Final = 1_024
_WORD: Final = 32

_STOP, _JUMP, _JUMPI, _PC, _JUMPDEST = 0x00, 0x56, 0x57, 0x58, 0x5B
_POP, _MLOAD, _MSTORE, _MSTORE8 = 0x50, 0x51, 0x52, 0x53
_PUSH0, _PUSH32, _DUP1, _DUP16, _SWAP1, _SWAP16 = 0x5F, 0x7F, 0x80, 0x8F, 0x90, 0x9F
_RETURN, _REVERT, _INVALID, _SELFDESTRUCT = 0xF3, 0xFD, 0xFE, 0xFF

_NAMES: Final[dict[str, Any]] = {
    **{name: getattr(operations, name) for name in dir(operations) if not name.startswith("_")},
    "M": operations.MAX,
    "integer": int.from_bytes,
    "program_at": program_at,
    "OutOfGas": OutOfGas,
    "FullStack": FullStack,
    "InsufficientStack": InsufficientStack,
    "BadJump": InvalidJumpDestination,
    "Revert": Revert,
}
"""What the written code may name beside its locals."""

_DESTINATIONS: Final = "c.code.program.destinations"

_PRELUDES: Final = {
    "A": "A = c.msg.storage_address",
    "D": "D = c.msg.data",
    "X": "X = c.state.execution_context",
    "mem": "mem = c.memory",
    "V": "V = c.accounts.slots",
    "W": "W = c.accounts.warm",
}
"""Locals that hold through a block, made when an opcode in it needs them."""


def translate(program: Program, start: int) -> tuple[Block, int]:
    """The block of `program` that begins at `start`, and about how many bytes it holds."""
    source = source_of(program, start)
    return _function(source), BYTES_OF_A_BLOCK + BYTES_PER_CHARACTER * len(source)


def source_of(program: Program, start: int) -> str:
    """The block's Python, to be read by whoever wants to know what happens."""
    writer = _Writer(program, start)
    writer.write()
    return writer.source()


def handler_of(opcode: int) -> Handler:
    """One opcode as a function that charges, acts and fails as the opcode does: the same table, so
    that what is cold and what is translated cannot differ."""
    writer = _Writer(Program(bytes((opcode,))), 0)
    return _function(writer.source_of_one())


INLINE: Final = frozenset(
    {
        *EXPRESSIONS,
        *STATEMENTS,
        *(_POP, _MLOAD, _MSTORE, _MSTORE8, _JUMPDEST, _PUSH0),
        *range(_DUP1, _SWAP16 + 1),
    }
)
"""Opcodes that `handler_of` knows."""


def _function(source: str) -> Callable[[Computation], Any]:
    code: CodeType = compile(source, "<evm block>", "exec", dont_inherit=True)
    made: dict[str, Any] = {}
    exec(code, _NAMES, made)  # our own text: opcodes choose among fixed lines, data come as numbers
    function: Callable[[Computation], Any] = made["block"]
    return function


class _Writer:
    """Writes one block.

    The stack is in three parts: `S`, the computation's list, as it was at the last way out; of it
    the topmost `taken` items are used up; above what remains of it come the values in `values`.
    """

    def __init__(self, program: Program, start: int) -> None:
        self.program = program
        self.start = start
        self.lines: list[str] = []
        self.length = 0
        self.preludes: set[str] = set()
        self.names = 0
        self.values: list[str] = []
        self.taken = 0
        self.read: dict[int, str] = {}
        self.depth_known, self.height_known = 0, 0
        """What checks so far have shown: items that `S` has, and how far it may grow."""
        self.memory_known = 0
        """Bytes that the memory has at least."""
        self.visited: set[int] = set()
        """JUMPDESTs that the block has passed."""
        self.segment_depth = self.segment_height = 0
        self._begin_segment(start)

    # the whole

    def write(self) -> None:
        code = self.program.code
        position = self.start
        for _ in range(MAX_OPCODES):
            if self.length > MAX_SOURCE_CHARACTERS:
                break
            opcode = code[position] if position < len(code) else _STOP
            following = self._write_opcode(opcode, position)
            if following is None:
                return
            position = following
        self._leave(str(position))

    def source(self) -> str:
        preludes = "".join(f"  {_PRELUDES[name]}\n" for name in sorted(self.preludes))
        body = "".join(f"    {line}\n" for line in self.lines if line)
        return (
            "def block(c):\n  S = c.stack\n  gas = c.gas_left\n"
            + preludes
            + "  while True:\n"
            + body
        )

    def source_of_one(self) -> str:
        opcode = self.program.code[0]
        self._write_opcode(opcode, 0)
        self._end_segment(failing=True)
        self._emit(*self._flush(), "c.gas_left = gas", "return")
        return (
            self.source()
            .replace("def block(c)", "def block(computation)", 1)
            .replace("\n", "\n  c = computation\n", 1)
        )

    def _write_opcode(self, opcode: int, position: int) -> int | None:
        """Returns where the block goes on, None when it ends."""
        self.position = position
        following = position + 1
        if expression := EXPRESSIONS.get(opcode):
            self.segment_gas += expression.gas
            self._push_new(self._fill(expression.python, expression.operands))
        elif statements := STATEMENTS.get(opcode):
            self._write_statements(statements.gas, statements.operands, statements.pushes,
                                   statements.python)  # fmt: skip
        elif _PUSH0 <= opcode <= _PUSH32:
            following += self._write_push(opcode - _PUSH0, following)
        elif _DUP1 <= opcode <= _DUP16:
            self.segment_gas += 3
            self._push(self._peek(opcode - _DUP1 + 1))
        elif _SWAP1 <= opcode <= _SWAP16:
            self._write_swap(opcode - _SWAP1 + 1)
        elif opcode in _WRITERS:
            return _WRITERS[opcode](self)
        else:
            return self._write_handler(opcode)
        return following

    # lines

    def _emit(self, *lines: str) -> None:
        self.lines.extend(lines)
        self.length += sum(map(len, lines))

    def _name(self) -> str:
        self.names += 1
        return f"t{self.names}"

    def _use(self, python: str) -> str:
        """Note which preludes a line needs."""
        for name in _PRELUDES:
            if name not in self.preludes and name in python:
                self.preludes.add(name)
        return python

    def _fill(self, python: str, operands: int) -> str:
        return self._use(python).format(*[self._pop() for _ in range(operands)])

    # the stack

    def _read(self, depth: int) -> str:
        """The item of `S` so deep, 1 the topmost."""
        name = self.read.get(depth)
        if name is None:
            name = self.read[depth] = self._name()
            self._need(depth)
            self._emit(f"{name} = S[-{depth}]")
        return name

    def _need(self, depth: int) -> None:
        self.segment_depth = max(self.segment_depth, depth)

    def _pop(self) -> str:
        if self.values:
            return self.values.pop()
        self.taken += 1
        return self._read(self.taken)

    def _push(self, value: str) -> None:
        self.values.append(value)
        self.segment_height = max(self.segment_height, len(self.values) - self.taken)

    def _push_new(self, python: str) -> None:
        name = self._name()
        self._emit(f"{name} = {python}")
        self._push(name)

    def _peek(self, depth: int) -> str:
        values = self.values
        if depth <= len(values):
            return values[-depth]
        return self._read(self.taken + depth - len(values))

    def _flush(self) -> list[str]:
        """Lines that make `S` the whole stack."""
        taken, kept = self.taken, 0
        while kept < len(self.values) and taken and self.values[kept] == self.read.get(taken):
            taken, kept = taken - 1, kept + 1  # where it was
        values = self.values[kept:]
        if not taken:
            if len(values) == 1:
                return [f"S.append({values[0]})"]
            return [f"S += ({', '.join(values)},)"] if values else []
        if not values:
            return [f"del S[-{taken}:]"]
        if taken == len(values) == 1:
            return [f"S[-1] = {values[0]}"]
        return [f"S[-{taken}:] = ({', '.join(values)},)"]

    def _forget_stack(self) -> None:
        """After a flush that the block goes on from."""
        self.values, self.taken, self.read = [], 0, {}
        self.depth_known, self.height_known = 0, 0

    # segments

    def _begin_segment(self, position: int) -> None:
        self.segment_position = position
        self.segment_gas = 0
        self.segment_depth = 0
        self.segment_height = 0
        self.segment_line = len(self.lines)
        self.segment_exit = self._flush()
        self.watchers: list[tuple[int, int]] = []
        """(line, gas charged up to and with its opcode) of each that says `{ahead}`."""
        self._emit("")

    def _end_segment(self, failing: bool = False) -> None:
        """Write the check at the segment's beginning. `failing`: raise there."""
        for line, so_far in self.watchers:
            self.lines[line] = self.lines[line].replace("{ahead}", str(self.segment_gas - so_far))
        gas, depth, height = self.segment_gas, self.segment_depth, self.segment_height
        checks = []
        if gas:
            checks.append((f"gas < {gas}", "OutOfGas('fixed price')"))
        if depth > self.depth_known:
            checks.append((f"len(S) < {depth}", "InsufficientStack('too few stack items')"))
            self.depth_known = depth
        if height > self.height_known:
            checks.append((f"len(S) > {STACK_LIMIT - height}", "FullStack('stack limit reached')"))
            self.height_known = height
        if failing:
            lines = [f"if {condition}: raise {error}" for condition, error in checks]
        elif checks:
            leave = "; ".join(
                [*self.segment_exit, "c.gas_left = gas", f"return {-2 - self.segment_position}"]
            )
            lines = [f"if {' or '.join(condition for condition, _ in checks)}: {leave}"]
        else:
            lines = []
        if gas:
            lines.append(f"gas -= {gas}")
        self.lines[self.segment_line] = "\n    ".join(lines)
        self.length += sum(map(len, lines))

    def _leave(self, to: str) -> None:
        """End the block: go on at `to`."""
        self._end_segment()
        self._emit(*self._flush(), "c.gas_left = gas", f"return {to}")

    # opcodes that are not in the table

    def _write_statements(
        self, gas: int, operands: int, pushes: bool, python: Sequence[str]
    ) -> None:
        self.segment_gas += gas
        taken = [self._pop() for _ in range(operands)]
        name = self._name() if pushes else ""
        for line in python:
            text = self._use(line).format(*taken, t=name, ahead="{ahead}")
            self._emit(text)
            if "{ahead}" in text:
                self.watchers.append((len(self.lines) - 1, self.segment_gas))
        if pushes:
            self._push(name)

    def _write_push(self, size: int, at: int) -> int:
        self.segment_gas += 3 if size else 2
        data = self.program.code[at : at + size].ljust(size, b"\0")
        self._push(hex(int.from_bytes(data, "big")))
        return size

    def _write_swap(self, depth: int) -> None:
        self.segment_gas += 3
        values = self.values
        while len(values) <= depth:
            self.taken += 1
            values.insert(0, self._read(self.taken))
        values[-1], values[-1 - depth] = values[-1 - depth], values[-1]

    def _write_pop(self) -> int:
        self.segment_gas += 2
        if self.values:
            self.values.pop()
        else:
            self.taken += 1
            self._need(self.taken)
        return self.position + 1

    def _write_pc(self) -> int:
        self.segment_gas += 2
        self._push(hex(self.position))
        return self.position + 1

    def _write_jumpdest(self) -> int | None:
        if self.position in self.visited:
            self._leave(str(self.position))
            return None
        self.visited.add(self.position)
        self.segment_gas += 1
        return self.position + 1

    def _write_mload(self) -> int:
        self.segment_gas += 3
        at = self._pop()
        self._reach_memory(at, _WORD)
        self._push_new(f"integer(mem[{at}:{_plus(at, _WORD)}])")
        return self.position + 1

    def _write_mstore(self) -> int:
        self.segment_gas += 3
        at, value = self._pop(), self._pop()
        self._reach_memory(at, _WORD)
        word = repr(int(value, 16).to_bytes(_WORD, "big")) if _known(value) else (
            f"{value}.to_bytes({_WORD}, 'big')"
        )  # fmt: skip
        self._emit(f"mem[{at}:{_plus(at, _WORD)}] = {word}")
        return self.position + 1

    def _write_mstore8(self) -> int:
        self.segment_gas += 3
        at, value = self._pop(), self._pop()
        self._reach_memory(at, 1)
        self._emit(f"mem[{at}] = {value} & 255")
        return self.position + 1

    def _reach_memory(self, at: str, size: int) -> None:
        self.preludes.add("mem")
        end = _plus(at, size)
        if _known(at):
            if int(end, 16) <= self.memory_known:
                return
            if int(end, 16) < 2**32:  # more cannot be paid
                self.memory_known = int(end, 16)
        self._emit(f"if {end} > len(mem): gas = expand(c, {end}, gas)")

    def _write_jump(self) -> int | None:
        self.segment_gas += 8
        to = self._pop()
        if not _known(to):
            self._emit(f"if {to} not in {_DESTINATIONS}: raise BadJump('JUMP')")
            self._leave(to)
            return None
        destination = int(to, 16)
        if not self._is_destination(destination):
            self._end_segment()
            self._emit("raise BadJump('JUMP')")
            return None
        if destination not in self.visited:
            return destination
        if destination == self.start:
            self._end_segment()
            self._emit(*self._flush(), *self._around())
        else:
            self._leave(str(destination))
        return None

    def _write_jumpi(self) -> int:
        self.segment_gas += 10
        to, condition = self._pop(), self._pop()
        self._end_segment()
        exits = self._flush()
        if not _known(to):
            exits = [f"if {to} not in {_DESTINATIONS}: raise BadJump('JUMPI')", *exits]
            exits += ["c.gas_left = gas", f"return {to}"]
        elif not self._is_destination(int(to, 16)):
            exits = ["raise BadJump('JUMPI')"]
        elif int(to, 16) == self.start:
            exits += self._around()
        else:
            exits += ["c.gas_left = gas", f"return {int(to, 16)}"]
        self._emit(f"if {condition}:", *[f"  {line}" for line in exits])
        self._begin_segment(self.position + 1)
        return self.position + 1

    def _around(self) -> list[str]:
        """Back to the block's beginning, the stack written back."""
        return [
            f"if gas < c.check_at: c.gas_left = gas; return {self.start}",
            "continue",
        ]

    def _is_destination(self, position: int) -> bool:
        return position in self.program.destinations

    def _write_stop(self) -> None:
        self._end_segment()
        self._emit("c.gas_left = gas", f"return {HALTED}")

    def _write_return(self) -> None:
        self._write_output()
        self._emit(f"return {HALTED}")

    def _write_revert(self) -> None:
        self._write_output()
        self._emit("raise Revert(c._output)")

    def _write_output(self) -> None:
        at, size = self._pop(), self._pop()
        self._end_segment()
        self._emit(
            "c.gas_left = gas",
            f"c.extend_memory({at}, {size})",
            f"c._output = c.memory_read_bytes({at}, {size})",
        )

    def _write_handler(self, opcode: int) -> int | None:
        self._end_segment()
        self._emit(
            *self._flush(),
            "c.gas_left = gas",
            f"c.code.program_counter = {self.position + 1}",
            f"c._handlers[{opcode}](c)",
        )
        if opcode not in _RETURNING:
            self._emit(f"return {HALTED}")  # not reached: it raises
            return None
        self._emit("gas = c.gas_left")
        self._forget_stack()
        self._begin_segment(self.position + 1)
        return self.position + 1


_RETURNING: Final = frozenset({0xF0, 0xF1, 0xF2, 0xF4, 0xF5, 0xFA})
"""Creations and calls. Any other that has no writer raises."""

_WRITERS: Final[dict[int, Callable[[_Writer], int | None]]] = {
    _STOP: _Writer._write_stop,
    _POP: _Writer._write_pop,
    _MLOAD: _Writer._write_mload,
    _MSTORE: _Writer._write_mstore,
    _MSTORE8: _Writer._write_mstore8,
    _JUMP: _Writer._write_jump,
    _JUMPI: _Writer._write_jumpi,
    _PC: _Writer._write_pc,
    _JUMPDEST: _Writer._write_jumpdest,
    _RETURN: _Writer._write_return,
    _REVERT: _Writer._write_revert,
}


def _known(value: str) -> bool:
    """Is it a number, not a name?"""
    return value[0] == "0"


def _plus(value: str, number: int) -> str:
    return hex(int(value, 16) + number) if _known(value) else f"{value} + {number}"
