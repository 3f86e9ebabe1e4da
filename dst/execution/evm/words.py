"""Why a message failed, in geth's words: clients and explorers match on them."""

import re
from typing import Any, Final

from eth.exceptions import Revert

from dst.execution.evm.opcodes import name_of

REVERTED: Final = "execution reverted"
OUT_OF_GAS: Final = "out of gas"

_BY_CLASS: Final = {
    "Revert": REVERTED,
    "OutOfGas": OUT_OF_GAS,
    "InvalidJumpDestination": "invalid jump destination",
    "InsufficientStack": "stack underflow",
    "FullStack": "stack limit reached 1024 (1023)",
    "WriteProtection": "write protection",
    "OutOfBoundsRead": "return data out of bounds",
    "InsufficientFunds": "insufficient balance for transfer",
    "StackDepthLimit": "max call depth exceeded",
    "ReservedBytesInCode": "invalid code: must not begin with 0xef",
}
_BY_TEXT: Final = (
    ("exceeds EIP170 limit", "max code size exceeded"),
    ("for contract code", "contract creation code storage out of gas"),
    ("init code of ", "max initcode size exceeded"),
)
"""Where py-evm has one class for several reasons its text tells them apart."""
_NEEDED: Final = re.compile(r"^(\d+) gas needed")
_INVALID_OPCODE: Final = re.compile(r"0x([0-9a-f]{1,2})\b")


def describe(error: Any) -> str:
    """A py-evm error in words."""
    text = str(error)
    for part, words in _BY_TEXT:
        if part in text:
            return words
    name = type(error).__name__
    if name == "InvalidInstruction":
        found = _INVALID_OPCODE.search(text)
        return f"invalid opcode: {name_of(int(found[1], 16))}" if found else "invalid opcode"
    return _BY_CLASS.get(name) or text or name


def gas_needed(error: Any) -> int:
    """What the opcode that ran out of gas asked for last; 0 for other errors."""
    found = _NEEDED.search(str(error))
    return int(found[1]) if found else 0


def is_revert(error: Any) -> bool:
    return isinstance(error, Revert)
