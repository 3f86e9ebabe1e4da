"""py_ecc is the oracle; what must not decode is tested as thoroughly as what must."""

import copy
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_ecc.bls.ciphersuites import G2ProofOfPossession as Oracle

from dst.crypto import bls
from dst.spec.errors import InvalidInput

SECRETS = st.integers(min_value=1, max_value=bls.CURVE_ORDER - 1)
MESSAGES = st.binary(min_size=32, max_size=32)


@settings(max_examples=3, deadline=None)
@given(secret=SECRETS, message=MESSAGES)
def test_signature_equals_the_oracles(secret: int, message: bytes) -> None:
    share = bls.SecretShare(secret)
    assert bls.sign(share, message) == bytes(Oracle.Sign(secret, message))
    assert bls.public_key(share) == bytes(Oracle.SkToPk(secret))


@settings(max_examples=20, deadline=None)
@given(secret=SECRETS, message=MESSAGES, other=MESSAGES)
def test_verify_accepts_its_own_message_only(secret: int, message: bytes, other: bytes) -> None:
    share = bls.SecretShare(secret)
    key, signature = bls.public_key(share), bls.sign(share, message)
    assert bls.verify(key, message, signature)
    assert bls.verify(key, other, signature) == (other == message)


@settings(max_examples=50, deadline=None)
@given(secret=SECRETS, message=MESSAGES)
def test_blinding_does_not_show(secret: int, message: bytes) -> None:
    share = bls.SecretShare(secret)
    assert bls.sign(share, message) == bls.sign(share, message)


@settings(deadline=None)
@given(data=st.binary(max_size=200))
def test_garbage_is_invalid_point_and_never_verifies(data: bytes) -> None:
    for decode in (bls.decode_pubkey, bls.decode_signature):
        with pytest.raises(bls.InvalidPoint):
            decode(data)
    assert not bls.verify(data, bytes(32), data)


@pytest.mark.parametrize("first", [0xC0, 0xE0, 0xFF, 0x40])
@pytest.mark.parametrize("fill", [0x00, 0xFF])
def test_identity_is_refused_in_every_spelling(first: int, fill: int) -> None:
    key = bytes([first]) + bytes([fill]) * 47
    signature = bytes([first]) + bytes([fill]) * 95
    with pytest.raises(bls.InvalidPoint):
        bls.decode_pubkey(key)
    with pytest.raises(bls.InvalidPoint):
        bls.decode_signature(signature)
    assert not bls.verify(key, bytes(32), signature)


@pytest.mark.parametrize("value", [0, bls.CURVE_ORDER, bls.CURVE_ORDER + 1, 2**256 - 1])
def test_secret_out_of_range_is_refused_without_being_told(value: int) -> None:
    with pytest.raises(InvalidInput) as error:
        bls.SecretShare.from_bytes(value.to_bytes(32, "big"))
    assert str(value) not in str(error.value)
    assert f"{value:x}" not in str(error.value)


def test_secret_shows_in_no_text_and_is_not_pickled() -> None:
    share = bls.SecretShare(0x1234567890ABCDEF)
    for text in (repr(share), str(share), f"{share}", f"{share!r}", str([share])):
        assert "1234567890" not in text
        assert str(0x1234567890ABCDEF) not in text
    for smuggle in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            smuggle(share)


def test_reveal_round_trips() -> None:
    share = bls.SecretShare.generate()
    assert bls.SecretShare.from_bytes(share.reveal()).reveal() == share.reveal()
