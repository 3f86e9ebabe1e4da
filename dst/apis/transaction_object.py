"""The transaction object of JSON-RPC: a message to be run and not mined, or a transaction to be
filled in and signed. What it says, field by field, and what it leaves out.

Source: execution-apis, `GenericTransaction`; the words of refusals are geth's where clients match
on them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from dst.apis.eth import parse_access_list, parse_address
from dst.apis.fields import a_list, an_object, quantity, word_number
from dst.apis.quantity import parse_count, parse_quantity
from dst.spec.errors import InvalidInput
from dst.spec.primitives import ZERO_ADDRESS, Address, parse_hex
from dst.transactions.transaction import (
    ACCESS_LIST_TYPE,
    BLOB_TYPE,
    DYNAMIC_FEE_TYPE,
    LEGACY_TYPE,
    SET_CODE_TYPE,
    AccessList,
    Authorization,
)

MAX_AUTHORIZATIONS: Final = 1_024
"""More do not fit a block: each costs 12,500 gas at least, and a signature to recover (0.1 ms)."""

_BLOBS: Final = ("blobs", "blobVersionedHashes")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionObject:
    """None: left out. `to` empty: a creation. Fees in wei."""

    sender: Address | None
    to: Address
    data: bytes
    value: int
    gas: int | None
    gas_price: int | None
    max_fee_per_gas: int | None
    max_priority_fee_per_gas: int | None
    nonce: int | None
    chain_id: int | None
    access_list: AccessList | None
    authorization_list: tuple[Authorization, ...] | None
    named_type: int | None

    @property
    def caller(self) -> Address:
        """Whose message it is when it is only run: nobody's in particular, unless it says so."""
        return ZERO_ADDRESS if self.sender is None else self.sender

    @property
    def type_id(self) -> int:
        """The type that the fields given ask for."""
        if self.authorization_list is not None:
            return SET_CODE_TYPE
        if self.gas_price is None:
            return DYNAMIC_FEE_TYPE
        return LEGACY_TYPE if self.access_list is None else ACCESS_LIST_TYPE


def parse_transaction_object(value: object) -> TransactionObject:
    """Raises: InvalidInput; also for a gas price beside the fees of EIP-1559, and for blobs."""
    fields = an_object(value, "transaction")
    sender, to, named_type = fields.get("from"), fields.get("to"), fields.get("type")
    access_list = fields.get("accessList")
    price = quantity(fields, "gasPrice", 256)
    fee, tip = (
        quantity(fields, "maxFeePerGas", 256),
        quantity(fields, "maxPriorityFeePerGas", 256),
    )
    if price is not None and (fee is not None or tip is not None):
        raise InvalidInput("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")
    if any(fields.get(name) is not None for name in _BLOBS):
        raise InvalidInput("blob transactions are refused on this chain")
    return TransactionObject(
        sender=None if sender is None else parse_address(sender, "from"),
        to=Address(b"") if to is None else parse_address(to, "to"),
        data=_data(fields),
        value=quantity(fields, "value", 256) or 0,
        gas=quantity(fields, "gas"),
        gas_price=price,
        max_fee_per_gas=fee,
        max_priority_fee_per_gas=tip,
        nonce=quantity(fields, "nonce"),
        chain_id=quantity(fields, "chainId", 256),
        access_list=None if access_list is None else parse_access_list(access_list),
        authorization_list=_authorization_list(fields.get("authorizationList")),
        named_type=None if named_type is None else parse_count(named_type, what="type", bits=8),
    )


def type_to_sign(asked: TransactionObject) -> int:
    """The type of the transaction that is to be made of it: the one it names, or the one that its
    fields ask for. Raises: InvalidInput when they do not go together, or it could never be mined.
    """
    wanted = asked.type_id
    if wanted == DYNAMIC_FEE_TYPE and asked.named_type is not None:
        wanted = asked.named_type  # fees to be filled in, of any kind
    elif wanted == LEGACY_TYPE and asked.named_type == ACCESS_LIST_TYPE:
        wanted = ACCESS_LIST_TYPE
    if wanted == BLOB_TYPE or wanted > SET_CODE_TYPE:
        raise InvalidInput("transaction type not supported")
    if asked.named_type not in (None, wanted):
        raise InvalidInput(f"type {asked.named_type} does not go with the fields given")
    _check(asked, wanted)
    return wanted


def _check(asked: TransactionObject, type_id: int) -> None:
    dynamic = asked.max_fee_per_gas is not None or asked.max_priority_fee_per_gas is not None
    if type_id in (LEGACY_TYPE, ACCESS_LIST_TYPE) and dynamic:
        raise InvalidInput(f"maxFeePerGas is not for type {type_id}")
    if type_id == LEGACY_TYPE and asked.access_list is not None:
        raise InvalidInput("accessList is not for type 0")
    if type_id == SET_CODE_TYPE:
        if not asked.authorization_list:
            raise InvalidInput("authorizationList: expected at least one")
        if not all(each.r and each.s for each in asked.authorization_list):
            raise InvalidInput("authorizationList: every entry must be signed")
        if not asked.to:
            raise InvalidInput("a transaction with an authorizationList cannot create a contract")
    if not asked.to and not asked.data:
        raise InvalidInput("contract creation without any data provided")


def _data(fields: Mapping[str, Any]) -> bytes:
    found = [parse_hex(fields[key], what=key) for key in ("input", "data") if fields.get(key)]
    if len(found) == 2 and found[0] != found[1]:
        raise InvalidInput(
            'both "data" and "input" are set and not equal. Please use "input" to pass transaction '
            "call data"
        )
    return found[0] if found else b""


def _authorization_list(value: object) -> tuple[Authorization, ...] | None:
    if value is None:
        return None
    entries = a_list(value, "authorizationList", most=MAX_AUTHORIZATIONS)
    return tuple(_authorization(an_object(entry, "authorization")) for entry in entries)


def _authorization(fields: Mapping[str, Any]) -> Authorization:
    """One without a signature is good for nothing, and may still be run."""

    def number(name: str, bits: int) -> int:
        return parse_quantity(fields.get(name), what=f"authorization {name}", bits=bits)

    parity = fields.get("yParity", fields.get("v", "0x0"))
    return Authorization(
        chain_id=number("chainId", 256),
        address=parse_address(fields.get("address"), "authorization address"),
        nonce=number("nonce", 64),
        y_parity=parse_quantity(parity, what="authorization yParity", bits=8),
        r=word_number(fields.get("r", "0x0"), "authorization r"),
        s=word_number(fields.get("s", "0x0"), "authorization s"),
    )
