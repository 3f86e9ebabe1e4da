"""Machine code for BN254: the formulas of bn254_field run once on symbols, WebAssembly text out.

A symbol is the address of a field element: 32 bytes, little-endian, Montgomery form (times 2^256),
always below the modulus. `symbol + symbol` emits a call of the native addition into a fresh
address. A function takes addresses and keeps its temporaries at addresses of its own, so none may
call itself.

The memory's regions and the exports are what bn254 reads and calls.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from dst.execution.evm.precompiles import bn254_field as field
from dst.execution.evm.precompiles.bn254_field import Fp2, Fp6, Fp12, Line, P, Point
from dst.execution.evm.precompiles.native import MEMORY, Code

FP_BYTES: Final = 32
MONTGOMERY: Final = 2**256

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
"""After `g2_check`: five elements; the point is in G2 when the first four are 0."""
PRODUCT: Final = DIFFERENCES + 6 * FP_BYTES
"""Of the Miller loops so far: twelve elements. After `final_exponentiation` the pairing's value."""
_MILLER: Final = PRODUCT + 12 * FP_BYTES
_FREE: Final = _MILLER + 12 * FP_BYTES


class Symbol:
    """The address of an element, and the function that is being written."""

    __slots__ = ("_function", "at")

    def __init__(self, function: "_Function", at: str) -> None:
        self._function, self.at = function, at

    def __add__(self, other: "Symbol") -> "Symbol":
        return self._function.emit("add", self, other)

    def __sub__(self, other: "Symbol") -> "Symbol":
        return self._function.emit("sub", self, other)

    def __mul__(self, other: "Symbol") -> "Symbol":
        return self._function.emit("mul", self, other)

    def __neg__(self) -> "Symbol":
        return self._function.emit("sub", self._function.constant(0), self)


class _Function:
    """The body of one function."""

    def __init__(self, module: "_Module") -> None:
        self._module = module
        self.lines: list[str] = []

    def emit(self, operation: str, *operands: Symbol) -> Symbol:
        result = Symbol(self, f"(i32.const {self._module.allocate()})")
        self.call(operation, result, *operands)
        return result

    def call(self, name: str, *arguments: Symbol) -> None:
        self.lines.append(f"(call ${name} {' '.join(each.at for each in arguments)})")

    def constant(self, value: int) -> Symbol:
        return Symbol(self, f"(i32.const {self._module.constant(value)})")

    def at(self, address: int) -> Symbol:
        return Symbol(self, f"(i32.const {address})")

    def parameter(self, name: str, index: int) -> Symbol:
        return Symbol(self, f"(i32.add (local.get ${name}) (i32.const {index * FP_BYTES}))")

    def elements(self, source: "str | int", count: int) -> list[Symbol]:
        """The elements in a row at an address, or at the one in a parameter."""
        if isinstance(source, int):
            return [self.at(source + index * FP_BYTES) for index in range(count)]
        return [self.parameter(source, index) for index in range(count)]

    def store(self, target: "str | int", values: Sequence[Symbol]) -> None:
        for place, value in zip(self.elements(target, len(values)), values, strict=True):
            self.call("copy", place, value)

    def fp2(self, source: "str | int") -> Fp2:
        return Fp2(*self.elements(source, 2))

    def fp12(self, source: "str | int") -> Fp12:
        return _fp12(self.elements(source, 12))

    def twist_point(self, source: "str | int") -> Point:
        return Point(*_pairs(self.elements(source, 6)))

    def times_3b(self, value: Fp2) -> Fp2:
        return value * field.constant_fp2(field.THREE_B_OF_TWIST, self.constant)

    def invert(self, value: Symbol) -> Symbol:
        return self.emit("inv", value)


class _Module:
    """Functions, constants and temporaries of the module."""

    def __init__(self) -> None:
        self._functions: list[str] = []
        self._constants: dict[int, int] = {}
        self._data: list[str] = []
        self._free = _FREE

    def allocate(self, elements: int = 1) -> int:
        at, self._free = self._free, self._free + elements * FP_BYTES
        return at

    def constant(self, value: int) -> int:
        """Address of a constant in Montgomery form."""
        if value not in self._constants:
            self._constants[value] = self.data(value * MONTGOMERY % P)
        return self._constants[value]

    def data(self, value: int) -> int:
        at = self.allocate()
        text = "".join(f"\\{byte:02x}" for byte in value.to_bytes(FP_BYTES, "little"))
        self._data.append(f'(data (i32.const {at}) "{text}")')
        return at

    def raw(self, text: str) -> None:
        self._functions.append(text)

    @contextmanager
    def function(self, name: str, *parameters: str, export: bool = False) -> Iterator[_Function]:
        made = _Function(self)
        yield made
        header = f'(export "{name}")' if export else ""
        typed = " ".join(f"(param ${each} i32)" for each in parameters)
        self.raw(f"(func ${name} {header} {typed}\n" + "\n".join(made.lines) + ")")

    def text(self) -> str:
        pages = self._free // 65_536 + 1
        memory = f'(memory (export "{MEMORY}") {pages} {pages})'
        return "\n".join(("(module", memory, *self._data, *self._functions, ")"))


