"""The opcodes by number: functions of a computation that charge, then act.

Calls and creations are ours (`calls`), and so is hashing, which can take long. All others are
py-evm's, taken out of the wrappers that py-evm puts around them to charge their fixed price.

Time. Most opcodes take microseconds. One whose price grows with bytes can take milliseconds and
asks the interrupt itself when it was expensive; so can an account or slot that is not warm, which
may be read from disk.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import sha3  # type: ignore[import-untyped]
from eth.exceptions import OutOfGas
from eth.vm.forks.prague.opcodes import PRAGUE_OPCODES
from eth.vm.logic.invalid import InvalidOpcode
from eth.vm.opcode import _FastOpcode

from dst.execution.evm import calls

Computation: TypeAlias = Any
Handler: TypeAlias = Callable[[Computation], object]

GAS_BETWEEN_CHECKS: Final = 2_000
"""An opcode that cost more asks the interrupt. The cheapest bytes are copied ones, 3 gas for 32:
20 KB, a few microseconds."""
HASHED_BETWEEN_CHECKS: Final = 2**18
"""Bytes; about 0.7 ms."""
GAS_KECCAK: Final = 30
GAS_KECCAK_WORD: Final = 6

KECCAK256: Final = 0x20
_PRICED_BY_SIZE_OR_ACCESS: Final = frozenset(
    {
        0x31,  # BALANCE
        0x37,  # CALLDATACOPY
        0x39,  # CODECOPY
        0x3B,  # EXTCODESIZE
        0x3C,  # EXTCODECOPY
        0x3E,  # RETURNDATACOPY
        0x3F,  # EXTCODEHASH
        0x54,  # SLOAD
        0x55,  # SSTORE
        0x5E,  # MCOPY
        *range(0xA0, 0xA5),  # LOG0 to LOG4
    }
)


def keccak(computation: Computation) -> None:
    """Hashed in pieces: 5 MB, which 50 Mgas can buy, take longer than a step may."""
    at, size = computation.stack_pop_ints(2)
    computation.consume_gas(GAS_KECCAK + GAS_KECCAK_WORD * ((size + 31) // 32), "KECCAK256")
    computation.extend_memory(at, size)
    digest = sha3.keccak_256()
    end = at + size
    while at < end:
        piece = min(end, at + HASHED_BETWEEN_CHECKS)
        digest.update(computation.memory_read_bytes(at, piece - at))
        at = piece
        if at < end:
            computation.state.interrupt()
    computation.stack_push_bytes(digest.digest())


def _interruptible(handler: Handler) -> Handler:
    def run(computation: Computation) -> None:
        before = computation.gas_left
        handler(computation)
        if before - computation.gas_left > GAS_BETWEEN_CHECKS:
            computation.state.interrupt()

    return run


def _charged(gas: int, logic: Handler) -> Handler:
    """A py-evm opcode at its fixed price."""

    def run(computation: Computation) -> None:
        left = computation.gas_left - gas
        if left < 0:
            raise OutOfGas("fixed price of an opcode")
        computation.gas_left = left
        logic(computation)

    return run


def _of_pyevm(number: int) -> Handler:
    opcode: Any = PRAGUE_OPCODES.get(number)
    if opcode is None:
        return InvalidOpcode(number)  # type: ignore[no-any-return]
    while not isinstance(opcode, _FastOpcode):  # SELFDESTRUCT warns, each time, that it may change
        opcode = opcode.__wrapped__
    handler = _charged(opcode.gas_cost, opcode.logic_fn)
    return _interruptible(handler) if number in _PRICED_BY_SIZE_OR_ACCESS else handler


_OURS: Final[dict[int, Handler]] = {
    KECCAK256: keccak,
    0xF0: calls.create,
    0xF1: calls.call,
    0xF2: calls.call_code,
    0xF4: calls.delegate_call,
    0xF5: calls.create2,
    0xFA: calls.static_call,
}

HANDLERS: Final = tuple(_OURS.get(number) or _of_pyevm(number) for number in range(256))
