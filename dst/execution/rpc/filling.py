"""A transaction as a client began it, made whole: nonce, fees, gas. `eth_fillTransaction`, and what
the accounts of a dev network sign."""

from collections.abc import Callable
from typing import Any

from dst.apis.eth import show_transaction
from dst.apis.quantity import parse_quantity
from dst.apis.transaction_object import (
    TransactionObject,
    parse_transaction_object,
    type_to_sign,
)
from dst.crypto.keccak import keccak256
from dst.execution.chain import Chain
from dst.execution.header import next_base_fee
from dst.execution.pool.service import TransactionPool
from dst.execution.rpc.dispatch import Threads, Where, rpc
from dst.execution.rpc.fees import suggest_tip
from dst.execution.rpc.parameters import CallParam
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Address, to_hex
from dst.transactions.transaction import ACCESS_LIST_TYPE, LEGACY_TYPE, Transaction
from dst.transactions.unsigned import UnsignedTransaction

Estimate = Callable[..., str]
"""eth_estimateGas as its family has it: runs on the calling thread."""


class Filler:
    def __init__(
        self, chain: Chain, pool: TransactionPool, threads: Threads, estimate: Estimate
    ) -> None:
        self._chain, self._pool, self._threads = chain, pool, threads
        self._estimate = estimate

    async def fill(self, value: object) -> tuple[Address, UnsignedTransaction]:
        """Sender and whole transaction. Raises: InvalidInput, RpcError."""
        request = parse_transaction_object(value)
        type_id = type_to_sign(request)
        if request.chain_id not in (None, self._chain.chain_id):
            raise InvalidInput(
                f"chainId does not match node's (have={request.chain_id}, "
                f"want={self._chain.chain_id})"
            )
        sender = request.caller
        tip, fee = await self._threads.on_read(self._fees, request, type_id)
        nonce = request.nonce
        if nonce is None:
            nonce = await self._threads.on_read(self._next_nonce, sender)
        gas = request.gas
        if gas is None:
            gas = await self._threads.on_call(self._estimated, value)
        return sender, UnsignedTransaction(
            type_id=type_id,
            chain_id=self._chain.chain_id,
            nonce=nonce,
            max_priority_fee_per_gas=tip,
            max_fee_per_gas=fee,
            gas=gas,
            to=request.to,
            value=request.value,
            data=request.data,
            access_list=request.access_list or (),
            authorization_list=request.authorization_list or (),
        )

    def _fees(self, request: TransactionObject, type_id: int) -> tuple[int, int]:
        """(tip, fee cap), both the gas price for types 0 and 1. A cap that is left out stands two
        doublings of the base fee, geth's rule."""
        if request.gas_price is not None:
            return request.gas_price, request.gas_price
        base_fee = next_base_fee(self._chain.heads.head)
        tip = request.max_priority_fee_per_gas
        if tip is None:
            tip = suggest_tip(self._chain)
            if request.max_fee_per_gas is not None:
                tip = min(tip, request.max_fee_per_gas)
        if type_id in (LEGACY_TYPE, ACCESS_LIST_TYPE):
            return base_fee + tip, base_fee + tip
        fee = request.max_fee_per_gas
        if fee is None:
            fee = tip + 2 * base_fee
        if fee < tip:
            raise InvalidInput(f"maxFeePerGas ({fee}) < maxPriorityFeePerGas ({tip})")
        return tip, fee

    def _next_nonce(self, sender: Address) -> int:
        nonce = self._chain.reader(self._chain.heads.head.state_root).get_nonce(sender)
        return self._pool.pending_nonce(sender, nonce)

    def _estimated(self, value: dict[str, Any]) -> int:
        """Without fees and nonce: whether the sender can pay is the pool's question."""
        kept = {
            name: given
            for name, given in value.items()
            if name in ("from", "to", "data", "input", "value", "accessList", "authorizationList")
        }
        return parse_quantity(self._estimate(kept, "pending"), what="gas")


class Filling:
    def __init__(self, filler: Filler) -> None:
        self._filler = filler

    @rpc(
        "eth_fillTransaction",
        where=Where.LOOP,
        errors=("3: execution reverted (while gas is estimated)",),
    )
    async def fill(self, transaction: CallParam) -> dict[str, object]:
        """A transaction with nonce, fees, gas and chain id filled in: `raw` without signature, and
        `tx` as JSON."""
        sender, filled = await self._filler.fill(transaction)
        return show_filled(sender, filled)


def show_filled(sender: Address, filled: UnsignedTransaction) -> dict[str, object]:
    raw = filled.encode_unsigned()
    return {"raw": to_hex(raw), "tx": _show(sender, filled, raw)}


def _show(sender: Address, filled: UnsignedTransaction, raw: bytes) -> dict[str, object]:
    transaction = Transaction(
        raw=raw,
        hash=keccak256(raw),
        sender=sender,
        type_id=filled.type_id,
        chain_id=filled.chain_id,
        nonce=filled.nonce,
        max_priority_fee_per_gas=filled.max_priority_fee_per_gas,
        max_fee_per_gas=filled.max_fee_per_gas,
        gas=filled.gas,
        to=filled.to,
        value=filled.value,
        data=filled.data,
        access_list=filled.access_list,
        authorization_list=filled.authorization_list,
        v=0,
        r=0,
        s=0,
    )
    shown = show_transaction(transaction)
    for of_block in ("blockHash", "blockNumber", "blockTimestamp", "transactionIndex"):
        del shown[of_block]
    return shown
