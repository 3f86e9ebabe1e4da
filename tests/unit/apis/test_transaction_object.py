"""One object, read the same way for a call and for a transaction to be signed."""

from typing import Any

import pytest

from dst.apis.transaction_object import parse_transaction_object, type_to_sign
from dst.spec.errors import InvalidInput
from dst.spec.primitives import ZERO_ADDRESS

WHO, TO = "0x" + "33" * 20, "0x" + "11" * 20
AUTHORIZATION = {
    "chainId": "0x1", "address": TO, "nonce": "0x0", "yParity": "0x1", "r": "0x1", "s": "0x2"
}  # fmt: skip


def test_what_is_left_out_is_not_made_up() -> None:
    empty = parse_transaction_object({})
    assert empty.sender is None
    assert empty.caller == ZERO_ADDRESS
    assert (empty.to, empty.data, empty.value) == (b"", b"", 0)
    others = (empty.gas, empty.gas_price, empty.nonce, empty.chain_id, empty.access_list)
    assert others == (None,) * 5
    assert parse_transaction_object({"from": None, "to": None, "type": None}) == empty


def test_words_and_quantities_of_a_signature_are_alike() -> None:
    padded = {**AUTHORIZATION, "r": "0x" + "0" * 63 + "1", "s": "0x" + "0" * 63 + "2"}
    plain = parse_transaction_object({"authorizationList": [AUTHORIZATION]})
    assert plain == parse_transaction_object({"authorizationList": [padded]})


@pytest.mark.parametrize(
    ("fields", "type_id"),
    [
        ({}, 2),
        ({"gasPrice": "0x1"}, 0),
        ({"gasPrice": "0x1", "accessList": []}, 1),
        ({"gasPrice": "0x1", "type": "0x1"}, 1),
        ({"type": "0x0"}, 0),
        ({"type": 1}, 1),
        ({"maxFeePerGas": "0x1", "type": "0x2"}, 2),
        ({"authorizationList": [AUTHORIZATION]}, 4),
    ],
)
def test_the_type_that_the_fields_ask_for(fields: dict[str, Any], type_id: int) -> None:
    assert type_to_sign(parse_transaction_object({"to": TO, **fields})) == type_id


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"type": "0x3"}, "type not supported"),
        ({"type": "0x5"}, "type not supported"),
        ({"gasPrice": "0x1", "type": "0x2"}, "does not go with"),
        ({"maxFeePerGas": "0x1", "type": "0x0"}, "not for type 0"),
        ({"accessList": [], "type": "0x0"}, "accessList is not for type 0"),
        ({"authorizationList": []}, "at least one"),
        ({"authorizationList": [{**AUTHORIZATION, "r": "0x0"}]}, "must be signed"),
        ({"authorizationList": [AUTHORIZATION], "to": None}, "cannot create"),
        ({"to": None}, "contract creation without any data"),
    ],
)
def test_what_could_never_be_mined_is_not_signed(fields: dict[str, Any], words: str) -> None:
    """Some of it may be run all the same."""
    asked = parse_transaction_object({"from": WHO, "to": TO, **fields})
    with pytest.raises(InvalidInput, match=words):
        type_to_sign(asked)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("0x", "expected an object"),
        ({"value": "0x" + "f" * 65}, "value"),
        ({"gas": "21000"}, "gas"),
        ({"type": []}, "type"),
        ({"gasPrice": "0x1", "maxPriorityFeePerGas": "0x1"}, "both gasPrice and"),
        ({"data": "0x12", "input": "0x13"}, "not equal"),
        ({"blobs": []}, "blob"),
        ({"blobVersionedHashes": ["0x01"]}, "blob"),
        ({"accessList": {}}, "accessList: expected a list"),
        ({"accessList": [{"address": TO, "storageKeys": ["0x1"]}]}, "storageKeys"),
        ({"authorizationList": "0x"}, "authorizationList: expected a list"),
        ({"authorizationList": [{}] * 1_025}, "at most 1024"),
        ({"authorizationList": [{**AUTHORIZATION, "chainId": None}]}, "authorization chainId"),
        ({"authorizationList": [{**AUTHORIZATION, "s": "0x" + "1" * 65}]}, "authorization s"),
    ],
)
def test_a_wrong_shape_is_named(value: object, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        parse_transaction_object(value)