def _text() -> str:
    module = _Module()
    _base_field(module)
    _g1_mul(module)
    _fp12_functions(module)
    _g2_check(module)
    _miller_loop(module)
    _final_exponentiation(module)
    return module.text()


# --- the base field, by hand ---------------------------------------------------------------------


def _base_field(module: _Module) -> None:
    limbs = [P >> (64 * at) & (2**64 - 1) for at in range(4)]
    module.raw(_copy_text())
    module.raw(_add_text(limbs))
    module.raw(_sub_text(limbs))
    module.raw(_mul_text(limbs))
    module.raw(_power_text("inv", module.data(P - 2), module.constant(1), module.allocate()))


def _load(names: Iterable[str]) -> str:
    return "\n".join(
        f"(local.set ${name}{at} (i64.load offset={8 * at} (local.get ${name})))"
        for name in names
        for at in range(4)
    )


_ARGUMENTS: Final = "(param $out i32) (param $a i32) (param $b i32)"


def _locals(names: Iterable[str]) -> str:
    return " ".join(f"(local ${name} i64)" for name in names)


def _limb_names(*names: str) -> list[str]:
    return [f"{name}{at}" for name in names for at in range(4)]


def _copy_text() -> str:
    moves = "\n".join(
        f"(i64.store offset={at} (local.get $out) (i64.load offset={at} (local.get $a)))"
        for at in range(0, FP_BYTES, 8)
    )
    return f"(func $copy (param $out i32) (param $a i32)\n{moves})"


def _less_modulus(limbs: Sequence[int]) -> str:
    """Stores a - p at out when a >= p, else a (a below 2p)."""
    lines = ["(local.set $c (i64.const 0))"]
    for at, limb in enumerate(limbs):
        lines.append(
            f"(local.get $a{at}) (i64.const 0) (i64.const {limb}) (i64.const 0) i64.sub128 "
            "(local.get $c) (local.get $c) i64.add128 "
            f"(local.set $c) (local.set $b{at})"
        )
    lines += [
        f"(i64.store offset={8 * at} (local.get $out)"
        f" (select (local.get $a{at}) (local.get $b{at}) (i64.ne (local.get $c) (i64.const 0))))"
        for at in range(4)
    ]
    return "\n".join(lines)


def _add_text(limbs: Sequence[int]) -> str:
    sums = "\n".join(
        f"(local.get $a{at}) (i64.const 0) (local.get $b{at}) (i64.const 0) i64.add128 "
        "(local.get $c) (i64.const 0) i64.add128 "
        f"(local.set $c) (local.set $a{at})"
        for at in range(4)
    )
    return (
        f"(func $add {_ARGUMENTS} {_locals(['c', *_limb_names('a', 'b')])}\n"
        f"{_load('ab')}\n{sums}\n{_less_modulus(limbs)})"
    )


def _sub_text(limbs: Sequence[int]) -> str:
    """a - b, and p more when that is negative: $c is 0 or all ones by then."""
    differences = "\n".join(
        f"(local.get $a{at}) (i64.const 0) (local.get $b{at}) (i64.const 0) i64.sub128 "
        "(local.get $c) (local.get $c) i64.add128 "
        f"(local.set $c) (local.set $a{at})"
        for at in range(4)
    )
    correction = "\n".join(
        f"(local.get $a{at}) (i64.const 0) (i64.and (local.get $c) (i64.const {limb}))"
        " (i64.const 0) i64.add128 (local.get $d) (i64.const 0) i64.add128 "
        f"(local.set $d) (local.set $a{at})"
        for at, limb in enumerate(limbs)
    )
    store = "\n".join(
        f"(i64.store offset={8 * at} (local.get $out) (local.get $a{at}))" for at in range(4)
    )
    return (
        f"(func $sub {_ARGUMENTS} {_locals(['c', 'd', *_limb_names('a', 'b')])}\n"
        f"{_load('ab')}\n{differences}\n{correction}\n{store})"
    )


