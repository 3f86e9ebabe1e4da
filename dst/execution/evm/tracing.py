"""A run with a tracer beside it. What is not watched runs untouched, through the same handlers as
in a block.

Tracing hooks into py-evm at three points only: the message call, the creation, the table of opcode
handlers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from eth.exceptions import FullStack, Halt, InsufficientStack, OutOfGas, VMError
from eth.vm.forks.prague.opcodes import PRAGUE_OPCODES

from dst.execution.evm import opcodes
from dst.execution.evm.computation import EvmComputation
from dst.execution.evm.handlers import HANDLERS
from dst.execution.evm.precompiles import PRECOMPILES
from dst.execution.evm.refused_messages import refusal
from dst.execution.evm.tracer import Frame, Outcome, Step, Tracer, to_address
from dst.execution.evm.words import describe, gas_needed, is_revert
from dst.spec.primitives import Address

Computation: TypeAlias = Any

_MESSAGE_OPCODES: Final = opcodes.CALLS | opcodes.CREATES
_EARLY: Final = (OutOfGas, InsufficientStack, FullStack)
_MESSAGE_ARGUMENTS: Final = 7
"""Most stack values that a call takes."""

_GAS_WARM_ACCESS: Final = 100
_FIXED_GAS: Final = {
    **{number: getattr(each, "gas_cost", 0) for number, each in PRAGUE_OPCODES.items()},
    **dict.fromkeys(opcodes.CALLS, _GAS_WARM_ACCESS),
}
"""What an opcode that runs out of gas costs at least."""
STEPS_BETWEEN_CHECKS: Final = 256
"""A step that is watched takes up to 20 us."""

Handler: TypeAlias = Callable[[Any], object]


@dataclass(slots=True)
class _Open:
    frame: Frame
    refund_base: int
    """Refunds of the transaction before this frame; a computation counts those below it."""


class Tracing:
    """The tracer of a run, which may change between transactions; None: nobody looks."""

    def __init__(self, tracer: Tracer | None = None) -> None:
        self._open: list[_Open] = []
        self._calling: Step | None = None
        self._steps = 0
        self.tracer: Tracer | None = None
        self.handlers: tuple[Handler, ...] = HANDLERS
        self.watch(tracer)

    def watch(self, tracer: Tracer | None) -> None:
        self.tracer = tracer
        self._open.clear()
        self.handlers = HANDLERS if tracer is None else self._watching(tracer)

    def _watching(self, tracer: Tracer) -> tuple[Handler, ...]:
        handlers = list(HANDLERS)
        for opcode in tracer.watched | _MESSAGE_OPCODES | {opcodes.SELFDESTRUCT}:
            handlers[opcode] = self._watched(tracer, opcode, handlers[opcode])
        return tuple(handlers)

    def _watched(self, tracer: Tracer, opcode: int, handler: Handler) -> Handler:
        wanted = opcode in tracer.watched
        sends = opcode in _MESSAGE_OPCODES
        destroys = opcode == opcodes.SELFDESTRUCT

        def handle(computation: Computation) -> None:
            if not computation.msg.code:  # an account without code: py-evm runs one STOP
                handler(computation)
                return
            step = Step(
                pc=computation.code.program_counter - 1,
                opcode=opcode,
                depth=computation.msg.depth + 1,
                gas=computation.get_gas_remaining(),
                computation=computation,
            )
            self._steps += 1
            if not self._steps % STEPS_BETWEEN_CHECKS:
                computation.state.interrupt()
            if sends or destroys:
                step.arguments = step.top(_MESSAGE_ARGUMENTS)
                step.memory_before = len(computation.memory)
            balance = computation.state.get_balance(step.address) if destroys else 0
            if wanted:
                tracer.step(step)
            if sends:
                self._calling = step
            try:
                handler(computation)
            except Halt:
                self._finish(step, wanted)
                if destroys:
                    self._destroyed(step, balance)
                raise
            except VMError as error:
                step.error = describe(error)
                step.failed_early = isinstance(error, _EARLY)
                missing = 0
                if isinstance(error, OutOfGas):
                    missing = gas_needed(error) or _FIXED_GAS.get(opcode, 0)
                self._finish(step, wanted, missing)
                raise
            if step.entered:
                return
            if sends:
                self._refused(step, wanted)
            else:
                self._finish(step, wanted)

        return handle

    def _finish(self, step: Step, wanted: bool, missing: int = 0) -> None:
        assert self.tracer is not None
        self._calling = None
        if step.entered or not wanted:
            return
        step.cost = step.gas - step.computation.gas_left + missing
        step.refund = self.refund(step.computation)
        self.tracer.stepped(step)

    def refund(self, computation: Computation) -> int:
        """The transaction's refund counter while `computation` runs."""
        top = self._open[-1]
        return top.refund_base + int(computation.gas_refunded)

    # frames

    def enter(self, message: Any, parent: Computation | None, *, is_precompile: bool) -> Frame:
        """A message begins; `parent` is None for the outermost one."""
        assert self.tracer is not None
        step, self._calling = self._calling, None
        frame = _outermost(message) if parent is None or step is None else _child(message, step)
        frame.is_precompile = is_precompile
        base = message.refund if parent is None else self.refund(parent)
        if step is not None and parent is not None:
            kept = parent.gas_left
            step.cost = step.gas - kept - (message.gas if message.is_create else 0)
            step.refund, step.entered = base, True
            if step.opcode in self.tracer.watched:
                self.tracer.stepped(step)
        self._open.append(_Open(frame, base))
        self.tracer.enter(frame)
        return frame

    def leave(self, frame: Frame, computation: Computation) -> None:
        assert self.tracer is not None
        closed = self._open.pop()
        assert closed.frame is frame
        error = computation.error if computation.is_error else None
        outcome = Outcome(
            output=bytes(computation.output),
            gas_used=frame.gas - computation.get_gas_remaining(),
            error=None if error is None else describe(error),
            reverted=error is not None and is_revert(error),
        )
        self.tracer.leave(frame, outcome)

    def fail(self, frame: Frame, error: VMError) -> None:
        """The outermost message could not begin."""
        assert self.tracer is not None
        self._open.pop()
        self.tracer.leave(frame, Outcome(error=describe(error)))

    def _refused(self, step: Step, wanted: bool) -> None:
        """A call or creation that made no message: too poor, too deep, or the address is taken."""
        assert self.tracer is not None
        self._calling = None
        computation = step.computation
        spent = step.gas - computation.gas_left
        frame, outcome, cost = refusal(step, spent)
        if wanted:
            step.cost, step.refund, step.entered = cost, self.refund(computation), True
            self.tracer.stepped(step)
        self.tracer.enter(frame)
        self.tracer.leave(frame, outcome)

    def _destroyed(self, step: Step, balance: int) -> None:
        assert self.tracer is not None
        frame = Frame(
            kind="SELFDESTRUCT",
            sender=step.address,
            to=to_address(step.arguments[0]),
            value=balance,
            gas=0,
            data=b"",
            depth=step.depth,
        )
        self.tracer.enter(frame)
        self.tracer.leave(frame, Outcome())


