"""BN254 against py_ecc: points of every kind, scalars of every size, pairings true and false."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dst.execution.environment import ExecutionAborted
from dst.execution.evm.precompiles import bn254
from dst.execution.evm.precompiles.bn254_field import P, R, fp2_multiply, fp2_power
from dst.execution.evm.precompiles.contract import BadInput
from dst.execution.interrupts import never

judge: Any = import_module("py_ecc.optimized_bn128")
G1, G2, multiply, neg, add = judge.G1, judge.G2, judge.multiply, judge.neg, judge.add
INFINITY_1, INFINITY_2 = bytes(64), bytes(128)
TWIST_B = fp2_multiply((3, 0), fp2_power((9, 1), P * P - 2))

SCALARS = st.one_of(
    st.sampled_from([0, 1, 2, R - 1, R, R + 1, P, 2**255, 2**256 - 1]),
    st.integers(0, 2**256 - 1),
)
SMALL = st.integers(0, 40)


def number(value: int) -> bytes:
    return value.to_bytes(32, "big")


def g1(point: Any) -> bytes:
    if judge.is_inf(point):
        return INFINITY_1
    return b"".join(number(int(each)) for each in judge.normalize(point))


def g2(point: Any) -> bytes:
    """Imaginary parts first (EIP-197)."""
    if judge.is_inf(point):
        return INFINITY_2
    x, y = judge.normalize(point)
    return b"".join(number(int(each)) for each in (*x.coeffs[::-1], *y.coeffs[::-1]))


def twist_point(start: int) -> bytes:
    """A point of the twist outside G2: the first x above `start` that has a y."""
    x = (start, 1)
    while True:
        square = fp2_multiply(fp2_multiply(x, x), x)
        square = ((square[0] + TWIST_B[0]) % P, (square[1] + TWIST_B[1]) % P)
        root = fp2_root(square)
        if root is not None:
            return b"".join(map(number, (x[1], x[0], root[1], root[0])))
        x = (x[0] + 1, x[1])


def fp2_root(value: tuple[int, int]) -> tuple[int, int] | None:
    """A square root, by the complex method (P = 3 mod 4)."""
    a, b = value
    norm = pow(a * a + b * b, (P + 1) // 4, P)
    for sign in (1, -1):
        half = (a + sign * norm) * pow(2, -1, P) % P
        real = pow(half, (P + 1) // 4, P)
        if real and real * real % P == half:
            root = (real, b * pow(2 * real, -1, P) % P)
            if fp2_multiply(root, root) == (a % P, b % P):
                return root
    return None


@given(left=SMALL, right=SMALL)
@settings(max_examples=60, deadline=None)
def test_additions(left: int, right: int) -> None:
    """Includes infinity on either side, doubling, and opposite points."""
    p, q = multiply(G1, left), multiply(G1, right)
    assert bn254.add(g1(p) + g1(q), never) == g1(add(p, q))
    assert bn254.add(g1(p) + g1(neg(q)), never) == g1(add(p, neg(q)))


@given(base=SMALL, by=SCALARS)
@settings(max_examples=60, deadline=None)
def test_multiplications(base: int, by: int) -> None:
    expected = g1(multiply(G1, base * by % R))
    assert bn254.mul(g1(multiply(G1, base)) + number(by), never) == expected


def test_short_input_reads_as_zeros_and_long_input_is_cut() -> None:
    assert bn254.add(b"", never) == INFINITY_1
    assert bn254.add(g1(G1), never) == g1(G1)
    assert bn254.add(g1(G1) * 2 + b"\xff", never) == g1(add(G1, G1))
    assert bn254.mul(g1(G1)[:64] + number(3) + b"\xff", never) == g1(multiply(G1, 3))
    assert bn254.mul(g1(G1) + b"\x01", never) == g1(multiply(G1, 2**248 % R))
    assert bn254.mul(b"", never) == INFINITY_1


@pytest.mark.parametrize(
    "point",
    [
        number(1) + number(1),
        number(0) + number(1),
        number(P) + number(0),
        number(0) + number(P),
        number(1 + P) + number(2),
        number(2**256 - 1) * 2,
    ],
    ids=["off the curve", "x 0", "x the modulus", "y the modulus", "x not reduced", "all ones"],
)
def test_what_is_no_point_of_g1_is_refused(point: bytes) -> None:
    for run, data in (
        (bn254.add, point),
        (bn254.add, g1(G1) + point),
        (bn254.mul, point + number(0)),
        (bn254.pairing, point + INFINITY_2),
        (bn254.pairing, point + g2(G2)),
    ):
        with pytest.raises(BadInput):
            run(data, never)


def test_what_is_no_point_of_g2_is_refused() -> None:
    good = g2(G2)
    for bad in (
        good[:-1] + bytes((good[-1] ^ 1,)),
        number(P) + good[32:],
        number(1) + bytes(96),
        twist_point(5),
        twist_point(10**20),
    ):
        for left in (g1(G1), INFINITY_1):
            with pytest.raises(BadInput):
                bn254.pairing(left + bad, never)


@pytest.mark.parametrize("length", [1, 191, 193, 383])
def test_partial_pairs_are_refused(length: int) -> None:
    with pytest.raises(BadInput):
        bn254.pairing(bytes(length), never)


@given(
    factors=st.lists(st.tuples(st.integers(1, R - 1), st.integers(1, R - 1)), max_size=3),
    off=st.sampled_from([0, 0, 1, R - 1]),
)
@settings(max_examples=25, deadline=None)
def test_pairings_are_bilinear(factors: list[tuple[int, int]], off: int) -> None:
    """The product over (aG1, bG2) and (-(sum ab + off)G1, G2) is one exactly when off is 0."""
    pairs = [g1(multiply(G1, a)) + g2(multiply(G2, b)) for a, b in factors]
    total = (sum(a * b for a, b in factors) + off) % R
    pairs.append(g1(neg(multiply(G1, total))) + g2(G2))
    assert bn254.pairing(b"".join(pairs), never) == number(int(off == 0))


def test_pairs_with_infinity_count_as_one() -> None:
    assert bn254.pairing(b"", never)[-1] == 1
    assert bn254.pairing(INFINITY_1 + g2(G2), never)[-1] == 1
    assert bn254.pairing(g1(G1) + INFINITY_2, never)[-1] == 1
    assert bn254.pairing(g1(G1) + g2(G2), never)[-1] == 0


def test_agrees_with_the_library_on_values_that_are_not_one() -> None:
    """e(2 G1, 3 G2) e(-6 G1, G2) = 1 there as well, and e(2 G1, 3 G2) is not."""
    left = judge.pairing(multiply(G2, 3), multiply(G1, 2))
    right = judge.pairing(G2, multiply(G1, 6))
    assert left == right
    data = g1(multiply(G1, 2)) + g2(multiply(G2, 3)) + g1(neg(multiply(G1, 6))) + g2(G2)
    assert bn254.pairing(data, never)[-1] == 1


def test_a_check_between_any_two_pairs() -> None:
    assert _checks(lambda count: bn254.pairing((g1(G1) + g2(G2)) * 5, count)) == 6

    def stop() -> None:
        raise ExecutionAborted("enough")

    with pytest.raises(ExecutionAborted):
        bn254.pairing(g1(G1) + g2(G2), stop)


def _checks(run: Callable[[Callable[[], None]], object]) -> int:
    seen: list[None] = []
    run(lambda: seen.append(None))
    return len(seen)


def test_gas() -> None:
    assert (bn254.add_gas(b""), bn254.mul_gas(b"")) == (150, 6_000)
    assert bn254.pairing_gas(bytes(192 * 2)) == 113_000
