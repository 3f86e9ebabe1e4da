"""The worst that a transaction can ask for: for every opcode and precompile, loops that spend all
gas on it.

Shared by the guard of bounded steps (test_bounded_steps) and the table of worst blocks
(tests/benchmarks/execution). A loop is a contract of the genesis; calling it with a block's gas
runs it until the gas is gone.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from dst.crypto import ecdsa
from dst.crypto.keccak import keccak256
from dst.execution.evm.calls import MAX_INIT_CODE_BYTES
from dst.execution.evm.interpreter import HOT_RUNS
from dst.execution.evm.precompiles import PRECOMPILES
from dst.spec.primitives import Address
from tests.unit.execution.assembler import OPCODES, assemble

GAS: Final = 10_000_000
"""The gas limit of a block."""
_FIRST_ADDRESS: Final = 0x10000
_BODY_BYTES: Final = 8_000
"""Of an unrolled loop: the jump back then costs nothing beside it."""
_MEGABYTE: Final = 2**20
_ALL_ONES: Final = 2**256 - 1

# Accounts that loops call or look at.
STOPPER: Final = 0xB001
JUMPER: Final = 0xB002
"""24 KB of pushes, and the one jump is to their end."""
RECURSER: Final = 0xB003
SENDER_BACK: Final = 0xB004
"""Returns as many zeros as its calldata is long."""
ABSENT: Final = 0xB0B0


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """A contract that does one thing until its gas is gone."""

    subject: str
    """The opcode or precompile."""
    variant: str
    code: bytes
    address: Address
    whole: bool
    """Whether it takes a block's gas to show its worth: a tenth would go into memory alone."""

    @property
    def name(self) -> str:
        return f"{self.subject}: {self.variant}"


def _address(number: int) -> Address:
    return Address(number.to_bytes(20, "big"))


def codes() -> dict[Address, bytes]:
    """What the genesis must hold for the loops."""
    pushes = f"#7f{'5b' * 32} " * 744
    return {
        _address(STOPPER): b"\x00",
        _address(JUMPER): assemble(f"@end JUMP {pushes} end: STOP"),
        _address(RECURSER): assemble("0 0 0 0 0 ADDRESS GAS CALL STOP"),
        _address(SENDER_BACK): assemble("CALLDATASIZE 0 RETURN"),
        **{loop.address: loop.code for loop in LOOPS},
    }


