"""The loop that runs code: block by block where it is translated, opcode by opcode where it is not.

Time. The interrupt is asked at least every `GAS_BETWEEN_CHECKS`, here between blocks and by blocks
that loop (`check_at`). Gas bounds time well: the slowest plain opcodes take 0.3 us for each unit of
it. What takes longer for its gas (bytes, disk, children) asks on its own.

Heat. A block is translated when it has begun `hot_runs` times without. Translating an opcode costs
what running it by its handler costs ten to twenty times, so whatever code does (loops of init code,
code that is never the same twice), translation adds at most half to its time and mostly saves it.
"""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from eth.exceptions import Halt

from dst.execution.environment import Interrupt
from dst.execution.evm.program import MAX_PROGRAM_BYTES
from dst.execution.evm.translation.block import HALTED
from dst.execution.evm.translator import Handler, translate

Computation: TypeAlias = Any

GAS_BETWEEN_CHECKS: Final = 10_000
HOT_RUNS: Final = 50
OPCODES_OF_A_COLD_BLOCK: Final = 256

_STOP, _JUMP = 0x00, 0x56


def run(computation: Computation, interrupt: Interrupt, hot_runs: int | None) -> None:
    """Run the code to its halt. `hot_runs` None: by the handlers alone. Raises: VMError, an
    exceptional halt; ExecutionAborted."""
    program = computation.code.program
    blocks = program.blocks if hot_runs is not None else _NO_BLOCKS
    position = 0
    computation.check_at = computation.gas_left - GAS_BETWEEN_CHECKS
    try:
        while position >= 0:
            block = blocks.get(position)
            if block is not None:
                position = block(computation)
            elif hot_runs is None or _is_cold(program, position, hot_runs):
                position = _run_cold(computation, position)
            else:
                program.add_block(position, *translate(program, position))
                interrupt()
            if computation.gas_left < computation.check_at:
                interrupt()
                computation.check_at = computation.gas_left - GAS_BETWEEN_CHECKS
        if position != HALTED:
            _run_to_the_end(computation, -2 - position)
    except Halt:
        pass


def _is_cold(program: Any, position: int, hot_runs: int) -> bool:
    """Counts."""
    heat = program.heat
    runs: int = heat.get(position, 0)
    heat[position] = runs + 1
    return runs < hot_runs or program.size > MAX_PROGRAM_BYTES


def _run_cold(computation: Computation, position: int) -> int:
    """By the handlers, to the next jump or so; where to go on. Raises: Halt at STOP and RETURN."""
    code = computation.code
    opcodes = code.program.code
    end = len(opcodes)
    handlers: Sequence[Handler] = computation._handlers
    for _ in range(OPCODES_OF_A_COLD_BLOCK):
        opcode = opcodes[position] if position < end else _STOP
        code.program_counter = position + 1
        handlers[opcode](computation)
        position = code.program_counter
        if opcode & 0xFE == _JUMP:  # or JUMPI
            break
    return position


def _run_to_the_end(computation: Computation, position: int) -> None:
    """A block found that its opcodes from here on must fail; the handlers know how."""
    while True:
        position = _run_cold(computation, position)


_NO_BLOCKS: Final[dict[int, Any]] = {}
