"""What a revert says, as far as Solidity's two standard errors go."""

from typing import Final

PANICS: Final = {
    0x00: "generic panic",
    0x01: "assert(false)",
    0x11: "arithmetic underflow or overflow",
    0x12: "division or modulo by zero",
    0x21: "enum overflow",
    0x22: "invalid encoded storage byte array accessed",
    0x31: "out-of-bounds array access; popping on an empty array",
    0x32: "out-of-bounds access of an array or bytesN",
    0x41: "out of memory",
    0x51: "uninitialized function",
}
"""Solidity's panic codes, in geth's words."""


def revert_message(output: bytes) -> str:
    reason = revert_reason(output)
    return "execution reverted" if reason is None else f"execution reverted: {reason}"


def revert_reason(output: bytes) -> str | None:
    """The text of Solidity's `Error(string)` or `Panic(uint256)`, when it is one."""
    selector, words = output[:4], output[4:]
    if selector == b"\x4e\x48\x7b\x71" and len(words) == 32:
        code = int.from_bytes(words, "big")
        return PANICS.get(code) or f"unknown panic code: {code:#x}"
    if selector != b"\x08\xc3\x79\xa0" or len(words) < 64:
        return None
    length = int.from_bytes(words[32:64], "big")
    text = words[64 : 64 + min(length, 1_000)]
    return text.decode("utf-8", "replace") if len(words) >= 64 + length else None
