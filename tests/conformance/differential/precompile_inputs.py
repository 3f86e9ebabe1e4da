"""Inputs of the precompiles: valid ones, and ones off by a bit, a byte or a field's bound."""

import random
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from eth_keys.datatypes import PrivateKey
from py_ecc import bls12_381

_BLS_FIELD: Final = int(
    "1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab",
    16,
)
_BN_FIELD: Final = 0x30644E72E131A029B85045B68181585D97816A916871CA8D3C208C16D87CFD47
_CURVE: Final[Any] = bls12_381
_BN_G2: Final = bytes.fromhex(
    "198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c2"
    "1800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed"
    "090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b"
    "12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa"
)
"""The generator of BN254's second group, as EIP-197 writes it."""

Make = Callable[[random.Random], bytes]


def precompile_input(
    rng: random.Random, curve_share: float, inherited_faults: bool
) -> tuple[int, bytes]:
    """(address, input)."""
    if rng.random() < curve_share:
        number = rng.choice((0x08, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F, 0x10, 0x11))
    else:
        number = rng.choice((0x01, 0x02, 0x03, 0x04, 0x05, 0x05, 0x06, 0x07, 0x09))
    if number == 0x05:
        return number, _modexp(rng, inherited_faults)
    data = _MAKE[number](rng)
    return number, _spoiled(rng, data) if rng.random() < 0.25 else data


def _spoiled(rng: random.Random, data: bytes) -> bytes:
    if not data:
        return rng.randbytes(1)
    at = rng.randrange(len(data))
    return rng.choice(
        (
            data[:at],
            data + b"\x01",
            data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :],
            b"\xff" * len(data),
            bytes(len(data)),
        )
    )


def _ecrecover(rng: random.Random) -> bytes:
    digest = rng.randbytes(32)
    signature = PrivateKey(bytes([rng.randrange(1, 9)]) * 32).sign_msg_hash(digest)
    v = rng.choice((signature.v + 27, signature.v + 27, 26, 29, 2**255))
    words = (v, signature.r, rng.choice((signature.s, signature.s, 0)))
    return digest + b"".join(each.to_bytes(32, "big") for each in words)


def _modexp(rng: random.Random, inherited_faults: bool) -> bytes:
    lengths = [rng.choice((0, 1, 2, 31, 32, 33, 64)) for _ in range(3)]
    if lengths[0] == 0 and not inherited_faults:
        lengths[0] = 1
    base, exponent, modulus = (rng.choice((rng.randbytes, bytes))(length) for length in lengths)
    if rng.random() < 0.05:
        lengths[rng.randrange(1, 3)] = 2 ** rng.choice((20, 64, 255))
    return b"".join(each.to_bytes(32, "big") for each in lengths) + base + exponent + modulus


def _bn_point(rng: random.Random) -> bytes:
    x, y = rng.choice(((0, 0), (1, 2), (1, 2), (1, _BN_FIELD - 2), (1, 3), (_BN_FIELD + 1, 2)))
    return x.to_bytes(32, "big") + y.to_bytes(32, "big")


def _scalar(rng: random.Random) -> bytes:
    return rng.choice((0, 1, 2, 2**256 - 1, rng.getrandbits(256))).to_bytes(32, "big")


def _bn_pairs(rng: random.Random) -> bytes:
    return b"".join(
        _bn_point(rng) + rng.choice((_BN_G2, _BN_G2, bytes(128))) for _ in range(rng.randrange(3))
    )


def _blake2f(rng: random.Random) -> bytes:
    rounds = rng.choice((0, 1, 12, 200))
    final = bytes([rng.choice((0, 1, 1, 2))])
    return rounds.to_bytes(4, "big") + rng.randbytes(64 + 128 + 16) + final


def _field(number: int) -> bytes:
    return number.to_bytes(64, "big")


@lru_cache
def _bls_g1(scalar: int) -> bytes:
    if scalar == 0:
        return bytes(128)
    point: Any = _CURVE.multiply(_CURVE.G1, abs(scalar))
    x, y = point if scalar > 0 else _CURVE.neg(point)
    return _field(x.n) + _field(y.n)


@lru_cache
def _bls_g2(scalar: int) -> bytes:
    if scalar == 0:
        return bytes(256)
    point: Any = _CURVE.multiply(_CURVE.G2, abs(scalar))
    x, y = point if scalar > 0 else _CURVE.neg(point)
    return b"".join(_field(int(each)) for each in (*x.coeffs, *y.coeffs))


def _g1(rng: random.Random) -> bytes:
    return _bls_g1(rng.choice((0, 1, 1, -1, 2, 7)))


def _g2(rng: random.Random) -> bytes:
    return _bls_g2(rng.choice((0, 1, 1, -1, 3)))


def _bls_pairs(rng: random.Random) -> bytes:
    return b"".join(_g1(rng) + _g2(rng) for _ in range(rng.randrange(3)))


def _element(rng: random.Random) -> bytes:
    return _field(rng.choice((0, 1, _BLS_FIELD - 1, _BLS_FIELD, rng.getrandbits(380))))


def _bytes(rng: random.Random) -> bytes:
    return rng.randbytes(rng.choice((0, 1, 32, 64, 200)))


_MAKE: Final[dict[int, Make]] = {
    0x01: _ecrecover,
    0x02: _bytes,
    0x03: _bytes,
    0x04: _bytes,
    0x06: lambda rng: _bn_point(rng) + _bn_point(rng),
    0x07: lambda rng: _bn_point(rng) + _scalar(rng),
    0x08: _bn_pairs,
    0x09: _blake2f,
    0x0B: lambda rng: _g1(rng) + _g1(rng),
    0x0C: lambda rng: b"".join(_g1(rng) + _scalar(rng) for _ in range(rng.randrange(4))),
    0x0D: lambda rng: _g2(rng) + _g2(rng),
    0x0E: lambda rng: b"".join(_g2(rng) + _scalar(rng) for _ in range(rng.randrange(3))),
    0x0F: _bls_pairs,
    0x10: _element,
    0x11: lambda rng: _element(rng) + _element(rng),
}
