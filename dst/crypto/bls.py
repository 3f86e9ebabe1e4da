"""BLS12-381 in Ethereum's ciphersuite (minimal public keys, proof-of-possession scheme) over
arkworks.

This is the only module that touches the curve library. It decodes strictly: arkworks takes any
bytes with the two top bits set for the identity, and the identity is never a valid key or signature
here. Secrets live in `SecretShare`, whose repr is masked, because the library prints scalars.
Signing is blinded: arkworks' multiplication takes time that depends on the scalar's bits.

Source: consensus-specs phase0, BLS signatures; draft-irtf-cfrg-bls-signature-04 section 3.3; RFC
9380.
"""

import secrets
from functools import lru_cache
from typing import Final, NoReturn

from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

from dst.spec.errors import InvalidInput
from dst.spec.primitives import BLSPubkey, BLSSignature

CURVE_ORDER: Final = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
DST: Final = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
"""Domain separation tag of the signature suite; DST stands for that, here alone."""
SECRET_BYTES: Final = 32
PUBKEY_BYTES: Final = 48
SIGNATURE_BYTES: Final = 96
_INFINITY_FLAG: Final = 0x40
_CACHED_HASHES: Final = 64
"""Hash points kept: each open height's is used n + 1 times, and at most 64 heights are open."""
_CACHED_KEYS: Final = 256
"""Decoded public keys kept: n shares and the group, of several clusters in tests."""

_GENERATOR: Final = G1Point()
_NEGATIVE_GENERATOR: Final = -G1Point()


class InvalidPoint(InvalidInput):
    """Not the canonical encoding of a point of the prime-order subgroup, or the identity."""


class SecretShare:
    """A secret scalar in 1 .. r-1: a whole key, or one operator's share. Its repr shows nothing of
    it.

    It cannot be pickled or copied into logs by accident; `reveal` is the one way out.
    """

    __slots__ = ("_scalar",)

    def __init__(self, value: int) -> None:
        """Raises: InvalidInput outside 1 .. r-1, without repeating the value."""
        if not 0 < value < CURVE_ORDER:
            raise InvalidInput("secret key is zero or not below the curve order")
        self._scalar = Scalar(value)

    @classmethod
    def from_bytes(cls, data: bytes) -> "SecretShare":
        """From 32 big-endian bytes. Raises: InvalidInput."""
        if len(data) != SECRET_BYTES:
            raise InvalidInput(f"secret key must be {SECRET_BYTES} bytes, got {len(data)}")
        return cls(int.from_bytes(data, "big"))

    @classmethod
    def generate(cls) -> "SecretShare":
        """A fresh key from the operating system's generator."""
        return cls(1 + secrets.randbelow(CURVE_ORDER - 1))

    def reveal(self) -> bytes:
        """The 32 big-endian secret bytes, for a keystore."""
        return int(self._scalar).to_bytes(SECRET_BYTES, "big")

    def blinded(self) -> tuple[Scalar, Scalar]:
        """Two scalars, each uniform by itself, whose sum is the secret."""
        mask = Scalar(secrets.randbelow(CURVE_ORDER))
        return mask, self._scalar - mask

    def __repr__(self) -> str:
        return "SecretShare(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError("secrets are not pickled")


# --- Decoding and encoding points -----------------------------------------------------------------


def decode_signature(data: bytes) -> G2Point:
    """Point of a compressed signature, in the subgroup and not the identity. Raises:
    InvalidPoint.
    """
    if len(data) != SIGNATURE_BYTES or data[0] & _INFINITY_FLAG:
        raise InvalidPoint("signature is not a 96-byte compressed point other than the identity")
    try:
        return G2Point.from_compressed_bytes(data)
    except ValueError as error:
        raise InvalidPoint("signature is not a point of the subgroup") from error


@lru_cache(_CACHED_KEYS)
def decode_pubkey(data: bytes) -> G1Point:
    """Point of a compressed public key, in the subgroup and not the identity. Raises:
    InvalidPoint.
    """
    if len(data) != PUBKEY_BYTES or data[0] & _INFINITY_FLAG:
        raise InvalidPoint("public key is not a 48-byte compressed point other than the identity")
    try:
        return G1Point.from_compressed_bytes(data)
    except ValueError as error:
        raise InvalidPoint("public key is not a point of the subgroup") from error


def encode_signature(point: G2Point) -> BLSSignature:
    return BLSSignature(bytes(point.to_compressed_bytes()))


def encode_pubkey(point: G1Point) -> BLSPubkey:
    return BLSPubkey(bytes(point.to_compressed_bytes()))


@lru_cache(_CACHED_HASHES)
def hash_point(message: bytes) -> G2Point:
    """The message hashed to G2 under the suite's tag."""
    return G2Point.hash_to_curve(message, DST)


# --- Operations -----------------------------------------------------------------------------------


def public_key(secret: SecretShare) -> BLSPubkey:
    """48-byte compressed public key, computed blinded."""
    mask, rest = secret.blinded()
    return encode_pubkey(_GENERATOR * mask + _GENERATOR * rest)


def sign(secret: SecretShare, message: bytes) -> BLSSignature:
    """96-byte compressed signature over `message` (a 32-byte signing root), computed blinded."""
    base = hash_point(message)
    mask, rest = secret.blinded()
    return encode_signature(base * mask + base * rest)


def verify(pubkey: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is the key's over `message`; False for anything that does not decode."""
    try:
        key, point = decode_pubkey(pubkey), decode_signature(signature)
    except InvalidPoint:
        return False
    # e(key, H(m)) * e(-G, signature) = 1
    return bool(GT.pairing_check([key, _NEGATIVE_GENERATOR], [hash_point(message), point]))
