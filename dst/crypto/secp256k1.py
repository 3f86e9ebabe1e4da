"""Operator identities: ECDSA over secp256k1, the one signature that L1 can check cheaply as
evidence.

Signatures are 64 bytes (r, s big-endian) with low s; a high s is refused, so nobody can make a
second valid signature from a first.
"""

import os
import secrets
from functools import lru_cache
from pathlib import Path
from typing import Final, NoReturn

from dst.crypto import ecdsa
from dst.spec.errors import BadConfig, InvalidInput

ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
SECRET_BYTES: Final = 32
DIGEST_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
PUBKEY_BYTES: Final = 33
_CACHED_KEYS: Final = 256


class IdentityKey:
    """An operator's private identity key. Its repr shows the public key only."""

    __slots__ = ("_key", "_secret", "public_key")

    def __init__(self, secret: bytes) -> None:
        """Raises: InvalidInput when not 32 bytes in 1 .. order-1."""
        try:
            if len(secret) != SECRET_BYTES:
                raise ValueError("length")
            self._key = ecdsa.Secret(secret)
        except ValueError:
            raise InvalidInput("identity key is not a secp256k1 private key") from None
        self._secret = secret
        self.public_key: bytes = compressed(self._key.public_key)

    @classmethod
    def generate(cls) -> "IdentityKey":
        return cls((secrets.randbelow(ORDER - 1) + 1).to_bytes(SECRET_BYTES, "big"))

    @classmethod
    def load(cls, path: Path | str) -> "IdentityKey":
        """Read a file of 64 hex digits that only its owner can read. Raises: BadConfig."""
        path = Path(path)
        try:
            if path.stat().st_mode & 0o077:
                raise BadConfig(f"identity key {path} is readable by others; run: chmod 600 {path}")
            return cls(bytes.fromhex(path.read_text().strip().removeprefix("0x")))
        except OSError as error:
            raise BadConfig(f"identity key {path}: {error.strerror or error}") from error
        except BadConfig:
            raise
        except (ValueError, InvalidInput):
            # The content is a secret: say nothing of it, not even as the cause.
            raise BadConfig(f"identity key {path}: not 64 hex digits of a secp256k1 key") from None

    def save(self, path: Path | str) -> None:
        """Write a new file with mode 0600. Raises: FileExistsError rather than overwrite a key."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(self._secret.hex() + "\n")
            file.flush()
            os.fsync(file.fileno())

    def sign(self, digest: bytes) -> bytes:
        """64-byte compact low-s signature over a 32-byte digest (deterministic, RFC 6979)."""
        assert len(digest) == DIGEST_BYTES, "a digest is 32 bytes"
        return self._key.sign(digest)[:SIGNATURE_BYTES]

    def __repr__(self) -> str:
        return f"IdentityKey(public_key={self.public_key.hex()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("secrets are not pickled")


def compressed(public_key: bytes) -> bytes:
    """33 bytes of the 65."""
    return bytes((2 + (public_key[-1] & 1),)) + public_key[1:33]


@lru_cache(_CACHED_KEYS)
def _parse(public_key: bytes) -> ecdsa.Public:
    if len(public_key) != PUBKEY_BYTES:
        raise ValueError("length")
    return ecdsa.Public(public_key)


def is_public_key(public_key: bytes) -> bool:
    """Whether these are 33 bytes of a compressed curve point."""
    try:
        _parse(public_key)
    except ValueError:
        return False
    return True


def verify(public_key: bytes, digest: bytes, signature: bytes) -> bool:
    """Whether `signature` (64 bytes, low s) is the key's over the 32-byte digest; False for any
    garbage.
    """
    if len(digest) != DIGEST_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        return _parse(public_key).verify(digest, signature)
    except ValueError:
        return False


def recover(digest: bytes, signature: bytes, y_parity: int) -> bytes | None:
    """The public key (64 bytes x, y) that made a compact signature over a 32-byte digest, or None.

    A high s is accepted: who must refuse it (EIP-2) does so before.
    """
    return ecdsa.recover(digest, signature, y_parity)
