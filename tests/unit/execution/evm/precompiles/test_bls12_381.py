"""EIP-2537 against py_ecc, and what must be refused."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

from dst.execution.evm.precompiles import bls12_381 as bls
from dst.execution.evm.precompiles.contract import BadInput
from dst.execution.interrupts import never

judge: Any = import_module("py_ecc.optimized_bls12_381")
G1, G2, curve_order, field_modulus = judge.G1, judge.G2, judge.curve_order, judge.field_modulus
multiply, neg, normalize = judge.multiply, judge.neg, judge.normalize


Run = Callable[[bytes, Callable[[], None]], bytes]


def fp(value: int) -> bytes:
    return value.to_bytes(64, "big")


def g1(point: Any) -> bytes:
    x, y = normalize(point)
    return fp(int(x)) + fp(int(y))


def g2(point: Any) -> bytes:
    x, y = normalize(point)
    return b"".join(fp(int(each)) for each in (*x.coeffs, *y.coeffs))


def scalar(value: int) -> bytes:
    return value.to_bytes(32, "big")


INFINITY_1, INFINITY_2 = bytes(128), bytes(256)


def test_additions_agree_with_the_library() -> None:
    assert bls.g1_add(g1(G1) + g1(multiply(G1, 5)), never) == g1(multiply(G1, 6))
    assert bls.g2_add(g2(G2) + g2(multiply(G2, 5)), never) == g2(multiply(G2, 6))
    assert bls.g1_add(g1(G1) + g1(neg(G1)), never) == INFINITY_1
    assert bls.g1_add(INFINITY_1 + g1(G1), never) == g1(G1)


def test_multi_scalar_multiplications_agree_with_the_library() -> None:
    terms = [(3, curve_order - 1), (7, 0), (11, 2**256 - 1)]
    data_1 = b"".join(g1(multiply(G1, base)) + scalar(by) for base, by in terms)
    data_2 = b"".join(g2(multiply(G2, base)) + scalar(by) for base, by in terms)
    total = sum(base * by for base, by in terms) % curve_order
    assert bls.g1_msm(data_1, never) == g1(multiply(G1, total))
    assert bls.g2_msm(data_2, never) == g2(multiply(G2, total))


def test_pairing_checks() -> None:
    good = g1(multiply(G1, 2)) + g2(G2) + g1(neg(G1)) + g2(multiply(G2, 2))
    bad = g1(multiply(G1, 2)) + g2(G2) + g1(neg(G1)) + g2(G2)
    assert bls.pairing_check(good, never)[-1] == 1
    assert bls.pairing_check(bad, never)[-1] == 0
    assert bls.pairing_check(INFINITY_1 + g2(G2), never)[-1] == 1


@pytest.mark.parametrize(
    ("run", "data"),
    [
        (bls.g1_add, b""),
        (bls.g1_add, bytes(255)),
        (bls.g1_add, fp(field_modulus) + bytes(192)),
        (bls.g1_add, fp(1) + fp(1) + bytes(128)),
        (bls.g1_add, b"\x01" + bytes(255)),
        (bls.g2_add, bytes(511)),
        (bls.g1_msm, b""),
        (bls.g1_msm, bytes(161)),
        (bls.g2_msm, b""),
        (bls.pairing_check, b""),
        (bls.pairing_check, bytes(385)),
        (bls.map_fp_to_g1, fp(field_modulus)),
        (bls.map_fp_to_g1, bytes(63)),
        (bls.map_fp2_to_g2, bytes(127)),
    ],
)
def test_bad_precompile_input_is_refused(run: Run, data: bytes) -> None:
    with pytest.raises(BadInput):
        run(data, never)


def test_points_outside_the_subgroup() -> None:
    """On the curve and not in G1: fine to add, refused by multiplication and pairing (EIP-2537)."""
    x = 4
    while pow((x**3 + 4) % field_modulus, (field_modulus - 1) // 2, field_modulus) != 1:
        x += 1
    y = pow(x**3 + 4, (field_modulus + 1) // 4, field_modulus)
    stray = fp(x) + fp(y)
    assert bls.g1_add(stray + INFINITY_1, never) == stray
    with pytest.raises(BadInput):
        bls.g1_msm(stray + scalar(1), never)
    with pytest.raises(BadInput):
        bls.pairing_check(stray + g2(G2), never)


def test_many_terms_and_pairs_are_worked_off_in_slices() -> None:
    """More than a slice of each, and a check between any two."""
    checks: list[None] = []

    def count() -> None:
        checks.append(None)

    terms = 2 * bls.TERMS_A_SLICE + 1
    assert bls.g1_msm((g1(G1) + scalar(2)) * terms, count) == g1(multiply(G1, 2 * terms))
    assert len(checks) == 3
    checks.clear()
    pairs = bls.PAIRS_A_SLICE
    good = g1(G1) + g2(G2) + g1(neg(G1)) + g2(G2)
    assert bls.pairing_check(good * pairs, count)[-1] == 1
    assert bls.pairing_check(good * pairs + g1(G1) + g2(G2), count)[-1] == 0
    assert len(checks) == 5
