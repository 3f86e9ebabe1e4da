"""The base field of BN254 by hand: copy, add, sub, mul, inv on four 64-bit words in Montgomery
form, as WebAssembly with wide arithmetic."""

from collections.abc import Iterable, Sequence
from typing import Final

from dst.execution.evm.precompiles.bn254_field import P
from dst.execution.evm.precompiles.bn254_symbols import FP_BYTES, Module


def base_field(module: Module) -> None:
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
(if {bit_text(exponent)} (then
(call $mul (local.get $out) (local.get $out) (i32.const {scratch}))))
(br_if $next (local.get $bit))))"""


def bit_text(at: int) -> str:
    """Bit number $bit of the integer at an address."""
    byte = f"(i32.load8_u offset={at} (i32.shr_u (local.get $bit) (i32.const 3)))"
    return f"(i32.and (i32.shr_u {byte} (i32.and (local.get $bit) (i32.const 7))) (i32.const 1))"
