"""Instructions at their worst: the slowest for their price, in loops without anything else."""

from typing import Final

from devnet.workload.hostile.assembly import Code
from devnet.workload.hostile.programs import Step, end, until_gas_is_low

MEGABYTE: Final = 1 << 20
ALL_ONES: Final = 2**256 - 1
DRAWN: Final = int.from_bytes(bytes(range(7, 39)), "big")
UNROLLED: Final = 100


def _ops(*names: str) -> Step:
    return lambda code: code.op(*names)


def _loop(names: str, step_gas: int, times: int = UNROLLED, code: Code | None = None) -> bytes:
    return until_gas_is_low(code or Code(), _ops(*names.split()), step_gas=step_gas, times=times)


def _on_three(operation: str, step_gas: int) -> bytes:
    """An operation on three full words, which stay on the stack below."""
    code = Code().push(ALL_ONES, ALL_ONES - 58, DRAWN)
    return _loop(f"DUP3 DUP3 DUP3 {operation} POP", step_gas + 11, code=code)


def _on_two(operation: str, step_gas: int, a: int = DRAWN, b: int = ALL_ONES - 58) -> bytes:
    code = Code().push(b, a)
    return _loop(f"DUP2 DUP2 {operation} POP", step_gas + 8, code=code)


def mulmod(_gas: int) -> bytes:
    return _on_three("MULMOD", 8)


def addmod(_gas: int) -> bytes:
    return _on_three("ADDMOD", 8)


def sdiv(_gas: int) -> bytes:
    return _on_two("SDIV", 5, a=ALL_ONES - 1, b=DRAWN >> 128)


def mod(_gas: int) -> bytes:
    return _on_two("MOD", 5, a=ALL_ONES, b=DRAWN >> 100)


def exp(_gas: int) -> bytes:
    """A full exponent: 10 gas and 50 for each of its 32 bytes."""
    return _on_two("EXP", 1_610, a=DRAWN | 1, b=ALL_ONES)


def exp_short(_gas: int) -> bytes:
    """The cheapest exponent that is not nothing, on a full base."""
    return _on_two("EXP", 60, a=DRAWN | 1, b=255)


def jump(_gas: int) -> bytes:
    """Nothing but going back: JUMPDEST, the test for gas and the jump."""
    return until_gas_is_low(Code(), lambda code: code, step_gas=30)


def jump_chain(_gas: int) -> bytes:
    """A chain of jumps, each to the next."""
    code = Code().jumpdest("again")
    for number in range(2_000):
        code.push_label(f"hop{number}").op("JUMP").jumpdest(f"hop{number}")
    code.push(30_000).op("GAS", "GT").push_label("again").op("JUMPI")
    return end(code)


def stack(_gas: int) -> bytes:
    """Pushes, duplicates, swaps and pops on a deep stack."""
    code = Code()
    for value in range(900):
        code.push(value % 251)
    return _loop("DUP16 SWAP15 DUP8 POP POP SWAP7 PUSH0 POP", 25, code=code)


def keccak_word(_gas: int) -> bytes:
    return _loop("MSIZE PUSH0 KECCAK256 POP", 60, code=Code().push(1, 0).op("MSTORE"))


def keccak_megabyte(_gas: int) -> bytes:
    code = Code().push(1, MEGABYTE - 32).op("MSTORE")
    return _loop("MSIZE PUSH0 KECCAK256 POP", 6 * MEGABYTE // 32 + 100, times=1, code=code)


def memory_expansion(gas: int) -> bytes:
    """As far as the gas goes: 3 a word and its square by 512."""
    words = int((0.93 * gas * 512 + 768**2) ** 0.5) - 768
    return end(Code().push(1, words * 32 - 32).op("MSTORE"))


def mload(_gas: int) -> bytes:
    """Unaligned reads and writes at the end of a big memory."""
    code = Code().push(1, MEGABYTE - 64).op("MSTORE")

    def step(code: Code) -> None:
        code.push(MEGABYTE - 77).op("DUP1", "MLOAD", "SWAP1", "MSTORE")

    return until_gas_is_low(code, step, step_gas=16, times=UNROLLED)


def mcopy_megabyte(_gas: int) -> bytes:
    """Overlapping by one byte less than all of it."""
    code = Code().push(1, MEGABYTE).op("MSTORE")

    def step(code: Code) -> None:
        code.push(MEGABYTE, 0, 1).op("MCOPY")

    return until_gas_is_low(code, step, step_gas=3 * MEGABYTE // 32 + 100)


def _copy(operation: str) -> bytes:
    code = Code().push(1, MEGABYTE - 32).op("MSTORE")

    def step(code: Code) -> None:
        code.push(MEGABYTE, 0, 0).op(operation)

    return until_gas_is_low(code, step, step_gas=3 * MEGABYTE // 32 + 100)


def calldatacopy_megabyte(_gas: int) -> bytes:
    return _copy("CALLDATACOPY")


def codecopy_megabyte(_gas: int) -> bytes:
    return _copy("CODECOPY")


def log_topics(_gas: int) -> bytes:
    """LOG4 of nothing: 1,875 gas for an entry of four topics and its bloom."""
    return _loop("GAS GAS GAS GAS PUSH0 PUSH0 LOG4", 1_890, times=20)


def log_data(_gas: int) -> bytes:
    """8 KB a log, 8 gas a byte."""
    size = 1 << 13
    code = Code().push(1, size - 32).op("MSTORE")
    return _loop("MSIZE PUSH0 LOG0", 8 * size + 400, times=1, code=code)


def transient_storage(_gas: int) -> bytes:
    """A new transient slot each time."""
    return _loop("GAS GAS TSTORE", 110, times=50)


def storage_read_cold(_gas: int) -> bytes:
    """Slots that nobody has: the gas left names them."""
    return _loop("GAS SLOAD POP", 2_110, times=20)


def storage_read_warm(_gas: int) -> bytes:
    return _loop("PUSH0 SLOAD POP", 110, code=Code().op("PUSH0", "SLOAD", "POP"))


def storage_write_new(_gas: int) -> bytes:
    return _loop("GAS GAS SSTORE", 22_200, times=4)


def storage_write_dirty(_gas: int) -> bytes:
    """One slot rewritten: 100 gas each time."""
    return _loop("GAS PUSH0 SSTORE", 110, code=Code().push(1, 0).op("SSTORE"))


def balance_cold(_gas: int) -> bytes:
    """Accounts that nobody has."""
    return _loop("GAS BALANCE POP", 2_610, times=20)


def extcodesize_warm(_gas: int) -> bytes:
    return _loop("CALLER EXTCODESIZE POP", 110)


def extcodehash_warm(_gas: int) -> bytes:
    return _loop("CALLER EXTCODEHASH POP", 110)
