"""A few lines of EVM assembly for tests: words are opcodes, `0x..` after PUSH is its operand, a
bare number or hex pushes itself."""

from dst.execution.evm.opcodes import NAMES

_OPCODES = {name: number for number, name in NAMES.items()}


def asm(text: str) -> bytes:
    code = b""
    for word in text.split():
        if word in _OPCODES:
            code += bytes([_OPCODES[word]])
        else:
            code += push(int(word, 0))
    return code


def push(value: int) -> bytes:
    if not value:
        return b"\x5f"
    data = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return bytes([0x5F + len(data)]) + data


def init_code(runtime: bytes, prefix: bytes = b"") -> bytes:
    """Init code that runs `prefix` and deploys `runtime` (at most 32 bytes)."""
    assert len(runtime) <= 32
    word = int.from_bytes(runtime.ljust(32, b"\x00"), "big")
    return prefix + push(word) + asm(f"0 MSTORE {len(runtime)} 0 RETURN")


def call(to: bytes, *, kind: str = "CALL", gas: int = 50_000, value: int = 0, data: int = 0) -> str:
    """A call with `data` bytes of memory as its input; 32 bytes of output go to memory 0."""
    amount = f"{value} " if kind in ("CALL", "CALLCODE") else ""
    return f"32 0 {data} 0 {amount}{int.from_bytes(to, 'big'):#x} {gas} {kind} POP "
