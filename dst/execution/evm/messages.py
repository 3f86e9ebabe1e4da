"""A message from outside on one block's state: a transaction's, a system call's, a call's."""

import sys
from typing import Any, Final, TypeAlias

from eth.exceptions import VMError
from eth.vm.forks.cancun.transaction_context import CancunTransactionContext
from eth.vm.message import Message

from dst.execution.environment import BlockEnvironment, Engine, Interrupt, InvalidBlock
from dst.execution.evm.calls import contract_address
from dst.execution.evm.computation import EvmComputation
from dst.execution.evm.message import CREATE, EvmMessage, TransactionScope
from dst.execution.evm.precompiles import PRECOMPILES
from dst.execution.evm.program import Program, program_at
from dst.execution.evm.state import EvmState
from dst.execution.evm.stock import StockComputation
from dst.execution.receipts import Log
from dst.execution.state.overlay import BlockState
from dst.execution.state.reader import StateReader
from dst.spec.primitives import Address
from dst.transactions.gas import MAX_REFUND_QUOTIENT, floor_gas, init_code_gas
from dst.transactions.transaction import AccessList

RECURSION_LIMIT: Final = 15_000
"""Python frames: a nested call takes six, and there are up to 1,024; py-evm's own takes twelve.
py_ecc, which py-evm imports, sets 100,000, and then a hundred kilobytes of `[` overflow the stack
of a JSON decoder and end the process."""
sys.setrecursionlimit(RECURSION_LIMIT)
EVM_STACK_BYTES: Final = 256 * 2**20
"""Stack of threads that run the EVM: 1,024 nested calls are about 12,000 Python frames. Address
space, not memory."""

SYSTEM_ADDRESS: Final = Address(bytes.fromhex("fffffffffffffffffffffffffffffffffffffffe"))
SYSTEM_CALL_GAS: Final = 30_000_000

Computation: TypeAlias = Any


class Messages:
    """Runs outermost messages on one block's state."""

    def __init__(
        self,
        reader: StateReader,
        environment: BlockEnvironment,
        interrupt: Interrupt,
        *,
        computation_class: type[EvmComputation] | None = None,
        accounts: BlockState | None = None,
    ) -> None:
        """`computation_class`: what runs the code instead of the environment's engine; a tracer
        hands in its own. `accounts`: an overlay over `reader` that is already written to
        (overrides, blocks simulated before)."""
        self.accounts = accounts or new_overlay(reader)
        self.environment = environment
        self.state = EvmState(self.accounts, environment, interrupt)
        self._stock = computation_class is None and environment.engine is Engine.STOCK
        self._computation_class = computation_class or EvmComputation

    def message(
        self,
        *,
        sender: Address,
        to: Address,
        value: int,
        data: bytes,
        gas: int,
        gas_price: int,
        nonce: int,
        access_list: AccessList = (),
        refund: int = 0,
    ) -> Computation:
        """Run a call or creation whose gas is bought; `nonce` is the sender's before the
        transaction. Raises: VMError when `value` cannot be paid."""
        if to == CREATE:
            target = contract_address(sender, nonce)
            self._warm(sender, target, access_list)
            message = EvmMessage(
                gas, CREATE, sender, value, b"", Program(data), 0, target, CREATE, True, False,
                False, refund,
            )  # fmt: skip
            if self.accounts.account_has_code_or_nonce(target):
                return self._collision(message)
        else:
            self._warm(sender, to, access_list)
            program, source = self._code(to)
            message = EvmMessage(
                gas, to, sender, value, data, program, 0, to, source, True, False, source != to,
                refund,
            )  # fmt: skip
        return self._apply(message, gas_price, sender)

    def system_call(self, address: Address, data: bytes = b"") -> bytes:
        """Call a predeploy as the protocol itself. Raises: InvalidBlock when it fails (EIP-7002,
        EIP-7251)."""
        self.accounts.begin_transaction()
        program = program_at(self.accounts, address)
        message = EvmMessage(
            SYSTEM_CALL_GAS, address, SYSTEM_ADDRESS, 0, data, program, 0, address, address, True,
            False, False,
        )  # fmt: skip
        computation = self._apply(message, 0, SYSTEM_ADDRESS)
        if computation.is_error:
            raise InvalidBlock(f"system call to 0x{address.hex()} failed: {computation.error!r}")
        return bytes(computation.output)

    def _apply(self, message: EvmMessage, gas_price: int, origin: Address) -> Computation:
        if self._stock:
            return self._apply_stock(message, gas_price, origin)
        scope = TransactionScope(gas_price, origin)
        if message.is_create:
            return self._computation_class.apply_create_message(self.state, message, scope)
        return self._computation_class.apply_message(self.state, message, scope)

    def _collision(self, message: EvmMessage) -> Computation:
        computation = self._computation_class(self.state, message, None)
        computation.fail(VMError("contract address collision"))
        return computation

    def _warm(self, sender: Address, target: Address, access_list: AccessList) -> None:
        """EIP-2929, EIP-2930, EIP-3651."""
        mark_warm = self.accounts.mark_address_warm
        mark_warm(sender)
        mark_warm(target)
        mark_warm(self.environment.fee_recipient)
        for address, slots in access_list:
            mark_warm(address)
            for slot in slots:
                self.accounts.mark_storage_warm(address, slot)

    def _code(self, address: Address) -> tuple[Program, bytes]:
        """Code to run at `address`, through at most one delegation (EIP-7702); where it is from."""
        program = program_at(self.accounts, address)
        delegate = program.delegate
        if delegate is None:
            return program, address
        self.accounts.mark_address_warm(Address(delegate))
        return program_at(self.accounts, delegate), delegate

    def _apply_stock(self, ours: EvmMessage, gas_price: int, origin: Address) -> Computation:
        """The same message on unmodified py-evm."""
        message = Message(
            # py-evm charges for init code when it begins to run; here the transaction has paid
            gas=ours.gas + (init_code_gas(ours.code) if ours.is_create else 0),
            to=ours.to,
            sender=ours.sender,
            value=ours.value,
            data=ours.data,
            code=ours.code,
            create_address=ours.create_address,
            code_address=None if ours.is_create else ours.code_address,
            refund=ours.refund,
            is_delegation=ours.is_delegation,
        )
        scope = CancunTransactionContext(gas_price=gas_price, origin=origin)
        if message.is_create:
            return StockComputation.apply_create_message(self.state, message, scope)
        return StockComputation.apply_message(self.state, message, scope)


def new_overlay(reader: StateReader) -> BlockState:
    """The overlay of a block that begins on this state."""
    return BlockState(reader, always_warm=PRECOMPILES)


def logs_of(computation: Computation) -> tuple[Log, ...]:
    return tuple(
        Log(address, tuple(topic.to_bytes(32, "big") for topic in topics), data)
        for address, topics, data in computation.get_log_entries()
    )


def gas_charged(computation: Computation, gas: int, data: bytes) -> int:
    """Gas used after refund and floor (EIP-3529, EIP-7623)."""
    used: int = gas - computation.get_gas_remaining()
    refund: int = min(computation.get_gas_refund(), used // MAX_REFUND_QUOTIENT)
    return max(used - refund, floor_gas(data))
