"""BLAKE2F (0x09): the compression function of BLAKE2b with a free number of rounds (EIP-152).

A gas buys a round, so one call may ask for ten million: they are run in slices, which no library's
function can do.
"""

import struct
from typing import Final

from dst.execution.environment import Interrupt
from dst.execution.evm.precompiles.contract import BadInput, Input
from dst.execution.evm.precompiles.native import MEMORY, Code

INPUT_BYTES: Final = 213
ROUNDS_A_SLICE: Final = 400_000
"""5 ms at 12 ns a round. A multiple of ten: every slice begins with the first row of the schedule.
"""

# The memory: arguments of a slice (whether it goes on, rounds), the input behind its rounds (h, m,
# t, final), the sixteen words being mixed, the answer, the schedule.
_GOES_ON, _COUNT, _H, _MESSAGE, _OFFSET, _IS_FINAL = 0, 4, 8, 72, 200, 216
_WORK, _ANSWER, _SCHEDULE = 224, 352, 416
_ARGUMENTS: Final = struct.Struct("<II").pack

IV: Final = (
    0x6A09E667F3BCC908,
    0xBB67AE8584CAA73B,
    0x3C6EF372FE94F82B,
    0xA54FF53A5F1D36F1,
    0x510E527FADE682D1,
    0x9B05688C2B3E6C1F,
    0x1F83D9ABFB41BD6B,
    0x5BE0CD19137E2179,
)
_SIGMA: Final = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    (14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3),
    (11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4),
    (7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8),
    (9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13),
    (2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9),
    (12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11),
    (13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10),
    (6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5),
    (10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0),
)
"""Order of the message's words in round i mod 10 (RFC 7693 section 2.7)."""
_COLUMNS_AND_DIAGONALS: Final = (
    (0, 4, 8, 12),
    (1, 5, 9, 13),
    (2, 6, 10, 14),
    (3, 7, 11, 15),
    (0, 5, 10, 15),
    (1, 6, 11, 12),
    (2, 7, 8, 13),
    (3, 4, 9, 14),
)


def blake2f_gas(data: Input) -> int:
    return int.from_bytes(data[:4], "big") if len(data) == INPUT_BYTES else 0


def blake2f(data: bytes, interrupt: Interrupt) -> bytes:
    """Input: rounds (4 bytes, big-endian), h, m, t (little-endian words), final flag."""
    if len(data) != INPUT_BYTES:
        raise BadInput(f"input is not {INPUT_BYTES} bytes")
    if data[212] > 1:
        raise BadInput("the final flag is neither 0 nor 1")
    rounds = int.from_bytes(data[:4], "big")
    code = CODE.instance()
    code.write(_GOES_ON, _ARGUMENTS(0, min(rounds, ROUNDS_A_SLICE)) + data[4:])
    code.call("mix")
    for first in range(ROUNDS_A_SLICE, rounds, ROUNDS_A_SLICE):
        interrupt()
        code.write(_GOES_ON, _ARGUMENTS(1, min(ROUNDS_A_SLICE, rounds - first)))
        code.call("mix")
    return code.read(_ANSWER, 64)


def _text() -> str:
    """`mix`: so many rounds, on the input or on what the slice before has left, and the answer if
    they were the last."""
    schedule = "".join(f"\\{8 * word:02x}" for row in _SIGMA for word in row)
    words = range(16)
    begin = "\n".join(f"(local.set $v{n} {_first_value(n)})" for n in words)
    load = "\n".join(f"(local.set $v{n} {_load(_WORK, n)})" for n in words)
    store = "\n".join(_store(_WORK, n, f"(local.get $v{n})") for n in words)
    answer = "\n".join(
        _store(_ANSWER, n, _xor(_load(_H, n), f"(local.get $v{n})", f"(local.get $v{n + 8})"))
        for n in range(8)
    )
    mixes = "\n".join(_mix_text(at, lane) for at, lane in enumerate(_COLUMNS_AND_DIAGONALS))
    return f"""(module
(memory (export "{MEMORY}") 1 1)
(data (i32.const {_SCHEDULE}) "{schedule}")
(func (export "mix")
(local $row i32) (local $left i32) {" ".join(f"(local $v{n} i64)" for n in words)}
(local.set $left (i32.load (i32.const {_COUNT})))
(if (i32.load (i32.const {_GOES_ON})) (then {load}) (else {begin}))
(block $done (loop $round
(br_if $done (i32.eqz (local.get $left)))
{mixes}
(local.set $row (i32.add (local.get $row) (i32.const 16)))
(if (i32.eq (local.get $row) (i32.const 160)) (then (local.set $row (i32.const 0))))
(local.set $left (i32.sub (local.get $left) (i32.const 1)))
(br $round)))
{store}
{answer}))"""


def _first_value(word: int) -> str:
    """Of the sixteen: h, then the IV with t and the final flag in it (RFC 7693 section 3.2)."""
    if word < 8:
        return _load(_H, word)
    value = f"(i64.const {IV[word - 8]:#x})"
    if word in (12, 13):
        return _xor(value, _load(_OFFSET, word - 12))
    if word == 14:
        flag = f"(i64.load8_u offset={_IS_FINAL} (i32.const 0))"
        return _xor(value, f"(i64.sub (i64.const 0) {flag})")
    return value


def _load(at: int, word: int) -> str:
    return f"(i64.load offset={at + 8 * word} (i32.const 0))"


def _store(at: int, word: int, value: str) -> str:
    return f"(i64.store offset={at + 8 * word} (i32.const 0) {value})"


def _xor(first: str, *others: str) -> str:
    for other in others:
        first = f"(i64.xor {first} {other})"
    return first


def _mix_text(at: int, lane: tuple[int, int, int, int]) -> str:
    """G of RFC 7693 section 3.1 on four of the words, with the next two of the message."""
    a, b, c, d = (f"$v{n}" for n in lane)

    def add(to: str, other: str, message_at: int | None = None) -> str:
        total = f"(i64.add (local.get {to}) (local.get {other}))"
        if message_at is not None:
            index = f"(i32.load8_u offset={_SCHEDULE + message_at} (local.get $row))"
            total = f"(i64.add {total} (i64.load offset={_MESSAGE} {index}))"
        return f"(local.set {to} {total})"

    def turn(to: str, other: str, by: int) -> str:
        value = f"(i64.xor (local.get {to}) (local.get {other}))"
        return f"(local.set {to} (i64.rotr {value} (i64.const {by})))"

    return "\n".join(
        (
            *(add(a, b, 2 * at), turn(d, a, 32), add(c, d), turn(b, c, 24)),
            *(add(a, b, 2 * at + 1), turn(d, a, 16), add(c, d), turn(b, c, 63)),
        )
    )


CODE: Final = Code(_text)
