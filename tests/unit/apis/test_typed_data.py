"""EIP-712: the EIP's own example, MetaMask's with arrays, and eth_account as the other opinion."""

import json
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from dst.apis.typed_data import (
    MAX_DEPTH,
    MAX_MEMBERS_IN_ALL,
    MAX_TYPES,
    MAX_VALUES,
    typed_data_digest,
)
from dst.crypto.account_key import AccountKey
from dst.crypto.keccak import keccak256
from dst.spec.errors import InvalidInput

COW = AccountKey(keccak256(b"cow"))
DOMAIN = {
    "name": "Ether Mail",
    "version": "1",
    "chainId": 1,
    "verifyingContract": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC",
}
DOMAIN_TYPE = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
]
MAIL: dict[str, Any] = {
    "types": {
        "EIP712Domain": DOMAIN_TYPE,
        "Person": [{"name": "name", "type": "string"}, {"name": "wallet", "type": "address"}],
        "Mail": [
            {"name": "from", "type": "Person"},
            {"name": "to", "type": "Person"},
            {"name": "contents", "type": "string"},
        ],
    },
    "primaryType": "Mail",
    "domain": DOMAIN,
    "message": {
        "from": {"name": "Cow", "wallet": "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"},
        "to": {"name": "Bob", "wallet": "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB"},
        "contents": "Hello, Bob!",
    },
}
LETTERS: dict[str, Any] = {
    "types": {
        "EIP712Domain": DOMAIN_TYPE,
        "Person": [{"name": "name", "type": "string"}, {"name": "wallets", "type": "address[]"}],
        "Mail": [
            {"name": "from", "type": "Person"},
            {"name": "to", "type": "Person[]"},
            {"name": "contents", "type": "string"},
        ],
        "Group": [{"name": "name", "type": "string"}, {"name": "members", "type": "Person[]"}],
    },
    "primaryType": "Mail",
    "domain": DOMAIN,
    "message": {
        "from": {
            "name": "Cow",
            "wallets": [
                "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826",
                "0xDeaDbeefdEAdbeefdEadbEEFdeadbeEFdEaDbeeF",
            ],
        },
        "to": [
            {
                "name": "Bob",
                "wallets": [
                    "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB",
                    "0xB0BdaBea57B0BDABeA57b0bdABEA57b0BDabEa57",
                    "0xB0B0b0b0b0b0B000000000000000000000000000",
                ],
            }
        ],
        "contents": "Hello, Bob!",
    },
}


def test_the_example_of_the_eip() -> None:
    digest = typed_data_digest(MAIL)
    assert digest.hex() == "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2"
    assert COW.sign(digest).encode().hex() == (
        "4355c47d63924e8a72e509b65029052eb6c299d53a04e167c5775fd466751c9d"
        "07299936d304c153f6443dfa05f40ff007d72911b6f72307f996231605b91562"
        "1c"
    )


def test_metamasks_example_with_arrays() -> None:
    digest = typed_data_digest(LETTERS)
    assert digest.hex() == "a85c2e2b118698e88db68a8105b794a8cc7cec074e89ef991cb4f5f533819cc2"
    assert COW.sign(digest).encode().hex() == (
        "65cbd956f2fae28a601bebc9b906cea0191744bd4c4247bcd27cd08f8eb6b71c"
        "78efdf7a31dc9abee78f492292721f362d296cf86b4538e07b51303b67f74906"
        "1b"
    )


def test_the_domains_type_may_be_left_out_and_all_may_come_as_text() -> None:
    types = {name: each for name, each in MAIL["types"].items() if name != "EIP712Domain"}
    assert typed_data_digest({**MAIL, "types": types}) == typed_data_digest(MAIL)
    assert typed_data_digest(json.dumps(MAIL)) == typed_data_digest(MAIL)


def test_a_type_that_contains_itself_ends_with_null_or_nothing() -> None:
    person = [{"name": "name", "type": "string"}, {"name": "mother", "type": "Person"}]
    data = {"types": {"Person": person}, "primaryType": "Person", "domain": {}}
    ended = {"name": "Jon", "mother": {"name": "Lyanna", "mother": None}}
    left_out = {"name": "Jon", "mother": {"name": "Lyanna"}}
    digest = typed_data_digest({**data, "message": ended})
    assert digest == typed_data_digest({**data, "message": left_out})
    kind = keccak256(b"Person(string name,Person mother)")
    mother = keccak256(kind + keccak256(b"Lyanna") + bytes(32))
    domain = keccak256(keccak256(b"EIP712Domain()"))
    jon = keccak256(kind + keccak256(b"Jon") + mother)
    assert digest == keccak256(b"\x19\x01" + domain + jon)


ATOMS: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    "bytes": st.binary(max_size=40).map(lambda data: "0x" + data.hex()),
    "bool": st.booleans(),
    "address": st.binary(min_size=20, max_size=20).map(lambda data: "0x" + data.hex()),
    "bytes4": st.binary(min_size=4, max_size=4).map(lambda data: "0x" + data.hex()),
    "bytes32": st.binary(min_size=32, max_size=32).map(lambda data: "0x" + data.hex()),
    "uint8": st.integers(0, 255),
    "uint256": st.integers(0, 2**256 - 1).map(str),
    "int16": st.integers(-(2**15), 2**15 - 1),
    "int256": st.integers(-(2**255), 2**255 - 1).map(str),
}


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    """A few structs, each of atoms, arrays, and structs before it."""
    types: dict[str, list[dict[str, str]]] = {}
    values: dict[str, st.SearchStrategy[Any]] = dict(ATOMS)
    for number in range(draw(st.integers(1, 4))):
        fields, members = [], {}
        for index in range(draw(st.integers(1, 4))):
            base = draw(st.sampled_from(sorted(values)))
            kind, value = base, values[base]
            for dimension in draw(st.sampled_from(("", "[]", "[2]", "[][2]"))).split("]")[:-1]:
                length = dimension[1:]
                kind += dimension + "]"
                value = st.lists(value, min_size=2 if length else 0, max_size=2 if length else 3)
            fields.append({"name": f"m{index}", "type": kind})
            members[f"m{index}"] = value
        name = f"Struct{number}"
        types[name], values[name] = fields, st.fixed_dictionaries(members)
    primary = f"Struct{len(types) - 1}"
    return {
        "types": {"EIP712Domain": DOMAIN_TYPE, **types},
        "primaryType": primary,
        "domain": DOMAIN,
        "message": draw(values[primary]),
    }


