"""ECDSA over secp256k1 on btclib-secp256k1; the same three names as ecdsa_coincurve."""

from typing import Final

from btclib_secp256k1 import dsa, keys, recovery

NAME: Final = "btclib-secp256k1"


class Secret:
    """A private key. Raises: ValueError unless 32 bytes in 1 .. order-1."""

    __slots__ = ("_secret", "public_key")

    def __init__(self, secret: bytes) -> None:
        self.public_key: bytes = keys.pubkey_from_prvkey(secret, compressed=False)
        self._secret = secret

    def sign(self, digest: bytes) -> bytes:
        """r, s (low), y parity: 65 bytes; deterministic (RFC 6979)."""
        signature, y_parity = recovery.sign(digest, self._secret, verify=False)
        return bytes(signature) + bytes((y_parity,))


class Public:
    """A public key of 33 or 65 bytes. Raises: ValueError when it is no point."""

    __slots__ = ("_key",)

    def __init__(self, public_key: bytes) -> None:
        self._key = keys.reserialize(public_key, False)

    def verify(self, digest: bytes, signature: bytes) -> bool:
        """Whether the compact signature is this key's; False for a high s."""
        try:
            return bool(dsa.verify(digest, self._key, signature, compact=True))
        except ValueError:
            return False


def recover(digest: bytes, signature: bytes, y_parity: int) -> bytes | None:
    """The signer's public key as 64 bytes x, y; None when there is none."""
    try:
        return bytes(recovery.recover(digest, signature, y_parity, compressed=False)[1:])
    except ValueError:
        return None
