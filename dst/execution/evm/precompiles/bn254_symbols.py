"""Writing native functions over the field of BN254 by running formulas on symbols.

A symbol is the address of a field element: 32 bytes, little-endian, Montgomery form (times 2^256),
always below the modulus. `symbol + symbol` emits a call of the native addition into a fresh
address. A function takes addresses and keeps its temporaries at addresses of its own, so none may
call itself.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from dst.execution.evm.precompiles import bn254_field as field
from dst.execution.evm.precompiles.bn254_field import Fp2, Fp6, Fp12, P, Point
from dst.execution.evm.precompiles.native import MEMORY

FP_BYTES: Final = 32
MONTGOMERY: Final = 2**256


class Symbol:
    """The address of an element, and the function that is being written."""

    __slots__ = ("_function", "at")

    def __init__(self, function: "Function", at: str) -> None:
        self._function, self.at = function, at

    def __add__(self, other: "Symbol") -> "Symbol":
        return self._function.emit("add", self, other)

    def __sub__(self, other: "Symbol") -> "Symbol":
        return self._function.emit("sub", self, other)

    def __mul__(self, other: "Symbol") -> "Symbol":
        return self._function.emit("mul", self, other)

    def __neg__(self) -> "Symbol":
        return self._function.emit("sub", self._function.constant(0), self)


class Function:
    """The body of one function."""

    def __init__(self, module: "Module") -> None:
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

    def fp12(self, source: "str | int") -> Fp12:
        return fp12_of(self.elements(source, 12))

    def twist_point(self, source: "str | int") -> Point:
        return Point(*pairs_of(self.elements(source, 6)))

    def times_3b(self, value: Fp2) -> Fp2:
        return value * field.constant_fp2(field.THREE_B_OF_TWIST, self.constant)

    def invert(self, value: Symbol) -> Symbol:
        return self.emit("inv", value)


class Module:
    """Functions, constants and temporaries of the module."""

    def __init__(self, first_free: int) -> None:
        self._functions: list[str] = []
        self._constants: dict[int, int] = {}
        self._data: list[str] = []
        self._free = first_free

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
    def function(self, name: str, *parameters: str, export: bool = False) -> Iterator[Function]:
        made = Function(self)
        yield made
        header = f'(export "{name}")' if export else ""
        typed = " ".join(f"(param ${each} i32)" for each in parameters)
        self.raw(f"(func ${name} {header} {typed}\n" + "\n".join(made.lines) + ")")

    def text(self) -> str:
        pages = self._free // 65_536 + 1
        memory = f'(memory (export "{MEMORY}") {pages} {pages})'
        return "\n".join(("(module", memory, *self._data, *self._functions, ")"))


def pairs_of(elements: Sequence[Symbol]) -> list[Fp2]:
    return [Fp2(*elements[at : at + 2]) for at in range(0, len(elements), 2)]


def fp12_of(elements: Sequence[Symbol]) -> Fp12:
    pairs = pairs_of(elements)
    return Fp12(Fp6(*pairs[:3]), Fp6(*pairs[3:]))


def flat(elements: Iterable[Fp2]) -> list[Symbol]:
    return [part for each in elements for part in each]


def flat12(element: Fp12) -> list[Symbol]:
    return flat((*element.a, *element.b))


def address_of_symbol(symbol: Symbol) -> int:
    return int(symbol.at.removeprefix("(i32.const ").removesuffix(")"))
