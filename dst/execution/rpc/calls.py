"""`eth_call`, `eth_estimateGas`, `eth_createAccessList`: messages that are run and never mined,
bounded by gas and by time."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from dst.apis.eth import show_word
from dst.apis.jsonrpc import REFUSED, RpcError
from dst.apis.transaction_object import TransactionObject, parse_transaction_object
from dst.execution.block.call_objects import CALL_GAS_CAP, is_free, message_of
from dst.execution.block.call_run import CallOutcome, CallRefused, Fault
from dst.execution.chain import Chain
from dst.execution.evm.tracing import Tracing
from dst.execution.evm.words import OUT_OF_GAS
from dst.execution.rpc.blocks_by_id import BlocksById
from dst.execution.rpc.call_stage import Stage, raise_if_failed, refusals, stage_of
from dst.execution.rpc.dispatch import Where, rpc
from dst.execution.rpc.parameters import (
    BlockOverridesParam,
    BlockParam,
    CallParam,
    StateOverridesParam,
)
from dst.execution.tracers.access_list import AccessListTracer
from dst.spec.primitives import to_hex
from dst.transactions.gas import GAS_TRANSACTION
from dst.transactions.transaction import AccessList, Transaction

ESTIMATE_PRECISION: Final = 0.015
"""An estimate may lie this far above the least gas that works; geth's figure."""
CALL_STIPEND: Final = 2_300
MAX_ACCESS_LIST_ROUNDS: Final = 16
"""A list that changes what the message touches may never settle."""

CALL_LIMITS: Final = (f"{CALL_GAS_CAP} gas", "5 s")
CALL_ERRORS: Final = (
    "3: execution reverted, data is the return data",
    "-32000: the message cannot begin (funds, fees, gas), failed, or took too long",
    "-32005: too many calls are waiting",
)


