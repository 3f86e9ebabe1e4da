"""The native module of BN254: the formulas of bn254_field on symbols, and its memory.

The memory's regions and the exports are what bn254 reads and calls.
"""

from collections.abc import Callable
from typing import Final

from dst.execution.evm.precompiles import bn254_field as field
from dst.execution.evm.precompiles.bn254_field import Fp12, Line, Point
from dst.execution.evm.precompiles.bn254_limbs import base_field, bit_text
from dst.execution.evm.precompiles.bn254_symbols import (
    FP_BYTES,
    Function,
    Module,
    Symbol,
    address_of_symbol,
    flat,
    flat12,
    pairs_of,
)
from dst.execution.evm.precompiles.native import Code

# Arguments and results, by address.
G1_X: Final = 0
G1_Y: Final = G1_X + FP_BYTES
"""An affine point of G1: what is multiplied, or one side of a pair."""
G1_Z: Final = G1_Y + FP_BYTES
"""Set to 1 by who writes the point."""
SCALAR: Final = G1_Z + FP_BYTES
"""32 bytes, little-endian."""
G1_PRODUCT: Final = SCALAR + FP_BYTES
"""Homogeneous: X, Y, Z."""
G2: Final = G1_PRODUCT + 3 * FP_BYTES
"""An affine point of the twist and Z = 1: six elements."""
DIFFERENCES: Final = G2 + 6 * FP_BYTES
"""After `g2_check`: six elements; the point is in G2 when the first four are 0, the rest not."""
PRODUCT: Final = DIFFERENCES + 6 * FP_BYTES
"""Of the Miller loops so far: twelve elements. After `final_exponentiation` the pairing's value."""
_MILLER: Final = PRODUCT + 12 * FP_BYTES
_FREE: Final = _MILLER + 12 * FP_BYTES


def _text() -> str:
    module = Module(_FREE)
    base_field(module)
    _g1_mul(module)
    _fp12_functions(module)
    _g2_check(module)
    _miller_loop(module)
    _final_exponentiation(module)
    return module.text()


# --- groups --------------------------------------------------------------------------------------


def _g1_mul(module: Module) -> None:
    """G1_PRODUCT = SCALAR * the point at G1_X."""
    with module.function("g1_double") as body:
        total = Point(*body.elements(G1_PRODUCT, 3))
        body.store(G1_PRODUCT, field.double(total, field.times_3b_of_g1))
    with module.function("g1_add") as body:
        total, point = Point(*body.elements(G1_PRODUCT, 3)), Point(*body.elements(G1_X, 3))
        body.store(G1_PRODUCT, field.add(total, point, field.times_3b_of_g1))
    zero, one = module.constant(0), module.constant(1)
    module.raw(f"""(func $g1_mul (export "g1_mul") (local $bit i32)
(call $copy (i32.const {G1_PRODUCT}) (i32.const {zero}))
(call $copy (i32.const {G1_PRODUCT + FP_BYTES}) (i32.const {one}))
(call $copy (i32.const {G1_PRODUCT + 2 * FP_BYTES}) (i32.const {zero}))
(local.set $bit (i32.const 256))
(loop $next
(local.set $bit (i32.sub (local.get $bit) (i32.const 1)))
(call $g1_double)
(if {bit_text(SCALAR)} (then (call $g1_add)))
(br_if $next (local.get $bit))))""")


def _g2_check(module: Module) -> None:
    """DIFFERENCES = psi(Q) - TRACE_LESS_ONE * Q for the point of the twist at G2, cross-multiplied:
    both coordinates, then Z of the multiple, which must not be 0."""
    running = module.allocate(6)
    with module.function("g2_double") as body:
        body.store(running, flat(field.double(body.twist_point(running), body.times_3b)))
    with module.function("g2_add") as body:
        total = field.add(body.twist_point(running), body.twist_point(G2), body.times_3b)
        body.store(running, flat(total))
    with module.function("g2_check", export=True) as body:
        body.store(running, body.elements(G2, 6))
        for bit in f"{field.TRACE_LESS_ONE:b}"[1:]:
            body.call("g2_double")
            if bit == "1":
                body.call("g2_add")
        multiple = body.twist_point(running)
        image = field.psi(body.twist_point(G2), body.constant)
        differences = (multiple.x - image.x * multiple.z, multiple.y - image.y * multiple.z)
        body.store(DIFFERENCES, flat((*differences, multiple.z)))


def _fp12_functions(module: Module) -> None:
    binary: dict[str, Callable[[Fp12, Fp12], Fp12]] = {"fp12_mul": Fp12.__mul__}
    unary: dict[str, Callable[[Fp12], Fp12]] = {
        "fp12_square": Fp12.square,
        "fp12_conjugate": Fp12.conjugate,
        "fp12_cyclotomic_square": Fp12.cyclotomic_square,
    }
    for name, two in binary.items():
        with module.function(name, "out", "a", "b") as body:
            body.store("out", flat12(two(body.fp12("a"), body.fp12("b"))))
    for name, one in unary.items():
        with module.function(name, "out", "a") as body:
            body.store("out", flat12(one(body.fp12("a"))))
    for power in (1, 2, 3):
        with module.function(f"fp12_frobenius{power}", "out", "a") as body:
            body.store("out", flat12(body.fp12("a").frobenius(power, body.constant)))
    with module.function("fp12_inverse", "out", "a") as body:
        body.store("out", flat12(body.fp12("a").inverse(body.invert)))


