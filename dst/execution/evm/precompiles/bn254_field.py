"""The field tower, the curves and the optimal ate pairing of BN254 (alt_bn128) as formulas.

Written over an abstract base field: an element needs `+`, `-`, `*` and unary `-`, and a way to
make constants. bn254_code runs the formulas once on symbols to generate machine code; the tests
run the same formulas on integers.

    Fp2 = Fp[u] / (u^2 + 1)     Fp6 = Fp2[v] / (v^3 - xi), xi = 9 + u     Fp12 = Fp6[w] / (w^2 - v)

G2 lies on the twist y^2 = x^3 + 3 / xi; (x, y) there is (x w^2, y w^3) on the curve over Fp12.
Source: EIP-197; Fp6 and Fp12 by Karatsuba (eprint 2006/471); steps of the Miller loop in
homogeneous coordinates (eprint 2010/526); the hard part of the final exponentiation by
Fuentes-Castaneda et al. (SAC 2011); complete point formulas (eprint 2015/1060).
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

P: Final = 21888242871839275222246405745257275088696311157297823662689037894645226208583
"""The base field's modulus."""
R: Final = 21888242871839275222246405745257275088548364400416034343698204186575808495617
"""The groups' order."""
U: Final = 4965661367192848881
"""The curve's parameter; P and R are polynomials in it."""
LOOP: Final = 6 * U + 2
TRACE_LESS_ONE: Final = 6 * U * U
"""What psi multiplies by in G2, and nowhere else on the twist (eprint 2022/352)."""

Fp: TypeAlias = Any


class Fp2(NamedTuple):
    a: Fp
    b: Fp
    """a + b u"""

    def __add__(self, other: "Fp2") -> "Fp2":  # type: ignore[override]
        return Fp2(self.a + other.a, self.b + other.b)

    def __sub__(self, other: "Fp2") -> "Fp2":
        return Fp2(self.a - other.a, self.b - other.b)

    def __neg__(self) -> "Fp2":
        return Fp2(-self.a, -self.b)

    def __mul__(self, other: "Fp2") -> "Fp2":  # type: ignore[override]
        low, high = self.a * other.a, self.b * other.b
        return Fp2(low - high, (self.a + self.b) * (other.a + other.b) - low - high)

    def square(self) -> "Fp2":
        product = self.a * self.b
        return Fp2((self.a + self.b) * (self.a - self.b), product + product)

    def scale(self, by: Fp) -> "Fp2":
        return Fp2(self.a * by, self.b * by)

    def conjugate(self) -> "Fp2":
        return Fp2(self.a, -self.b)

    def times_xi(self) -> "Fp2":
        return Fp2(_times_nine(self.a) - self.b, _times_nine(self.b) + self.a)

    def inverse(self, invert: Callable[[Fp], Fp]) -> "Fp2":
        return self.conjugate().scale(invert(self.a * self.a + self.b * self.b))


class Fp6(NamedTuple):
    a: Fp2
    b: Fp2
    c: Fp2
    """a + b v + c v^2"""

    def __add__(self, other: "Fp6") -> "Fp6":  # type: ignore[override]
        return Fp6(self.a + other.a, self.b + other.b, self.c + other.c)

    def __sub__(self, other: "Fp6") -> "Fp6":
        return Fp6(self.a - other.a, self.b - other.b, self.c - other.c)

    def __neg__(self) -> "Fp6":
        return Fp6(-self.a, -self.b, -self.c)

    def __mul__(self, other: "Fp6") -> "Fp6":  # type: ignore[override]
        a, b, c = self.a * other.a, self.b * other.b, self.c * other.c
        bc = (self.b + self.c) * (other.b + other.c) - b - c
        ab = (self.a + self.b) * (other.a + other.b) - a - b
        ac = (self.a + self.c) * (other.a + other.c) - a - c
        return Fp6(a + bc.times_xi(), ab + c.times_xi(), ac + b)

    def times_sparse(self, first: Fp2, second: Fp2) -> "Fp6":
        """Times first + second v."""
        a, b = self.a * first, self.b * second
        bc = (self.b + self.c) * second - b
        ab = (self.a + self.b) * (first + second) - a - b
        ac = (self.a + self.c) * first - a
        return Fp6(a + bc.times_xi(), ab, ac + b)

    def scale(self, by: Fp2) -> "Fp6":
        return Fp6(self.a * by, self.b * by, self.c * by)

    def times_v(self) -> "Fp6":
        return Fp6(self.c.times_xi(), self.a, self.b)

    def inverse(self, invert: Callable[[Fp], Fp]) -> "Fp6":
        a = self.a.square() - (self.b * self.c).times_xi()
        b = self.c.square().times_xi() - self.a * self.b
        c = self.b.square() - self.a * self.c
        norm = self.a * a + (self.c * b + self.b * c).times_xi()
        return Fp6(a, b, c).scale(norm.inverse(invert))


