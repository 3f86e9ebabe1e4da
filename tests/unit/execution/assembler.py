"""Bytecode from words: mnemonics, numbers (pushed), labels.

    assemble("5 loop: 1 SWAP1 SUB DUP1 @loop JUMPI STOP")

A number becomes the shortest PUSH; `name:` a JUMPDEST; `@name` the push of its place; `*name:` a
name without a JUMPDEST, for data; `#hex` raw bytes.
"""

from typing import Final

_PLACE_BYTES: Final = 3
"""A pushed label: code of a genesis may be longer than 64 KB."""

_ROWS: Final = {
    0x00: "STOP ADD MUL SUB DIV SDIV MOD SMOD ADDMOD MULMOD EXP SIGNEXTEND",
    0x10: "LT GT SLT SGT EQ ISZERO AND OR XOR NOT BYTE SHL SHR SAR",
    0x20: "KECCAK256",
    0x30: "ADDRESS BALANCE ORIGIN CALLER CALLVALUE CALLDATALOAD CALLDATASIZE CALLDATACOPY CODESIZE "
    "CODECOPY GASPRICE EXTCODESIZE EXTCODECOPY RETURNDATASIZE RETURNDATACOPY EXTCODEHASH",
    0x40: "BLOCKHASH COINBASE TIMESTAMP NUMBER PREVRANDAO GASLIMIT CHAINID SELFBALANCE BASEFEE "
    "BLOBHASH BLOBBASEFEE",
    0x50: "POP MLOAD MSTORE MSTORE8 SLOAD SSTORE JUMP JUMPI PC MSIZE GAS JUMPDEST TLOAD TSTORE "
    "MCOPY PUSH0",
    0x60: " ".join(f"PUSH{n}" for n in range(1, 33)),
    0x80: " ".join(f"DUP{n}" for n in range(1, 17)),
    0x90: " ".join(f"SWAP{n}" for n in range(1, 17)),
    0xA0: "LOG0 LOG1 LOG2 LOG3 LOG4",
    0xF0: "CREATE CALL CALLCODE RETURN DELEGATECALL CREATE2",
    0xFA: "STATICCALL",
    0xFD: "REVERT INVALID SELFDESTRUCT",
}
OPCODES: Final = {
    name: first + at for first, row in _ROWS.items() for at, name in enumerate(row.split())
}
"""Every opcode of Prague."""


def assemble(text: str) -> bytes:
    """Raises: KeyError for an unknown word."""
    code, places, uses = bytearray(), {}, []
    for word in text.split():
        if word.endswith(":"):
            places[word.strip("*:")] = len(code)
            code += b"" if word.startswith("*") else b"\x5b"
        elif word.startswith("@"):
            uses.append((len(code) + 1, word[1:]))
            code += bytes((0x5F + _PLACE_BYTES,)) + bytes(_PLACE_BYTES)
        elif word.startswith("#"):
            code += bytes.fromhex(word[1:])
        else:
            code += _word(word)
    for at, name in uses:
        code[at : at + _PLACE_BYTES] = places[name].to_bytes(_PLACE_BYTES, "big")
    return bytes(code)


def push(value: int, width: int | None = None) -> bytes:
    """The PUSH of a number, of `width` bytes or as few as hold it."""
    length = (value.bit_length() + 7) // 8 if width is None else width
    return bytes((0x5F + length,)) + value.to_bytes(length, "big")


def _word(word: str) -> bytes:
    if word[0].isdigit():
        return push(int(word, 0))
    return bytes((OPCODES[word],))
