"""Precompiles at their worst: one call that takes all the gas, and many of the smallest.

Addresses and gas: EIP-152 (BLAKE2F), 196, 197 and 1108 (BN254), 198 and 2565 (MODEXP), 4844 (point
evaluation), 2537 (BLS12-381).
"""

import hashlib
import random
from typing import Final

from devnet.workload.hostile.assembly import Code
from devnet.workload.hostile.programs import (
    OVERHEAD,
    check,
    checked_call,
    end,
    fill,
    static_call,
    until_gas_is_low,
    words,
)

ECRECOVER, SHA256, RIPEMD160, IDENTITY, MODEXP = 1, 2, 3, 4, 5
BN_ADD, BN_MUL, BN_PAIRING, BLAKE2F, POINT_EVALUATION = 6, 7, 8, 9, 10
BLS_G1_ADD, BLS_G1_MSM, BLS_G2_ADD, BLS_G2_MSM = 11, 12, 13, 14
BLS_PAIRING, BLS_MAP_G1, BLS_MAP_G2 = 15, 16, 17

BN_G1: Final = (1, 2)
BN_G2: Final = (
    0x198E9393920D483A7260BFB731FB5D25F1AA493335A9E71297E485B7AEF312C2,
    0x1800DEEF121F1E76426A00665E5C4479674322D4F75EDADD46DEBD5CD992F6ED,
    0x090689D0585FF075EC9E99AD690C3395BC4B313370B38EF355ACDADCD122975B,
    0x12C85EA5DB8C6DEB4AAB71808DCB408FE3D1E7690C43D37B4CE6CC0166FA7DAA,
)
"""Generators of the two groups; in G2 the imaginary part stands first (EIP-197)."""
BLS_G1: Final = (
    0x17F1D3A73197D7942695638C4FA9AC0FC3688C4F9774B905A14E3A3F171BAC586C55E83FF97A1AEFFB3AF00ADB22C6BB,
    0x08B3F481E3AAA0F1A09E30ED741D8AE4FCF5E095D5D00AF600DB18CB2C04B3EDD03CC744A2888AE40CAA232946C5E7E1,
)
BLS_G2: Final = (
    0x024AA2B2F08F0A91260805272DC51051C6E47AD4FA403B02B4510B647AE3D1770BAC0326A805BBEFD48056C8C121BDB8,
    0x13E02B6052719F607DACD3A088274F65596BD0D09920B61AB5DA61BBDC7F5049334CF11213945D57E5AC7D055D042B7E,
    0x0CE5D527727D6E118CC9CDC6DA2E351AADFD9BAA8CBDD3A76D429A695160D12C923AC9CC3BACA289E193548608B82801,
    0x0606C4A02EA734CC32ACD2B02BC28B99CB3E287E85A763AF267492AB572E99AB3F370D275CEC1DA1AAA9075FF05F79BE,
)
"""Generators, affine (EIP-2537 §Curve parameters)."""
BLS_POINTS: Final = 128
"""Of one multi-scalar multiplication: the discount no longer grows from there on."""

KZG_TAU_G1: Final = bytes.fromhex(
    "ad3eb50121139aa34db1d545093ac9374ab7bca2c0f3bf28e27c8dcd8fc7cb42"
    "d25926fc0c97b336e9f0fb35e5a04c81"
)
"""Second point of the public trusted setup: the commitment to the polynomial p(x) = x, whose
quotient at every point is 1. So the proof is the generator, and p(z) = z."""

SIGNED_HASH: Final = bytes([0x11]) * 32
SIGNATURE: Final = (
    27,
    0xB9F0BB08640D3C1C00761CDD0121209268F6FD3816BC98B9E6F3CC77BF82B698,
    0x12AC7A61788A0FDC0E19180F14C945A8E1088A27D92A74DCE81C0981FB644744,
)
"""v, r, s over SIGNED_HASH by the key 0x22...22."""
MEGABYTE: Final = 1 << 20
BIG_SHARE: Final = 0.93
"""Of a transaction's gas, what one single call may cost: the rest pays for data and memory."""


def _affine(*coordinates: int) -> bytes:
    """64 bytes a coordinate (EIP-2537 §Field elements encoding)."""
    return b"".join(value.to_bytes(64, "big") for value in coordinates)


def _many(address: int, data: bytes, step_gas: int, times: int = 1) -> bytes:
    code = Code().copy_data(data)
    return until_gas_is_low(
        code, checked_call(address, len(data)), step_gas=step_gas + 200, times=times
    )


def _once(code: Code, address: int, size: int) -> bytes:
    static_call(code, address, size)
    check(code)
    return end(code)


def _blake2f_input(rounds: int) -> bytes:
    return rounds.to_bytes(4, "big") + bytes(range(208)) + b"\1"


def blake2f_one_call(gas: int) -> bytes:
    """A gas a round: one call of nine million rounds at 10 Mgas."""
    data = _blake2f_input(int(gas * BIG_SHARE))
    return _once(Code().copy_data(data), BLAKE2F, len(data))


def blake2f_many_calls(_gas: int) -> bytes:
    return _many(BLAKE2F, _blake2f_input(12), 12, times=40)


def bn254_add(_gas: int) -> bytes:
    return _many(BN_ADD, words(*BN_G1, *BN_G1), 150, times=40)


def bn254_mul(_gas: int) -> bytes:
    return _many(BN_MUL, words(*BN_G1, 2**256 - 1), 6_000, times=4)


