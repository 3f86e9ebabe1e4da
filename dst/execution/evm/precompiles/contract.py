"""What a precompile is: a price, a function of bytes, and how the EVM calls it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from eth.exceptions import OutOfGas, VMError

from dst.execution.environment import Interrupt
from dst.execution.evm.message import CallData

Computation: TypeAlias = Any
Input: TypeAlias = bytes | CallData


class BadInput(ValueError):
    """The precompile call fails and burns its gas."""


def everything(data: Input) -> int:
    return len(data)


def at_most(length: int) -> Callable[[Input], int]:
    """For inputs that are cut, or refused when longer: no more than `length` bytes matter."""
    return lambda data: min(len(data), length)


@dataclass(frozen=True, slots=True)
class Precompile:
    """A contract in native code."""

    name: str
    gas: Callable[[Input], int]
    """Price of an input, known before any work on it."""
    run: Callable[[bytes, Interrupt], bytes]
    """Output of an input. Raises: BadInput; ExecutionAborted out of the interrupt."""
    reads: Callable[[Input], int] = everything
    """How much of an input is copied for `run`. A call passes a megabyte for the 100 gas of a warm
    address: what is not paid by the word must not be copied."""

    def __call__(self, computation: Computation) -> Computation:
        """Charge, run, set the output. Raises: VMError, which ends the call without its gas."""
        left, output = self.answer(
            computation.msg.data, computation.gas_left, computation.state.interrupt
        )
        computation.gas_left, computation.output = left, output
        return computation

    def answer(self, data: Input, gas: int, interrupt: Interrupt) -> tuple[int, bytes]:
        """Gas left, and the output. Raises: VMError."""
        left = gas - self.gas(data)
        if left < 0:
            raise OutOfGas(f"{self.name}: {-left} gas short")
        try:
            return left, self.run(data[: self.reads(data)], interrupt)
        except BadInput as error:
            raise VMError(f"{self.name}: {error}") from None


def words(length: int) -> int:
    """32-byte words that hold `length` bytes."""
    return (length + 31) // 32


def padded(data: Input, length: int) -> bytes:
    """Exactly `length` bytes: calldata reads as zeros behind its end."""
    return bytes(data[:length]).ljust(length, b"\0")