# --- the pairing ---------------------------------------------------------------------------------


def _miller_loop(module: Module) -> None:
    """PRODUCT *= the Miller loop of the points at G1_X and G2; `start` sets PRODUCT to 1."""
    running, line, negative, other = (module.allocate(count) for count in (6, 6, 6, 6))
    one, zero = module.constant(1), module.constant(0)
    with module.function("tangent") as body:
        x, y = body.at(G1_X), body.at(G1_Y)
        point, tangent = field.double_step(body.twist_point(running), x, y, body.times_3b)
        body.store(running, flat(point))
        body.store(line, flat(tangent))
    with module.function("chord", "q") as body:
        x, y = body.at(G1_X), body.at(G1_Y)
        point, chord = field.add_step(body.twist_point(running), body.twist_point("q"), x, y)
        body.store(running, flat(point))
        body.store(line, flat(chord))
    with module.function("times_line") as body:
        product = body.fp12(_MILLER).times_line(Line(*pairs_of(body.elements(line, 6))))
        body.store(_MILLER, flat12(product))
    with module.function("start", export=True) as body:
        body.store(PRODUCT, [body.at(one), *([body.at(zero)] * 11)])
    with module.function("miller_loop", export=True) as body:
        q = body.twist_point(G2)
        body.store(running, flat(q))
        body.store(negative, flat(Point(q.x, -q.y, q.z)))
        body.store(_MILLER, [body.at(one), *([body.at(zero)] * 11)])
        for digit in field.signed_digits(field.LOOP)[1:]:
            body.call("fp12_square", body.at(_MILLER), body.at(_MILLER))
            body.call("tangent")
            body.call("times_line")
            if digit:
                body.call("chord", body.at(G2 if digit > 0 else negative))
                body.call("times_line")
        for last in (field.psi, field.minus_psi_psi):
            body.store(other, flat(last(q, body.constant)))
            body.call("chord", body.at(other))
            body.call("times_line")
        body.call("fp12_mul", body.at(PRODUCT), body.at(PRODUCT), body.at(_MILLER))


def _final_exponentiation(module: Module) -> None:
    """PRODUCT = PRODUCT ** ((P^12 - 1) / R * k), k a number prime to R."""
    with module.function("fp12_power_minus_u", "out", "a") as body:
        out, a = body.parameter("out", 0), body.parameter("a", 0)
        running = body.at(module.allocate(12))
        body.store(address_of_symbol(running), body.elements("a", 12))
        for bit in f"{field.U:b}"[1:]:
            body.call("fp12_cyclotomic_square", running, running)
            if bit == "1":
                body.call("fp12_mul", running, running, a)
        body.call("fp12_conjugate", out, running)
    with module.function("final_exponentiation", export=True) as body:
        _Exponentiation(module, body).write()


class _Exponentiation:
    """The final exponentiation as calls on elements of Fp12."""

    def __init__(self, module: Module, body: Function) -> None:
        self._module, self._body = module, body

    def _emit(self, name: str, *operands: Symbol) -> Symbol:
        result = self._body.at(self._module.allocate(12))
        self._body.call(name, result, *operands)
        return result

    def write(self) -> None:
        mul, conjugate = "fp12_mul", "fp12_conjugate"
        square, minus_u = "fp12_cyclotomic_square", "fp12_power_minus_u"
        emit = self._emit
        f = self._body.at(PRODUCT)
        # Easy part: (P^6 - 1)(P^2 + 1).
        r = emit(mul, emit(conjugate, f), emit("fp12_inverse", f))
        r = emit(mul, emit("fp12_frobenius2", r), r)
        # Hard part; comments give the exponent of r.
        y1 = emit(square, emit(minus_u, r))  # -2u
        y3 = emit(mul, emit(square, y1), y1)  # -6u
        y4 = emit(minus_u, y3)  # 6u^2
        y6 = emit(minus_u, emit(square, y4))  # -12u^3
        y3, y6 = emit(conjugate, y3), emit(conjugate, y6)
        y8 = emit(mul, emit(mul, y6, y4), y3)  # 12u^3 + 6u^2 + 6u
        y9 = emit(mul, y8, y1)  # 12u^3 + 6u^2 + 4u
        y11 = emit(mul, emit(mul, y8, y4), r)  # 12u^3 + 12u^2 + 6u + 1
        y13 = emit(mul, emit("fp12_frobenius1", y9), y11)
        y14 = emit(mul, emit("fp12_frobenius2", y8), y13)
        y15 = emit("fp12_frobenius3", emit(mul, emit(conjugate, r), y9))
        self._body.call(mul, f, y15, y14)


CODE: Final = Code(_text)
