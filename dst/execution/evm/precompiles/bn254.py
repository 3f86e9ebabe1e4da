"""BN254 (alt_bn128): addition (0x06), multiplication (0x07), pairing check (0x08).

Source: EIP-196, EIP-197; gas from EIP-1108. Addition is a few operations on GMP integers;
multiplication and pairing run as native code (bn254_code), a pair at a time between two checks.
"""

from typing import Final

from gmpy2 import invert, mpz

from dst.execution.environment import Interrupt
from dst.execution.evm.precompiles import bn254_code as native
from dst.execution.evm.precompiles.bn254_field import B_OF_TWIST, Fp2, P
from dst.execution.evm.precompiles.bn254_symbols import FP_BYTES, MONTGOMERY
from dst.execution.evm.precompiles.contract import BadInput, Input, padded
from dst.execution.evm.precompiles.native import Instance

ADD_GAS: Final = 150
MUL_GAS: Final = 6_000
PAIRING_GAS: Final = 45_000
PAIR_GAS: Final = 34_000
POINT_BYTES: Final = 64
PAIR_BYTES: Final = 192

_MODULUS: Final = mpz(P)
_ONE: Final = (MONTGOMERY % P).to_bytes(FP_BYTES, "little")
_ONE_IN_FP12: Final = _ONE + bytes(11 * FP_BYTES)
_INFINITY: Final = (0, 0)
_B_OF_TWIST: Final = Fp2(*map(mpz, B_OF_TWIST))


def add_gas(_: Input) -> int:
    return ADD_GAS


def add(data: bytes, _: Interrupt) -> bytes:
    """The sum of two points of G1, each x, y."""
    data = padded(data, 2 * POINT_BYTES)
    left, right = _g1(data[:POINT_BYTES]), _g1(data[POINT_BYTES:])
    return _encode(*_sum(left, right))


def mul_gas(_: Input) -> int:
    return MUL_GAS


def mul(data: bytes, _: Interrupt) -> bytes:
    """A point of G1 times any number of 32 bytes."""
    data = padded(data, POINT_BYTES + 32)
    point = _g1(data[:POINT_BYTES])
    if point == _INFINITY:
        return bytes(POINT_BYTES)
    code = native.CODE.instance()
    _write_g1(code, point)
    code.write(native.SCALAR, data[POINT_BYTES:][::-1])
    code.call("g1_mul")
    row = code.read(native.G1_PRODUCT, 3 * FP_BYTES)
    x, y, z = (_little(row[at : at + FP_BYTES]) for at in range(0, 3 * FP_BYTES, FP_BYTES))
    if not z:
        return bytes(POINT_BYTES)
    inverse = invert(z, _MODULUS)  # the Montgomery factors cancel
    return _encode(x * inverse % _MODULUS, y * inverse % _MODULUS)


def pairing_gas(data: Input) -> int:
    return PAIRING_GAS + PAIR_GAS * (len(data) // PAIR_BYTES)


def pairing(data: bytes, interrupt: Interrupt) -> bytes:
    """1 when the product of the pairings of all (G1, G2) pairs is one, else 0.

    Raises: BadInput for a partial pair, a coordinate not below the modulus, a point off its curve,
    a point of the twist outside G2.
    """
    if len(data) % PAIR_BYTES:
        raise BadInput("input is no list of pairs")
    code = native.CODE.instance()
    code.call("start")
    for at in range(0, len(data), PAIR_BYTES):
        interrupt()
        _accumulate(code, data[at : at + PAIR_BYTES])
    interrupt()
    code.call("final_exponentiation")
    is_one = code.read(native.PRODUCT, 12 * FP_BYTES) == _ONE_IN_FP12
    return int(is_one).to_bytes(32, "big")


def _accumulate(code: Instance, pair: bytes) -> None:
    left, right = _g1(pair[:POINT_BYTES]), _g2(pair[POINT_BYTES:])
    if right is None:
        return
    code.write(native.G2, b"".join(map(_montgomery, right)) + _ONE + bytes(FP_BYTES))
    _check_subgroup(code)
    if left != _INFINITY:
        _write_g1(code, left)
        code.call("miller_loop")


def _check_subgroup(code: Instance) -> None:
    """Raises: BadInput when the point at G2 is on the twist, but not in the group of order R."""
    code.call("g2_check")
    row = code.read(native.DIFFERENCES, 6 * FP_BYTES)
    if any(row[: 4 * FP_BYTES]) or not any(row[4 * FP_BYTES :]):
        raise BadInput("point is not in G2")


def _sum(left: tuple[mpz, mpz], right: tuple[mpz, mpz]) -> tuple[mpz, mpz]:
    if left == _INFINITY:
        return right
    if right == _INFINITY:
        return left
    (x1, y1), (x2, y2) = left, right
    if x1 != x2:
        slope = (y2 - y1) * invert(x2 - x1, _MODULUS) % _MODULUS
    elif y1 == y2:  # never 0 on this curve
        slope = 3 * x1 * x1 * invert(2 * y1, _MODULUS) % _MODULUS
    else:
        return _INFINITY
    x = (slope * slope - x1 - x2) % _MODULUS
    return x, (slope * (x1 - x) - y1) % _MODULUS


def _g1(data: bytes) -> tuple[mpz, mpz]:
    """Raises: BadInput unless coordinates are below the modulus and y^2 = x^3 + 3, or all 0."""
    x, y = _coordinate(data[:32]), _coordinate(data[32:])
    if (x or y) and (y * y - x * x * x - 3) % _MODULUS:
        raise BadInput("point is not on the curve")
    return x, y


def _g2(data: bytes) -> tuple[mpz, mpz, mpz, mpz] | None:
    """x and y, each real part first; None for infinity (EIP-197 puts the imaginary part first).

    Raises: BadInput unless the point is on the twist.
    """
    xb, xa, yb, ya = (_coordinate(data[at : at + 32]) for at in range(0, 128, 32))
    if not (xa or xb or ya or yb):
        return None
    x, y = Fp2(xa, xb), Fp2(ya, yb)
    difference = y.square() - x.square() * x - _B_OF_TWIST
    if difference.a % _MODULUS or difference.b % _MODULUS:
        raise BadInput("point is not on the twist")
    return xa, xb, ya, yb


def _coordinate(data: bytes) -> mpz:
    value = mpz(int.from_bytes(data, "big"))
    if value >= _MODULUS:
        raise BadInput("coordinate is not below the modulus")
    return value


def _write_g1(code: Instance, point: tuple[mpz, mpz]) -> None:
    code.write(native.G1_X, _montgomery(point[0]) + _montgomery(point[1]) + _ONE)


def _montgomery(value: mpz) -> bytes:
    return int((value << 256) % _MODULUS).to_bytes(FP_BYTES, "little")


def _little(data: bytes) -> mpz:
    return mpz(int.from_bytes(data, "little"))


def _encode(x: mpz, y: mpz) -> bytes:
    return int(x).to_bytes(32, "big") + int(y).to_bytes(32, "big")
