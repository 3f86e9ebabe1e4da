"""EIP-2335 keystores, version 4: one BLS secret under a password. Pure: JSON objects in and out,
files are the caller's.

Written with PBKDF2 (c = 262144: 0.16 s; scrypt at the standard's cost takes 1.5 s and 256 MB for
each of a devnet's keys); read with both. A file from outside cannot make us spend unbounded time or
memory, and the decrypted secret must belong to the public key that the file names.

Source: EIP-2335.
"""

import hashlib
import hmac
import secrets
import unicodedata
import uuid
from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from dst.crypto.bls import SECRET_BYTES, SecretShare, public_key
from dst.spec.errors import UNREADABLE, InvalidInput

PBKDF2_ROUNDS: Final = 262_144
"""The standard's cost."""
MAX_PBKDF2_ROUNDS: Final = 10_000_000
"""About 6 s here: more is an attack or a mistake."""
MAX_SCRYPT_BYTES: Final = 512 * 2**20
"""Twice what the standard's parameters (n = 262144, r = 8) need."""
MAX_SCRYPT_N: Final = 2**20
_KEY_BYTES: Final = 32
_SALT_BYTES: Final = 32
_IV_BYTES: Final = 16

_Positive = Annotated[int, msgspec.Meta(ge=1)]


class WrongPassword(InvalidInput):
    """The checksum does not match: wrong password, or a damaged keystore."""


class Pbkdf2Params(msgspec.Struct, frozen=True, kw_only=True):
    dklen: Literal[32]
    c: Annotated[int, msgspec.Meta(ge=1, le=MAX_PBKDF2_ROUNDS)]
    prf: Literal["hmac-sha256"]
    salt: str


class ScryptParams(msgspec.Struct, frozen=True, kw_only=True):
    dklen: Literal[32]
    n: Annotated[int, msgspec.Meta(ge=2, le=MAX_SCRYPT_N)]
    r: Annotated[int, msgspec.Meta(ge=1, le=64)]
    p: Annotated[int, msgspec.Meta(ge=1, le=16)]
    salt: str


class Pbkdf2(msgspec.Struct, frozen=True, kw_only=True, tag_field="function", tag="pbkdf2"):
    params: Pbkdf2Params
    message: str = ""


class Scrypt(msgspec.Struct, frozen=True, kw_only=True, tag_field="function", tag="scrypt"):
    params: ScryptParams
    message: str = ""


class Checksum(msgspec.Struct, frozen=True, kw_only=True):
    function: Literal["sha256"] = "sha256"
    params: dict[str, object] = {}
    message: str


class CipherParams(msgspec.Struct, frozen=True, kw_only=True):
    iv: str


class CipherPart(msgspec.Struct, frozen=True, kw_only=True):
    function: Literal["aes-128-ctr"] = "aes-128-ctr"
    params: CipherParams
    message: str


class CryptoPart(msgspec.Struct, frozen=True, kw_only=True):
    kdf: Pbkdf2 | Scrypt
    checksum: Checksum
    cipher: CipherPart


class Keystore(msgspec.Struct, frozen=True, kw_only=True):
    """The file. Fields that the standard does not name are ignored, as other clients add some."""

    crypto: CryptoPart
    description: str = ""
    pubkey: str = ""
    path: str
    uuid: str
    version: Literal[4]


def encrypt(
    secret: SecretShare,
    password: str,
    *,
    description: str = "",
    rounds: int = PBKDF2_ROUNDS,
) -> bytes:
    """A keystore file for `secret` (JSON bytes). `path` is empty: shares are derived from no
    mnemonic.
    """
    salt, iv = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_IV_BYTES)
    kdf = Pbkdf2(params=Pbkdf2Params(dklen=32, c=rounds, prf="hmac-sha256", salt=salt.hex()))
    key = _derive(kdf, password)
    message = _aes_ctr(key, iv, secret.reveal())
    part = CryptoPart(
        kdf=kdf,
        checksum=Checksum(message=_checksum(key, message).hex()),
        cipher=CipherPart(params=CipherParams(iv=iv.hex()), message=message.hex()),
    )
    keystore = Keystore(
        crypto=part,
        description=description,
        pubkey=public_key(secret).hex(),
        path="",
        uuid=str(uuid.uuid4()),
        version=4,
    )
    return msgspec.json.format(msgspec.json.encode(keystore), indent=2) + b"\n"


def decrypt(data: bytes | Mapping[str, object], password: str) -> SecretShare:
    """The secret in a keystore (file bytes, or the decoded JSON object).

    Raises: WrongPassword; InvalidInput when the file is malformed, too expensive, or names another
    public key.
    """
    keystore = _parse(data)
    crypto = keystore.crypto
    message = _unhex(crypto.cipher.message, SECRET_BYTES, "cipher.message")
    iv = _unhex(crypto.cipher.params.iv, _IV_BYTES, "cipher.params.iv")
    expected = _unhex(crypto.checksum.message, 32, "checksum.message")
    key = _derive(crypto.kdf, password)
    if not hmac.compare_digest(_checksum(key, message), expected):
        raise WrongPassword("wrong password (or a damaged keystore): the checksum does not match")
    secret = SecretShare.from_bytes(_aes_ctr(key, iv, message))
    if keystore.pubkey and keystore.pubkey.lower().removeprefix("0x") != public_key(secret).hex():
        raise InvalidInput("the keystore's pubkey does not belong to its secret")
    return secret


def normalize_password(password: str) -> bytes:
    """NFKD, then without C0, C1 and Delete control codes, as UTF-8. Source: EIP-2335 §Password
    requirements.
    """
    decomposed = unicodedata.normalize("NFKD", password)
    kept = (char for char in decomposed if not (ord(char) < 0x20 or 0x7F <= ord(char) <= 0x9F))
    return "".join(kept).encode()


def _parse(data: bytes | Mapping[str, object]) -> Keystore:
    try:
        if isinstance(data, bytes):
            return msgspec.json.decode(data, type=Keystore)
        return msgspec.convert(data, Keystore)
    except UNREADABLE as error:
        raise InvalidInput(f"not an EIP-2335 keystore: {error}") from error


def _derive(kdf: Pbkdf2 | Scrypt, password: str) -> bytes:
    secret = normalize_password(password)
    salt = _unhex(kdf.params.salt, None, "kdf.params.salt")
    if isinstance(kdf.params, Pbkdf2Params):
        return hashlib.pbkdf2_hmac("sha256", secret, salt, kdf.params.c, _KEY_BYTES)
    n, r, p = kdf.params.n, kdf.params.r, kdf.params.p
    if 128 * n * r * p > MAX_SCRYPT_BYTES or n & (n - 1):
        raise InvalidInput("kdf.params: n is not a power of two, or scrypt would need too much")
    return hashlib.scrypt(
        secret, salt=salt, n=n, r=r, p=p, maxmem=2 * MAX_SCRYPT_BYTES, dklen=_KEY_BYTES
    )


def _checksum(key: bytes, message: bytes) -> bytes:
    return hashlib.sha256(key[16:32] + message).digest()


def _aes_ctr(key: bytes, iv: bytes, data: bytes) -> bytes:
    encryptor = Cipher(AES(key[:16]), CTR(iv)).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def _unhex(text: str, length: int | None, what: str) -> bytes:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise InvalidInput(f"{what}: not hex") from None
    if length is not None and len(data) != length:
        raise InvalidInput(f"{what}: expected {length} bytes, got {len(data)}")
    return data