@given(messages())
def test_as_eth_account(data: dict[str, Any]) -> None:
    key = bytes(31) + b"\x07"
    theirs = Account.sign_message(encode_typed_data(full_message=_for_eth_account(data)), key)
    assert AccountKey(key).sign(typed_data_digest(data)).encode() == theirs.signature


def _for_eth_account(data: dict[str, Any]) -> dict[str, Any]:
    """It infers the primary type: only what is reached from ours may be there."""
    reached, waiting = {"EIP712Domain", data["primaryType"]}, [data["primaryType"]]
    while waiting:
        for member in data["types"][waiting.pop()]:
            base = member["type"].partition("[")[0]
            if base in data["types"] and base not in reached:
                reached.add(base)
                waiting.append(base)
    return {**data, "types": {name: data["types"][name] for name in reached}}


def simple(kind: str, value: object, **types: object) -> dict[str, Any]:
    members = [{"name": "x", "type": kind}]
    message = {"x": value}
    return {"types": {"A": members, **types}, "primaryType": "A", "domain": {}, "message": message}


def test_numbers_may_be_hex_decimal_or_json() -> None:
    wanted = typed_data_digest(simple("uint8", 255))
    assert typed_data_digest(simple("uint8", "0xff")) == wanted
    assert typed_data_digest(simple("uint8", "255")) == wanted
    assert typed_data_digest(simple("int8", "-1")) != wanted


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("uint8", 256, "A.x: out of range"),
        ("uint8", -1, "A.x: out of range"),
        ("int8", 128, "A.x: out of range"),
        ("int8", -129, "A.x: out of range"),
        ("uint256", "9" * 79, "A.x"),
        ("uint256", True, "A.x"),
        ("uint256", 1.5, "A.x"),
        ("uint256", None, "A.x"),
        ("bool", 1, "A.x: expected true or false"),
        ("address", "0x12", "A.x"),
        ("bytes4", "0x1234", "A.x"),
        ("bytes", "12", "A.x"),
        ("string", 7, "A.x: expected text"),
        ("string", "\ud800", "A.x: expected text"),
        ("uint8[2]", [1], "A.x: expected 2 entries"),
        ("uint8[]", {}, "A.x: expected a list"),
        ("A", [], "A.x: expected an object"),
        ("uint7", 1, "there is no type 'uint7'"),
        ("bytes33", "0x", "there is no type 'bytes33'"),
        ("B", {}, "there is no type 'B'"),
        ("uint8[", [], "there is no type"),
        ("uint8[-1]", [], "there is no type"),
        ("uint8[]x", [], "there is no type"),
        ("uint8" + "[]" * (MAX_DEPTH + 1), [], "there is no type"),
        (7, 7, "there is no type"),
    ],
)
def test_a_wrong_value_or_type_is_named(kind: Any, value: object, words: str) -> None:
    with pytest.raises(InvalidInput) as error:
        typed_data_digest(simple(kind, value))
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"types": []}, "types: expected an object"),
        ({"types": {"uint8": []}}, "cannot be the name of a struct"),
        ({"types": {"A B": []}}, "cannot be the name of a struct"),
        ({"types": {"A": {}}}, "types: A: expected a list"),
        ({"types": {"A": [{"name": "a b", "type": "bool"}]}}, "cannot be the name of a member"),
        ({"types": {f"T{number}": [] for number in range(MAX_TYPES + 1)}}, "types: at most"),
        ({"primaryType": "B"}, "primaryType: 'B' is not among the types"),
        ({"primaryType": ["A"]}, "is not among the types"),
        ({"domain": None}, "domain: expected an object"),
        ({"domain": {"chainId": "one"}}, "EIP712Domain.chainId"),
        ({"message": None}, "message: expected an object"),
    ],
)
def test_a_wrong_form_is_named(change: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        typed_data_digest({**simple("bool", True), **change})


def test_what_is_nested_too_deep_is_refused() -> None:
    value: Any = None
    for _ in range(10_000):
        value = {"x": value}
    with pytest.raises(InvalidInput, match="nested deeper"):
        typed_data_digest(simple("A", value))
    for text in ("[" * 100_000, '{"types":' * 50_000, '"\\ud800"', ""):
        with pytest.raises(InvalidInput, match="typed data"):
            typed_data_digest(text)


def test_what_would_take_long_is_refused() -> None:
    """One page of an allowed origin must not hold up whoever reads beside it."""
    wide = {
        f"T{each}": [{"name": f"m{member}", "type": "bool"} for member in range(5)]
        for each in range(MAX_MEMBERS_IN_ALL // 5 + 1)
    }
    data = {"types": wide, "primaryType": "T0", "domain": {}, "message": {}}
    with pytest.raises(InvalidInput, match="members in all"):
        typed_data_digest(data)
    types = {"T": [{"name": "many", "type": "bool[]"}]}
    message = {"many": [True] * MAX_VALUES}
    with pytest.raises(InvalidInput, match="values"):
        typed_data_digest({**data, "types": types, "primaryType": "T", "message": message})
