"""ECDSA over secp256k1 on coincurve; the same three names as ecdsa_btclib."""

from typing import Final

from coincurve import PrivateKey, PublicKey
from coincurve.ecdsa import cdata_to_der, deserialize_compact

NAME: Final = "coincurve"


class Secret:
    """A private key. Raises: ValueError unless 32 bytes in 1 .. order-1."""

    __slots__ = ("_key", "public_key")

    def __init__(self, secret: bytes) -> None:
        self._key = PrivateKey(secret)
        self.public_key: bytes = self._key.public_key.format(compressed=False)

    def sign(self, digest: bytes) -> bytes:
        """r, s (low), y parity: 65 bytes; deterministic (RFC 6979)."""
        return bytes(self._key.sign_recoverable(digest, hasher=None))


class Public:
    """A public key of 33 or 65 bytes. Raises: ValueError when it is no point."""

    __slots__ = ("_key",)

    def __init__(self, public_key: bytes) -> None:
        self._key = PublicKey(public_key)

    def verify(self, digest: bytes, signature: bytes) -> bool:
        """Whether the compact signature is this key's; False for a high s."""
        try:
            der = cdata_to_der(deserialize_compact(signature))
            return bool(self._key.verify(der, digest, hasher=None))
        except ValueError:
            return False


def recover(digest: bytes, signature: bytes, y_parity: int) -> bytes | None:
    """The signer's public key as 64 bytes x, y; None when there is none."""
    try:
        key = PublicKey.from_signature_and_message(
            signature + bytes((y_parity,)), digest, hasher=None
        )
    except Exception:  # coincurve raises a bare Exception for an r that is no point
        return None
    return bytes(key.format(compressed=False)[1:])
