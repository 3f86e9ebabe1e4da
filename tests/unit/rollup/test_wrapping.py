"""Execution requests between the engine's form and the block's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dst.rollup.wrapping import decode_requests, encode_requests
from dst.spec.beacon import (
    ConsolidationRequest,
    DepositRequest,
    ExecutionRequests,
    WithdrawalRequest,
)
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Address, BLSPubkey, BLSSignature, Gwei

KEYS = st.binary(min_size=48, max_size=48).map(BLSPubkey)
ADDRESSES = st.binary(min_size=20, max_size=20).map(Address)
NUMBERS = st.integers(0, 2**64 - 1)
REQUESTS = st.builds(
    ExecutionRequests,
    deposits=st.lists(
        st.builds(
            DepositRequest,
            pubkey=KEYS,
            withdrawal_credentials=st.binary(min_size=32, max_size=32),
            amount=NUMBERS.map(Gwei),
            signature=st.binary(min_size=96, max_size=96).map(BLSSignature),
            index=NUMBERS,
        ),
        max_size=3,
    ).map(tuple),
    withdrawals=st.lists(
        st.builds(
            WithdrawalRequest,
            source_address=ADDRESSES,
            validator_pubkey=KEYS,
            amount=NUMBERS.map(Gwei),
        ),
        max_size=3,
    ).map(tuple),
    consolidations=st.lists(
        st.builds(
            ConsolidationRequest, source_address=ADDRESSES, source_pubkey=KEYS, target_pubkey=KEYS
        ),
        max_size=2,
    ).map(tuple),
)


@given(REQUESTS)
def test_requests_survive_the_engine_form(requests: ExecutionRequests) -> None:
    encoded = encode_requests(requests)
    assert decode_requests(encoded) == requests
    assert [each[0] for each in encoded] == sorted({each[0] for each in encoded})


@pytest.mark.parametrize(
    "encoded",
    [(b"",), (b"\x07abc",), (b"\x00",), (b"\x01" + bytes(75),), (b"\x01" + bytes(76),) * 2],
)
def test_malformed_requests_are_refused(encoded: tuple[bytes, ...]) -> None:
    with pytest.raises(InvalidInput):
        decode_requests(encoded)
