"""Keys from a mnemonic: what a dev network needs to own the public test accounts, and no wallet.

No word list is here: the phrase is taken as it is, its checksum unread. Source: BIP-39 (seed),
BIP-32 (private child keys), BIP-44 (path).
"""

import hashlib
import hmac
from typing import Final

from dst.crypto import ecdsa
from dst.crypto.secp256k1 import ORDER, compressed

_HARDENED: Final = 1 << 31
_SEED_ROUNDS: Final = 2_048
"""BIP-39's count for PBKDF2."""
_ETHEREUM: Final = (44 + _HARDENED, 60 + _HARDENED, _HARDENED, 0)
"""m/44'/60'/0'/0, below it the account's index."""


def ethereum_keys(mnemonic: str, count: int) -> tuple[bytes, ...]:
    """The first `count` private keys of m/44'/60'/0'/0/i, 32 bytes each."""
    seed = hashlib.pbkdf2_hmac("sha512", mnemonic.encode(), b"mnemonic", _SEED_ROUNDS)
    key, chain_code = _halves(hmac.digest(b"Bitcoin seed", seed, "sha512"))
    for index in _ETHEREUM:
        key, chain_code = _child(key, chain_code, index)
    return tuple(_child(key, chain_code, index)[0] for index in range(count))


def _child(key: bytes, chain_code: bytes, index: int) -> tuple[bytes, bytes]:
    """BIP-32 `CKDpriv`; the case of a key out of range (2**-127) does not arise for fixed input."""
    if index & _HARDENED:
        material = b"\x00" + key
    else:
        material = compressed(ecdsa.Secret(key).public_key)
    offset, child_code = _halves(
        hmac.digest(chain_code, material + index.to_bytes(4, "big"), "sha512")
    )
    scalar = (int.from_bytes(offset, "big") + int.from_bytes(key, "big")) % ORDER
    return scalar.to_bytes(32, "big"), child_code


def _halves(digest: bytes) -> tuple[bytes, bytes]:
    return digest[:32], digest[32:]
