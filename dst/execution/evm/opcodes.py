"""Opcodes by number and name, as traces print them (geth's spelling)."""

from typing import Final

SLOAD: Final = 0x54
SSTORE: Final = 0x55
BALANCE: Final = 0x31
EXTCODESIZE: Final = 0x3B
EXTCODECOPY: Final = 0x3C
EXTCODEHASH: Final = 0x3F
LOG0: Final = 0xA0
CREATE: Final = 0xF0
CALL: Final = 0xF1
CALLCODE: Final = 0xF2
DELEGATECALL: Final = 0xF4
CREATE2: Final = 0xF5
STATICCALL: Final = 0xFA
SELFDESTRUCT: Final = 0xFF

LOGS: Final = frozenset(range(LOG0, LOG0 + 5))
CREATES: Final = frozenset({CREATE, CREATE2})
CALLS: Final = frozenset({CALL, CALLCODE, DELEGATECALL, STATICCALL})
SLOTS: Final = frozenset({SLOAD, SSTORE})
ACCOUNTS: Final = frozenset({BALANCE, EXTCODESIZE, EXTCODECOPY, EXTCODEHASH, SELFDESTRUCT})
"""Those that name another account at the top of the stack."""
EVERY: Final = frozenset(range(256))

_NAMES: Final = {
    0x00: "STOP ADD MUL SUB DIV SDIV MOD SMOD ADDMOD MULMOD EXP SIGNEXTEND",
    0x10: "LT GT SLT SGT EQ ISZERO AND OR XOR NOT BYTE SHL SHR SAR",
    0x20: "KECCAK256",
    0x30: (
        "ADDRESS BALANCE ORIGIN CALLER CALLVALUE CALLDATALOAD CALLDATASIZE CALLDATACOPY CODESIZE "
        "CODECOPY GASPRICE EXTCODESIZE EXTCODECOPY RETURNDATASIZE RETURNDATACOPY EXTCODEHASH"
    ),
    0x40: (
        "BLOCKHASH COINBASE TIMESTAMP NUMBER PREVRANDAO GASLIMIT CHAINID SELFBALANCE BASEFEE "
        "BLOBHASH BLOBBASEFEE"
    ),
    0x50: (
        "POP MLOAD MSTORE MSTORE8 SLOAD SSTORE JUMP JUMPI PC MSIZE GAS JUMPDEST TLOAD TSTORE "
        "MCOPY PUSH0"
    ),
    0x60: " ".join(f"PUSH{size}" for size in range(1, 33)),
    0x80: " ".join(f"DUP{depth}" for depth in range(1, 17)),
    0x90: " ".join(f"SWAP{depth}" for depth in range(1, 17)),
    0xA0: "LOG0 LOG1 LOG2 LOG3 LOG4",
    0xF0: "CREATE CALL CALLCODE RETURN DELEGATECALL CREATE2",
    0xFA: "STATICCALL",
    0xFD: "REVERT INVALID SELFDESTRUCT",
}

NAMES: Final = {
    first + offset: name
    for first, names in _NAMES.items()
    for offset, name in enumerate(names.split())
}


def name_of(opcode: int) -> str:
    return NAMES.get(opcode) or f"opcode 0x{opcode:x} not defined"
