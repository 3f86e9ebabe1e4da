"""MODEXP (0x05): EIP-198 at the prices of EIP-2565, on GMP.

A long exponent is worked off in slices, so that no step between two checks is long.
"""

from typing import Final

from gmpy2 import mpz, powmod

from dst.execution.environment import Interrupt
from dst.execution.evm.precompiles.contract import Input, padded

_HEADER: Final = 96
"""Lengths of base, exponent and modulus, 32 bytes each."""
_STEP_COST: Final = 4_000_000
"""Products of two 64-bit words in a step: 2 to 6 ms of GMP on a core of 2020."""
_BIT_COST: Final = 16
"""What a bit of the exponent takes beside its products, in products: all that counts for a short
modulus, and an even one takes several times as long."""


def modexp_gas(data: Input) -> int:
    base_bytes, exponent_bytes, modulus_bytes = _lengths(data)
    head_bytes = min(exponent_bytes, 32)
    head_at = _HEADER + base_bytes
    head = int.from_bytes(padded(data[head_at : head_at + head_bytes], head_bytes), "big")
    iterations = max(head.bit_length() - 1, 0) + 8 * max(exponent_bytes - 32, 0)
    words = (max(base_bytes, modulus_bytes) + 7) // 8
    return max(200, words * words * max(iterations, 1) // 3)


def modexp_reads(data: Input) -> int:
    """As far as the lengths say."""
    return min(_HEADER + sum(_lengths(data)), len(data))


def modexp(data: bytes, interrupt: Interrupt) -> bytes:
    """base ** exponent % modulus in as many bytes as the modulus has; 0 for a modulus of 0.

    An empty base is 0, and 0 ** 0 is 1 (EIP-198). Gas has bounded the lengths, except that of an
    exponent beside an empty base and modulus, which is not read.
    """
    base_bytes, exponent_bytes, modulus_bytes = _lengths(data)
    if not modulus_bytes:
        return b""
    exponent_at = _HEADER + base_bytes
    modulus_at = exponent_at + exponent_bytes
    modulus = _integer(data, modulus_at, modulus_bytes)
    if not modulus:
        return bytes(modulus_bytes)
    base = _integer(data, _HEADER, base_bytes)
    exponent = _integer(data, exponent_at, exponent_bytes)
    result = _power(base, exponent, modulus, interrupt)
    return int(result).to_bytes(modulus_bytes, "big")


def _power(base: mpz, exponent: mpz, modulus: mpz, interrupt: Interrupt) -> mpz:
    """Horner's rule over slices of the exponent's bits, the highest first."""
    words = modulus.bit_length() // 64 + 1
    bits = max(_STEP_COST // (words * words + _BIT_COST), 1)
    length = exponent.bit_length()
    if length <= bits:
        interrupt()
        return powmod(base, exponent, modulus)
    base %= modulus
    shift, mask = mpz(1) << bits, (mpz(1) << bits) - 1
    result = mpz(1)
    for at in range((length - 1) // bits * bits, -1, -bits):
        interrupt()
        result = powmod(result, shift, modulus)
        interrupt()
        result = result * powmod(base, (exponent >> at) & mask, modulus) % modulus
    return result


def _lengths(data: Input) -> tuple[int, int, int]:
    header = padded(data, _HEADER)
    base, exponent, modulus = (int.from_bytes(header[at : at + 32], "big") for at in (0, 32, 64))
    return base, exponent, modulus


def _integer(data: bytes, at: int, length: int) -> mpz:
    return mpz(int.from_bytes(padded(data[at : at + length], length), "big"))
