"""What a tracer sees of a run: messages entered and left, and the opcodes it asked for.

A tracer is a sink: it names the opcodes it watches and never changes anything. The others run
untouched, through the same handlers as in a block. Tracing hooks into py-evm at three points only:
the message call, the creation, the table of opcode handlers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from eth.exceptions import FullStack, Halt, InsufficientStack, OutOfGas, VMError
from eth.vm.forks.prague.opcodes import PRAGUE_OPCODES

from dst.execution.evm import opcodes
from dst.execution.evm.computation import EvmComputation
from dst.execution.evm.handlers import HANDLERS
from dst.execution.evm.precompiles import PRECOMPILES
from dst.execution.evm.words import describe, gas_needed, is_revert
from dst.spec.primitives import Address
from dst.transactions.gas import GAS_CREATE, GAS_PER_INIT_CODE_WORD

Computation: TypeAlias = Any

CALL_STIPEND: Final = 2_300
_GAS_PER_HASHED_WORD: Final = 6
MAX_DEPTH: Final = 1_024
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
        frame, outcome, cost = _refusal(step, spent)
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


def _refusal(step: Step, spent: int) -> tuple[Frame, Outcome, int]:
    """The frame that was not, how it ended, and the cost of the opcode."""
    creates = step.opcode in opcodes.CREATES
    frame = _refused_creation(step) if creates else _refused_call(step)
    balance = step.computation.state.get_balance(step.address)
    if step.depth > MAX_DEPTH:
        error = "max call depth exceeded"
    elif balance < frame.value:
        error = "insufficient balance for transfer"
    elif step.computation.state.get_nonce(step.address) >= 2**64 - 1:
        error = "nonce uint64 overflow"
    else:
        price = _creation_price(step)
        frame.gas = _all_but_a_64th(step.gas - price)
        return frame, Outcome(error="contract address collision", gas_used=frame.gas), price
    if creates:
        return frame, Outcome(error=error), spent
    # py-evm gives the child's gas back at once, stipend included; the opcode's own price is what
    # is left of the difference.
    stipend = CALL_STIPEND if frame.value else 0
    price = spent + stipend
    frame.gas = min(step.arguments[0], _all_but_a_64th(step.gas - price)) + stipend
    return frame, Outcome(error=error), price + frame.gas - stipend


def _refused_call(step: Step) -> Frame:
    has_value = step.opcode in (opcodes.CALL, opcodes.CALLCODE)
    start, size = step.arguments[3:5] if has_value else step.arguments[2:4]
    return Frame(
        kind=step.name,
        sender=step.address,
        to=to_address(step.arguments[1]),
        value=step.arguments[2] if has_value else 0,
        gas=0,
        data=step.memory_at(start, size),
        depth=step.depth,
    )


def _refused_creation(step: Step) -> Frame:
    value, start, size = step.arguments[:3]
    return Frame(
        kind=step.name,
        sender=step.address,
        to=Address(bytes(20)),
        value=value,
        gas=_all_but_a_64th(step.computation.gas_left),
        data=step.memory_at(start, size),
        depth=step.depth,
    )


def _creation_price(step: Step) -> int:
    """Of CREATE and CREATE2 without the gas of the creation itself."""
    words = (step.arguments[2] + 31) // 32
    per_word = GAS_PER_INIT_CODE_WORD
    if step.opcode == opcodes.CREATE2:
        per_word += _GAS_PER_HASHED_WORD
    memory = _memory_gas(len(step.computation.memory)) - _memory_gas(step.memory_before)
    return GAS_CREATE + per_word * words + memory


def _memory_gas(size: int) -> int:
    words = size // 32
    return 3 * words + words * words // 512


def _all_but_a_64th(gas: int) -> int:
    """EIP-150."""
    return gas - gas // 64


def to_address(value: int) -> Address:
    return Address((value & (2**160 - 1)).to_bytes(20, "big"))
