"""An externally owned account's key: its address, and recoverable signatures over digests."""

from typing import NamedTuple, NoReturn

from dst.crypto import ecdsa
from dst.crypto.keccak import keccak256
from dst.spec.errors import BadConfig
from dst.spec.primitives import Address


class RecoverableSignature(NamedTuple):
    """Low s (EIP-2)."""

    y_parity: int
    r: int
    s: int

    def encode(self) -> bytes:
        """65 bytes r, s, v with v of 27 or 28, as eth_sign answers."""
        v = bytes((27 + self.y_parity,))
        return self.r.to_bytes(32, "big") + self.s.to_bytes(32, "big") + v


class AccountKey:
    """Prints as its address alone."""

    __slots__ = ("_key", "address")

    def __init__(self, secret: bytes) -> None:
        """Raises: BadConfig unless `secret` is a secp256k1 scalar of 32 bytes."""
        try:
            if len(secret) != 32:
                raise ValueError("the library would pad it")
            self._key = ecdsa.Secret(secret)
        except (ValueError, TypeError):
            raise BadConfig("not a secp256k1 private key of 32 bytes") from None
        self.address = Address(keccak256(self._key.public_key[1:])[12:])

    def sign(self, digest: bytes) -> RecoverableSignature:
        assert len(digest) == 32, "a digest is 32 bytes"
        signature = self._key.sign(digest)
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
        return RecoverableSignature(signature[64], r, s)

    def __repr__(self) -> str:
        return f"AccountKey(0x{self.address.hex()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("secrets are not pickled")
