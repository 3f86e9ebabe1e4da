"""A small assembler for init code: opcodes by name, the shortest PUSH, labels and data at the end.

Pure, and all that the hostile workload needs: no macros, no Solidity.
"""

from typing import Final, Self

OPCODES: Final = {
    name: code
    for row, names in (
        (0x00, "STOP ADD MUL SUB DIV SDIV MOD SMOD ADDMOD MULMOD EXP SIGNEXTEND"),
        (0x10, "LT GT SLT SGT EQ ISZERO AND OR XOR NOT BYTE SHL SHR SAR"),
        (0x20, "KECCAK256"),
        (0x30, "ADDRESS BALANCE ORIGIN CALLER CALLVALUE CALLDATALOAD CALLDATASIZE CALLDATACOPY"),
        (0x38, "CODESIZE CODECOPY GASPRICE EXTCODESIZE EXTCODECOPY RETURNDATASIZE RETURNDATACOPY"),
        (0x3F, "EXTCODEHASH BLOCKHASH COINBASE TIMESTAMP NUMBER"),
        (0x50, "POP MLOAD MSTORE MSTORE8 SLOAD SSTORE JUMP JUMPI PC MSIZE GAS JUMPDEST"),
        (0x5C, "TLOAD TSTORE MCOPY PUSH0"),
        (0x80, " ".join(f"DUP{n}" for n in range(1, 17))),
        (0x90, " ".join(f"SWAP{n}" for n in range(1, 17))),
        (0xA0, "LOG0 LOG1 LOG2 LOG3 LOG4"),
        (0xF0, "CREATE CALL CALLCODE RETURN DELEGATECALL CREATE2"),
        (0xFA, "STATICCALL"),
        (0xFD, "REVERT INVALID SELFDESTRUCT"),
    )
    for code, name in enumerate(names.split(), row)
}
"""Name -> byte. Source: Yellow Paper appendix H with EIP-145, 1153, 3855 and 5656."""
PUSH1: Final = 0x60
LABEL_BYTES: Final = 2
"""Init code ends at 49,152 bytes (EIP-3860), so two bytes name every place in it."""


class Code:
    """Code under construction. Every method but `build` returns the object itself."""

    def __init__(self) -> None:
        self._code = bytearray()
        self._data = bytearray()
        self._labels: dict[str, int] = {}
        self._uses: list[tuple[int, str]] = []
        self._data_uses: list[tuple[int, int]] = []

    def op(self, *names: str) -> Self:
        self._code += bytes(OPCODES[name] for name in names)
        return self

    def push(self, *values: int) -> Self:
        """The shortest PUSH of each, in order: the last one ends on top of the stack."""
        for value in values:
            if value == 0:
                self.op("PUSH0")
                continue
            operand = value.to_bytes((value.bit_length() + 7) // 8, "big")
            self._code += bytes([PUSH1 + len(operand) - 1]) + operand
        return self

    def jumpdest(self, label: str) -> Self:
        """A place to jump to. Labels are unique."""
        assert label not in self._labels, f"label {label} is taken"
        self._labels[label] = len(self._code)
        return self.op("JUMPDEST")

    def push_label(self, label: str) -> Self:
        self._code.append(PUSH1 + LABEL_BYTES - 1)
        self._uses.append((len(self._code), label))
        self._code += bytes(LABEL_BYTES)
        return self

    def copy_data(self, data: bytes, to: int = 0) -> Self:
        """CODECOPY of `data`, which is kept behind the code, to memory at `to`."""
        self.push(len(data))
        self._code.append(PUSH1 + LABEL_BYTES - 1)
        self._data_uses.append((len(self._code), len(self._data)))
        self._code += bytes(LABEL_BYTES)
        self._data += data
        return self.push(to).op("CODECOPY")

    def build(self) -> bytes:
        """The finished bytes. Raises: KeyError for a label that was never placed."""
        code = bytearray(self._code)
        for at, label in self._uses:
            code[at : at + LABEL_BYTES] = self._labels[label].to_bytes(LABEL_BYTES, "big")
        for at, offset in self._data_uses:
            place = len(self._code) + offset
            code[at : at + LABEL_BYTES] = place.to_bytes(LABEL_BYTES, "big")
        return bytes(code + self._data)
