"""A call object as the transaction it would be: type, fees and gas filled in, signed by nobody.

Source: geth's `TransactionArgs` for the defaults.
"""

from dataclasses import replace
from typing import Final

from dst.apis.calls import CallObject
from dst.crypto.keccak import keccak256
from dst.spec import rlp
from dst.spec.errors import InvalidInput
from dst.spec.primitives import ZERO_HASH
from dst.transactions.transaction import (
    ACCESS_LIST_TYPE,
    DYNAMIC_FEE_TYPE,
    LEGACY_TYPE,
    SET_CODE_TYPE,
    AccessList,
    Authorization,
    Transaction,
)

CALL_GAS_CAP: Final = 50_000_000
"""Gas of one call, geth's figure."""


def message_of(call: CallObject, *, chain_id: int, gas: int, nonce: int = 0) -> Transaction:
    """`gas` and `nonce` stand where the object names none; gas is at most the cap.

    Raises: InvalidInput for another chain's id.
    """
    if call.chain_id is not None and call.chain_id != chain_id:
        raise InvalidInput(f"chainId does not match node's (have={call.chain_id}, want={chain_id})")
    price = call.gas_price
    return Transaction(
        raw=b"",
        hash=ZERO_HASH,
        sender=call.sender,
        type_id=_type_of(call),
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
    raw = _encode_unsigned(transaction)
    return replace(transaction, raw=raw, hash=keccak256(raw))


def is_free(transaction: Transaction) -> bool:
    return not transaction.max_fee_per_gas and not transaction.max_priority_fee_per_gas


def _type_of(call: CallObject) -> int:
    if call.authorization_list is not None:
        return SET_CODE_TYPE
    if call.gas_price is None:
        return DYNAMIC_FEE_TYPE
    return LEGACY_TYPE if call.access_list is None else ACCESS_LIST_TYPE


def _encode_unsigned(transaction: Transaction) -> bytes:
    number, blob = rlp.encode_int, rlp.encode_bytes
    tail = [
        number(transaction.gas),
        blob(transaction.to),
        number(transaction.value),
        blob(transaction.data),
    ]
    signature = [number(0)] * 3
    nonce, fee = number(transaction.nonce), number(transaction.max_fee_per_gas)
    if transaction.type_id == LEGACY_TYPE:
        return rlp.encode_list(nonce, fee, *tail, *signature)
    fees = [fee]
    if transaction.type_id != ACCESS_LIST_TYPE:
        fees = [number(transaction.max_priority_fee_per_gas), fee]
    fields = [number(transaction.chain_id or 0), nonce, *fees, *tail]
    fields.append(_encode_access_list(transaction.access_list))
    if transaction.type_id == SET_CODE_TYPE:
        entries = [_encode_authorization(each) for each in transaction.authorization_list]
        fields.append(rlp.encode_list(*entries))
    return bytes((transaction.type_id,)) + rlp.encode_list(*fields, *signature)


def _encode_access_list(access_list: AccessList) -> bytes:
    return rlp.encode_list(
        *[
            rlp.encode_list(
                rlp.encode_bytes(address),
                rlp.encode_list(*[rlp.encode_bytes(slot.to_bytes(32, "big")) for slot in slots]),
            )
            for address, slots in access_list
        ]
    )


def _encode_authorization(each: Authorization) -> bytes:
    return rlp.encode_list(
        rlp.encode_int(each.chain_id),
        rlp.encode_bytes(each.address),
        rlp.encode_int(each.nonce),
        rlp.encode_int(each.y_parity),
        rlp.encode_int(each.r),
        rlp.encode_int(each.s),
    )