def bn254_pairing_one_call(gas: int) -> bytes:
    pairs = (int(gas * BIG_SHARE) - 45_000) // 34_000
    code = Code()
    fill(code, words(*BN_G1, *BN_G2), pairs)
    return _once(code, BN_PAIRING, 192 * pairs)


def bn254_pairing_many_calls(_gas: int) -> bytes:
    return _many(BN_PAIRING, words(*BN_G1, *BN_G2), 79_000)


def _modexp_input(base: int, exponent: bytes, modulus: int, *, even: bool = False) -> bytes:
    """`base` and `modulus` are lengths in bytes; their values are drawn once for ever."""
    draw = random.Random(base)
    low = bytes([0xFE if even else 0xFF])
    value = b"\x7f" + draw.randbytes(base - 1)
    limit = b"\xff" + draw.randbytes(modulus - 2) + low
    return words(base, len(exponent), modulus) + value + exponent + limit


def _modexp_one_call(gas: int, *, even: bool) -> bytes:
    """1024-byte numbers: 16,384 units of multiplication for every bit of the exponent, by three
    (EIP-2565)."""
    iterations = int(gas * BIG_SHARE) * 3 // 16_384
    exponent = b"\xff" * (32 + (iterations - 255) // 8)
    data = _modexp_input(1024, exponent, 1024, even=even)
    return _once(Code().copy_data(data), MODEXP, len(data))


def modexp_big(gas: int) -> bytes:
    return _modexp_one_call(gas, even=False)


def modexp_big_even(gas: int) -> bytes:
    """An even modulus has no Montgomery form."""
    return _modexp_one_call(gas, even=True)


def modexp_small(_gas: int) -> bytes:
    return _many(MODEXP, _modexp_input(32, b"\xff" * 5, 32), 208, times=40)


def modexp_square(_gas: int) -> bytes:
    """The longest number that costs the least price of 200 gas."""
    return _many(MODEXP, _modexp_input(192, b"\3", 192), 200, times=40)


def point_evaluation(_gas: int) -> bytes:
    point = (7).to_bytes(32, "big")
    versioned_hash = b"\1" + hashlib.sha256(KZG_TAU_G1).digest()[1:]
    generator = bytes([0x97]) + _compressed_generator_tail()
    return _many(POINT_EVALUATION, versioned_hash + point + point + KZG_TAU_G1 + generator, 50_000)


def _compressed_generator_tail() -> bytes:
    """x of the generator, whose first byte carries the flags (here 0x97 for 0x17)."""
    return BLS_G1[0].to_bytes(48, "big")[1:]


def bls_pairing_one_call(gas: int) -> bytes:
    pairs = (int(gas * BIG_SHARE) - 37_700) // 32_600
    code = Code()
    fill(code, _affine(*BLS_G1, *BLS_G2), pairs)
    return _once(code, BLS_PAIRING, 384 * pairs)


def bls_pairing_many_calls(_gas: int) -> bytes:
    return _many(BLS_PAIRING, _affine(*BLS_G1, *BLS_G2), 70_300)


def bls_g1_add(_gas: int) -> bytes:
    return _many(BLS_G1_ADD, _affine(*BLS_G1, *BLS_G1), 375, times=20)


def bls_g2_add(_gas: int) -> bytes:
    return _many(BLS_G2_ADD, _affine(*BLS_G2, *BLS_G2), 600, times=20)


def _msm(address: int, point: bytes, step_gas: int) -> bytes:
    code = Code()
    fill(code, point + b"\xff" * 32, BLS_POINTS)
    size = (len(point) + 32) * BLS_POINTS
    return until_gas_is_low(code, checked_call(address, size), step_gas=step_gas + 200)


def bls_g1_msm(_gas: int) -> bytes:
    return _msm(BLS_G1_MSM, _affine(*BLS_G1), BLS_POINTS * 12_000 * 519 // 1000)


def bls_g2_msm(_gas: int) -> bytes:
    return _msm(BLS_G2_MSM, _affine(*BLS_G2), BLS_POINTS * 22_500 * 524 // 1000)


def bls_map_g1(_gas: int) -> bytes:
    return _many(BLS_MAP_G1, _affine(5), 5_500, times=4)


def bls_map_g2(_gas: int) -> bytes:
    return _many(BLS_MAP_G2, _affine(5, 6), 23_800)


def ecrecover(_gas: int) -> bytes:
    return _many(ECRECOVER, SIGNED_HASH + words(*SIGNATURE), 3_000, times=4)


def sha256_small(_gas: int) -> bytes:
    return _many(SHA256, bytes(32), 72, times=40)


def ripemd160_small(_gas: int) -> bytes:
    return _many(RIPEMD160, bytes(32), 720, times=20)


def identity_small(_gas: int) -> bytes:
    return _many(IDENTITY, bytes(32), 18, times=60)


def _big(address: int, a_word: int) -> bytes:
    code = Code().push(1, MEGABYTE - 32).op("MSTORE")
    cost = a_word * MEGABYTE // 32 + 700
    return until_gas_is_low(code, checked_call(address, MEGABYTE), step_gas=cost + OVERHEAD)


def sha256_big(_gas: int) -> bytes:
    return _big(SHA256, 12)


def identity_big(_gas: int) -> bytes:
    return _big(IDENTITY, 3)


def ripemd160_big(_gas: int) -> bytes:
    """128 KB a call: a megabyte would cost four million gas."""
    size = 1 << 17
    code = Code().push(1, size - 32).op("MSTORE")
    return until_gas_is_low(code, checked_call(RIPEMD160, size), step_gas=120 * size // 32 + 1_000)