class Fp12(NamedTuple):
    a: Fp6
    b: Fp6
    """a + b w"""

    def __mul__(self, other: "Fp12") -> "Fp12":  # type: ignore[override]
        low, high = self.a * other.a, self.b * other.b
        cross = (self.a + self.b) * (other.a + other.b) - low - high
        return Fp12(low + high.times_v(), cross)

    def square(self) -> "Fp12":
        product = self.a * self.b
        both = (self.a + self.b) * (self.a + self.b.times_v())
        return Fp12(both - product - product.times_v(), product + product)

    def times_line(self, line: "Line") -> "Fp12":
        low = self.a.scale(line.one)
        high = self.b.times_sparse(line.w, line.w3)
        cross = (self.a + self.b).times_sparse(line.one + line.w, line.w3)
        return Fp12(low + high.times_v(), cross - low - high)

    def conjugate(self) -> "Fp12":
        """The inverse of an element of norm 1, as all are after the easy part."""
        return Fp12(self.a, -self.b)

    def inverse(self, invert: Callable[[Fp], Fp]) -> "Fp12":
        norm = (self.a * self.a - (self.b * self.b).times_v()).inverse(invert)
        return Fp12(self.a * norm, -(self.b * norm))

    def cyclotomic_square(self) -> "Fp12":
        """Of an element after the easy part (eprint 2009/565 section 3.2)."""
        (z0, z4, z3), (z2, z1, z5) = self
        t0, t1 = _square_of_pair(z0, z1)
        t2, t3 = _square_of_pair(z2, z3)
        t4, t5 = _square_of_pair(z4, z5)
        return Fp12(
            Fp6(_minus(t0, z0), _minus(t2, z4), _minus(t4, z3)),
            Fp6(_plus(t5.times_xi(), z2), _plus(t1, z1), _plus(t3, z5)),
        )

    def frobenius(self, power: int, constant: Callable[[int], Fp]) -> "Fp12":
        """self ** (P ** power), power 1, 2 or 3."""
        (g0, g2, g4), (g1, g3, g5) = self
        turned = [
            (g.conjugate() if power % 2 else g) * constant_fp2(_gamma(at, power), constant)
            for at, g in enumerate((g0, g1, g2, g3, g4, g5))
        ]
        return Fp12(Fp6(*turned[::2]), Fp6(*turned[1::2]))


class Point(NamedTuple):
    """X / Z, Y / Z; over Fp for G1, over Fp2 for the twist."""

    x: Any
    y: Any
    z: Any


class Line(NamedTuple):
    """one + w * `w` + w^3 * `w3`: a line through points of the curve, at a point of G1, up to a
    factor that the final exponentiation removes."""

    one: Fp2
    w: Fp2
    w3: Fp2


def add(p: Point, q: Point, times_3b: Callable[[Any], Any]) -> Point:
    """Complete: no case is special, on a group of odd order (eprint 2015/1060, algorithm 7)."""
    xx, yy, zz = p.x * q.x, p.y * q.y, p.z * q.z
    xy = (p.x + p.y) * (q.x + q.y) - (xx + yy)
    yz = (p.y + p.z) * (q.y + q.z) - (yy + zz)
    xz = times_3b((p.x + p.z) * (q.x + q.z) - (xx + zz))
    xx3, bzz = xx + xx + xx, times_3b(zz)
    low, high = yy - bzz, yy + bzz
    return Point(xy * low - yz * xz, low * high + xz * xx3, high * yz + xx3 * xy)


def double(p: Point, times_3b: Callable[[Any], Any]) -> Point:
    """Complete (eprint 2015/1060, algorithm 9)."""
    yy = p.y * p.y
    two = yy + yy
    four = two + two
    eight = four + four
    bzz = times_3b(p.z * p.z)
    low = yy - (bzz + bzz + bzz)
    x = low * (p.x * p.y)
    return Point(x + x, bzz * eight + low * (yy + bzz), p.y * p.z * eight)


