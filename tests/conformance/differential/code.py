"""Programs as trees that can be assembled, printed and made smaller.

An expression leaves one word on the stack, a statement none, so that any statement can be dropped
and what is left still runs. Where a value matters it is mixed into the word at memory 0, which a
program's end puts into storage and logs: one bit that differs anywhere becomes another state.
"""

from dataclasses import dataclass
from typing import TypeAlias

WORD = 2**256
_PUSH0, _PUSH1, _PUSH2 = 0x5F, 0x60, 0x61


@dataclass(frozen=True, slots=True)
class Const:
    value: int


@dataclass(frozen=True, slots=True)
class Apply:
    """An opcode over its arguments, the first on top."""

    opcode: int
    arguments: tuple["Expression", ...] = ()


Expression: TypeAlias = "Const | Apply"


@dataclass(frozen=True, slots=True)
class Do:
    """An opcode that leaves nothing."""

    opcode: int
    arguments: tuple[Expression, ...] = ()


@dataclass(frozen=True, slots=True)
class Mix:
    """Fold a value into the word at memory 0."""

    value: Expression


@dataclass(frozen=True, slots=True)
class Loop:
    count: int
    body: tuple["Statement", ...]


@dataclass(frozen=True, slots=True)
class When:
    condition: Expression
    body: tuple["Statement", ...]


@dataclass(frozen=True, slots=True)
class Shuffle:
    """Push the values, then DUP and SWAP among them, then mix every word that is there."""

    values: tuple[int, ...]
    moves: tuple[int, ...]
    """Opcodes 0x80 to 0x9f within the depth that is there."""


@dataclass(frozen=True, slots=True)
class Put:
    """Copy bytes, or an assembled program, into memory (they stand behind the code)."""

    at: int
    content: "bytes | Program"


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes as they are: what no compiler writes."""

    code: bytes


Statement: TypeAlias = "Do | Mix | Loop | When | Shuffle | Put | Raw"


@dataclass(frozen=True, slots=True)
class Program:
    body: tuple[Statement, ...]
    keep: bool = True
    """Put what was mixed into storage and a log before the end."""
    end: bytes = b"\x00"


def push(value: int) -> bytes:
    if value == 0:
        return bytes((_PUSH0,))
    data = (value % WORD).to_bytes(((value % WORD).bit_length() + 7) // 8, "big")
    return bytes((_PUSH0 + len(data),)) + data


def assemble(program: Program) -> bytes:
    """Bytes, with the data of `Put` behind them."""
    assembler = _Assembler()
    for statement in program.body:
        assembler.statement(statement)
    if program.keep:
        assembler.out += bytes.fromhex("5f51 5a 55".replace(" ", ""))  # storage[gas] = word 0
        assembler.out += bytes.fromhex("60205fa0")
    assembler.out += program.end
    return assembler.finished()


MIX = bytes.fromhex("5f5163010001010201 5f52".replace(" ", ""))
"""word 0 := word 0 * 0x01000101 + the value on the stack."""


class _Assembler:
    def __init__(self) -> None:
        self.out = bytearray()
        self._data: list[tuple[int, bytes]] = []
        """(position of the two-byte offset, content)."""

    def finished(self) -> bytes:
        for position, content in self._data:
            self.out[position : position + 2] = (len(self.out) % 65_536).to_bytes(2, "big")
            self.out += content
        return bytes(self.out)

    def statement(self, node: Statement) -> None:
        match node:
            case Do(opcode, arguments):
                self._operands(arguments)
                self.out.append(opcode)
            case Mix(value):
                self._expression(value)
                self.out += MIX
            case Loop(count, body):
                self._loop(count, body)
            case When(condition, body):
                self._when(condition, body)
            case Shuffle(values, moves):
                self._shuffle(values, moves)
            case Put(at, content):
                self._put(at, content)
            case Raw(code):
                self.out += code

    def _expression(self, node: Expression) -> None:
        if isinstance(node, Const):
            self.out += push(node.value)
        else:
            self._operands(node.arguments)
            self.out.append(node.opcode)

    def _operands(self, arguments: tuple[Expression, ...]) -> None:
        for argument in reversed(arguments):
            self._expression(argument)

    def _loop(self, count: int, body: tuple[Statement, ...]) -> None:
        self.out += push(count)
        start = len(self.out)
        self.out.append(0x5B)
        for each in body:
            self.statement(each)
        self.out += bytes.fromhex("6001900380") + self._target(start) + b"\x57\x50"

    def _when(self, condition: Expression, body: tuple[Statement, ...]) -> None:
        self._expression(condition)
        self.out += b"\x15"  # jump over the body when it is zero
        hole = len(self.out) + 1
        self.out += self._target(0) + b"\x57"
        for each in body:
            self.statement(each)
        self.out[hole : hole + 2] = len(self.out).to_bytes(2, "big")
        self.out.append(0x5B)

    def _shuffle(self, values: tuple[int, ...], moves: tuple[int, ...]) -> None:
        depth = 0
        for value in values:
            self.out += push(value)
            depth += 1
        for move in moves:
            needed = move - 0x7F if move < 0x90 else move - 0x8E
            if needed <= depth:
                self.out.append(move)
                depth += move < 0x90
        self.out += MIX * depth

    def _put(self, at: int, content: bytes | Program) -> None:
        data = assemble(content) if isinstance(content, Program) else content
        self.out += push(len(data)) + self._target(0)
        self._data.append((len(self.out) - 2, data))
        self.out += push(at) + b"\x39"

    @staticmethod
    def _target(position: int) -> bytes:
        return bytes((_PUSH2,)) + position.to_bytes(2, "big")
