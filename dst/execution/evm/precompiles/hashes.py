"""SHA-256 (0x02), RIPEMD-160 (0x03), identity (0x04).

The price of memory bounds an input (10 Mgas buy 2 MB); it is hashed in slices.
"""

import hashlib
from typing import Any, Final

from Crypto.Hash import RIPEMD160

from dst.execution.environment import Interrupt
from dst.execution.evm.precompiles.contract import Input, words

SLICE_BYTES: Final = 2**18
"""1 to 3 ms."""


def sha256_gas(data: Input) -> int:
    return 60 + 12 * words(len(data))


def sha256(data: bytes, interrupt: Interrupt) -> bytes:
    return _digest(hashlib.sha256(), data, interrupt)


def ripemd160_gas(data: Input) -> int:
    return 600 + 120 * words(len(data))


def ripemd160(data: bytes, interrupt: Interrupt) -> bytes:
    """OpenSSL 3 has this hash in its legacy provider alone, which builds of Python may lack."""
    return _digest(RIPEMD160.new(), data, interrupt).rjust(32, b"\0")


def identity_gas(data: Input) -> int:
    return 15 + 3 * words(len(data))


def identity(data: bytes, _: Interrupt) -> bytes:
    return data


def _digest(hasher: Any, data: bytes, interrupt: Interrupt) -> bytes:
    for at in range(0, len(data), SLICE_BYTES):
        interrupt()
        hasher.update(data[at : at + SLICE_BYTES])
    digest: bytes = hasher.digest()
    return digest
