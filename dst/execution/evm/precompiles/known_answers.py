"""Known answers of the code that is compiled on this machine, asked once at start.

Tests judge the arithmetic where they run; this tells of a processor or compiler that they never
saw. A node with other arithmetic than its cluster's must not start.
"""

import hashlib
from typing import Final

from dst.execution.environment import Interrupt
from dst.execution.evm.precompiles import blake2f, bn254
from dst.execution.evm.precompiles.bn254_field import P, R

_MESSAGE: Final = b"abc"
_G1: Final = (1).to_bytes(32, "big") + (2).to_bytes(32, "big")
_MINUS_G1: Final = (1).to_bytes(32, "big") + (P - 2).to_bytes(32, "big")
_G2: Final = bytes.fromhex(
    "198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c2"
    "1800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed"
    "090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b"
    "12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa"
)
"""The generators of EIP-197."""


def _no_interrupt() -> None:
    pass


def check(interrupt: Interrupt = _no_interrupt) -> None:
    """A few milliseconds. Raises: AssertionError."""
    assert blake2f.blake2f(_blake2b_block(), interrupt) == hashlib.blake2b(_MESSAGE).digest(), (
        "BLAKE2F computes something else on this machine"
    )
    less_one = (R - 1).to_bytes(32, "big")
    assert bn254.mul(_G1 + less_one, interrupt) == _MINUS_G1, (
        "BN254 multiplication computes something else on this machine"
    )
    pair, opposite = _G1 + _G2, _MINUS_G1 + _G2
    answers = [bn254.pairing(data, interrupt)[-1] for data in (pair + opposite, pair + pair)]
    assert answers == [1, 0], "the BN254 pairing computes something else on this machine"


def _blake2b_block() -> bytes:
    """The one block of an unkeyed BLAKE2b-512 of the message (RFC 7693 section 3.3)."""
    first = blake2f.IV[0] ^ 0x01010040
    state = b"".join(word.to_bytes(8, "little") for word in (first, *blake2f.IV[1:]))
    offset = len(_MESSAGE).to_bytes(16, "little")
    rounds = (12).to_bytes(4, "big")
    return rounds + state + _MESSAGE.ljust(128, b"\0") + offset + b"\x01"
