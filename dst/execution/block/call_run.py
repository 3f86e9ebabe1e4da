"""Messages that no block will carry, one after another on one state: `eth_call` and all that is
built on it.

The same steps as a block's transaction (gas bought, delegations set, refund, fee recipient paid),
but signed by nobody, of any nonce unless asked otherwise, and free where no fee is given.
Source: geth's `eth_call` where no standard says it; the words of refusals are geth's.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, Self, TypeAlias

from dst.apis.overrides import StateOverrides
from dst.crypto.checksum import checksum_address
from dst.execution.block.body import BlockRun
from dst.execution.environment import BlockEnvironment, Interrupt
from dst.execution.evm.messages import logs_of, new_overlay
from dst.execution.evm.overrides import override_state
from dst.execution.evm.tracing import Tracing, computation_for
from dst.execution.evm.words import describe, is_revert
from dst.execution.receipts import Log, Receipt
from dst.execution.state.overlay import BlockState
from dst.execution.state.reader import StateReader
from dst.spec.errors import DstError
from dst.transactions.gas import floor_gas, intrinsic_gas
from dst.transactions.transaction import SET_CODE_TYPE, Transaction
from dst.transactions.validity import MAX_INIT_CODE_BYTES, MAX_NONCE

Computation: TypeAlias = Any

NONCE_OVERFLOW: Final = 2**64


class Fault(StrEnum):
    """Why a message cannot begin."""

    NONCE_TOO_LOW = "nonce too low"
    NONCE_TOO_HIGH = "nonce too high"
    NONCE_MAX = "nonce has max value"
    TIP_ABOVE_FEE = "max priority fee per gas higher than max fee per gas"
    FEE_BELOW_BASE_FEE = "max fee per gas less than block base fee"
    AUTHORIZATIONS = "EIP-7702 transaction"
    INSUFFICIENT_FUNDS = "insufficient funds for gas * price + value"
    INTRINSIC_GAS = "intrinsic gas too low"
    FLOOR_GAS = "insufficient gas for floor data gas cost"
    INIT_CODE_SIZE = "max initcode size exceeded"


class CallRefused(DstError):
    """A message that cannot begin."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(f"{fault}{detail}")
        self.fault = fault


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOutcome:
    """What a message did."""

    output: bytes
    """Return data, or revert data."""
    gas_used: int
    """What is charged: refund and floor included."""
    gas_before_refund: int
    """Most gas in use at once, and at least the floor."""
    error: str | None
    reverted: bool
    logs: tuple[Log, ...]
    receipt: Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """Which rules of a mined transaction hold for a message."""

    nonce: bool = False
    free: bool = True
    """A message without fees pays none, whatever the base fee."""


