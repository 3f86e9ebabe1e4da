"""Threshold BLS: split a key by Shamir's scheme, recover signatures by Lagrange interpolation at x
= 0.

Share indices are 1-based evaluation points; index 0 would be the secret itself. Interpolation uses
integer
coefficients: with D the common denominator, the sum of N_i * S_i needs only multiplications by
numbers of a few bits and one by 1/D at the end (none when D = 1, which is 3 of 4 sets at n = 4).
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from math import lcm, prod
from typing import Final, TypeVar

from py_arkworks_bls12381 import G1Point, G2Point, Scalar

from dst.crypto.bls import (
    CURVE_ORDER,
    SecretShare,
    decode_pubkey,
    decode_signature,
    encode_pubkey,
    encode_signature,
)
from dst.spec.errors import InvalidInput
from dst.spec.primitives import BLSPubkey, BLSSignature, ShareIndex

_SCALAR_BYTES: Final = 48
"""Random bytes a coefficient is reduced from: 384 bits modulo a 255-bit order leave no measurable
bias.
"""
_CACHED_SETS: Final = 512
"""Signer sets whose coefficients are kept; n = 10 has 120."""


class NotEnoughPartials(InvalidInput):
    """Fewer partial signatures (or shares) than the threshold."""


def split(
    secret: SecretShare,
    n: int,
    threshold: int,
    rng_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> dict[ShareIndex, SecretShare]:
    """Split `secret` into n shares of which any `threshold` recover it (a dealer's work, not
    constant time).

    Args: rng_bytes: n -> n uniform random bytes; replaceable for reproducible tests only.
    Raises: InvalidInput unless 1 <= threshold <= n.
    """
    if not 1 <= threshold <= n:
        raise InvalidInput(f"threshold {threshold} of {n} shares is impossible")
    whole = int.from_bytes(secret.reveal(), "big")
    others = [
        int.from_bytes(rng_bytes(_SCALAR_BYTES), "big") % CURVE_ORDER for _ in range(threshold - 1)
    ]
    coefficients = [whole, *others]
    return {ShareIndex(x): SecretShare(_evaluate(coefficients, x)) for x in range(1, n + 1)}


def _evaluate(coefficients: Sequence[int], x: int) -> int:
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * x + coefficient) % CURVE_ORDER
    return value


@lru_cache(_CACHED_SETS)
def lagrange_at_zero(indices: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    """Integer coefficients N_i and common denominator D: f(0) = (sum of N_i * f(i)) / D."""
    weights = [
        prod((Fraction(j, j - i) for j in indices if j != i), start=Fraction(1)) for i in indices
    ]
    denominator = lcm(*(weight.denominator for weight in weights))
    return tuple(int(weight * denominator) for weight in weights), denominator


def recover_group_signature(
    partials: Mapping[ShareIndex, BLSSignature], threshold: int
) -> BLSSignature:
    """Combine partial signatures over one signing root into the group's 96-byte G2 signature.

    The caller verifies the result: a wrong but well-formed partial gives a wrong signature, not an
    error.

    Args:
        partials: 1-based share index -> 96-byte compressed G2 point (index 0 would be the secret
        itself).
        threshold: shares needed; surplus partials are ignored, highest index first.
    Raises: NotEnoughPartials; InvalidPoint if a partial lies outside the prime-order subgroup.
    Source: consensus-specs phase0, BLS signatures; Lagrange interpolation at x = 0.
    """
    chosen = _choose(partials, threshold)
    points = [decode_signature(partials[index]) for index in chosen]
    return encode_signature(_interpolate(chosen, points, G2Point.identity()))


def recover_group_public_key(shares: Mapping[ShareIndex, BLSPubkey], threshold: int) -> BLSPubkey:
    """The group key that `threshold` share keys determine. Raises: NotEnoughPartials,
    InvalidPoint.
    """
    chosen = _choose(shares, threshold)
    points = [decode_pubkey(shares[index]) for index in chosen]
    return encode_pubkey(_interpolate(chosen, points, G1Point.identity()))


def recover_secret(shares: Mapping[ShareIndex, SecretShare], threshold: int) -> SecretShare:
    """The undivided key; for tests and for the owner of all shares. Raises: NotEnoughPartials."""
    chosen = _choose(shares, threshold)
    weights, denominator = lagrange_at_zero(chosen)
    values = [int.from_bytes(shares[index].reveal(), "big") for index in chosen]
    total = sum(weight * value for weight, value in zip(weights, values, strict=True))
    return SecretShare(total * pow(denominator, -1, CURVE_ORDER) % CURVE_ORDER)


def _choose(parts: Mapping[ShareIndex, object], threshold: int) -> tuple[ShareIndex, ...]:
    if len(parts) < threshold or threshold < 1:
        raise NotEnoughPartials(f"{len(parts)} parts, {threshold} needed")
    chosen = tuple(sorted(parts))[:threshold]
    if chosen[0] < 1:
        raise InvalidInput("share indices begin at 1")
    return chosen


_Point = TypeVar("_Point", G1Point, G2Point)


def _interpolate(indices: tuple[ShareIndex, ...], points: list[_Point], zero: _Point) -> _Point:
    weights, denominator = lagrange_at_zero(tuple(indices))
    total = zero
    for weight, point in zip(weights, points, strict=True):
        total += (point if weight > 0 else -point) * Scalar(abs(weight))
    if denominator == 1:
        return total
    return total * Scalar(pow(denominator, -1, CURVE_ORDER))
