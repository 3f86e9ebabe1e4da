"""A transaction that a client wants made: what it says, field by field, and what it leaves out.

Source: execution-apis, `GenericTransaction`.
"""

from dataclasses import dataclass
from typing import Any, Final

from dst.apis.eth import parse_access_list, parse_address
from dst.apis.quantity import parse_quantity
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Address, parse_hex
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
"""More do not fit a block: each costs 12,500 gas at least."""

_BLOBS: Final = frozenset(("blobs", "blobVersionedHashes", "maxFeePerBlobGas"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionRequest:
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
    type_id: int


def parse_transaction_request(value: object) -> TransactionRequest:
    """Raises: InvalidInput, in geth's words where clients match on them."""
    if not isinstance(value, dict):
        raise InvalidInput("transaction: expected an object")
    if _BLOBS & value.keys():
        raise InvalidInput("blob transactions are refused on this chain")
    authorizations = _authorizations(value.get("authorizationList"))
    access_list = value.get("accessList")
    request = TransactionRequest(
        sender=None if value.get("from") is None else parse_address(value["from"], "from"),
        to=Address(b"") if value.get("to") is None else parse_address(value["to"], "to"),
        data=_data(value),
        value=_quantity(value, "value", 256) or 0,
        gas=_quantity(value, "gas"),
        gas_price=_quantity(value, "gasPrice", 256),
        max_fee_per_gas=_quantity(value, "maxFeePerGas", 256),
        max_priority_fee_per_gas=_quantity(value, "maxPriorityFeePerGas", 256),
        nonce=_quantity(value, "nonce"),
        chain_id=_quantity(value, "chainId"),
        access_list=None if access_list is None else parse_access_list(access_list),
        authorization_list=authorizations,
        type_id=_type_of(value),
    )
    _check(request)
    return request


def _type_of(value: dict[str, Any]) -> int:
    """The type that is named, or the one that the fields given ask for."""
    named = _quantity(value, "type", 8)
    if value.get("authorizationList") is not None:
        wanted = SET_CODE_TYPE
    elif value.get("gasPrice") is None:
        wanted = DYNAMIC_FEE_TYPE if named is None else named
    else:
        wanted = LEGACY_TYPE if value.get("accessList") is None else ACCESS_LIST_TYPE
        if named == ACCESS_LIST_TYPE:
            wanted = ACCESS_LIST_TYPE
    if wanted == BLOB_TYPE or wanted > SET_CODE_TYPE:
        raise InvalidInput("transaction type not supported")
    if named is not None and named != wanted:
        raise InvalidInput(f"type {named} does not go with the fields given")
    return wanted


def _check(request: TransactionRequest) -> None:
    dynamic = request.max_fee_per_gas is not None or request.max_priority_fee_per_gas is not None
    if request.gas_price is not None and dynamic:
        raise InvalidInput("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")
    if request.type_id in (LEGACY_TYPE, ACCESS_LIST_TYPE) and dynamic:
        raise InvalidInput(f"maxFeePerGas is not for type {request.type_id}")
    if request.type_id == LEGACY_TYPE and request.access_list is not None:
        raise InvalidInput("accessList is not for type 0")
    if request.type_id == SET_CODE_TYPE:
        if not request.authorization_list:
            raise InvalidInput("authorizationList: expected at least one")
        if not request.to:
            raise InvalidInput("a transaction with an authorizationList cannot create a contract")
    if not request.to and not request.data:
        raise InvalidInput("contract creation without any data provided")


def _data(value: dict[str, Any]) -> bytes:
    once, again = value.get("input"), value.get("data")
    if once is not None and again is not None and once != again:
        raise InvalidInput('both "data" and "input" are set and not equal')
    found = once if once is not None else again
    return b"" if found is None else parse_hex(found, what="data")


def _quantity(value: dict[str, Any], name: str, bits: int = 64) -> int | None:
    found = value.get(name)
    return None if found is None else parse_quantity(found, what=name, bits=bits)


def _authorizations(value: object) -> tuple[Authorization, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > MAX_AUTHORIZATIONS:
        raise InvalidInput(f"authorizationList: expected a list of at most {MAX_AUTHORIZATIONS}")
    return tuple(_authorization(each) for each in value)


def _authorization(value: object) -> Authorization:
    if not isinstance(value, dict):
        raise InvalidInput("authorizationList: expected objects")

    def number(name: str, bits: int = 256) -> int:
        return parse_quantity(value.get(name), what=f"authorization {name}", bits=bits)

    return Authorization(
        chain_id=number("chainId"),
        address=parse_address(value.get("address"), "authorization address"),
        nonce=number("nonce", 64),
        y_parity=number("yParity", 8),
        r=number("r"),
        s=number("s"),
    )
