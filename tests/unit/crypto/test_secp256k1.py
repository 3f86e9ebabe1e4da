import stat
from pathlib import Path

import pytest
from eth_keys.datatypes import PrivateKey, PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from dst.crypto.secp256k1 import IdentityKey, is_public_key, verify
from dst.spec.errors import BadConfig, InvalidInput

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
DIGEST = b"\x07" * 32


@settings(max_examples=20, deadline=None)
@given(
    secret=st.integers(min_value=1, max_value=ORDER - 1), digest=st.binary(min_size=32, max_size=32)
)
def test_eth_keys_agrees(secret: int, digest: bytes) -> None:
    key = IdentityKey(secret.to_bytes(32, "big"))
    signature = key.sign(digest)
    oracle = PrivateKey(secret.to_bytes(32, "big"))
    assert key.public_key == oracle.public_key.to_compressed_bytes()
    assert signature == oracle.sign_msg_hash_non_recoverable(digest).to_bytes()
    assert verify(key.public_key, digest, signature)


def test_high_s_is_refused() -> None:
    key = IdentityKey.generate()
    signature = key.sign(DIGEST)
    mirrored = signature[:32] + (ORDER - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")
    assert verify(key.public_key, DIGEST, signature)
    assert not verify(key.public_key, DIGEST, mirrored)


@given(key=st.binary(max_size=70), digest=st.binary(max_size=40), signature=st.binary(max_size=70))
def test_garbage_does_not_verify(key: bytes, digest: bytes, signature: bytes) -> None:
    assert not verify(key, digest, signature)
    assert not verify(IdentityKey(b"\1" * 32).public_key, DIGEST, signature.ljust(64, b"\0")[:64])


def test_other_message_and_other_key_do_not_verify() -> None:
    key = IdentityKey.generate()
    signature = key.sign(DIGEST)
    assert not verify(key.public_key, b"\x08" * 32, signature)
    assert not verify(IdentityKey.generate().public_key, DIGEST, signature)


def test_uncompressed_key_is_refused() -> None:
    key = IdentityKey.generate()
    assert is_public_key(key.public_key)
    uncompressed = PublicKey.from_compressed_bytes(key.public_key).to_bytes()
    assert not is_public_key(b"\x04" + uncompressed)


def test_save_and_load(tmp_path: Path) -> None:
    key, path = IdentityKey.generate(), tmp_path / "identity.key"
    key.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert IdentityKey.load(path).public_key == key.public_key
    with pytest.raises(FileExistsError):
        key.save(path)


@pytest.mark.parametrize("secret", [bytes(32), ORDER.to_bytes(32, "big"), b"\1" * 31])
def test_impossible_secret(secret: bytes) -> None:
    with pytest.raises(InvalidInput):
        IdentityKey(secret)


def test_load_refuses_clearly_and_tells_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    with pytest.raises(BadConfig, match=r"identity\.key"):
        IdentityKey.load(path)
    path.write_text("deadbeef-not-a-key")
    path.chmod(0o600)
    with pytest.raises(BadConfig) as error:
        IdentityKey.load(path)
    assert "deadbeef" not in str(error.value)
    path.chmod(0o644)
    with pytest.raises(BadConfig, match="chmod 600"):
        IdentityKey.load(path)


def test_repr_shows_the_public_key_only() -> None:
    secret = b"\x42" * 32
    assert "42424242" not in repr(IdentityKey(secret))
