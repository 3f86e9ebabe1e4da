"""The accounts a block sees: flat dicts over a state root, with an undo log for snapshots.

`StateReader` reads one root; `BlockState` is its writable overlay, with the methods py-evm's
account database has, so that the opcodes of py-evm run on it. Nothing reaches the trie before
`commit`; an aborted block leaves nothing behind.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from dst.crypto.keccak import keccak256
from dst.execution.trie import EMPTY_ROOT, NodeCache, Trie
from dst.spec import rlp
from dst.spec.primitives import Address, Hash32

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


@dataclass(frozen=True, slots=True, kw_only=True)
class StateCommit:
    """What a block adds to the store; all of it is content-addressed."""

    root: Hash32
    nodes: dict[bytes, bytes] = field(default_factory=dict)
    codes: dict[bytes, bytes] = field(default_factory=dict)


class BlockState:
    """Overlay of one block. A snapshot is a position in the undo log; warm sets, transient storage
    and original values belong to the running transaction and are cleared by `begin_transaction`."""

    def __init__(self, reader: StateReader) -> None:
        self._reader = reader
        self._accounts: dict[bytes, Account | None] = {}
        self._slots: dict[tuple[bytes, int], int] = {}
        self._wiped: set[bytes] = set()
        """Accounts whose stored slots are gone (deleted or created again in this block)."""
        self._codes: dict[bytes, bytes] = {}
        self._undo: list[Callable[[], object]] = []
        self._warm: set[object] = set()
        self._original: dict[tuple[bytes, int], int] = {}
        self._transient: dict[tuple[bytes, int], bytes] = {}

    # snapshots

    def begin_transaction(self) -> None:
        """Make what happened so far permanent in this block; forget what was per transaction."""
        self._undo.clear()
        self._warm.clear()
        self._original.clear()
        self._transient.clear()

    def record(self) -> int:
        return len(self._undo)

    def discard(self, checkpoint: int) -> None:
        undo = self._undo
        while len(undo) > checkpoint:
            undo.pop()()

    # reads

    def account(self, address: bytes) -> Account | None:
        try:
            return self._accounts[address]
        except KeyError:
            return self._reader.account(address)

    def get_balance(self, address: Address) -> int:
        account = self.account(address)
        return account.balance if account else 0

    def get_nonce(self, address: Address) -> int:
        account = self.account(address)
        return account.nonce if account else 0

    def get_code_hash(self, address: Address) -> bytes:
        account = self.account(address)
        return account.code_hash if account else EMPTY_CODE_HASH

    def get_code(self, address: Address) -> bytes:
        account = self.account(address)
        if account is None:
            return b""
        code = self._codes.get(account.code_hash)
        return self._reader.code(account.code_hash) if code is None else code

    def get_storage(self, address: Address, slot: int, from_journal: bool = True) -> int:
        """from_journal False: the value at the start of the transaction (EIP-2200)."""
        key = (address, slot)
        if not from_journal:
            original = self._original.get(key)
            if original is not None:
                return original
        value = self._slots.get(key)
        if value is not None:
            return value
        return 0 if address in self._wiped else self._reader.slot(address, slot)

    def account_exists(self, address: Address) -> bool:
        return self.account(address) is not None

    def account_has_code_or_nonce(self, address: Address) -> bool:
        """Also true for storage (EIP-7610): nothing may be created over it."""
        account = self.account(address)
        return account is not None and (
            account.nonce != 0
            or account.code_hash != EMPTY_CODE_HASH
            or (account.storage_root != EMPTY_ROOT and address not in self._wiped)
        )

    def account_is_empty(self, address: Address) -> bool:
        account = self.account(address)
        return account is None or (
            account.nonce == 0 and account.balance == 0 and account.code_hash == EMPTY_CODE_HASH
        )

    # writes

    def set_balance(self, address: Address, balance: int) -> None:
        assert 0 <= balance <= MAX_UINT256, f"balance out of range: {balance}"
        self._put(address, (self.account(address) or NEW_ACCOUNT)._replace(balance=balance))

    def delta_balance(self, address: Address, delta: int) -> None:
        self.set_balance(address, self.get_balance(address) + delta)

    def set_nonce(self, address: Address, nonce: int) -> None:
        self._put(address, (self.account(address) or NEW_ACCOUNT)._replace(nonce=nonce))

    def increment_nonce(self, address: Address) -> None:
        self.set_nonce(address, self.get_nonce(address) + 1)

    def set_code(self, address: Address, code: bytes) -> None:
        code_hash = keccak256(code)
        self._codes[code_hash] = code
        self._put(address, (self.account(address) or NEW_ACCOUNT)._replace(code_hash=code_hash))

    def delete_code(self, address: Address) -> None:
        account = self.account(address) or NEW_ACCOUNT
        self._put(address, account._replace(code_hash=EMPTY_CODE_HASH))

    def touch_account(self, address: Address) -> None:
        if self.account(address) is None:
            self._put(address, NEW_ACCOUNT)

    def delete_account(self, address: Address) -> None:
        self.delete_storage(address)
        self._put(address, None)

    def set_storage(self, address: Address, slot: int, value: int) -> None:
        key = (address, slot)
        self._original.setdefault(key, self.get_storage(address, slot))
        self._undo.append(_restorer(self._slots, key))
        self._slots[key] = value

    def delete_storage(self, address: Address) -> None:
        for key in [key for key in self._slots if key[0] == address]:
            self._undo.append(_restorer(self._slots, key))
            del self._slots[key]
        if address not in self._wiped:
            self._undo.append(lambda: self._wiped.discard(address))
            self._wiped.add(address)

    # what lives for one transaction

    def is_address_warm(self, address: Address) -> bool:
        return address in self._warm

    def mark_address_warm(self, address: Address) -> None:
        self._mark_warm(address)

    def is_storage_warm(self, address: Address, slot: int) -> bool:
        return (address, slot) in self._warm

    def mark_storage_warm(self, address: Address, slot: int) -> None:
        self._mark_warm((address, slot))

    def get_transient_storage(self, address: Address, slot: int) -> bytes:
        return self._transient.get((address, slot), b"")

    def set_transient_storage(self, address: Address, slot: int, value: bytes) -> None:
        key = (address, slot)
        self._undo.append(_restorer(self._transient, key))
        self._transient[key] = value

    # root

    def commit(self) -> StateCommit:
        """Write the overlay into the tries. Call once, when the block is executed."""
        nodes: dict[bytes, bytes] = {}
        for address, root, new in self._commit_storage():
            account = self.account(address)
            if account is not None:
                nodes.update(new)
                self._accounts[address] = account._replace(storage_root=root)
        trie = Trie(self._reader.nodes, self._reader.root)
        for key, account in self._accounts.items():
            trie.set(keccak256(key), account.encode() if account else b"")
        root, new = trie.commit()
        nodes.update(new)
        return StateCommit(root=root, nodes=nodes, codes=dict(self._codes))

    def _commit_storage(self) -> list[tuple[Address, bytes, dict[bytes, bytes]]]:
        """(address, new storage root, new nodes) of each account whose storage changed."""
        changed: dict[bytes, list[tuple[int, int]]] = {address: [] for address in self._wiped}
        for (address, slot), value in self._slots.items():
            changed.setdefault(address, []).append((slot, value))
        results: list[tuple[Address, bytes, dict[bytes, bytes]]] = []
        for address, slots in changed.items():
            stored = self._reader.account(address)
            fresh = address in self._wiped or stored is None
            root = EMPTY_ROOT if fresh or stored is None else stored.storage_root
            trie = Trie(self._reader.nodes, root)
            for slot, value in slots:
                trie.set(
                    keccak256(slot.to_bytes(32, "big")), rlp.encode_int(value) if value else b""
                )
            results.append((Address(address), *trie.commit()))
        return results

    def _put(self, address: bytes, account: Account | None) -> None:
        self._undo.append(_restorer(self._accounts, address))
        self._accounts[address] = account

    def _mark_warm(self, key: object) -> None:
        if key not in self._warm:
            self._warm.add(key)
            self._undo.append(lambda: self._warm.discard(key))


_ABSENT: Final = object()


def _restorer(table: dict, key: object) -> Callable[[], object]:  # type: ignore[type-arg]
    """Puts `table[key]` back to what it is now."""
    old = table.get(key, _ABSENT)
    if old is _ABSENT:
        return lambda: table.pop(key, None)
    return lambda: table.__setitem__(key, old)
