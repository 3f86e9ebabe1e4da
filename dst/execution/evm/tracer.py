"""What a tracer sees of a run: messages entered and left, and the opcodes it asked for.

A tracer is a sink: it names the opcodes it watches and never changes anything.
"""

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from dst.execution.evm import opcodes
from dst.spec.primitives import Address

Computation: TypeAlias = Any


@dataclass(slots=True, kw_only=True)
class Frame:
    """One message of the call tree."""

    kind: str
    """CALL, STATICCALL, DELEGATECALL, CALLCODE, CREATE, CREATE2 or SELFDESTRUCT."""
    sender: Address
    """The contract that makes the call, also for DELEGATECALL."""
    to: Address
    """The account called (whose code runs, for DELEGATECALL and CALLCODE), or created; for
    SELFDESTRUCT who gets the balance."""
    value: int
    gas: int
    data: bytes
    """Input, or init code."""
    depth: int
    """0 for the outermost message."""
    is_precompile: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a frame ended; `error` in geth's words, None when it succeeded."""

    output: bytes = b""
    gas_used: int = 0
    error: str | None = None
    reverted: bool = False


@dataclass(slots=True, kw_only=True)
class Step:
    """One opcode: before it runs `cost` is 0, `error` and `refund` unset; after it they are there.

    For a call `cost` includes the gas handed on; a call's cost is known when its frame is entered.
    """

    pc: int
    opcode: int
    depth: int
    """1 in the outermost message."""
    gas: int
    computation: Computation
    cost: int = 0
    refund: int = 0
    error: str | None = None
    entered: bool = False
    """A call or creation whose frame has begun (or was refused): its cost is known."""
    failed_early: bool = False
    """For want of gas or stack: the opcode did nothing at all."""
    arguments: list[int] = field(default_factory=list)
    """Of calls, creations and SELFDESTRUCT: the uppermost stack values before it, top first."""
    memory_before: int = 0
    """Of the same: bytes of memory before it."""

    @property
    def name(self) -> str:
        return opcodes.name_of(self.opcode)

    @property
    def address(self) -> Address:
        """Whose storage the opcode works on."""
        return Address(self.computation.msg.storage_address)

    def stack(self) -> list[int]:
        """Bottom first."""
        return list(self.computation.stack)

    def top(self, count: int) -> list[int]:
        """The `count` uppermost values, top first; fewer when there are fewer."""
        return list(self.computation.stack[: -count - 1 : -1])

    def memory(self) -> bytes:
        return bytes(self.computation.memory)

    def memory_at(self, start: int, size: int) -> bytes:
        return bytes(self.computation.memory_read_bytes(start, size)) if size else b""

    @property
    def return_data(self) -> bytes:
        return bytes(self.computation.return_data)


class Tracer:
    """Sees everything and does nothing; tracers override what they need."""

    watched: frozenset[int] = frozenset()
    """Opcodes whose steps it wants."""

    def enter(self, frame: Frame) -> None:
        pass

    def leave(self, frame: Frame, outcome: Outcome) -> None:
        pass

    def step(self, step: Step) -> None:
        """Before the opcode runs."""

    def stepped(self, step: Step) -> None:
        """After it; for a call when its frame is entered, or refused, and so before its steps."""


def to_address(value: int) -> Address:
    return Address((value & (2**160 - 1)).to_bytes(20, "big"))
