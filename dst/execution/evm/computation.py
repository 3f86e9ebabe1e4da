"""One message call being run: py-evm's `Computation`, lean.

py-evm's opcode functions see a computation through its methods (`stack_pop_ints`, `consume_gas`,
`extend_memory`, ...). Those are overridden here over plain attributes, so that a call costs one
object and its fields. What differs from py-evm's class, for whoever subclasses:

- The stack holds integers only, top last.
- No tree of children: logs, contracts created and destroyed and touched accounts are tables of the
  state, undone with it (`dst.execution.state.overlay`).
- A call to an account without code makes no computation, but only where nobody watches: a subclass
  gets every message through `apply_message` or `apply_create_message`, then `apply_computation`,
  then `_run`.
"""

from typing import Any, Final

from eth.exceptions import FullStack, InsufficientFunds, InsufficientStack, OutOfGas, VMError
from eth.vm.code_stream import CodeStream
from eth.vm.forks.prague.computation import PragueComputation

from dst.execution.environment import Interrupt
from dst.execution.evm.handlers import HANDLERS
from dst.execution.evm.interpreter import HOT_RUNS, run
from dst.execution.evm.message import EvmMessage
from dst.execution.evm.precompiles import PRECOMPILES
from dst.execution.evm.program import Program

WORDS_BETWEEN_CHECKS: Final = 2**13
"""New memory of 256 KB takes about 0.1 ms."""
GAS_PER_CODE_BYTE: Final = 200
"""What a creation pays for each byte it returns as code."""