def _mul_text(limbs: Sequence[int]) -> str:
    """Montgomery product, a word of b at a time; the modulus leaves the top bits free, so the
    running sum never needs a fifth word."""
    minus_inverse = -pow(P, -1, 2**64) % 2**64
    lines = []
    for word in range(4):
        lines.append("(local.set $c (i64.const 0))")
        for at in range(4):
            running = f"(local.get $t{at}) (i64.const 0) i64.add128" if word else ""
            lines.append(
                f"(local.get $a{at}) (local.get $b{word}) i64.mul_wide_u {running} "
                "(local.get $c) (i64.const 0) i64.add128 "
                f"(local.set $c) (local.set $t{at})"
            )
        lines.append("(local.set $top (local.get $c))")
        lines.append(
            f"(local.set $m (i64.mul (local.get $t0) (i64.const {minus_inverse})))"
            f"(local.get $m) (i64.const {limbs[0]}) i64.mul_wide_u "
            "(local.get $t0) (i64.const 0) i64.add128 (local.set $c) drop"
        )
        for at in range(1, 4):
            lines.append(
                f"(local.get $m) (i64.const {limbs[at]}) i64.mul_wide_u "
                f"(local.get $t{at}) (i64.const 0) i64.add128 "
                "(local.get $c) (i64.const 0) i64.add128 "
                f"(local.set $c) (local.set $t{at - 1})"
            )
        lines.append("(local.set $t3 (i64.add (local.get $c) (local.get $top)))")
    lines += [f"(local.set $a{at} (local.get $t{at}))" for at in range(4)]
    names = ["c", "m", "top", *_limb_names("a", "b", "t")]
    return (
        f"(func $mul {_ARGUMENTS} {_locals(names)}\n{_load('ab')}\n"
        + "\n".join(lines)
        + f"\n{_less_modulus(limbs)})"
    )


def _power_text(name: str, exponent: int, one: int, scratch: int) -> str:
    """out = a ** the exponent in the memory, by its bits from the highest."""
    return f"""(func ${name} (param $out i32) (param $a i32) (local $bit i32)
(call $copy (i32.const {scratch}) (local.get $a))
(call $copy (local.get $out) (i32.const {one}))
(local.set $bit (i32.const 256))
(loop $next
(local.set $bit (i32.sub (local.get $bit) (i32.const 1)))
(call $mul (local.get $out) (local.get $out) (local.get $out))
(if {_bit_text(exponent)} (then
(call $mul (local.get $out) (local.get $out) (i32.const {scratch}))))
(br_if $next (local.get $bit))))"""


def _bit_text(at: int) -> str:
    """Bit number $bit of the integer at an address."""
    byte = f"(i32.load8_u offset={at} (i32.shr_u (local.get $bit) (i32.const 3)))"
    return f"(i32.and (i32.shr_u {byte} (i32.and (local.get $bit) (i32.const 7))) (i32.const 1))"


# --- groups --------------------------------------------------------------------------------------


