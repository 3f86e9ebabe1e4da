"""Decoding judged by eth-account, and what must not decode."""

from typing import Any

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from dst.crypto.keccak import keccak256
from dst.spec import rlp
from dst.transactions.gas import floor_gas, intrinsic_gas
from dst.transactions.transaction import (
    SECP256K1_N,
    InvalidTransaction,
    Reason,
    authority_of,
    decode_transaction,
)
from dst.transactions.validity import is_delegation

KEY = b"\x07" * 32
SENDER = bytes.fromhex(Account.from_key(KEY).address[2:])
TO = b"\xbb" * 20
BASE: dict[str, Any] = {"nonce": 3, "gas": 50_000, "to": TO, "value": 9, "data": b"\x00\x01"}
FEES = {"maxFeePerGas": 20, "maxPriorityFeePerGas": 2}
ACCESS = [{"address": "0x" + "11" * 20, "storageKeys": ["0x" + "22" * 32]}]

KINDS: dict[str, dict[str, Any]] = {
    "unprotected": {"gasPrice": 7},
    "legacy": {"gasPrice": 7, "chainId": 901},
    "access list": {"type": 1, "gasPrice": 7, "chainId": 901, "accessList": ACCESS},
    "dynamic fee": {"type": 2, "chainId": 901, "accessList": ACCESS, **FEES},
    "set code": {
        "type": 4,
        "chainId": 901,
        "authorizationList": [
            Account.from_key(b"\x09" * 32).sign_authorization(
                {"chainId": 901, "address": "0x" + "33" * 20, "nonce": 1}
            )
        ],
        **FEES,
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_eth_account_signs_is_read(kind: str) -> None:
    signed = Account.sign_transaction({**BASE, **KINDS[kind]}, KEY)
    decoded = decode_transaction(bytes(signed.raw_transaction))
    assert (decoded.hash, decoded.sender) == (bytes(signed.hash), SENDER)
    assert (decoded.nonce, decoded.gas, decoded.to, decoded.value) == (3, 50_000, TO, 9)
    assert decoded.chain_id == (None if kind == "unprotected" else 901)
    fees = (decoded.max_priority_fee_per_gas, decoded.max_fee_per_gas)
    assert fees == ((2, 20) if "maxFeePerGas" in KINDS[kind] else (7, 7))
    for authorization in decoded.authorization_list:
        address = Account.from_key(b"\x09" * 32).address
        assert authority_of(authorization) == bytes.fromhex(address[2:])


def test_tampered_bytes_change_the_sender_or_are_refused() -> None:
    raw = bytes(Account.sign_transaction({**BASE, **KINDS["dynamic fee"]}, KEY).raw_transaction)
    for position in range(len(raw)):
        changed = raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :]
        try:
            assert decode_transaction(changed).hash != keccak256(raw)
        except InvalidTransaction:
            continue
        assert decode_transaction(changed).sender != SENDER or changed[-1] != raw[-1]


def test_high_s_is_refused() -> None:
    raw = bytes(Account.sign_transaction({**BASE, **KINDS["legacy"]}, KEY).raw_transaction)
    fields = rlp.decode_list(raw)
    s = rlp.to_int(fields[8], what="s")
    v = rlp.to_int(fields[6], what="v")
    flipped = v + 1 if v % 2 else v - 1
    fields[6], fields[8] = rlp.int_to_bytes(flipped), rlp.int_to_bytes(SECP256K1_N - s)
    with pytest.raises(InvalidTransaction) as refused:
        decode_transaction(rlp.encode(fields))
    assert refused.value.reason is Reason.SIGNATURE


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", Reason.MALFORMED),
        (b"\x03\xc0", Reason.TYPE_NOT_SUPPORTED),
        (b"\x05\xc0", Reason.TYPE_NOT_SUPPORTED),
        (b"\x7f", Reason.TYPE_NOT_SUPPORTED),
        (b"\x02\xc0", Reason.MALFORMED),
        (b"\xc0", Reason.MALFORMED),
        (b"\x02", Reason.MALFORMED),
    ],
)
def test_garbage_is_refused_with_a_reason(raw: bytes, reason: Reason) -> None:
    with pytest.raises(InvalidTransaction) as refused:
        decode_transaction(raw)
    assert refused.value.reason is reason


@given(st.binary(max_size=200))
def test_random_bytes_never_raise_anything_else(raw: bytes) -> None:
    for candidate in (raw, b"\x02" + raw, rlp.encode_list(raw)):
        try:
            decode_transaction(candidate)
        except InvalidTransaction:
            pass


def test_gas_figures() -> None:
    raw = bytes(Account.sign_transaction({**BASE, **KINDS["set code"]}, KEY).raw_transaction)
    assert intrinsic_gas(decode_transaction(raw)) == 21_000 + 4 + 16 + 25_000
    created = {**BASE, "to": b"", "data": b"\x00" * 33, **KINDS["dynamic fee"]}
    raw = bytes(Account.sign_transaction(created, KEY).raw_transaction)
    expected = 21_000 + 33 * 4 + 32_000 + 2 * 2 + 2_400 + 1_900
    assert intrinsic_gas(decode_transaction(raw)) == expected
    assert floor_gas(b"\x00" * 3 + b"\x01") == 21_000 + 10 * 7
    assert is_delegation(b"\xef\x01\x00" + bytes(20))
    assert not is_delegation(b"\xef\x01\x00" + bytes(19))
