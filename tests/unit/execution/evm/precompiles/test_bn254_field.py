"""The formulas that the native code is generated from, run on integers."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dst.execution.evm.precompiles.bn254_field import (
    LOOP,
    Fp2,
    Fp6,
    Fp12,
    P,
    signed_digits,
)


@dataclass(frozen=True)
class Residue:
    """An element of the base field."""

    value: int

    def __add__(self, other: "Residue") -> "Residue":
        return Residue((self.value + other.value) % P)

    def __sub__(self, other: "Residue") -> "Residue":
        return Residue((self.value - other.value) % P)

    def __mul__(self, other: "Residue") -> "Residue":
        return Residue(self.value * other.value % P)

    def __neg__(self) -> "Residue":
        return Residue(-self.value % P)


def invert(element: Any) -> Residue:
    return Residue(pow(element.value, -1, P))


def fp12(values: list[int]) -> Fp12:
    pairs = [Fp2(Residue(values[at]), Residue(values[at + 1])) for at in range(0, 12, 2)]
    return Fp12(Fp6(*pairs[:3]), Fp6(*pairs[3:]))


ONE = fp12([1] + [0] * 11)
ELEMENTS = st.lists(st.integers(1, P - 1), min_size=12, max_size=12).map(fp12)


def power(base: Fp12, exponent: int) -> Fp12:
    result = ONE
    for bit in f"{exponent:b}":
        result = result * result
        if bit == "1":
            result = result * base
    return result


@given(ELEMENTS, ELEMENTS, ELEMENTS)
@settings(max_examples=20, deadline=None)
def test_a_field(a: Fp12, b: Fp12, c: Fp12) -> None:
    assert (a * b) * c == a * (b * c)
    assert a * b == b * a
    assert a.square() == a * a
    assert a * a.inverse(invert) == ONE


@given(ELEMENTS)
@settings(max_examples=3, deadline=None)
def test_frobenius_is_a_power_of_the_modulus(a: Fp12) -> None:
    once = power(a, P)
    assert a.frobenius(1, Residue) == once
    assert a.frobenius(2, Residue) == once.frobenius(1, Residue)
    assert a.frobenius(3, Residue) == a.frobenius(2, Residue).frobenius(1, Residue)


@given(ELEMENTS)
@settings(max_examples=10, deadline=None)
def test_cyclotomic_squares_after_the_easy_part(a: Fp12) -> None:
    turned = a.conjugate() * a.inverse(invert)
    unit = turned.frobenius(2, Residue) * turned
    assert unit.cyclotomic_square() == unit * unit
    assert unit.conjugate() * unit == ONE


def test_signed_digits() -> None:
    digits = signed_digits(LOOP)
    assert sum(digit << at for at, digit in enumerate(reversed(digits))) == LOOP
    assert all(not (a and b) for a, b in pairwise(digits))
