"""A message from outside on one block's state: a transaction's, a system call's, a call's."""

import sys
from typing import Any, Final, TypeAlias

from eth._utils.address import generate_contract_address
from eth.exceptions import VMError
from eth.vm.forks.cancun.transaction_context import CancunTransactionContext
from eth.vm.forks.spurious_dragon._utils import collect_touched_accounts
from eth.vm.message import Message

from dst.execution.environment import BlockEnvironment, Interrupt, InvalidBlock
from dst.execution.evm.computation import EvmComputation, EvmState
from dst.execution.receipts import Log
from dst.execution.state.overlay import BlockState
from dst.execution.state.reader import StateReader
from dst.spec.primitives import Address
from dst.transactions.gas import MAX_REFUND_QUOTIENT, floor_gas
from dst.transactions.transaction import AccessList
from dst.transactions.validity import is_delegation

RECURSION_LIMIT: Final = 15_000
"""Python frames. py-evm wants 12 * 1024 for a full call depth; py_ecc, which it imports, sets
100,000, and then a hundred kilobytes of `[` overflow the stack of a JSON decoder and end the
process."""
sys.setrecursionlimit(RECURSION_LIMIT)

SYSTEM_ADDRESS: Final = Address(bytes.fromhex("fffffffffffffffffffffffffffffffffffffffe"))
SYSTEM_CALL_GAS: Final = 30_000_000
_CREATE: Final = b""

Computation: TypeAlias = Any


class Messages:
    """Runs outermost messages on one block's state."""

    def __init__(
        self,
        reader: StateReader,
        environment: BlockEnvironment,
        interrupt: Interrupt,
        *,
        computation_class: type[EvmComputation] = EvmComputation,
        accounts: BlockState | None = None,
    ) -> None:
        """`computation_class`: what runs the code; a tracer hands in its own. `accounts`: an
        overlay over `reader` that is already written to (overrides, blocks simulated before)."""
        self.accounts = accounts or BlockState(reader)
        self.environment = environment
        self.state = EvmState(self.accounts, environment, interrupt)
        self._computation_class = computation_class

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
        transaction."""
        context = CancunTransactionContext(gas_price=gas_price, origin=sender)
        create_address = generate_contract_address(sender, nonce) if to == _CREATE else None
        self._warm(sender, create_address or to, access_list)
        if create_address is not None:
            message = Message(
                gas=gas,
                to=_CREATE,
                sender=sender,
                value=value,
                data=b"",
                code=data,
                create_address=create_address,
                refund=refund,
            )
            return self._create(message, context)
        code, delegated = self._code(to)
        message = Message(
            gas=gas,
            to=to,
            sender=sender,
            value=value,
            data=data,
            code=code,
            refund=refund,
            is_delegation=delegated,
        )
        return self._computation_class.apply_message(self.state, message, context)

    def system_call(self, address: Address, data: bytes = b"") -> bytes:
        """Call a predeploy as the protocol itself. Raises: InvalidBlock when it fails (EIP-7002,
        EIP-7251)."""
        self.accounts.begin_transaction()
        message = Message(
            gas=SYSTEM_CALL_GAS,
            to=address,
            sender=SYSTEM_ADDRESS,
            value=0,
            data=data,
            code=self.accounts.get_code(address),
        )
        context = CancunTransactionContext(gas_price=0, origin=SYSTEM_ADDRESS)
        computation = self._computation_class.apply_computation(self.state, message, context)
        if computation.is_error:
            raise InvalidBlock(f"system call to 0x{address.hex()} failed: {computation.error!r}")
        return bytes(computation.output)

    def _create(self, message: Message, context: CancunTransactionContext) -> Computation:
        if not self.accounts.account_has_code_or_nonce(message.storage_address):
            return self._computation_class.apply_create_message(self.state, message, context)
        computation = self._computation_class(self.state, message, context)
        computation.error = VMError("contract address collision")
        return computation

    def _warm(self, sender: Address, target: Address, access_list: AccessList) -> None:
        """EIP-2929, EIP-2930; the fee recipient (EIP-3651) is marked by the computation."""
        self.accounts.mark_address_warm(sender)
        self.accounts.mark_address_warm(target)
        for address, slots in access_list:
            self.accounts.mark_address_warm(address)
            for slot in slots:
                self.accounts.mark_storage_warm(address, slot)

    def _code(self, address: Address) -> tuple[bytes, bool]:
        """Code to run at `address`, through at most one delegation (EIP-7702)."""
        code = self.accounts.get_code(address)
        if not is_delegation(code):
            return code, False
        target = Address(code[3:])
        self.accounts.mark_address_warm(target)
        return self.accounts.get_code(target), True


def logs_of(computation: Computation) -> tuple[Log, ...]:
    return tuple(
        Log(address, tuple(topic.to_bytes(32, "big") for topic in topics), bytes(data))
        for address, topics, data in computation.get_log_entries()
    )


def gas_charged(computation: Computation, gas: int, data: bytes) -> int:
    """Gas used after refund and floor (EIP-3529, EIP-7623)."""
    used: int = gas - computation.get_gas_remaining()
    refund: int = min(computation.get_gas_refund(), used // MAX_REFUND_QUOTIENT)
    return max(used - refund, floor_gas(data))


def touched_accounts(computation: Computation) -> frozenset[Address]:
    """Accounts that EIP-161 looks at when the transaction is over."""
    return frozenset(collect_touched_accounts(computation))
