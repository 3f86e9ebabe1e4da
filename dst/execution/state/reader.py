"""One state, read-only: where its accounts and slots come from is the source's affair."""

from collections.abc import Callable
from typing import Protocol

from dst.crypto.keccak import keccak256
from dst.execution.state.account import EMPTY_CODE_HASH, Account, decode_account
from dst.execution.state.nodes import EMPTY_ROOT, NodeStore, Ref
from dst.execution.state.trie import Trie
from dst.spec import rlp
from dst.spec.primitives import Address


class StateSource(Protocol):
    """Answers for one state. Both raise StateUnavailable when it was pruned meanwhile."""

    def account(self, address: bytes) -> Account | None: ...

    def slot(self, address: bytes, slot: int) -> int:
        """Asked only for accounts that have storage."""
        ...


class TrieSource:
    """Any state whose nodes are kept: a walk down the trie a read."""

    def __init__(self, nodes: NodeStore, root: Ref) -> None:
        self._nodes = nodes
        self._trie = Trie(nodes, root)
        self._storage: dict[bytes, Trie] = {}

    def account(self, address: bytes) -> Account | None:
        data, storage_version = self._trie.find(keccak256(address))
        return decode_account(data, storage_version) if data else None

    def slot(self, address: bytes, slot: int) -> int:
        trie = self._storage.get(address)
        if trie is None:
            account = self.account(address)
            if account is None:
                return 0
            trie = Trie(self._nodes, account.storage, keccak256(address))
            self._storage[address] = trie
        data = trie.get(slot_key(slot))
        return rlp.to_int(rlp.decode(data), what="storage value") if data else 0


class StateReader:
    """One state root, read through caches of its own: a thread that reads makes its own reader."""

    def __init__(
        self,
        nodes: NodeStore,
        load_code: Callable[[bytes], bytes],
        root: Ref,
        source: StateSource | None = None,
    ) -> None:
        self.root = root.hash
        self.root_ref = root
        self.nodes = nodes
        self._load_code = load_code
        self._source = TrieSource(nodes, root) if source is None else source
        self._accounts: dict[bytes, Account | None] = {}
        self._slots: dict[tuple[bytes, int], int] = {}

    def account(self, address: bytes) -> Account | None:
        try:
            return self._accounts[address]
        except KeyError:
            account = self._accounts[address] = self._source.account(address)
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

    def account_proof(self, address: Address) -> list[bytes]:
        """RLP nodes from the state root towards the account (EIP-1186).

        Raises: StateUnavailable.
        """
        return Trie(self.nodes, self.root_ref).proof(keccak256(address))

    def storage_proof(self, address: Address, slot: int) -> list[bytes]:
        """RLP nodes from the account's storage root towards the slot; none without storage.

        Raises: StateUnavailable.
        """
        account = self.account(address)
        if account is None:
            return []
        return Trie(self.nodes, account.storage, keccak256(address)).proof(slot_key(slot))

    def _read_slot(self, address: bytes, slot: int) -> int:
        account = self.account(address)
        if account is None or account.storage_root == EMPTY_ROOT:
            return 0
        return self._source.slot(address, slot)


def slot_key(slot: int) -> bytes:
    return keccak256(slot.to_bytes(32, "big"))
