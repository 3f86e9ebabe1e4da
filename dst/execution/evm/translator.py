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
   as after the opcodes before it. The stack is written back (`flush`) only there.
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

from collections.abc import Callable
from types import CodeType
from typing import Any, Final, TypeAlias

from eth.exceptions import FullStack, InsufficientStack, InvalidJumpDestination, OutOfGas, Revert

from dst.execution.evm import operations
from dst.execution.evm.program import Block, Program, program_at
from dst.execution.evm.translation.block import BlockWriter

Computation: TypeAlias = Any
Handler: TypeAlias = Callable[[Computation], object]

BYTES_OF_A_BLOCK: Final = 1_000
BYTES_PER_CHARACTER: Final = 3
"""Estimate of what a block holds in memory, by the length of its source."""

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


def translate(program: Program, start: int) -> tuple[Block, int]:
    """The block of `program` that begins at `start`, and about how many bytes it holds."""
    source = source_of(program, start)
    return _function(source), BYTES_OF_A_BLOCK + BYTES_PER_CHARACTER * len(source)


def source_of(program: Program, start: int) -> str:
    """The block's Python, to be read by whoever wants to know what happens."""
    return BlockWriter(program, start).source()


def handler_of(opcode: int) -> Handler:
    """One opcode as a function that charges, acts and fails as the opcode does: the same table, so
    that what is cold and what is translated cannot differ."""
    program = Program(bytes((opcode,)))
    return _function(BlockWriter(program, 0).source_of_one())


def _function(source: str) -> Callable[[Computation], Any]:
    code: CodeType = compile(source, "<evm block>", "exec", dont_inherit=True)
    made: dict[str, Any] = {}
    exec(code, _NAMES, made)  # our own text: opcodes choose among fixed lines, data come as numbers
    function: Callable[[Computation], Any] = made["block"]
    return function
