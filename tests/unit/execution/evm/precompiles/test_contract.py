"""How the EVM calls a precompile: price first, then no more of the input than is read."""

from types import SimpleNamespace
from typing import Any

import pytest
from eth.exceptions import OutOfGas, VMError

from dst.execution.evm.precompiles import PRECOMPILES
from dst.execution.evm.precompiles.contract import BadInput, Precompile, at_most
from dst.execution.interrupts import never


def computation(data: Any, gas: int = 10**9) -> Any:
    state = SimpleNamespace(interrupt=never)
    return SimpleNamespace(msg=SimpleNamespace(data=data), gas_left=gas, output=None, state=state)


def echo(price: int = 10) -> tuple[Precompile, list[bytes]]:
    seen: list[bytes] = []

    def run(data: bytes, _: Any) -> bytes:
        seen.append(data)
        if data == b"bad":
            raise BadInput("as asked")
        return data[::-1]

    return Precompile("ECHO", lambda _: price, run, at_most(4)), seen


def test_output_is_set_from_bytes_or_a_view() -> None:
    precompile, _ = echo()
    for data in (b"abc", memoryview(b"abc"), bytearray(b"abc")):
        called = computation(data)
        assert precompile(called) is called
        assert (called.output, called.gas_left) == (b"cba", 10**9 - 10)


def test_what_is_not_read_is_not_copied() -> None:
    precompile, seen = echo()
    precompile(computation(memoryview(b"abcdefgh")))
    assert seen == [b"abcd"]


def test_nothing_runs_that_is_not_paid() -> None:
    precompile, seen = echo(price=11)
    with pytest.raises(OutOfGas, match="ECHO: 1 gas short"):
        precompile(computation(b"abc", gas=10))
    assert seen == []


def test_bad_input_ends_the_call() -> None:
    precompile, _ = echo()
    with pytest.raises(VMError, match="ECHO: as asked"):
        precompile(computation(b"bad"))


@pytest.mark.parametrize("precompile", PRECOMPILES.values(), ids=lambda each: each.name)
def test_reading_less_changes_nothing(precompile: Precompile) -> None:
    """On zeros of many lengths, what `reads` keeps gives the answer of the whole."""
    for length in (0, 1, 64, 96, 128, 160, 192, 213, 256, 288, 384, 512, 1000, 5000):
        data = bytes(length)
        kept = data[: precompile.reads(data)]
        assert _answer(precompile, kept) == _answer(precompile, data)


def _answer(precompile: Precompile, data: bytes) -> bytes | None:
    try:
        return precompile.run(data, never)
    except BadInput:
        return None