class CallRun(BlockRun):
    """Construct, then `call` as often as wanted; each call sees what the ones before it did."""

    @classmethod
    def over(
        cls,
        reader: StateReader,
        environment: BlockEnvironment,
        interrupt: Interrupt,
        *,
        overrides: StateOverrides,
        tracing: Tracing | None = None,
        accounts: BlockState | None = None,
    ) -> Self:
        """A run on a state with overrides; `accounts`: on an overlay over it that is written to
        already. Raises: OverrideRefused."""
        accounts = accounts or new_overlay(reader)
        precompiles = override_state(accounts, overrides)
        return cls(
            reader,
            environment,
            interrupt,
            computation_class=computation_for(tracing, precompiles),
            accounts=accounts,
        )

    @property
    def gas_used(self) -> int:
        return self._gas_used

    def call(self, transaction: Transaction, checks: Checks = Checks()) -> CallOutcome:
        """Run one message; its nonce is the sender's own unless `checks.nonce`.

        Raises: CallRefused, ExecutionAborted; the state is then as before.
        """
        self._check(transaction, checks)
        nonce = self._accounts.get_nonce(transaction.sender)
        transaction = replace(transaction, nonce=nonce)
        self._accounts.begin_transaction()
        try:
            computation = self._run(transaction)
            receipt = self._settle(transaction, computation)
        except BaseException:
            self._accounts.discard(0)
            raise
        if self._accounts.get_nonce(transaction.sender) >= NONCE_OVERFLOW:
            self._accounts.set_nonce(transaction.sender, 0)  # as a 64-bit counter does
        self._receipts.append(receipt)
        self._gas_used = receipt.cumulative_gas_used
        return _outcome(transaction, computation, receipt)

    def _begin(self) -> None:
        """A call runs inside a block, not at its start: no system calls."""

    def _tip(self, price: int) -> int:
        """A free message pays less than the base fee, and nobody gets less than nothing."""
        return max(super()._tip(price), 0)

    def _check(self, transaction: Transaction, checks: Checks) -> None:
        if checks.nonce:
            self._check_nonce(transaction)
        self._check_fees(transaction, checks)
        who = checksum_address(transaction.sender)
        if transaction.type_id == SET_CODE_TYPE:
            if transaction.is_create:
                raise CallRefused(
                    Fault.AUTHORIZATIONS, f" cannot be used to create contract (sender {who})"
                )
            if not transaction.authorization_list:
                raise CallRefused(Fault.AUTHORIZATIONS, f" with empty auth list (sender {who})")
        balance = self._accounts.get_balance(transaction.sender)
        if balance < transaction.max_cost:
            raise CallRefused(
                Fault.INSUFFICIENT_FUNDS,
                f": address {who} have {balance} want {transaction.max_cost}",
            )
        _check_gas(transaction)

    def _check_nonce(self, transaction: Transaction) -> None:
        who = f": address {checksum_address(transaction.sender)}"
        state = self._accounts.get_nonce(transaction.sender)
        if transaction.nonce != state:
            fault = Fault.NONCE_TOO_LOW if transaction.nonce < state else Fault.NONCE_TOO_HIGH
            raise CallRefused(fault, f"{who}, tx: {transaction.nonce} state: {state}")
        if state >= MAX_NONCE:
            raise CallRefused(Fault.NONCE_MAX, f"{who}, nonce: {state}")

    def _check_fees(self, transaction: Transaction, checks: Checks) -> None:
        fee, tip = transaction.max_fee_per_gas, transaction.max_priority_fee_per_gas
        if checks.free and not fee and not tip:
            return
        who = f": address {checksum_address(transaction.sender)}"
        if fee < tip:
            raise CallRefused(
                Fault.TIP_ABOVE_FEE, f"{who}, maxPriorityFeePerGas: {tip}, maxFeePerGas: {fee}"
            )
        base_fee = self._environment.base_fee_per_gas
        if fee < base_fee:
            raise CallRefused(
                Fault.FEE_BELOW_BASE_FEE, f"{who}, maxFeePerGas: {fee}, baseFee: {base_fee}"
            )


def _check_gas(transaction: Transaction) -> None:
    needed, floor = intrinsic_gas(transaction), floor_gas(transaction.data)
    if transaction.gas < needed:
        raise CallRefused(Fault.INTRINSIC_GAS, f": have {transaction.gas}, want {needed}")
    if transaction.gas < floor:
        raise CallRefused(Fault.FLOOR_GAS, f": have {transaction.gas}, want {floor}")
    if transaction.is_create and len(transaction.data) > MAX_INIT_CODE_BYTES:
        raise CallRefused(
            Fault.INIT_CODE_SIZE,
            f": code size {len(transaction.data)} limit {MAX_INIT_CODE_BYTES}",
        )


def _outcome(transaction: Transaction, computation: Computation, receipt: Receipt) -> CallOutcome:
    error = computation.error if computation.is_error else None
    used = transaction.gas - computation.get_gas_remaining()
    return CallOutcome(
        output=bytes(computation.output),
        gas_used=receipt.gas_used,
        gas_before_refund=max(used, floor_gas(transaction.data)),
        error=None if error is None else describe(error),
        reverted=error is not None and is_revert(error),
        logs=logs_of(computation),
        receipt=receipt,
    )
