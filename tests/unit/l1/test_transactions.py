"""EIP-1559 encoding against an outside judge (eth_account, which roles never import)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dst.crypto.account_key import AccountKey
from dst.crypto.keccak import keccak256
from dst.l1.tx_manager import calldata_gas
from dst.spec.errors import BadConfig
from dst.spec.primitives import Address
from dst.transactions.transaction import DYNAMIC_FEE_TYPE
from dst.transactions.unsigned import UnsignedTransaction

eth_account = pytest.importorskip("eth_account")


@settings(max_examples=40, deadline=None)
@given(
    secret=st.integers(1, 2**128),
    nonce=st.integers(0, 2**32),
    tip=st.integers(0, 2**40),
    value=st.integers(0, 2**80),
    data=st.binary(max_size=300),
)
def test_signed_transactions_recover_to_their_sender(
    secret: int, nonce: int, tip: int, value: int, data: bytes
) -> None:
    key = AccountKey(secret.to_bytes(32, "big"))
    transaction = UnsignedTransaction(
        type_id=DYNAMIC_FEE_TYPE,
        chain_id=31337,
        nonce=nonce,
        max_priority_fee_per_gas=tip,
        max_fee_per_gas=tip + 7,
        gas=calldata_gas(data),
        to=Address(b"\xbb" * 20),
        value=value,
        data=data,
    )
    theirs = eth_account.Account.from_key(secret.to_bytes(32, "big"))
    signed = theirs.sign_transaction(
        {
            "type": 2,
            "chainId": 31337,
            "nonce": nonce,
            "maxPriorityFeePerGas": tip,
            "maxFeePerGas": tip + 7,
            "gas": calldata_gas(data),
            "to": bytes(transaction.to),
            "value": value,
            "data": data,
        }
    )
    raw = transaction.signed_by(key)
    assert "0x" + key.address.hex() == theirs.address.lower()
    assert raw == bytes(signed.raw_transaction)
    assert keccak256(raw) == bytes(signed.hash)


def test_a_key_never_prints_itself() -> None:
    key = AccountKey(b"\x42" * 32)
    assert "42" * 8 not in repr(key)


@pytest.mark.parametrize("secret", [b"", bytes(32), b"\xff" * 32, b"\x01" * 31])
def test_a_bad_key_is_refused(secret: bytes) -> None:
    with pytest.raises(BadConfig):
        AccountKey(secret)
