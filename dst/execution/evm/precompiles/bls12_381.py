"""The seven BLS12-381 precompiles of EIP-2537 (0x0b to 0x11) on arkworks, at py-evm's prices.

py-evm's own are pure Python: one pairing check takes 1.2 s there for 102,900 gas, which is a way to
stop a chain. Sums and pairings of many terms are worked off in slices.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from eth.precompiles.bls12_381 import constants as price
from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

from dst.execution.environment import Interrupt
from dst.execution.evm.precompiles.contract import BadInput, Input

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


PAIRS_A_SLICE: Final = 8
"""5 to 10 ms with their subgroup checks."""
TERMS_A_SLICE: Final = 64
"""4 to 10 ms with their subgroup checks; longer slices gain little."""


def g1_add_gas(_: Input) -> int:
    return int(price.BLS12_G1_ADD_GAS)


def g1_add(data: bytes, _: Interrupt) -> bytes:
    """Points need only be on the curve: addition has no subgroup check (EIP-2537)."""
    _expect(len(data) == 2 * G1_BYTES)
    return _encode(_g1(data[:G1_BYTES], subgroup=False) + _g1(data[G1_BYTES:], subgroup=False))


def g2_add_gas(_: Input) -> int:
    return int(price.BLS12_G2_ADD_GAS)


def g2_add(data: bytes, _: Interrupt) -> bytes:
    _expect(len(data) == 2 * G2_BYTES)
    return _encode(_g2(data[:G2_BYTES], subgroup=False) + _g2(data[G2_BYTES:], subgroup=False))


def g1_msm_gas(data: Input) -> int:
    return _msm_gas(
        len(data) // G1_TERM_BYTES,
        price.BLS12_G1_MSM_GAS,
        price.G1_MSM_DISCOUNTS,
        price.G1_MSM_MAX_DISCOUNT,
    )


def g1_msm(data: bytes, interrupt: Interrupt) -> bytes:
    return _encode(_msm(data, G1_TERM_BYTES, _g1, G1Point, interrupt))


def g2_msm_gas(data: Input) -> int:
    return _msm_gas(
        len(data) // G2_TERM_BYTES,
        price.BLS12_G2_MSM_GAS,
        price.G2_MSM_DISCOUNTS,
        price.G2_MSM_MAX_DISCOUNT,
    )


def g2_msm(data: bytes, interrupt: Interrupt) -> bytes:
    return _encode(_msm(data, G2_TERM_BYTES, _g2, G2Point, interrupt))


def pairing_gas(data: Input) -> int:
    return 37_700 + 32_600 * (len(data) // PAIR_BYTES)


def pairing_check(data: bytes, interrupt: Interrupt) -> bytes:
    _expect(len(data) > 0 and len(data) % PAIR_BYTES == 0)
    product = GT.one()
    for part in _slices(data, PAIR_BYTES, PAIRS_A_SLICE):
        interrupt()
        left = [_g1(pair[:G1_BYTES], subgroup=True) for pair in part]
        right = [_g2(pair[G1_BYTES:], subgroup=True) for pair in part]
        product *= GT.multi_pairing(left, right)
    return int(product == GT.one()).to_bytes(32, "big")


def map_fp_gas(_: Input) -> int:
    return int(price.BLS12_MAP_FP_G1_GAS)


def map_fp_to_g1(data: bytes, _: Interrupt) -> bytes:
    _expect(len(data) == FP_BYTES)
    return _encode(G1Point.map_from_fp_be(_fp(data)))


def map_fp2_gas(_: Input) -> int:
    return int(price.BLS12_MAP_FP2_G2_GAS)


def map_fp2_to_g2(data: bytes, _: Interrupt) -> bytes:
    _expect(len(data) == 2 * FP_BYTES)
    return _encode(G2Point.map_from_fp2_be(_fp(data[:FP_BYTES]) + _fp(data[FP_BYTES:])))


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


def _msm_gas(terms: int, base: int, discounts: Sequence[int], least: int) -> int:
    discount = discounts[terms - 1] if 0 < terms <= len(discounts) else least
    return terms * base * discount // int(price.MSM_MULTIPLIER)


def _msm(
    data: bytes, term_bytes: int, read: Callable[..., Any], group: Any, interrupt: Interrupt
) -> Any:
    _expect(len(data) > 0 and len(data) % term_bytes == 0)
    total = group.identity()
    for part in _slices(data, term_bytes, TERMS_A_SLICE):
        interrupt()
        points = [read(term[:-SCALAR_BYTES], subgroup=True) for term in part]
        scalars = [Scalar.from_be_bytes_mod_order(term[-SCALAR_BYTES:]) for term in part]
        total += group.multiexp_unchecked(points, scalars)
    return total


def _slices(data: bytes, item_bytes: int, items: int) -> Iterator[list[bytes]]:
    """The items of the input, so many at a time."""
    for start in range(0, len(data), item_bytes * items):
        end = min(start + item_bytes * items, len(data))
        yield [data[at : at + item_bytes] for at in range(start, end, item_bytes)]


def _encode(point: Any) -> bytes:
    return _pad(bytes(point.to_xy_bytes_be()))


def _pad(coordinates: bytes) -> bytes:
    return b"".join(_PADDING + coordinates[at : at + 48] for at in range(0, len(coordinates), 48))
