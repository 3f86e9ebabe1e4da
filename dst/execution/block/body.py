"""The steps of a block: system calls, transactions, withdrawals, requests.

Source: execution-specs prague `apply_body`.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from dst.execution.block.requests import (
    CONSOLIDATION_REQUEST,
    DEPOSIT_REQUEST,
    WITHDRAWAL_REQUEST,
    deposit_requests,
)
from dst.execution.environment import BlockEnvironment, BlockResult, Interrupt, InvalidBlock
from dst.execution.evm.computation import EvmComputation
from dst.execution.evm.messages import Messages, gas_charged, logs_of
from dst.execution.genesis import (
    BEACON_ROOTS_ADDRESS,
    CONSOLIDATION_REQUESTS_ADDRESS,
    HISTORY_STORAGE_ADDRESS,
    WITHDRAWAL_REQUESTS_ADDRESS,
)
from dst.execution.receipts import Receipt
from dst.execution.state.commit import commit
from dst.execution.state.overlay import BlockState
from dst.execution.state.reader import StateReader
from dst.spec.beacon import Withdrawal
from dst.spec.primitives import Address
from dst.transactions.gas import GAS_REFUND_PER_KNOWN_AUTHORITY, intrinsic_gas
from dst.transactions.transaction import Authorization, Transaction, authority_of
from dst.transactions.validity import MAX_NONCE, check_in_block, is_delegation

WEI_PER_GWEI: Final = 10**9

Computation: TypeAlias = Any


class BlockRun:
    """Executes one block on its parent's state: construct, `apply` each transaction, `finish`.

    A transaction that raises leaves no trace. Source: execution-specs prague `apply_body`.
    """

    def __init__(
        self,
        reader: StateReader,
        environment: BlockEnvironment,
        interrupt: Interrupt,
        *,
        computation_class: type[EvmComputation] | None = None,
        accounts: BlockState | None = None,
    ) -> None:
        """`computation_class`, `accounts`: as in `Messages`."""
        self._environment = environment
        self._messages = Messages(
            reader,
            environment,
            interrupt,
            computation_class=computation_class,
            accounts=accounts,
        )
        self._accounts = self._messages.accounts
        self._receipts: list[Receipt] = []
        self._touched: list[bytes] = []
        self._gas_used = 0
        self._fees = 0
        self._begin()

    def _begin(self) -> None:
        environment = self._environment
        self._system_call_if_present(BEACON_ROOTS_ADDRESS, environment.parent_beacon_block_root)
        self._system_call_if_present(HISTORY_STORAGE_ADDRESS, environment.parent_hash)

    @property
    def accounts(self) -> BlockState:
        return self._accounts

    @property
    def gas_left(self) -> int:
        return self._environment.gas_limit - self._gas_used

    def apply(self, transaction: Transaction) -> Receipt:
        """Execute the next transaction of the block.

        Raises: InvalidTransaction, ExecutionAborted; the state is then as before.
        """
        accounts = self._accounts
        check_in_block(
            transaction,
            accounts,
            chain_id=self._environment.chain_id,
            base_fee_per_gas=self._environment.base_fee_per_gas,
            gas_left=self.gas_left,
        )
        accounts.begin_transaction()
        try:
            receipt = self._execute(transaction)
        except BaseException:
            accounts.discard(0)
            raise
        self._receipts.append(receipt)
        self._touched.append(self._met_by(transaction))
        self._gas_used = receipt.cumulative_gas_used
        self._fees += receipt.gas_used * transaction.effective_tip(
            self._environment.base_fee_per_gas
        )
        return receipt

    def finish(self, withdrawals: Iterable[Withdrawal] = ()) -> BlockResult:
        """Withdrawals, requests, state root. The run is over after this. Raises: InvalidBlock."""
        self._accounts.begin_transaction()
        for withdrawal in withdrawals:
            self._accounts.delta_balance(
                Address(withdrawal.address), withdrawal.amount * WEI_PER_GWEI
            )
        self._accounts.clear_accounts()
        requests = (
            DEPOSIT_REQUEST + b"".join(deposit_requests(self._receipts)),
            WITHDRAWAL_REQUEST + self._required_call(WITHDRAWAL_REQUESTS_ADDRESS),
            CONSOLIDATION_REQUEST + self._required_call(CONSOLIDATION_REQUESTS_ADDRESS),
        )
        bloom = 0
        for receipt in self._receipts:
            bloom |= receipt.bloom()
        return BlockResult(
            receipts=tuple(self._receipts),
            gas_used=self._gas_used,
            bloom=bloom,
            requests=tuple(each for each in requests if len(each) > 1),
            touched=tuple(self._touched),
            fees=self._fees,
            state=commit(self._accounts),
        )

    def _execute(self, transaction: Transaction) -> Receipt:
        return self._settle(transaction, self._run(transaction))

    def _run(self, transaction: Transaction) -> Computation:
        """Buy the gas, set delegations, run the message."""
        sender = transaction.sender
        price = transaction.effective_gas_price(self._environment.base_fee_per_gas)
        self._accounts.buy_gas(sender, transaction.gas * price)
        refund = sum(self._delegate(each) for each in transaction.authorization_list)
        return self._messages.message(
            sender=sender,
            to=transaction.to,
            value=transaction.value,
            data=transaction.data,
            gas=transaction.gas - intrinsic_gas(transaction),
            gas_price=price,
            nonce=transaction.nonce,
            access_list=transaction.access_list,
            refund=refund,
        )

    def _settle(self, transaction: Transaction, computation: Computation) -> Receipt:
        """Give back what was not used, pay the fee recipient, clear accounts."""
        accounts = self._accounts
        price = transaction.effective_gas_price(self._environment.base_fee_per_gas)
        gas_used = gas_charged(computation, transaction.gas, transaction.data)
        accounts.delta_balance(transaction.sender, (transaction.gas - gas_used) * price)
        accounts.delta_balance(self._environment.fee_recipient, gas_used * self._tip(price))
        for address in computation.get_accounts_for_deletion():
            accounts.destroy_at_the_end(address)
        accounts.clear_accounts()
        created = computation.msg.storage_address if transaction.is_create else None
        return Receipt(
            type_id=transaction.type_id,
            sender=transaction.sender,
            to=transaction.to,
            succeeded=not computation.is_error,
            cumulative_gas_used=self._gas_used + gas_used,
            gas_used=gas_used,
            effective_gas_price=price,
            contract_address=created,
            logs=logs_of(computation),
        )

    def _met_by(self, transaction: Transaction) -> bytes:
        """Addresses that the transaction which just ran has warmed (EIP-2929), beside those that it
        names: whom it called, created, paid or looked at. Not those of frames that failed, and not
        the fee recipient, which is warm anyway (EIP-3651)."""
        known = (transaction.sender, transaction.to, self._environment.fee_recipient)
        return b"".join(each for each in self._accounts.warmed() if each not in known)

    def _tip(self, price: int) -> int:
        return price - self._environment.base_fee_per_gas

    def _delegate(self, authorization: Authorization) -> int:
        """Set one EIP-7702 delegation; returns its refund. One that does not hold is skipped.

        Hundreds fit a transaction, and each recovers a signature: the interrupt is asked.
        """
        self._messages.state.interrupt()
        if authorization.chain_id not in (0, self._environment.chain_id):
            return 0
        if authorization.nonce >= MAX_NONCE:
            return 0
        authority = authority_of(authorization)
        if authority is None:
            return 0
        accounts = self._accounts
        accounts.mark_address_warm(authority)
        code = accounts.get_code(authority)
        if (code and not is_delegation(code)) or (
            accounts.get_nonce(authority) != authorization.nonce
        ):
            return 0
        refund = GAS_REFUND_PER_KNOWN_AUTHORITY if accounts.account_exists(authority) else 0
        if any(authorization.address):
            accounts.set_code(authority, b"\xef\x01\x00" + authorization.address)
        else:
            accounts.delete_code(authority)
        accounts.increment_nonce(authority)
        return refund

    def _system_call_if_present(self, address: Address, data: bytes) -> None:
        """EIP-4788, EIP-2935: no contract there, no call; a failing call changes nothing."""
        if not self._accounts.get_code(address):
            return
        checkpoint = self._accounts.record()
        try:
            self._messages.system_call(address, data)
        except InvalidBlock:
            self._accounts.discard(checkpoint)

    def _required_call(self, address: Address) -> bytes:
        if not self._accounts.get_code(address):
            raise InvalidBlock(
                f"no system contract at 0x{address.hex()}: the genesis lacks a Prague predeploy"
            )
        return self._messages.system_call(address)
