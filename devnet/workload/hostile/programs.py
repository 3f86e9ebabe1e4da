"""How a hostile program spends its gas: again and again until little is left, then it ends well.

Ending well matters. A program that runs out of gas is undone, so its logs, accounts and slots would
cost the chain nothing to keep; and a precompile that refuses its input burns the gas without the
work, which `check` turns into a failed transaction that the tests notice.
"""

from collections.abc import Callable
from typing import Final

from devnet.workload.hostile.assembly import Code

Step = Callable[[Code], object]

OVERHEAD: Final = 2_000
"""Gas for the test at the end of a pass, and for the end of the program."""


def until_gas_is_low(code: Code, step: Step, *, step_gas: int, times: int = 1) -> bytes:
    """`step`, `times` in a row, over and over while the gas lasts for another pass.

    Args:
        step_gas: at least what one step costs.
        times: more for cheap steps, so that the test costs little beside them.
    """
    code.jumpdest("again")
    for _ in range(times):
        step(code)
    reserve = step_gas * times + OVERHEAD
    code.push(reserve).op("GAS", "GT").push_label("again").op("JUMPI")
    return end(code)


def end(code: Code) -> bytes:
    """Stop, with the place where failed calls go."""
    return code.op("STOP").jumpdest("failed").op("INVALID").build()


def static_call(code: Code, address: int, size: int) -> None:
    """STATICCALL with the first `size` bytes of memory and all gas; the answer is not copied."""
    code.push(0, 0, size, 0, address).op("GAS", "STATICCALL")


def check(code: Code) -> None:
    """Fail the transaction if the call before failed."""
    code.op("ISZERO").push_label("failed").op("JUMPI")


def checked_call(address: int, size: int) -> Step:
    def step(code: Code) -> None:
        static_call(code, address, size)
        check(code)

    return step


def words(*values: int) -> bytes:
    """32-byte big-endian words."""
    return b"".join(value.to_bytes(32, "big") for value in values)


def fill(code: Code, pattern: bytes, copies: int) -> None:
    """Write `pattern` to memory `copies` times in a row from 0 on, by doubling with MCOPY."""
    code.copy_data(pattern)
    have = 1
    while have < copies:
        more = min(have, copies - have)
        code.push(more * len(pattern), 0, have * len(pattern)).op("MCOPY")
        have += more
