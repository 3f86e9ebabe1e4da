"""MODEXP against Python's `pow`, EIP-198's corners, EIP-2565's prices."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dst.execution.environment import ExecutionAborted
from dst.execution.evm.precompiles.modexp import modexp, modexp_gas
from dst.execution.interrupts import never


def number(value: int) -> bytes:
    return value.to_bytes(32, "big")


def call(base: bytes, exponent: bytes, modulus: bytes) -> bytes:
    """The input of one call."""
    return b"".join(
        (*(number(len(each)) for each in (base, exponent, modulus)), base, exponent, modulus)
    )


@given(st.binary(max_size=80), st.binary(max_size=40), st.binary(max_size=80))
@settings(max_examples=300, deadline=None)
def test_agrees_with_pow(base: bytes, exponent: bytes, modulus: bytes) -> None:
    m = int.from_bytes(modulus, "big")
    power = pow(int.from_bytes(base, "big"), int.from_bytes(exponent, "big"), m) if m else 0
    assert modexp(call(base, exponent, modulus), never) == power.to_bytes(len(modulus), "big")


@pytest.mark.parametrize("modulus_ends_in", [0, 1], ids=["even", "odd"])
def test_long_exponents_are_worked_off_in_slices(modulus_ends_in: int) -> None:
    base, exponent = b"\xf7" * 2_000, b"\xff\x00\x01" * 40
    modulus = b"\xfe" * 1_999 + bytes((modulus_ends_in,))
    checks: list[None] = []
    output = modexp(call(base, exponent, modulus), lambda: checks.append(None))
    wanted = pow(*(int.from_bytes(each, "big") for each in (base, exponent, modulus)))
    assert output == wanted.to_bytes(2_000, "big")
    assert len(checks) > 10

    def stop() -> None:
        raise ExecutionAborted("enough")

    with pytest.raises(ExecutionAborted):
        modexp(call(base, exponent, modulus), stop)


@pytest.mark.parametrize(
    ("base", "exponent", "modulus", "output"),
    [
        # py-evm answers 0 to an empty base, whatever the exponent; 0 ** 0 is 1 (EIP-198).
        (b"", b"", b"\x05", b"\x01"),
        (b"", b"\x00", b"\x05", b"\x01"),
        (b"", b"", b"\x01", b"\x00"),
        (b"", b"\x03", b"\x05", b"\x00"),
        (b"\x00", b"", b"\x00\x05", b"\x00\x01"),
        (b"\x03", b"\x02", b"", b""),
        (b"\x03", b"\x02", b"\x00\x00", b"\x00\x00"),
        (b"\x03", b"\x02", b"\x01", b"\x00"),
        (b"\x03", b"\x02", b"\x05", b"\x04"),
    ],
)
def test_corners(base: bytes, exponent: bytes, modulus: bytes, output: bytes) -> None:
    assert modexp(call(base, exponent, modulus), never) == output


def test_short_input_reads_as_zeros() -> None:
    assert modexp(b"", never) == b""
    assert modexp(number(1) + number(1) + number(2) + b"\x03\x02", never) == b"\x00\x00"
    cut = call(b"\x03", b"\x02", b"\x05\x00")[:-1]
    assert modexp(cut, never) == (9).to_bytes(2, "big")


def test_lengths_that_nobody_pays_for_are_not_read() -> None:
    """An empty base and modulus cost 200 gas beside an exponent of any length."""
    data = number(0) + number(2**64) + number(0)
    assert (modexp_gas(data), modexp(data, never)) == (200, b"")
    assert modexp_gas(number(2**255) + number(0) + number(1)) > 2**255


def test_prices_of_eip_2565() -> None:
    fermat = number(1) + number(32) + number(32) + b"\x03" + number(2**256 - 2**32 - 978)
    assert modexp_gas(fermat + number(2**256 - 2**32 - 977)) == 1_360
    assert modexp_gas(number(0) + number(32) + number(32)) == 200
    assert modexp_gas(number(64) + number(33) + number(64) + bytes(97)) == 200
    assert modexp_gas(number(1_024) + number(33) + number(1_024)) == 128**2 * 8 // 3