def _g1_mul(module: _Module) -> None:
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
(if {_bit_text(SCALAR)} (then (call $g1_add)))
(br_if $next (local.get $bit))))""")


def _g2_check(module: _Module) -> None:
    """DIFFERENCES = psi(Q) - TRACE_LESS_ONE * Q for the point of the twist at G2, cross-multiplied:
    both coordinates, then Z of the multiple, which must not be 0."""
    running = module.allocate(6)
    with module.function("g2_double") as body:
        body.store(running, _flat(field.double(body.twist_point(running), body.times_3b)))
    with module.function("g2_add") as body:
        total = field.add(body.twist_point(running), body.twist_point(G2), body.times_3b)
        body.store(running, _flat(total))
    with module.function("g2_check", export=True) as body:
        body.store(running, body.elements(G2, 6))
        for bit in f"{field.TRACE_LESS_ONE:b}"[1:]:
            body.call("g2_double")
            if bit == "1":
                body.call("g2_add")
        multiple = body.twist_point(running)
        image = field.psi(body.twist_point(G2), body.constant)
        differences = (multiple.x - image.x * multiple.z, multiple.y - image.y * multiple.z)
        body.store(DIFFERENCES, _flat((*differences, multiple.z)))


def _fp12_functions(module: _Module) -> None:
    binary: dict[str, Callable[[Fp12, Fp12], Fp12]] = {"fp12_mul": Fp12.__mul__}
    unary: dict[str, Callable[[Fp12], Fp12]] = {
        "fp12_square": Fp12.square,
        "fp12_conjugate": Fp12.conjugate,
        "fp12_cyclotomic_square": Fp12.cyclotomic_square,
    }
    for name, two in binary.items():
        with module.function(name, "out", "a", "b") as body:
            body.store("out", _flat12(two(body.fp12("a"), body.fp12("b"))))
    for name, one in unary.items():
        with module.function(name, "out", "a") as body:
            body.store("out", _flat12(one(body.fp12("a"))))
    for power in (1, 2, 3):
        with module.function(f"fp12_frobenius{power}", "out", "a") as body:
            body.store("out", _flat12(body.fp12("a").frobenius(power, body.constant)))
    with module.function("fp12_inverse", "out", "a") as body:
        body.store("out", _flat12(body.fp12("a").inverse(body.invert)))


# --- the pairing ---------------------------------------------------------------------------------


def _miller_loop(module: _Module) -> None:
    """PRODUCT *= the Miller loop of the points at G1_X and G2; `start` sets PRODUCT to 1."""
    running, line, negative, other = (module.allocate(count) for count in (6, 6, 6, 6))
    one, zero = module.constant(1), module.constant(0)
    with module.function("tangent") as body:
        x, y = body.at(G1_X), body.at(G1_Y)
        point, tangent = field.double_step(body.twist_point(running), x, y, body.times_3b)
        body.store(running, _flat(point))
        body.store(line, _flat(tangent))
    with module.function("chord", "q") as body:
        x, y = body.at(G1_X), body.at(G1_Y)
        point, chord = field.add_step(body.twist_point(running), body.twist_point("q"), x, y)
        body.store(running, _flat(point))
        body.store(line, _flat(chord))
    with module.function("times_line") as body:
        product = body.fp12(_MILLER).times_line(Line(*_pairs(body.elements(line, 6))))
        body.store(_MILLER, _flat12(product))
    with module.function("start", export=True) as body:
        body.store(PRODUCT, [body.at(one), *([body.at(zero)] * 11)])
    with module.function("miller_loop", export=True) as body:
        q = body.twist_point(G2)
        body.store(running, _flat(q))
        body.store(negative, _flat(Point(q.x, -q.y, q.z)))
        body.store(_MILLER, [body.at(one), *([body.at(zero)] * 11)])
        for digit in field.signed_digits(field.LOOP)[1:]:
            body.call("fp12_square", body.at(_MILLER), body.at(_MILLER))
            body.call("tangent")
            body.call("times_line")
            if digit:
                body.call("chord", body.at(G2 if digit > 0 else negative))
                body.call("times_line")
        for last in (field.psi, field.minus_psi_psi):
            body.store(other, _flat(last(q, body.constant)))
            body.call("chord", body.at(other))
            body.call("times_line")
        body.call("fp12_mul", body.at(PRODUCT), body.at(PRODUCT), body.at(_MILLER))


def _final_exponentiation(module: _Module) -> None:
    """PRODUCT = PRODUCT ** ((P^12 - 1) / R * k), k a number prime to R."""
    with module.function("fp12_power_minus_u", "out", "a") as body:
        out, a = body.parameter("out", 0), body.parameter("a", 0)
        running = body.at(module.allocate(12))
        body.store(_address(running), body.elements("a", 12))
        for bit in f"{field.U:b}"[1:]:
            body.call("fp12_cyclotomic_square", running, running)
            if bit == "1":
                body.call("fp12_mul", running, running, a)
        body.call("fp12_conjugate", out, running)
    with module.function("final_exponentiation", export=True) as body:
        _Exponentiation(module, body).write()


class _Exponentiation:
    """The final exponentiation as calls on elements of Fp12."""

    def __init__(self, module: _Module, body: _Function) -> None:
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


# --- rows of elements ----------------------------------------------------------------------------


def _pairs(elements: Sequence[Symbol]) -> list[Fp2]:
    return [Fp2(*elements[at : at + 2]) for at in range(0, len(elements), 2)]


def _fp12(elements: Sequence[Symbol]) -> Fp12:
    pairs = _pairs(elements)
    return Fp12(Fp6(*pairs[:3]), Fp6(*pairs[3:]))


def _flat(elements: Iterable[Fp2]) -> list[Symbol]:
    return [part for each in elements for part in each]


def _flat12(element: Fp12) -> list[Symbol]:
    return _flat((*element.a, *element.b))


def _address(symbol: Symbol) -> int:
    return int(symbol.at.removeprefix("(i32.const ").removesuffix(")"))


CODE: Final = Code(_text)
