"""SHA-256 (0x02), RIPEMD-160 (0x03), identity (0x04).

An input is bounded by the price of the memory it lies in: 30 Mgas buy 3.8 MB, which hash in under
20 ms.
"""

import hashlib

from Crypto.Hash import RIPEMD160

from dst.execution.environment import Interrupt
from dst.execution.evm.precompiles.contract import words


def sha256_gas(data: bytes | memoryview) -> int:
    return 60 + 12 * words(len(data))


def sha256(data: bytes, _: Interrupt) -> bytes:
    return hashlib.sha256(data).digest()


def ripemd160_gas(data: bytes | memoryview) -> int:
    return 600 + 120 * words(len(data))


def ripemd160(data: bytes, _: Interrupt) -> bytes:
    """OpenSSL 3 has this hash in its legacy provider alone, which builds of Python may lack."""
    return RIPEMD160.new(data).digest().rjust(32, b"\0")


def identity_gas(data: bytes | memoryview) -> int:
    return 15 + 3 * words(len(data))


def identity(data: bytes, _: Interrupt) -> bytes:
    return data
