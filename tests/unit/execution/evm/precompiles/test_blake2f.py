"""BLAKE2F against hashlib's BLAKE2b, and against the compression of RFC 7693 written plainly."""

import hashlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dst.execution.environment import ExecutionAborted
from dst.execution.evm.precompiles.blake2f import (
    _SIGMA,
    IV,
    ROUNDS_A_SLICE,
    blake2f,
    blake2f_gas,
)
from dst.execution.evm.precompiles.contract import BadInput
from dst.execution.interrupts import never

MASK = 2**64 - 1
FRESH = struct.pack("<8Q", IV[0] ^ 0x01010040, *IV[1:])
"""State of an unkeyed hash of 64 bytes."""


def call(
    rounds: int, state: bytes, message: bytes, offset: tuple[int, int] = (0, 0), final: int = 1
) -> bytes:
    tail = struct.pack("<2Q", *offset) + bytes((final,))
    return rounds.to_bytes(4, "big") + state + message.ljust(128, b"\0") + tail


def plain(data: bytes) -> bytes:
    """The dumb twin."""
    rounds = int.from_bytes(data[:4], "big")
    h, m = struct.unpack("<8Q", data[4:68]), struct.unpack("<16Q", data[68:196])
    low, high = struct.unpack("<2Q", data[196:212])
    v = [*h, *IV]
    v[12] ^= low
    v[13] ^= high
    if data[212]:
        v[14] ^= MASK

    def turn(value: int, by: int) -> int:
        return (value >> by | value << (64 - by)) & MASK

    def mix(a: int, b: int, c: int, d: int, x: int, y: int) -> None:
        for word, first, second in ((x, 32, 24), (y, 16, 63)):
            v[a] = (v[a] + v[b] + word) & MASK
            v[d] = turn(v[d] ^ v[a], first)
            v[c] = (v[c] + v[d]) & MASK
            v[b] = turn(v[b] ^ v[c], second)

    for number in range(rounds):
        s = _SIGMA[number % 10]
        for at in range(4):
            mix(at, 4 + at, 8 + at, 12 + at, m[s[2 * at]], m[s[2 * at + 1]])
        for at in range(4):
            lane = (at, 4 + (at + 1) % 4, 8 + (at + 2) % 4, 12 + (at + 3) % 4)
            mix(*lane, m[s[8 + 2 * at]], m[s[9 + 2 * at]])
    return struct.pack("<8Q", *(h[at] ^ v[at] ^ v[at + 8] for at in range(8)))


@given(st.binary(max_size=128))
def test_twelve_rounds_are_blake2b(message: bytes) -> None:
    assert blake2f(call(12, FRESH, message, (len(message), 0)), never) == (
        hashlib.blake2b(message).digest()
    )


def test_two_blocks() -> None:
    message = bytes(range(200))
    first = blake2f(call(12, FRESH, message[:128], (128, 0), 0), never)
    second = blake2f(call(12, first, message[128:], (200, 0)), never)
    assert second == hashlib.blake2b(message).digest()


@given(
    rounds=st.integers(0, 45),
    state=st.binary(min_size=64, max_size=64),
    message=st.binary(min_size=128, max_size=128),
    offset=st.tuples(st.integers(0, MASK), st.integers(0, MASK)),
    final=st.integers(0, 1),
)
@settings(deadline=None)
def test_any_number_of_rounds(
    rounds: int, state: bytes, message: bytes, offset: tuple[int, int], final: int
) -> None:
    data = call(rounds, state, message, offset, final)
    assert blake2f(data, never) == plain(data)


def test_slices_are_seamless(monkeypatch: pytest.MonkeyPatch) -> None:
    data = call(103, FRESH, b"abc", (3, 0))
    whole = blake2f(data, never)
    monkeypatch.setattr("dst.execution.evm.precompiles.blake2f.ROUNDS_A_SLICE", 10)
    checks: list[None] = []
    assert blake2f(data, lambda: checks.append(None)) == whole == plain(data)
    assert len(checks) == 10


def test_ten_million_rounds_stop_at_the_first_check() -> None:
    def stop() -> None:
        raise ExecutionAborted("enough")

    with pytest.raises(ExecutionAborted):
        blake2f(call(2**32 - 1, FRESH, b""), stop)
    assert ROUNDS_A_SLICE < 10**6
    assert ROUNDS_A_SLICE % 10 == 0, "every slice begins with the first row of the schedule"


@pytest.mark.parametrize("data", [b"", bytes(212), bytes(214), bytes(212) + b"\x02"])
def test_bad_input_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        blake2f(data, never)


def test_a_gas_a_round() -> None:
    assert blake2f_gas(call(123_456, FRESH, b"")) == 123_456
    assert blake2f_gas(b"\xff" * 212) == 0