class _TracedComputation(EvmComputation):
    """Message calls with a tracer beside them, opcodes by its table and never translated."""

    tracing: Tracing
    hot_runs = None

    @property
    def _handlers(self) -> tuple[Handler, ...]:  # type: ignore[override]
        return self.tracing.handlers

    @classmethod
    def apply_message(
        cls, state: Any, message: Any, context: Any, parent_computation: Computation | None = None
    ) -> Computation:
        if cls.tracing.tracer is None or message.is_create:
            return super().apply_message(state, message, context, parent_computation)
        return cls._traced(super().apply_message, state, message, context, parent_computation)

    @classmethod
    def apply_create_message(
        cls, state: Any, message: Any, context: Any, parent_computation: Computation | None = None
    ) -> Computation:
        if cls.tracing.tracer is None:
            return super().apply_create_message(state, message, context, parent_computation)
        return cls._traced(
            super().apply_create_message, state, message, context, parent_computation
        )

    @classmethod
    def _traced(
        cls, apply: Callable[..., Computation], state: Any, message: Any, context: Any, parent: Any
    ) -> Computation:
        native = not message.is_delegation and message.code_address in cls._precompiles
        frame = cls.tracing.enter(message, parent, is_precompile=native)
        try:
            computation = apply(state, message, context, parent)
        except VMError as error:
            cls.tracing.fail(frame, error)
            raise
        cls.tracing.leave(frame, computation)
        return computation


def computation_for(
    tracing: Tracing | None, precompiles: Mapping[bytes, Any] = PRECOMPILES
) -> type[EvmComputation]:
    """A class that runs messages under `tracing`, with these precompiles."""
    if tracing is None:
        if precompiles is PRECOMPILES:
            return EvmComputation
        return type("MovedPrecompiles", (EvmComputation,), {"_precompiles": precompiles})
    return type(
        "TracedComputation",
        (_TracedComputation,),
        {"tracing": tracing, "_precompiles": precompiles},
    )


def _outermost(message: Any) -> Frame:
    return Frame(
        kind="CREATE" if message.is_create else "CALL",
        sender=message.sender,
        to=Address(message.storage_address),
        value=message.value,
        gas=message.gas,
        data=bytes(message.code if message.is_create else message.data),
        depth=0,
    )


def _child(message: Any, step: Step) -> Frame:
    code_of = step.opcode in (opcodes.CALLCODE, opcodes.DELEGATECALL)
    to = to_address(step.arguments[1]) if code_of else Address(message.storage_address)
    return Frame(
        kind=step.name,
        sender=step.address,
        to=to,
        value=message.value,
        gas=message.gas,
        data=bytes(message.code if message.is_create else message.data),
        depth=message.depth,
    )
