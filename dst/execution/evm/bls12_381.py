"""The seven BLS12-381 precompiles of EIP-2537 on native arithmetic: bytes in, bytes out, gas
elsewhere.

py-evm's own are pure Python: one pairing check takes 1.2 s there for 102,900 gas, which is a way to
stop a chain.
"""

from collections.abc import Callable
from typing import Any, Final

from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

FIELD_MODULUS: Final = int(
    "1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f624"
    "1eabfffeb153ffffb9feffffffffaaab",
    16,
)
_PADDING: Final = bytes(16)
"""A field element is 48 bytes, padded to 64 in front."""
FP_BYTES: Final = 64
G1_BYTES: Final = 2 * FP_BYTES
G2_BYTES: Final = 4 * FP_BYTES
SCALAR_BYTES: Final = 32
G1_TERM_BYTES: Final = G1_BYTES + SCALAR_BYTES
G2_TERM_BYTES: Final = G2_BYTES + SCALAR_BYTES
PAIR_BYTES: Final = G1_BYTES + G2_BYTES


class BadInput(ValueError):
    """The precompile call fails and burns its gas."""


def g1_add(data: bytes) -> bytes:
    """Points need only be on the curve: addition has no subgroup check (EIP-2537)."""
    _expect(len(data) == 2 * G1_BYTES)
    return _encode_g1(_g1(data[:G1_BYTES], subgroup=False) + _g1(data[G1_BYTES:], subgroup=False))


def g2_add(data: bytes) -> bytes:
    _expect(len(data) == 2 * G2_BYTES)
    return _encode_g2(_g2(data[:G2_BYTES], subgroup=False) + _g2(data[G2_BYTES:], subgroup=False))


def g1_msm(data: bytes) -> bytes:
    return _encode_g1(_msm(data, G1_TERM_BYTES, _g1, G1Point))


def g2_msm(data: bytes) -> bytes:
    return _encode_g2(_msm(data, G2_TERM_BYTES, _g2, G2Point))


def pairing_check(data: bytes) -> bytes:
    _expect(len(data) > 0 and len(data) % PAIR_BYTES == 0)
    pairs = [data[at : at + PAIR_BYTES] for at in range(0, len(data), PAIR_BYTES)]
    left = [_g1(pair[:G1_BYTES], subgroup=True) for pair in pairs]
    right = [_g2(pair[G1_BYTES:], subgroup=True) for pair in pairs]
    return int(GT.pairing_check(left, right)).to_bytes(32, "big")


def map_fp_to_g1(data: bytes) -> bytes:
    _expect(len(data) == FP_BYTES)
    return _encode_g1(G1Point.map_from_fp_be(_fp(data)))


def map_fp2_to_g2(data: bytes) -> bytes:
    _expect(len(data) == 2 * FP_BYTES)
    return _encode_g2(G2Point.map_from_fp2_be(_fp(data[:FP_BYTES]) + _fp(data[FP_BYTES:])))


def _expect(condition: bool) -> None:
    if not condition:
        raise BadInput("wrong input length")


def _fp(data: bytes) -> bytes:
    if data[:16] != _PADDING or int.from_bytes(data[16:], "big") >= FIELD_MODULUS:
        raise BadInput("not a field element")
    return data[16:]


def _g1(data: bytes, *, subgroup: bool) -> Any:
    coordinates = _fp(data[:FP_BYTES]) + _fp(data[FP_BYTES:])
    if not any(coordinates):
        return G1Point.identity()
    read = G1Point.from_xy_bytes_be if subgroup else G1Point.from_xy_bytes_unchecked_be
    return _point(read, coordinates)


def _g2(data: bytes, *, subgroup: bool) -> Any:
    coordinates = b"".join(_fp(data[at : at + FP_BYTES]) for at in range(0, G2_BYTES, FP_BYTES))
    if not any(coordinates):
        return G2Point.identity()
    read = G2Point.from_xy_bytes_be if subgroup else G2Point.from_xy_bytes_unchecked_be
    return _point(read, coordinates)


def _point(read: Callable[[bytes], Any], coordinates: bytes) -> Any:
    try:
        return read(coordinates)
    except Exception as error:  # the binding has no error class of its own
        raise BadInput(str(error)) from None


def _msm(data: bytes, term_bytes: int, read: Callable[..., Any], group: Any) -> Any:
    _expect(len(data) > 0 and len(data) % term_bytes == 0)
    terms = [data[at : at + term_bytes] for at in range(0, len(data), term_bytes)]
    points = [read(term[:-SCALAR_BYTES], subgroup=True) for term in terms]
    scalars = [Scalar.from_be_bytes_mod_order(term[-SCALAR_BYTES:]) for term in terms]
    return group.multiexp_unchecked(points, scalars)


def _encode_g1(point: Any) -> bytes:
    return _pad(bytes(point.to_xy_bytes_be()))


def _encode_g2(point: Any) -> bytes:
    return _pad(bytes(point.to_xy_bytes_be()))


def _pad(coordinates: bytes) -> bytes:
    return b"".join(_PADDING + coordinates[at : at + 48] for at in range(0, len(coordinates), 48))
