"""A call object as the transaction it would be: type, fees and gas filled in, signed by nobody.

Source: geth's `TransactionArgs` for the defaults.
"""

from dataclasses import replace
from typing import Final

from dst.apis.transaction_object import TransactionObject
from dst.crypto.keccak import keccak256
from dst.spec.errors import InvalidInput
from dst.spec.primitives import ZERO_HASH
from dst.transactions.transaction import Transaction
from dst.transactions.unsigned import UnsignedTransaction

CALL_GAS_CAP: Final = 50_000_000
"""Gas of one call, geth's figure."""


def message_of(call: TransactionObject, *, chain_id: int, gas: int, nonce: int = 0) -> Transaction:
    """`gas` and `nonce` stand where the object names none; gas is at most the cap.

    Raises: InvalidInput for another chain's id.
    """
    if call.chain_id is not None and call.chain_id != chain_id:
        raise InvalidInput(f"chainId does not match node's (have={call.chain_id}, want={chain_id})")
    price = call.gas_price
    return Transaction(
        raw=b"",
        hash=ZERO_HASH,
        sender=call.caller,
        type_id=call.type_id,
        chain_id=chain_id,
        nonce=nonce if call.nonce is None else call.nonce,
        max_priority_fee_per_gas=(call.max_priority_fee_per_gas or 0) if price is None else price,
        max_fee_per_gas=(call.max_fee_per_gas or 0) if price is None else price,
        gas=min(gas if call.gas is None else call.gas, CALL_GAS_CAP),
        to=call.to,
        value=call.value,
        data=call.data,
        access_list=call.access_list or (),
        authorization_list=call.authorization_list or (),
        v=0,
        r=0,
        s=0,
    )


def with_hash(transaction: Transaction) -> Transaction:
    """The same with the bytes and the hash it has with an empty signature."""
    unsigned = UnsignedTransaction(
        type_id=transaction.type_id,
        chain_id=transaction.chain_id or 0,
        nonce=transaction.nonce,
        max_priority_fee_per_gas=transaction.max_priority_fee_per_gas,
        max_fee_per_gas=transaction.max_fee_per_gas,
        gas=transaction.gas,
        to=transaction.to,
        value=transaction.value,
        data=transaction.data,
        access_list=transaction.access_list,
        authorization_list=transaction.authorization_list,
    )
    raw = unsigned.encode_unsigned()
    return replace(transaction, raw=raw, hash=keccak256(raw))


def is_free(transaction: Transaction) -> bool:
    return not transaction.max_fee_per_gas and not transaction.max_priority_fee_per_gas