class CodeCursor(CodeStream):  # type: ignore[misc]
    """Where a computation is in its code. Jump destinations are known once per program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.program_counter = 0
        self._raw_code_bytes = program.code
        self._length_cache = len(program.code)

    def is_valid_opcode(self, position: int) -> bool:
        """py-evm asks this of jump destinations only."""
        return position in self.program.destinations


class EvmComputation(PragueComputation):  # type: ignore[misc]
    """py-evm's message call on plain attributes."""

    _precompiles = PRECOMPILES
    _handlers = HANDLERS
    hot_runs: int | None = HOT_RUNS
    """Runs of a block before it is translated; None: never."""
    children = ()
    gas_refunded = 0
    skips_empty_calls = True
    """A child call that moves no value to an account without code is only accounted for."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "skips_empty_calls" not in cls.__dict__:
            cls.skips_empty_calls = False

    def __init__(self, state: Any, message: EvmMessage, transaction_context: Any) -> None:
        self.state = state
        self.accounts = state.accounts
        self.msg = message
        self.transaction_context = transaction_context
        self.code = CodeCursor(message.program)
        self.gas_left = message.gas
        self.check_at = 0  # the gas left at which the interrupt is due
        self.stack: list[int] = []
        self.memory = bytearray()

    # messages

    @classmethod
    def apply_message(
        cls,
        state: Any,
        message: EvmMessage,
        transaction_context: Any,
        parent_computation: "EvmComputation | None" = None,
    ) -> "EvmComputation":
        """Move the value, run the code; what failed leaves no trace. Raises: InsufficientFunds,
        for a message from outside (a child's value is checked by its opcode)."""
        accounts = state.accounts
        checkpoint = len(accounts.undo)
        if message.should_transfer_value:
            if message.value:
                balance = accounts.get_balance(message.sender)
                if balance < message.value:
                    raise InsufficientFunds(f"Insufficient funds: {balance} < {message.value}")
                accounts.delta_balance(message.sender, -message.value)
                accounts.delta_balance(message.storage_address, message.value)
            else:
                accounts.touch_account(message.storage_address)
        computation = cls.apply_computation(state, message, transaction_context, parent_computation)
        if computation._error is not None:
            accounts.discard(checkpoint, state.interrupt)
        return computation

    @classmethod
    def apply_create_message(
        cls,
        state: Any,
        message: EvmMessage,
        transaction_context: Any,
        parent_computation: "EvmComputation | None" = None,
    ) -> "EvmComputation":
        """Run init code and store what it returns as code (EIP-161, EIP-170, EIP-3541). Raises:
        OutOfGas when the init code is too long (EIP-3860)."""
        accounts = state.accounts
        checkpoint = len(accounts.undo)
        accounts.increment_nonce(message.storage_address)
        cls.validate_create_message(message)
        computation = cls.apply_message(state, message, transaction_context, parent_computation)
        if computation._error is None and computation._output:
            try:
                cls.validate_contract_code(computation._output)
                computation.consume_gas(
                    len(computation._output) * GAS_PER_CODE_BYTE, "contract code"
                )
            except VMError as error:
                computation.fail(error)
            else:
                accounts.set_code(message.storage_address, computation._output)
        if computation._error is not None:
            accounts.discard(checkpoint, state.interrupt)
        return computation

    @classmethod
    def apply_computation(
        cls,
        state: Any,
        message: EvmMessage,
        transaction_context: Any,
        parent_computation: "EvmComputation | None" = None,
    ) -> "EvmComputation":
        state.interrupt()
        computation = cls(state, message, transaction_context)
        if message.is_create:
            state.accounts.created.add(message.storage_address)
        precompile = cls._precompiles.get(message.code_address)
        try:
            if precompile is None:
                cls._run(computation, state.interrupt)
            elif not message.is_delegation:
                precompile(computation)
        except VMError as error:
            computation.fail(error)
        return computation

    @classmethod
    def _run(cls, computation: "EvmComputation", interrupt: Interrupt) -> None:
        run(computation, interrupt, cls.hot_runs)

    def fail(self, error: VMError) -> None:
        """The halt is exceptional: all gas is gone, except after REVERT."""
        error.__traceback__ = None  # its frames hold this computation: a cycle
        self._error = error
        if error.burns_gas:
            self.gas_left = 0
        if error.erases_return_data:
            self.return_data = b""

    # what the transaction did, asked of the outermost computation

    def get_gas_refund(self) -> int:
        """Its children's are in it."""
        refund: int = self.msg.refund
        return refund if self._error is not None else refund + self.gas_refunded

    def get_log_entries(self) -> tuple[tuple[bytes, tuple[int, ...], bytes], ...]:
        return tuple(self.accounts.logs)

    def get_accounts_for_deletion(self) -> list[bytes]:
        return list(self.accounts.destroyed)

    # py-evm's opcodes call these

    @property
    def contracts_created(self) -> set[bytes]:
        created: set[bytes] = self.accounts.created
        return created

    @property
    def _memory(self) -> bytearray:
        return self.memory

    def register_account_for_deletion(self, beneficiary: bytes) -> None:
        self.accounts.destroy_at_the_end(self.msg.storage_address)

    @property
    def beneficiaries(self) -> list[bytes]:
        """py-evm notes who got a balance; the state has seen it."""
        return []

    def add_log_entry(self, account: bytes, topics: tuple[int, ...], data: bytes) -> None:
        self.accounts.add_log(account, topics, data)

    def consume_gas(self, amount: int, reason: str) -> None:
        left = self.gas_left - amount
        if left < 0:
            raise OutOfGas(f"{amount} gas needed for {reason}, {self.gas_left} left")
        self.gas_left = left

    def return_gas(self, amount: int) -> None:
        self.gas_left += amount

    def refund_gas(self, amount: int) -> None:
        self.gas_refunded += amount

    def get_gas_remaining(self) -> int:
        return self.gas_left

    def get_gas_used(self) -> int:
        used: int = self.msg.gas - self.gas_left
        return max(0, used)

    def extend_memory(self, start_position: int, size: int) -> None:
        if size and start_position + size > len(self.memory):
            self.expand_memory(start_position + size)

    def expand_memory(self, end: int) -> None:
        """Charge for and add the memory up to `end`, which lies beyond it. Source: yellow paper
        appendix H.1."""
        memory = self.memory
        old, new = len(memory) >> 5, (end + 31) >> 5
        self.consume_gas(3 * (new - old) + new * new // 512 - old * old // 512, "memory")
        memory.extend(bytes((new - old) << 5))
        if new - old > WORDS_BETWEEN_CHECKS:
            self.state.interrupt()

    def memory_write(self, start_position: int, size: int, value: bytes) -> None:
        if size:
            self.memory[start_position : start_position + size] = value

    def memory_read_bytes(self, start_position: int, size: int) -> bytes:
        return bytes(memoryview(self.memory)[start_position : start_position + size])

    def memory_copy(self, destination: int, source: int, length: int) -> None:
        if length:
            memory = self.memory
            memory[destination : destination + length] = memory[source : source + length]

    def stack_push_int(self, value: int) -> None:
        stack = self.stack
        if len(stack) > 1023:
            raise FullStack("Stack limit reached")
        stack.append(value)

    def stack_push_bytes(self, value: bytes) -> None:
        self.stack_push_int(int.from_bytes(value, "big"))

    def stack_pop1_int(self) -> int:
        try:
            return self.stack.pop()
        except IndexError:
            raise InsufficientStack("Wanted 1 stack item, had none") from None

    stack_pop1_any = stack_pop1_int

    def stack_pop1_bytes(self) -> bytes:
        return _to_bytes(self.stack_pop1_int())

    def stack_pop_ints(self, num_items: int) -> tuple[int, ...]:
        stack = self.stack
        if len(stack) < num_items:
            raise InsufficientStack(f"Wanted {num_items} stack items, only had {len(stack)}")
        items = tuple(stack[: -num_items - 1 : -1])
        del stack[-num_items:]
        return items

    stack_pop_any = stack_pop_ints

    def stack_pop_bytes(self, num_items: int) -> tuple[bytes, ...]:
        return tuple(_to_bytes(item) for item in self.stack_pop_ints(num_items))

    def stack_swap(self, position: int) -> None:
        stack = self.stack
        if len(stack) <= position:
            raise InsufficientStack(f"Insufficient stack items for SWAP{position}")
        stack[-1], stack[-1 - position] = stack[-1 - position], stack[-1]

    def stack_dup(self, position: int) -> None:
        stack = self.stack
        if len(stack) < position:
            raise InsufficientStack(f"Insufficient stack items for DUP{position}")
        self.stack_push_int(stack[-position])


def _to_bytes(value: int) -> bytes:
    """As short as it can be, at least a byte; py-evm's opcodes pad."""
    return value.to_bytes((value.bit_length() + 7) // 8 or 1, "big")
