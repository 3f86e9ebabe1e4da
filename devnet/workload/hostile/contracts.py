"""Calls and creations at their worst. What is called is created first by the same transaction."""

from typing import Final

from devnet.workload.hostile.assembly import Code
from devnet.workload.hostile.programs import Step, check, fill, until_gas_is_low

MAX_CODE: Final = 24_576
"""Bytes of a contract (EIP-170)."""
MAX_INIT_CODE: Final = 49_152
"""EIP-3860."""
JUMPDEST: Final = b"\x5b"
CHILD: Final = "child"


def _deploying(runtime: bytes) -> bytes:
    """Init code of a contract."""
    return Code().copy_data(runtime).push(len(runtime), 0).op("RETURN").build()


def _create(init: bytes) -> Code:
    """Code that creates a contract and keeps its address on the stack."""
    code = Code().copy_data(init).push(len(init), 0, 0).op("CREATE", "DUP1")
    check(code)
    return code


def _with_child(runtime: bytes) -> Code:
    return _create(_deploying(runtime))


def _call(operation: str, *, to: str) -> Step:
    """A call with all gas, of the child whose address is on the stack or of the account that the
    instruction `to` pushes; the result is dropped."""
    value = [0] if operation in ("CALL", "CALLCODE") else []

    def step(code: Code) -> None:
        target = f"DUP{5 + len(value)}" if to == CHILD else to
        code.push(0, 0, 0, 0, *value).op(target, "GAS", operation, "POP")

    return step


def call_account(_gas: int) -> bytes:
    """Warm calls of an account without code."""
    return until_gas_is_low(Code(), _call("CALL", to="CALLER"), step_gas=130, times=80)


def staticcall_account(_gas: int) -> bytes:
    return until_gas_is_low(Code(), _call("STATICCALL", to="CALLER"), step_gas=130, times=80)


def _call_contract(operation: str) -> bytes:
    code = _with_child(Code().op("STOP").build())
    return until_gas_is_low(code, _call(operation, to=CHILD), step_gas=130, times=80)


def call_contract(_gas: int) -> bytes:
    """Warm calls of a contract that stops at once."""
    return _call_contract("CALL")


def staticcall_contract(_gas: int) -> bytes:
    return _call_contract("STATICCALL")


def delegatecall_contract(_gas: int) -> bytes:
    return _call_contract("DELEGATECALL")


def call_reverting(_gas: int) -> bytes:
    """A child that writes a slot and reverts: every call takes a snapshot back."""
    runtime = Code().push(1).op("GAS", "TSTORE").push(0, 0).op("REVERT").build()
    code = _with_child(runtime)
    return until_gas_is_low(code, _call("CALL", to=CHILD), step_gas=300, times=40)


def deep_recursion(_gas: int) -> bytes:
    """A contract that calls itself with all but a 64th of the gas, some 700 calls deep, again and
    again (EIP-150)."""
    runtime = Code().push(0, 0, 0, 0, 0).op("ADDRESS", "GAS", "CALL", "STOP").build()
    return until_gas_is_low(_with_child(runtime), _call("CALL", to=CHILD), step_gas=150_000)


def memory_in_children(_gas: int) -> bytes:
    """Each call expands a memory of its own to 256 KB."""
    size = 1 << 18
    runtime = Code().push(1, size - 32).op("MSTORE", "STOP").build()
    words = size // 32
    cost = 3 * words + words**2 // 512 + 500
    return until_gas_is_low(_with_child(runtime), _call("CALL", to=CHILD), step_gas=cost)


def call_jumpdests(_gas: int) -> bytes:
    """Calls of a contract of 24 KB of JUMPDESTs."""
    code = _create(_filling_init(MAX_CODE))
    return until_gas_is_low(code, _call("CALL", to=CHILD), step_gas=MAX_CODE + 500)


def extcodecopy_big(_gas: int) -> bytes:
    """24 KB of code copied each time."""
    code = _create(_filling_init(MAX_CODE))

    def step(code: Code) -> None:
        code.push(MAX_CODE, 0, 0).op("DUP4", "EXTCODECOPY")

    return until_gas_is_low(code, step, step_gas=3 * MAX_CODE // 32 + 200)


def _filling_init(size: int) -> bytes:
    """Init code that returns `size` JUMPDESTs."""
    code = Code()
    fill(code, JUMPDEST * 32, size // 32)
    return code.push(size, 0).op("RETURN").build()


def deploy_jumpdests(_gas: int) -> bytes:
    """The transaction itself deploys 24 KB of JUMPDESTs: five million gas."""
    return _filling_init(MAX_CODE)


def create_empty(_gas: int) -> bytes:
    def step(code: Code) -> None:
        code.push(0, 0, 0).op("CREATE", "POP")

    return until_gas_is_low(Code(), step, step_gas=32_100, times=2)


def create2_empty(_gas: int) -> bytes:
    def step(code: Code) -> None:
        code.op("GAS").push(0, 0, 0).op("CREATE2", "POP")

    return until_gas_is_low(Code(), step, step_gas=32_200, times=2)


def create_jumpdests(_gas: int) -> bytes:
    """Init code of 48 KB whose first instruction jumps to its last byte, so that all of it must be
    searched for JUMPDESTs."""
    code = Code()
    fill(code, JUMPDEST * 32, MAX_INIT_CODE // 32)
    last = MAX_INIT_CODE - 1
    jump = bytes([0x61, *last.to_bytes(2, "big"), 0x56])
    code.push(int.from_bytes(jump + JUMPDEST * 28, "big"), 0).op("MSTORE")

    def step(code: Code) -> None:
        code.push(MAX_INIT_CODE, 0, 0).op("CREATE", "POP")

    return until_gas_is_low(code, step, step_gas=32_000 + 2 * MAX_INIT_CODE // 32 + 200)


def create_and_destroy(_gas: int) -> bytes:
    """Contracts that live for a call (EIP-6780 removes them at the end)."""
    init = Code().op("CALLER", "SELFDESTRUCT").build()
    code = Code().copy_data(init)

    def step(code: Code) -> None:
        code.push(len(init), 0, 0).op("CREATE", "POP")

    return until_gas_is_low(code, step, step_gas=38_000)
