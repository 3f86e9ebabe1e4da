"""The accounts a block sees: flat dicts over a state root, with an undo log for snapshots.

`BlockState` has the methods that py-evm's account database has, so that the opcodes of py-evm run
on it. Nothing reaches the trie before `dst.execution.state.commit`; an aborted block leaves nothing
behind.
"""

from collections.abc import Callable
from typing import Final

from dst.crypto.keccak import keccak256
from dst.execution.state.account import EMPTY_CODE_HASH, MAX_UINT256, NEW_ACCOUNT, Account
from dst.execution.state.reader import StateReader
from dst.execution.state.trie import EMPTY_ROOT
from dst.spec.primitives import Address


class BlockState:
    """Overlay of one block. A snapshot is a position in the undo log; warm sets, transient storage
    and original values belong to the running transaction and are cleared by `begin_transaction`."""

    def __init__(self, reader: StateReader) -> None:
        self.reader = reader
        self.accounts: dict[bytes, Account | None] = {}
        self.slots: dict[tuple[bytes, int], int] = {}
        self.wiped: set[bytes] = set()
        """Accounts whose stored slots are gone (deleted or created again in this block)."""
        self.codes: dict[bytes, bytes] = {}
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
            return self.accounts[address]
        except KeyError:
            return self.reader.account(address)

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
        code = self.codes.get(account.code_hash)
        return self.reader.code(account.code_hash) if code is None else code

    def get_storage(self, address: Address, slot: int, from_journal: bool = True) -> int:
        """from_journal False: the value at the start of the transaction (EIP-2200)."""
        key = (address, slot)
        if not from_journal:
            original = self._original.get(key)
            if original is not None:
                return original
        value = self.slots.get(key)
        if value is not None:
            return value
        return 0 if address in self.wiped else self.reader.slot(address, slot)

    def account_exists(self, address: Address) -> bool:
        return self.account(address) is not None

    def account_has_code_or_nonce(self, address: Address) -> bool:
        """Also true for storage (EIP-7610): nothing may be created over it."""
        account = self.account(address)
        return account is not None and (
            account.nonce != 0
            or account.code_hash != EMPTY_CODE_HASH
            or (account.storage_root != EMPTY_ROOT and address not in self.wiped)
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
        self.codes[code_hash] = code
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
        self._undo.append(_restorer(self.slots, key))
        self.slots[key] = value

    def delete_storage(self, address: Address) -> None:
        for key in [key for key in self.slots if key[0] == address]:
            self._undo.append(_restorer(self.slots, key))
            del self.slots[key]
        if address not in self.wiped:
            self._undo.append(lambda: self.wiped.discard(address))
            self.wiped.add(address)

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

    def _put(self, address: bytes, account: Account | None) -> None:
        self._undo.append(_restorer(self.accounts, address))
        self.accounts[address] = account

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
