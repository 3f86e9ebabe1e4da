"""The two keystores of EIP-2335 judge the reader; the rest is round trip and refusals."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dst.crypto import bls, keystore
from dst.spec.errors import InvalidInput

FIXTURES = Path(__file__).parents[3] / "fixtures" / "eip2335"
PASSWORD = "".join(chr(0x1D531 + ord(c) - ord("t")) for c in "testpassword") + "\U0001f511"
"""Fraktur letters and a key: the standard's password."""
SECRET = bytes.fromhex("000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f")
FEW_ROUNDS = 2


@pytest.mark.parametrize("name", ["pbkdf2", "scrypt"])
def test_keystores_of_the_standard(name: str) -> None:
    data = (FIXTURES / f"{name}.json").read_bytes()
    assert keystore.decrypt(data, PASSWORD).reveal() == SECRET


def test_password_normalisation_is_the_standards() -> None:
    assert keystore.normalize_password(PASSWORD).hex() == "7465737470617373776f7264f09f9491"
    assert keystore.normalize_password("a\x00\x1f\x7f\x80\x9f b") == b"a b"


@settings(max_examples=20, deadline=None)
@given(
    secret=st.integers(min_value=1, max_value=bls.CURVE_ORDER - 1), password=st.text(max_size=40)
)
def test_round_trip(secret: int, password: str) -> None:
    share = bls.SecretShare(secret)
    if any(0xD800 <= ord(char) <= 0xDFFF for char in password):
        return
    data = keystore.encrypt(share, password, rounds=FEW_ROUNDS)
    assert keystore.decrypt(data, password).reveal() == share.reveal()


def test_written_form_is_the_standards() -> None:
    tree = json.loads(keystore.encrypt(bls.SecretShare(5), "pw", rounds=FEW_ROUNDS))
    assert tree["version"] == 4
    assert tree["crypto"]["kdf"]["function"] == "pbkdf2"
    assert tree["crypto"]["kdf"]["params"]["prf"] == "hmac-sha256"
    assert tree["crypto"]["cipher"]["function"] == "aes-128-ctr"
    assert tree["crypto"]["checksum"]["function"] == "sha256"
    assert tree["path"] == ""
    assert bls.public_key(bls.SecretShare(5)).hex() == tree["pubkey"]
    assert keystore.PBKDF2_ROUNDS == 262144


def _tree() -> dict[str, Any]:
    tree = json.loads(keystore.encrypt(bls.SecretShare(5), "pw", rounds=FEW_ROUNDS))
    assert isinstance(tree, dict)
    return tree


def test_wrong_password() -> None:
    with pytest.raises(keystore.WrongPassword, match="wrong password"):
        keystore.decrypt(_tree(), "pw2")


def test_pubkey_of_another_secret() -> None:
    tree = _tree() | {"pubkey": bls.public_key(bls.SecretShare(6)).hex()}
    with pytest.raises(InvalidInput, match="does not belong"):
        keystore.decrypt(tree, "pw")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), 3),
        (("crypto", "kdf", "function"), "argon2"),
        (("crypto", "kdf", "params", "c"), 2**40),
        (("crypto", "kdf", "params", "dklen"), 16),
        (("crypto", "kdf", "params", "salt"), "zz"),
        (("crypto", "cipher", "function"), "xor-128-ctr"),
        (("crypto", "cipher", "message"), "ab"),
        (("crypto", "cipher", "params", "iv"), "ab"),
        (("crypto", "checksum", "message"), ""),
    ],
)
def test_malformed(path: tuple[str, ...], value: object) -> None:
    tree = _tree()
    node = tree
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    with pytest.raises(InvalidInput):
        keystore.decrypt(tree, "pw")


def test_scrypt_cannot_ask_for_unbounded_memory() -> None:
    tree = json.loads((FIXTURES / "scrypt.json").read_text())
    tree["crypto"]["kdf"]["params"] |= {"n": 2**20, "r": 64}
    with pytest.raises(InvalidInput, match="too much"):
        keystore.decrypt(tree, PASSWORD)


@given(data=st.binary(max_size=300))
def test_garbage(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        keystore.decrypt(data, "pw")
