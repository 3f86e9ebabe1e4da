"""One state root, read-only."""

from collections.abc import Callable

from dst.crypto.keccak import keccak256
from dst.execution.state.account import EMPTY_CODE_HASH, Account, decode_account
from dst.execution.state.trie import EMPTY_ROOT, NodeCache, Trie
from dst.spec import rlp
from dst.spec.primitives import Address


class StateReader:
    """One state root, read through caches of its own: a thread that reads makes its own reader."""

    def __init__(self, nodes: NodeCache, load_code: Callable[[bytes], bytes], root: bytes) -> None:
        self.root = root
        self.nodes = nodes
        self._load_code = load_code
        self._trie = Trie(nodes, root)
        self._accounts: dict[bytes, Account | None] = {}
        self._slots: dict[tuple[bytes, int], int] = {}
        self._storage: dict[bytes, Trie] = {}

    def account(self, address: bytes) -> Account | None:
        try:
            return self._accounts[address]
        except KeyError:
            data = self._trie.get(keccak256(address))
            account = decode_account(data) if data else None
            self._accounts[address] = account
            return account

    def slot(self, address: bytes, slot: int) -> int:
        key = (address, slot)
        value = self._slots.get(key)
        if value is None:
            value = self._slots[key] = self._read_slot(address, slot)
        return value

    def code(self, code_hash: bytes) -> bytes:
        return b"" if code_hash == EMPTY_CODE_HASH else self._load_code(code_hash)

    def get_nonce(self, address: Address) -> int:
        account = self.account(address)
        return account.nonce if account else 0

    def get_balance(self, address: Address) -> int:
        account = self.account(address)
        return account.balance if account else 0

    def get_code(self, address: Address) -> bytes:
        account = self.account(address)
        return self.code(account.code_hash) if account else b""

    def _read_slot(self, address: bytes, slot: int) -> int:
        account = self.account(address)
        if account is None or account.storage_root == EMPTY_ROOT:
            return 0
        trie = self._storage.get(address)
        if trie is None:
            trie = self._storage[address] = Trie(self.nodes, account.storage_root)
        data = trie.get(keccak256(slot.to_bytes(32, "big")))
        return rlp.to_int(rlp.decode(data), what="storage value") if data else 0
