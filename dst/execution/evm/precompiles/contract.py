"""What a precompile is: a price, a function of bytes, and how the EVM calls it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from eth.exceptions import VMError

from dst.execution.environment import Interrupt

Computation: TypeAlias = Any


class BadInput(ValueError):
    """The precompile call fails and burns its gas."""


@dataclass(frozen=True, slots=True)
class Precompile:
    """A contract in native code."""

    name: str
    gas: Callable[[bytes], int]
    """Price of an input, known before any work on it."""
    run: Callable[[bytes, Interrupt], bytes]
    """Output of an input. Raises: BadInput; ExecutionAborted out of the interrupt."""

    def __call__(self, computation: Computation) -> Computation:
        """Charge, run, set the output. Raises: VMError, which ends the call without its gas."""
        data = bytes(computation.msg.data)
        computation.consume_gas(self.gas(data), reason=self.name)
        try:
            computation.output = self.run(data, computation.state.interrupt)
        except BadInput as error:
            raise VMError(f"{self.name}: {error}") from None
        return computation


def words(length: int) -> int:
    """32-byte words that hold `length` bytes."""
    return (length + 31) // 32


def padded(data: bytes, length: int) -> bytes:
    """Exactly `length` bytes: calldata reads as zeros behind its end."""
    return data[:length].ljust(length, b"\0")
