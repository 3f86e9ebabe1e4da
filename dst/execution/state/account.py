"""An account as the state trie holds it. Source: yellow paper section 4.1."""

from typing import Final, NamedTuple

from dst.crypto.keccak import keccak256
from dst.execution.state.nodes import EMPTY_ROOT, Ref
from dst.spec import rlp
from dst.spec.primitives import Hash32

EMPTY_CODE_HASH: Final = keccak256(b"")
MAX_UINT256: Final = 2**256 - 1
_CONTRACT: Final = 0x80


class Account(NamedTuple):
    nonce: int = 0
    balance: int = 0
    storage_root: bytes = EMPTY_ROOT
    code_hash: bytes = EMPTY_CODE_HASH
    storage_version: int = 0
    """Where the storage trie's root is stored (`state.nodes`); no part of the encoding."""

    @property
    def storage(self) -> Ref:
        return Ref(Hash32(self.storage_root), self.storage_version)

    def encode(self) -> bytes:
        return rlp.encode_list(
            rlp.encode_int(self.nonce),
            rlp.encode_int(self.balance),
            b"\xa0" + self.storage_root,
            b"\xa0" + self.code_hash,
        )


NEW_ACCOUNT: Final = Account()


def decode_account(data: bytes, storage_version: int = 0) -> Account:
    """A leaf's value and tail."""
    nonce, balance, storage_root, code_hash = rlp.decode_list(data)
    return Account(
        rlp.to_int(nonce, what="nonce"),
        rlp.to_int(balance, what="balance"),
        rlp.to_bytes(storage_root, 32, what="storage root"),
        rlp.to_bytes(code_hash, 32, what="code hash"),
        storage_version,
    )


def pack_account(account: Account) -> bytes:
    """The form of flat tables: length of the nonce in a byte, nonce, balance; with code or storage
    that byte has 0x80 too, and storage version, storage root, code hash precede the balance."""
    nonce = rlp.int_to_bytes(account.nonce)
    balance = rlp.int_to_bytes(account.balance)
    if account.code_hash == EMPTY_CODE_HASH and account.storage_root == EMPTY_ROOT:
        return bytes((len(nonce),)) + nonce + balance
    contract = account.storage_version.to_bytes(4, "big") + account.storage_root + account.code_hash
    return bytes((len(nonce) | _CONTRACT,)) + nonce + contract + balance


def unpack_account(data: bytes) -> Account:
    size = data[0] & ~_CONTRACT
    end = 1 + size
    nonce = int.from_bytes(data[1:end], "big")
    if not data[0] & _CONTRACT:
        return Account(nonce, int.from_bytes(data[end:], "big"))
    return Account(
        nonce,
        int.from_bytes(data[end + 68 :], "big"),
        data[end + 4 : end + 36],
        data[end + 36 : end + 68],
        int.from_bytes(data[end : end + 4], "big"),
    )