def times_3b_of_g1(value: Fp) -> Fp:
    return _times_nine(value)


def double_step(t: Point, px: Fp, py: Fp, times_3b: Callable[[Fp2], Fp2]) -> tuple[Point, Line]:
    """2 T, and the tangent at T (on the twist) at (px, py)."""
    xx, yy, zz = t.x.square(), t.y.square(), t.z.square()
    e = times_3b(zz)
    f = e + e + e
    h = (t.y + t.z).square() - yy - zz
    xy, ee, yh = t.x * t.y, e.square(), yy * h
    ee3 = ee + ee + ee
    ee6, x = ee3 + ee3, xy * (yy - f)
    two = yh + yh
    doubled = Point(x + x, (yy + f).square() - ee6 - ee6, two + two)
    return doubled, Line(h.scale(py), -(xx + xx + xx).scale(px), yy - e)


def add_step(t: Point, q: Point, px: Fp, py: Fp) -> tuple[Point, Line]:
    """T + Q, Q affine, T not +-Q, and the line through both (on the twist) at (px, py)."""
    theta, slope = t.y - q.y * t.z, t.x - q.x * t.z
    square = slope.square()
    cube, shift = square * slope, t.x * square
    h = cube + t.z * theta.square() - shift - shift
    total = Point(slope * h, theta * (shift - h) - cube * t.y, t.z * cube)
    return total, Line(slope.scale(py), -theta.scale(px), theta * q.x - slope * q.y)


def psi(q: Point, constant: Callable[[int], Fp]) -> Point:
    """Frobenius of an affine point of the twist; the result is affine too."""
    x = q.x.conjugate() * constant_fp2(_gamma(2, 1), constant)
    y = q.y.conjugate() * constant_fp2(_gamma(3, 1), constant)
    return Point(x, y, q.z)


def minus_psi_psi(q: Point, constant: Callable[[int], Fp]) -> Point:
    """-psi(psi(Q)) of an affine point."""
    return Point(q.x * constant_fp2(_gamma(2, 2), constant), q.y, q.z)


def constant_fp2(value: tuple[int, int], constant: Callable[[int], Fp]) -> Fp2:
    return Fp2(constant(value[0]), constant(value[1]))


def signed_digits(number: int) -> list[int]:
    """Non-adjacent form, -1, 0 or 1, the highest digit first."""
    digits = []
    while number:
        digit = 2 - number % 4 if number % 2 else 0
        digits.append(digit)
        number = (number - digit) // 2
    return digits[::-1]


def _times_nine(value: Any) -> Any:
    two = value + value
    four = two + two
    return four + four + value


def _square_of_pair(a: Fp2, b: Fp2) -> tuple[Fp2, Fp2]:
    """(a + b s)^2 with s^2 = xi."""
    product = a * b
    both = (a + b) * (a + b.times_xi())
    return both - product - product.times_xi(), product + product


def _minus(t: Fp2, z: Fp2) -> Fp2:
    difference = t - z
    return difference + difference + t


def _plus(t: Fp2, z: Fp2) -> Fp2:
    total = t + z
    return total + total + t


def fp2_multiply(left: tuple[int, int], right: tuple[int, int]) -> tuple[int, int]:
    """On integers, for the constants."""
    (a, b), (c, d) = left, right
    return (a * c - b * d) % P, (a * d + b * c) % P


def fp2_power(base: tuple[int, int], exponent: int) -> tuple[int, int]:
    result = (1, 0)
    for bit in f"{exponent:b}":
        result = fp2_multiply(result, result)
        if bit == "1":
            result = fp2_multiply(result, base)
    return result


def _gamma(at: int, power: int) -> tuple[int, int]:
    """What Frobenius multiplies the coefficient of w^at by: xi^(at (P^power - 1) / 6)."""
    return fp2_power((9, 1), at * (P**power - 1) // 6)


_XI_INVERSE: Final = fp2_power((9, 1), P * P - 2)
B_OF_TWIST: Final = fp2_multiply((3, 0), _XI_INVERSE)
"""3 / xi."""
THREE_B_OF_TWIST: Final = fp2_multiply((9, 0), _XI_INVERSE)
