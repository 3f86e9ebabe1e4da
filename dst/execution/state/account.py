"""An account as the state trie holds it. Source: yellow paper section 4.1."""

from typing import Final, NamedTuple

from dst.crypto.keccak import keccak256
from dst.execution.state.trie import EMPTY_ROOT
from dst.spec import rlp

EMPTY_CODE_HASH: Final = keccak256(b"")
MAX_UINT256: Final = 2**256 - 1


class Account(NamedTuple):
    nonce: int = 0
    balance: int = 0
    storage_root: bytes = EMPTY_ROOT
    code_hash: bytes = EMPTY_CODE_HASH

    def encode(self) -> bytes:
        return rlp.encode_list(
            rlp.encode_int(self.nonce),
            rlp.encode_int(self.balance),
            b"\xa0" + self.storage_root,
            b"\xa0" + self.code_hash,
        )


NEW_ACCOUNT: Final = Account()


def decode_account(data: bytes) -> Account:
    nonce, balance, storage_root, code_hash = rlp.decode_list(data)
    return Account(
        rlp.to_int(nonce, what="nonce"),
        rlp.to_int(balance, what="balance"),
        rlp.to_bytes(storage_root, 32, what="storage root"),
        rlp.to_bytes(code_hash, 32, what="code hash"),
    )