def _unrolled(setup: str, body: str) -> bytes:
    times = max(_BODY_BYTES // len(assemble(body)), 1)
    return assemble(f"{setup} loop: {f'{body} ' * times} @loop JUMP")


# --- opcodes -------------------------------------------------------------------------------------

_Variant = tuple[str, str, str]
"""Its name, what runs once, what is repeated."""

_OPERANDS: Final = {
    "smallest": (1, 1, 1),
    "largest": (_ALL_ONES, _ALL_ONES, _ALL_ONES),
    "mixed": (2**255 + 12345, 2**128 + 1, 2**256 - 189),
    "zero": (0, 0, 0),
}
_PURE: Final = {
    **dict.fromkeys("ISZERO NOT".split(), 1),
    **dict.fromkeys("ADD MUL SUB DIV SDIV MOD SMOD EXP SIGNEXTEND".split(), 2),
    **dict.fromkeys("LT GT SLT SGT EQ AND OR XOR BYTE SHL SHR SAR".split(), 2),
    **dict.fromkeys("ADDMOD MULMOD".split(), 3),
}
"""Number of operands."""
_NULLARY: Final = (
    "ADDRESS ORIGIN CALLER CALLVALUE CALLDATASIZE CODESIZE GASPRICE RETURNDATASIZE COINBASE "
    "TIMESTAMP NUMBER PREVRANDAO GASLIMIT CHAINID SELFBALANCE BASEFEE BLOBBASEFEE PC MSIZE GAS "
    "PUSH0"
).split()
_COUNT_UP: Final = "1 ADD"
_SIZES: Final = {"nothing": 0, "a word": 32, "64 KB": 2**16, "1 MB": _MEGABYTE}


def _pure() -> Iterator[tuple[str, _Variant]]:
    for name, count in _PURE.items():
        for kind, values in _OPERANDS.items():
            operands = " ".join(map(str, values[:count]))
            yield name, (f"{kind} operands", operands, f"DUP{count} " * count + f"{name} POP")
    for name in ("BYTE", "SIGNEXTEND", "SHL", "SHR", "SAR"):
        yield name, ("by 31", f"{_ALL_ONES} 31", f"DUP2 DUP2 {name} POP")
    yield "EXP", ("a chain", "3", f"{_ALL_ONES} EXP")


def _stack() -> Iterator[tuple[str, _Variant]]:
    for name in _NULLARY:
        yield name, ("alone", "", f"{name} POP")
    for width in range(1, 33):
        yield f"PUSH{width}", ("alone", "", f"#{0x5F + width:02x}{'ff' * width} POP")
    sixteen = "1 " * 17
    for depth in range(1, 17):
        yield f"DUP{depth}", ("alone", sixteen, f"DUP{depth} POP")
        yield f"SWAP{depth}", ("alone", sixteen, f"SWAP{depth}")
    yield "POP", ("after a DUP", "1", "DUP1 POP")
    yield "JUMPDEST", ("alone", "", "JUMPDEST")
    yield "JUMP", ("tight", "", "")
    yield "JUMPI", ("tight", "", "")


def _memory() -> Iterator[tuple[str, _Variant]]:
    for kind, size in _SIZES.items():
        grow = f"0 {max(size - 32, 0)} MSTORE"
        yield "KECCAK256", (kind, f"{grow} {size}", "DUP1 0 KECCAK256 POP")
        yield "MCOPY", (kind, f"{grow} {size}", "DUP1 0 0 MCOPY")
        yield "MCOPY", (f"{kind}, overlapping", f"0 {size + 64} MSTORE {size}", "DUP1 0 1 MCOPY")
        yield "CALLDATACOPY", (kind, f"{grow} {size}", "DUP1 0 0 CALLDATACOPY")
        yield (
            "CALLDATACOPY",
            (f"{kind} from beyond", f"{grow} {size}", f"DUP1 {_ALL_ONES} 0 CALLDATACOPY"),
        )
        yield "CODECOPY", (kind, f"{grow} {size}", "DUP1 0 0 CODECOPY")
        yield "EXTCODECOPY", (kind, f"{grow} {size}", f"DUP1 0 0 {JUMPER} EXTCODECOPY")
        fill = f"{grow} 0 0 {size} 0 4 GAS STATICCALL POP {size}"
        yield "RETURNDATACOPY", (kind, fill, "DUP1 0 0 RETURNDATACOPY")
        for topics in range(5):
            arguments = "1 " * topics
            yield (
                f"LOG{topics}",
                (kind, f"{grow} {size}", f"{arguments} DUP{topics + 1} 0 LOG{topics}"),
            )
    for name in ("MSTORE", "MSTORE8"):
        yield name, ("one place", f"{_ALL_ONES}", f"DUP1 0 {name}")
        yield name, ("high up", f"{_ALL_ONES}", f"DUP1 {_MEGABYTE} {name}")
        yield name, ("a word further each time", "0", f"DUP1 DUP1 {name} 32 ADD")
    yield "MLOAD", ("one place", "", "0 MLOAD POP")
    yield "MLOAD", ("high up", "", f"{_MEGABYTE} MLOAD POP")
    yield "MLOAD", ("across words", "", "31 MLOAD POP")
    for name, at in (("CALLDATALOAD", 0), ("CALLDATALOAD", _ALL_ONES)):
        yield name, (f"at {at:.0e}", f"{at}", f"DUP1 {name} POP")


def _accounts() -> Iterator[tuple[str, _Variant]]:
    for name in ("BALANCE", "EXTCODESIZE", "EXTCODEHASH"):
        for kind, at in (("warm code", JUMPER), ("warm, absent", ABSENT)):
            yield name, (kind, f"{at}", f"DUP1 {name} POP")
        yield name, ("cold", f"{2**100}", f"DUP1 {name} POP {_COUNT_UP}")
    yield "EXTCODECOPY", ("cold", f"{2**100}", f"0 0 0 DUP4 EXTCODECOPY {_COUNT_UP}")
    yield "BLOCKHASH", ("the parent", "1 NUMBER SUB", "DUP1 BLOCKHASH POP")
    yield "BLOCKHASH", ("the future", f"{_ALL_ONES}", "DUP1 BLOCKHASH POP")
    yield "BLOBHASH", ("the first", "", "0 BLOBHASH POP")
    for name in ("SLOAD", "TLOAD"):
        yield name, ("one slot", "", f"0 {name} POP")
        yield name, ("a new slot each time", "0", f"DUP1 {name} POP {_COUNT_UP}")
    for name in ("SSTORE", "TSTORE"):
        yield name, ("the same value", "", f"0 0 {name}")
        yield name, ("on and off", "", f"1 0 {name} 0 0 {name}")
        yield name, ("a new slot each time", "1", f"DUP1 DUP1 {name} {_COUNT_UP}")
        yield name, ("a new value each time", "1", f"DUP1 0 {name} {_COUNT_UP}")


_CALLS: Final = {
    "CALL": "{out} 0 {size} 0 0 {to} {gas} CALL POP",
    "CALLCODE": "{out} 0 {size} 0 0 {to} {gas} CALLCODE POP",
    "DELEGATECALL": "{out} 0 {size} 0 {to} {gas} DELEGATECALL POP",
    "STATICCALL": "{out} 0 {size} 0 {to} {gas} STATICCALL POP",
}


def _calls() -> Iterator[tuple[str, _Variant]]:
    for name, text in _CALLS.items():
        for kind, to in (
            ("to nobody", ABSENT),
            ("to a STOP", STOPPER),
            ("to 24 KB that jump to the end", JUMPER),
        ):
            yield name, (kind, "", text.format(out=0, size=0, to=to, gas="GAS"))
        big = f"0 {_MEGABYTE} MSTORE"
        for kind, to in (
            ("to a STOP", STOPPER),
            ("to RIPEMD-160 without gas", 3),
            ("to BN254 add", 6),
        ):
            body = text.format(out=0, size=_MEGABYTE, to=to, gas=0 if to == 3 else "GAS")
            yield name, (f"with 1 MB {kind}", big, body)
        body = text.format(out=_MEGABYTE, size=_MEGABYTE, to=4, gas="GAS")
        yield name, ("1 MB through identity", big, body)
        body = text.format(out=0, size=2**15, to=SENDER_BACK, gas="GAS")
        yield name, ("32 KB there and back", big, body)
    yield "CALL", ("as deep as it goes", "", f"0 0 0 0 0 {RECURSER} GAS CALL POP")
    yield "CALL", ("value to nobody", "", f"0 0 0 0 1 {ABSENT} 0 CALL POP")
    yield (
        "CALL",
        ("value to a new account each time", f"{2**101}", f"0 0 0 0 1 DUP6 0 CALL POP {_COUNT_UP}"),
    )
    yield "CALL", ("cold", f"{2**101}", f"0 0 0 0 0 DUP6 GAS CALL POP {_COUNT_UP}")


def _creates() -> Iterator[tuple[str, _Variant]]:
    """By init code: none, one that deploys 24 KB, the largest, one that jumps to its own end."""
    most = 49_152
    deploy = int.from_bytes(assemble("24576 0 RETURN").ljust(32, b"\0"), "big")
    jump = b"\x61" + (most - 1).to_bytes(2, "big") + b"\x56"
    place = f"{int.from_bytes(jump.ljust(32, bytes(1)), 'big')} 0 MSTORE {0x5B} {most - 1} MSTORE8"
    for name, salt in (("CREATE", ""), ("CREATE2", "GAS")):
        yield name, ("nothing", "", f"{salt} 0 0 0 {name} POP")
        yield name, ("24 KB of zeros", f"{deploy} 0 MSTORE", f"{salt} 32 0 0 {name} POP")
        yield name, ("48 KB of STOP", f"0 {most - 32} MSTORE", f"{salt} {most} 0 0 {name} POP")
        yield name, ("48 KB and a jump to the end", place, f"{salt} {most} 0 0 {name} POP")


def _ends() -> Iterator[tuple[str, _Variant]]:
    """What ends a call, called again and again: the contract calls itself with a calldata byte."""
    for name, child in (
        ("STOP", "STOP"),
        ("RETURN", "32 0 RETURN"),
        ("REVERT", "32 0 REVERT"),
        ("INVALID", "INVALID"),
        ("SELFDESTRUCT", f"{STOPPER} SELFDESTRUCT"),
    ):
        gas = 100 if name == "INVALID" else 6_000
        setup = f"CALLDATASIZE ISZERO @start JUMPI {child} start:"
        yield name, ("in a child", setup, f"0 0 1 0 0 ADDRESS {gas} CALL POP")
    for name in ("RETURN", "REVERT"):
        setup = f"CALLDATASIZE ISZERO @start JUMPI {2**16} 0 {name} start:"
        yield name, ("64 KB from a child", setup, "0 0 1 0 0 ADDRESS 60000 CALL POP")


_TIGHT: Final = {"JUMP": "loop: @loop JUMP", "JUMPI": "loop: 1 @loop JUMPI"}
_ONCE: Final = {
    ("MSTORE", "all memory that gas buys"): f"1 {2_200_000} MSTORE STOP",
    ("KECCAK256", "all memory that gas buys"): f"{2_000_000} 0 KECCAK256 POP STOP",
    ("CALLDATACOPY", "all memory that gas buys"): f"{2_000_000} 0 0 CALLDATACOPY STOP",
    ("RETURN", "all memory that gas buys"): f"{2_200_000} 0 RETURN",
    ("REVERT", "all memory that gas buys"): f"{2_200_000} 0 REVERT",
    ("LOG0", "all memory that gas buys"): f"{900_000} 0 LOG0 STOP",
}


_FRESH: Final = {
    "CALLER": "CALLER POP",
    "SGT": "DUP1 DUP1 SGT POP",
    "JUMPDEST": "JUMPDEST",
    "PUSH0": "PUSH0 POP",
    "SWAP16": "SWAP16",
}
"""Cheap opcodes of each kind, for code that is new each time."""


def _fresh() -> Iterator[tuple[str, str, bytes, bool]]:
    """Creations whose init code loops until it is translated, and then ends."""
    for subject, body in _FRESH.items():
        times = (MAX_INIT_CODE_BYTES - 100) // len(assemble(body))
        setup = f"{'1 ' * 17} {HOT_RUNS + 2}"
        init = assemble(f"{setup} loop: {f'{body} ' * times} 1 SWAP1 SUB DUP1 @loop JUMPI STOP")
        size = len(init)
        code = assemble(
            f"{size} @data 0 CODECOPY loop: {size} 0 0 CREATE POP @loop JUMP *data: #{init.hex()}"
        )
        yield subject, "in init code that is new each time", code, True


def _opcode_loops() -> Iterator[tuple[str, str, bytes, bool]]:
    for source in (_pure, _stack, _memory, _accounts, _calls, _creates, _ends):
        for subject, (variant, setup, body) in source():
            code = assemble(_TIGHT[subject]) if subject in _TIGHT else _unrolled(setup, body)
            yield subject, variant, code, str(_MEGABYTE) in setup + body or "48 KB" in variant
    yield from _fresh()
    for (subject, variant), text in _ONCE.items():
        yield subject, variant, assemble(text), True


# --- precompiles ---------------------------------------------------------------------------------

_Input = tuple[str, bytes]
"""What it is and the calldata; as often as a block's gas allows."""


def _number(value: int, length: int = 32) -> bytes:
    return value.to_bytes(length, "big")


def _ecrecover() -> Iterator[_Input]:
    digest = keccak256(b"loop")
    signature = ecdsa.Secret(b"\x01" * 32).sign(digest)
    yield "a signature", digest + _number(27 + signature[64]) + signature[:64]
    yield "nothing", b""
    yield "no point", digest + _number(27) + _number(5) + _number(5)


def _hash() -> Iterator[_Input]:
    for kind, size in (("nothing", 0), ("64 bytes", 64), ("64 KB", 2**16), ("1 MB", _MEGABYTE)):
        yield kind, bytes(size)


def _modexp() -> Iterator[_Input]:
    def call(base: bytes, exponent: bytes, modulus: bytes) -> bytes:
        lengths = b"".join(_number(len(each)) for each in (base, exponent, modulus))
        return lengths + base + exponent + modulus

    def ones(length: int) -> bytes:
        return b"\xff" * length

    yield "nothing", b""
    yield "a byte each", call(b"\x03", b"\x07", b"\xfb")
    for size, exponent in (
        *((8, ones(32)), (32, ones(1)), (32, ones(32)), (64, ones(64)), (128, ones(32))),
        *((256, ones(3)), (256, ones(256)), (1_024, ones(222)), (4_096, ones(13))),
        *((16_384, b"\x7f"), (40_000, b"\x03")),
    ):
        for kind, end in (("odd", b"\xf1"), ("even", b"\xf0")):
            data = call(b"\xb7" * size, exponent, ones(size - 1) + end)
            yield f"{size} bytes to {len(exponent)}, {kind}", data
    yield "8 bytes to 1 MB", call(b"\xb7" * 8, ones(_MEGABYTE), ones(8))
    yield "7 bytes to 1 MB, even", call(b"\xb7" * 7, ones(_MEGABYTE), ones(6) + b"\xfe")
    yield "24 bytes to 250 KB", call(b"\xb7" * 24, ones(250_000), ones(24))
    yield "40 KB by 1 byte", call(ones(40_000), b"\x01", b"\xfb")
    yield "1 byte by 40 KB", call(b"\x03", b"\x01", ones(40_000))


def _bn254() -> tuple[list[_Input], list[_Input], list[_Input]]:
    judge: Any = import_module("py_ecc.optimized_bn128")

    def g1(point: Any) -> bytes:
        return b"".join(_number(int(each)) for each in judge.normalize(point))

    x, y = judge.normalize(judge.G2)
    g2 = b"".join(_number(int(each)) for each in (*x.coeffs[::-1], *y.coeffs[::-1]))
    one, two = g1(judge.G1), g1(judge.double(judge.G1))
    adds = [("two points", one + two), ("a point twice", one + one), ("infinity", b"")]
    muls = [
        ("the largest", one + _number(_ALL_ONES)),
        ("infinity", bytes(96)),
        ("by 1", one + _number(1)),
    ]
    pair = one + g2
    pairs = [(f"{count} pairs", pair * count) for count in (1, 2, 30, 280)]
    pairs += [
        ("no pair", b""),
        ("280 infinities", bytes(192 * 280)),
        ("a bad end", pair * 279 + b"\xff" * 192),
    ]
    pairs += [("G1 infinity", (bytes(64) + g2) * 280)]
    return adds, muls, pairs


def _blake2f() -> Iterator[_Input]:
    for rounds in (0, 1, 12, 1_000, 100_000, 1_000_000, 9_700_000):
        yield f"{rounds} rounds", _number(rounds, 4) + b"\x5a" * 208 + b"\x01"
    yield "a wrong length", bytes(212)


def _kzg() -> Iterator[_Input]:
    infinity = b"\xc0" + bytes(47)
    versioned = b"\x01" + hashlib.sha256(infinity).digest()[1:]
    yield "a proof", versioned + _number(3) + _number(0) + infinity * 2
    yield "a false one", versioned + _number(3) + _number(1) + infinity * 2


def _bls() -> dict[int, list[_Input]]:
    judge: Any = import_module("py_ecc.optimized_bls12_381")

    def fp(value: Any) -> bytes:
        return _number(int(value), 64)

    def g1(point: Any) -> bytes:
        return b"".join(map(fp, judge.normalize(point)))

    def g2(point: Any) -> bytes:
        x, y = judge.normalize(point)
        return b"".join(map(fp, (*x.coeffs, *y.coeffs)))

    p, pp, q, qq = (
        g1(judge.G1),
        g1(judge.double(judge.G1)),
        g2(judge.G2),
        g2(judge.double(judge.G2)),
    )
    scalar = b"\xff" * 32
    return {
        0x0B: [("two points", p + pp), ("a wrong length", b"")],
        0x0C: [(f"{n} terms", (p + scalar) * n) for n in (1, 2, 16, 128, 1_500)],
        0x0D: [("two points", q + qq), ("a wrong length", b"")],
        0x0E: [(f"{n} terms", (q + scalar) * n) for n in (1, 2, 16, 128, 800)],
        0x0F: [(f"{n} pairs", (p + q) * n) for n in (1, 2, 30, 290)]
        + [("290 infinities", bytes(384 * 290))],
        0x10: [("an element", fp(123_456_789)), ("zero", fp(0))],
        0x11: [("an element", fp(123_456_789) * 2), ("zero", fp(0) * 2)],
    }


def _precompile_inputs() -> dict[int, Iterable[_Input]]:
    adds, muls, pairs = _bn254()
    return {
        0x01: _ecrecover(),
        **dict.fromkeys((0x02, 0x03, 0x04), tuple(_hash())),
        0x05: _modexp(),
        0x06: adds,
        0x07: muls,
        0x08: pairs,
        0x09: _blake2f(),
        0x0A: _kzg(),
        **_bls(),
    }


def _precompile_loops() -> Iterator[tuple[str, str, bytes, bool]]:
    """The input lies behind the code; the loop passes it again and again, with gas for one run: a
    failing one burns no more."""
    inputs = _precompile_inputs()
    for address, precompile in PRECOMPILES.items():
        number = int.from_bytes(address, "big")
        for variant, data in inputs[number]:
            price = precompile.gas(data)
            loop = f"0 0 {len(data)} 0 {number} {price} STATICCALL POP "
            behind = f"#{data.hex()}" if any(data) else ""
            fill = f"{len(data)} @data 0 CODECOPY" if behind else f"0 {len(data)} MSTORE"
            code = assemble(f"{fill} loop: {loop * 100} @loop JUMP *data: {behind}")
            yield precompile.name, variant, code, price + len(data) > GAS // 20


def _loops() -> Iterator[Loop]:
    everything = (*_opcode_loops(), *_precompile_loops())
    for at, (subject, variant, code, whole) in enumerate(everything):
        yield Loop(
            subject=subject,
            variant=variant,
            code=code,
            address=_address(_FIRST_ADDRESS + at),
            whole=whole,
        )


LOOPS: Final = tuple(_loops())
SUBJECTS: Final = frozenset(loop.subject for loop in LOOPS)
ALL_SUBJECTS: Final = frozenset(OPCODES) | {each.name for each in PRECOMPILES.values()}
