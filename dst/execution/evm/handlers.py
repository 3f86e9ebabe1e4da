"""The opcodes by number: functions of a computation that charge, then act.

Those that `translator` writes inline are written by it here too, one by one, so that code runs the
same cold and translated. Calls and creations are ours (`calls`); the others are py-evm's, taken out
of the wrappers that py-evm puts around them to charge their fixed price.
"""

from typing import Any, Final

from eth.exceptions import InsufficientStack, InvalidJumpDestination, OutOfGas
from eth.vm.forks.prague.opcodes import PRAGUE_OPCODES
from eth.vm.logic.invalid import InvalidOpcode
from eth.vm.opcode import _FastOpcode

from dst.execution.evm import calls
from dst.execution.evm.translation.block import INLINE
from dst.execution.evm.translator import Computation, Handler, handler_of

PUSH1: Final = 0x60
PUSH32: Final = 0x7F
SWAP1: Final = 0x90
SWAP16: Final = 0x9F
GAS_PUSH: Final = 3
GAS_SWAP: Final = 3
GAS_JUMP: Final = 8
GAS_JUMPI: Final = 10
GAS_JUMPDEST: Final = 1


def jump(computation: Computation) -> None:
    computation.consume_gas(GAS_JUMP, "JUMP")
    _go(computation, computation.stack_pop1_int())


def jumpi(computation: Computation) -> None:
    computation.consume_gas(GAS_JUMPI, "JUMPI")
    position, condition = computation.stack_pop_ints(2)
    if condition:
        _go(computation, position)


def jumpdest(computation: Computation) -> None:
    left = computation.gas_left - GAS_JUMPDEST
    if left < 0:
        raise OutOfGas("JUMPDEST")
    computation.gas_left = left


def _go(computation: Computation, position: int) -> None:
    if position not in computation.code.program.destinations:
        raise InvalidJumpDestination(f"position {position}")
    computation.code.program_counter = position


def _push(size: int) -> Handler:
    def push(computation: Computation) -> None:
        left = computation.gas_left - GAS_PUSH
        if left < 0:
            raise OutOfGas("PUSH")
        computation.gas_left = left
        data = computation.code.read(size)
        computation.stack_push_int(
            int.from_bytes(data if len(data) == size else data.ljust(size, b"\0"), "big")
        )

    return push


def _swap(depth: int) -> Handler:
    """By hand: `translator` would take all the items between off and put them back."""
    needed = depth + 1

    def swap(computation: Computation) -> None:
        left, stack = computation.gas_left - GAS_SWAP, computation.stack
        if left < 0:
            raise OutOfGas("SWAP")
        if len(stack) < needed:
            raise InsufficientStack("SWAP takes more stack items")
        computation.gas_left = left
        stack[-1], stack[-needed] = stack[-needed], stack[-1]

    return swap


def _of_pyevm(number: int) -> Handler:
    opcode: Any = PRAGUE_OPCODES.get(number)
    if opcode is None:
        return InvalidOpcode(number)  # type: ignore[no-any-return]
    while not isinstance(opcode, _FastOpcode):  # SELFDESTRUCT warns, each time, that it may change
        opcode = opcode.__wrapped__
    return _charged(opcode.gas_cost, opcode.logic_fn)


def _charged(gas: int, logic: Handler) -> Handler:
    """A py-evm opcode at its fixed price."""

    def run(computation: Computation) -> None:
        left = computation.gas_left - gas
        if left < 0:
            raise OutOfGas("fixed price of an opcode")
        computation.gas_left = left
        logic(computation)

    return run


_OURS: Final[dict[int, Handler]] = {
    0x56: jump,
    0x57: jumpi,
    0x5B: jumpdest,
    **{PUSH1 + size - 1: _push(size) for size in range(1, PUSH32 - PUSH1 + 2)},
    **{SWAP1 + depth - 1: _swap(depth) for depth in range(1, SWAP16 - SWAP1 + 2)},
    0xF0: calls.create,
    0xF1: calls.call,
    0xF2: calls.call_code,
    0xF4: calls.delegate_call,
    0xF5: calls.create2,
    0xFA: calls.static_call,
}


def _handler(number: int) -> Handler:
    ours = _OURS.get(number)
    if ours is not None:
        return ours
    return handler_of(number) if number in INLINE else _of_pyevm(number)


HANDLERS: Final = tuple(_handler(number) for number in range(256))