class Calls:
    def __init__(self, chain: Chain, blocks: BlocksById) -> None:
        self._chain, self._blocks = chain, blocks

    @rpc("eth_call", where=Where.CALL, errors=CALL_ERRORS, limits=CALL_LIMITS)
    def call(
        self,
        transaction: CallParam,
        block: BlockParam = "latest",
        state_overrides: StateOverridesParam = None,
        block_overrides: BlockOverridesParam = None,
    ) -> str:
        """What a message returns when run on the state of a block.

        Without fees it is free and sees a base fee of zero; with fees they must be owned and cover
        the base fee.
        """
        call = parse_transaction_object(transaction)
        stage = stage_of(self._blocks, block, state_overrides, block_overrides)
        outcome = self._run(stage, self._message(call))
        raise_if_failed(outcome)
        return to_hex(outcome.output)

    @rpc("eth_estimateGas", where=Where.CALL, errors=CALL_ERRORS, limits=CALL_LIMITS)
    def estimate_gas(
        self,
        transaction: CallParam,
        block: BlockParam = "latest",
        state_overrides: StateOverridesParam = None,
        block_overrides: BlockOverridesParam = None,
    ) -> str:
        """The least gas that makes a message succeed, within 1.5 %."""
        call = parse_transaction_object(transaction)
        stage = stage_of(self._blocks, block, state_overrides, block_overrides)
        limit = self._gas_allowance(stage, call)

        def attempt(gas: int) -> CallOutcome | None:
            try:
                return self._run(stage, self._message(call, gas))
            except _NotEnoughGas:
                return None

        if self._is_plain_transfer(stage, call) and limit >= GAS_TRANSACTION:
            outcome = attempt(GAS_TRANSACTION)
            if outcome is not None and outcome.error is None:
                return hex(GAS_TRANSACTION)
        return hex(_least_gas(attempt, limit))

    @rpc(
        "eth_createAccessList",
        where=Where.CALL,
        errors=CALL_ERRORS,
        limits=(*CALL_LIMITS, f"{MAX_ACCESS_LIST_ROUNDS} rounds"),
    )
    def create_access_list(
        self,
        transaction: CallParam,
        block: BlockParam = "latest",
        state_overrides: StateOverridesParam = None,
    ) -> dict[str, object]:
        """The accounts and slots that a message touches, and its gas when it names them."""
        call = parse_transaction_object(transaction)
        stage = stage_of(self._blocks, block, state_overrides)
        message = self._message(call)
        known = message.access_list
        for _ in range(MAX_ACCESS_LIST_ROUNDS):
            tracer = AccessListTracer(message, known)
            outcome = self._run(stage, _with_list(message, known), Tracing(tracer))
            found = tracer.access_list()
            if found == known:
                return _show_access_list(outcome, found)
            known = found
        raise RpcError(REFUSED, f"access list not stable after {MAX_ACCESS_LIST_ROUNDS} rounds")

    def _message(self, call: TransactionObject, gas: int | None = None) -> Transaction:
        message = message_of(call, chain_id=self._chain.chain_id, gas=CALL_GAS_CAP)
        return message if gas is None else _with_gas(message, gas)

    @staticmethod
    def _run(stage: Stage, message: Transaction, tracing: Tracing | None = None) -> CallOutcome:
        """Raises: RpcError; _NotEnoughGas when more gas would let the message begin."""
        with refusals(message):
            run = stage.run(free=is_free(message), tracing=tracing)
            try:
                return run.call(message)
            except CallRefused as error:
                if error.fault in (Fault.INTRINSIC_GAS, Fault.FLOOR_GAS):
                    raise _NotEnoughGas(f"err: {error} (supplied gas {message.gas})") from None
                raise

    @staticmethod
    def _is_plain_transfer(stage: Stage, call: TransactionObject) -> bool:
        """Nothing to run at the other end."""
        if call.data or not call.to or call.authorization_list or call.access_list:
            return False
        with refusals():
            return not stage.run(free=True).accounts.get_code(call.to)

    @staticmethod
    def _gas_allowance(stage: Stage, call: TransactionObject) -> int:
        """The most gas the sender can buy. Raises: RpcError."""
        limit = stage.environment.gas_limit
        if call.gas is not None and call.gas >= GAS_TRANSACTION:
            limit = call.gas
        limit = min(limit, CALL_GAS_CAP)
        price = call.gas_price or call.max_fee_per_gas
        if not price:
            return limit
        with refusals():
            balance = stage.run(free=True).accounts.get_balance(call.caller)
        if call.value and balance <= call.value:
            raise RpcError(REFUSED, "insufficient funds for transfer")
        return min(limit, (balance - call.value) // price)


class _NotEnoughGas(RpcError):
    """The message cannot begin with this gas."""

    def __init__(self, message: str) -> None:
        super().__init__(REFUSED, message)


def _with_gas(message: Transaction, gas: int) -> Transaction:
    return replace(message, gas=gas)


def _with_list(message: Transaction, access_list: AccessList) -> Transaction:
    return replace(message, access_list=access_list)


def _least_gas(attempt: Callable[[int], CallOutcome | None], limit: int) -> int:
    """The least gas that makes a call succeed, within the precision. Raises: RpcError."""
    first = attempt(limit)
    if first is None or first.error == OUT_OF_GAS:
        raise RpcError(REFUSED, f"gas required exceeds allowance ({limit})")
    raise_if_failed(first)

    def works(gas: int) -> bool:
        outcome = attempt(gas)
        return outcome is not None and outcome.error is None

    low, high = first.gas_used - 1, limit
    # Most calls work with what they used, plus what EIP-150 holds back at each level.
    guess = (first.gas_before_refund + CALL_STIPEND) * 64 // 63
    for gas in (first.gas_before_refund, guess):
        if low < gas < high:
            if works(gas):
                high = gas
                break
            low = gas
    while low + 1 < high and high - low > high * ESTIMATE_PRECISION:
        middle = min((high + low) // 2, low * 2)
        if works(middle):
            high = middle
        else:
            low = middle
    return high


def _show_access_list(outcome: CallOutcome, access_list: AccessList) -> dict[str, object]:
    shown: dict[str, object] = {
        "accessList": [
            {"address": to_hex(address), "storageKeys": [show_word(slot) for slot in slots]}
            for address, slots in access_list
        ],
        "gasUsed": hex(outcome.gas_used),
    }
    if outcome.error is not None:
        shown["error"] = outcome.error
    return shown
