"""The accounts a block sees: flat dicts over a state root, with an undo log for snapshots.

`BlockState` has the methods that py-evm's account database has, so that the opcodes of py-evm run
on it. Nothing reaches the trie before `dst.execution.state.commit`; an aborted block leaves nothing
behind.

Every effect is an entry of a table (a dict, or the list of logs), and the undo log holds what the
entry was before: table, key, old value or `ABSENT`. So a snapshot is a position in one list, and
whoever writes a table directly for speed (the opcodes of `dst.execution.evm`) extends it first. The
three lie flat in the list: half a million tuples are what the garbage collector stops a block for.

Empty accounts (EIP-161). A write that leaves a new account empty adds none, and an account of the
state that is empty when it is touched is deleted at the end of the transaction. No opcode can tell
this from py-evm's way, which adds empty accounts and deletes them at the end.
"""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Final

from dst.crypto.keccak import keccak256
from dst.execution.state.account import EMPTY_CODE_HASH, MAX_UINT256, NEW_ACCOUNT, Account
from dst.execution.state.reader import StateReader
from dst.execution.state.trie import EMPTY_ROOT
from dst.spec.primitives import Address

ABSENT: Final = object()
"""In the undo log: the table had no such entry."""
UNDONE_BETWEEN_CHECKS: Final = 10_000
"""Effects; some 2 ms. 10 Mgas buy a hundred thousand."""
_RIPEMD160: Final = Address((3).to_bytes(20, "big"))
"""Stays touched although the call to it failed: mainnet block 2,675,119, kept by all clients."""


def _nobody_asks() -> None:
    """The interrupt of what must go to its end."""


class BlockState:
    """Overlay of one block. Warm sets, transient storage, original values, logs and the accounts to
    look at in the end belong to the running transaction; `begin_transaction` clears them."""

    def __init__(self, reader: StateReader, always_warm: Iterable[bytes] = ()) -> None:
        """`always_warm`: addresses of precompiles (EIP-2929)."""
        self.reader = reader
        self._always_warm: dict[object, None] = dict.fromkeys(always_warm)
        self.accounts: dict[bytes, Account | None] = {}
        self.slots: dict[tuple[bytes, int], int] = {}
        self.wiped: dict[bytes, None] = {}
        """Accounts whose stored slots are gone (deleted or created again in this block)."""
        self.codes: dict[bytes, bytes] = {}
        self.undo: list[Any] = []
        self.warm = self._always_warm.copy()
        """Addresses, and (address, slot) (EIP-2929)."""
        self.original: dict[tuple[bytes, int], int] = {}
        """Values at the start of the transaction of the slots written in it (EIP-2200)."""
        self.transient: dict[tuple[bytes, int], int] = {}
        self.logs: list[tuple[bytes, tuple[int, ...], bytes]] = []
        """(address, topics, data) of the running transaction, in order."""
        self.created: set[bytes] = set()
        """Contracts that a creation began in this transaction (EIP-6780)."""
        self.destroyed: dict[bytes, None] = {}
        """Contracts to delete at the end of this transaction (EIP-6780)."""
        self._touched: dict[bytes, None] = {}

    # snapshots

    def begin_transaction(self) -> None:
        """Make what happened so far permanent in this block; forget what was per transaction."""
        self.undo.clear()
        self.warm = self._always_warm.copy()
        self.original.clear()
        self.transient.clear()
        self.logs.clear()
        self.created.clear()
        self.destroyed.clear()
        self._touched.clear()

    def clear_accounts(self) -> None:
        """End of a transaction: delete what destroyed itself (EIP-6780), and what was touched and
        is empty (EIP-161)."""
        for address in self.destroyed:
            self.delete_account(Address(address))
        for address in self._touched:
            account = self.account(address)
            if account is not None and _is_empty(account):
                self.delete_account(Address(address))

    def record(self) -> int:
        return len(self.undo)

    def discard(self, checkpoint: int, interrupt: Callable[[], None] = _nobody_asks) -> None:
        """Undo back to a snapshot. `interrupt` is asked now and then; when it raises, the rest is
        still to be undone."""
        undo = self.undo
        while len(undo) > checkpoint:
            for _ in range(min(UNDONE_BETWEEN_CHECKS, (len(undo) - checkpoint) // 3)):
                old, key, table = undo.pop(), undo.pop(), undo.pop()
                if old is ABSENT:
                    del table[key]
                else:
                    table[key] = old
            interrupt()

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
        return self.code(account.code_hash) if account else b""

    def code(self, code_hash: bytes) -> bytes:
        if code_hash == EMPTY_CODE_HASH:
            return b""
        code = self.codes.get(code_hash)
        return self.reader.code(code_hash) if code is None else code

    def get_storage(self, address: Address, slot: int, from_journal: bool = True) -> int:
        """from_journal False: the value at the start of the transaction (EIP-2200)."""
        key = (address, slot)
        if not from_journal:
            original = self.original.get(key)
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
        return account is None or _is_empty(account)

    # writes

    def put_account(self, address: bytes, account: Account | None) -> None:
        accounts = self.accounts
        self.undo.extend((accounts, address, accounts.get(address, ABSENT)))
        accounts[address] = account

    def set_balance(self, address: Address, balance: int) -> None:
        assert 0 <= balance <= MAX_UINT256, f"balance out of range: {balance}"
        account = self.account(address)
        if account is None:
            if balance:
                self.put_account(address, Account(0, balance))
            return
        new = Account(account.nonce, balance, account.storage_root, account.code_hash)
        if not balance and _is_empty(new):
            self._note_touched(address)
        if balance != account.balance:
            self.put_account(address, new)

    def delta_balance(self, address: Address, delta: int) -> None:
        account = self.account(address)
        self.set_balance(address, (account.balance if account else 0) + delta)

    def buy_gas(self, sender: Address, cost: int) -> None:
        """A transaction's first effect: the highest fee is paid and the nonce is spent."""
        account = self.account(sender) or NEW_ACCOUNT
        balance = account.balance - cost
        assert balance >= 0, f"balance out of range: {balance}"
        self.put_account(
            sender, Account(account.nonce + 1, balance, account.storage_root, account.code_hash)
        )

    def set_nonce(self, address: Address, nonce: int) -> None:
        self.put_account(address, (self.account(address) or NEW_ACCOUNT)._replace(nonce=nonce))

    def increment_nonce(self, address: Address) -> None:
        self.set_nonce(address, self.get_nonce(address) + 1)

    def set_code(self, address: Address, code: bytes) -> None:
        code_hash = keccak256(code)
        self.codes[code_hash] = code
        account = self.account(address) or NEW_ACCOUNT
        self.put_account(address, account._replace(code_hash=code_hash))

    def delete_code(self, address: Address) -> None:
        account = self.account(address) or NEW_ACCOUNT
        self.put_account(address, account._replace(code_hash=EMPTY_CODE_HASH))

    def touch_account(self, address: Address) -> None:
        account = self.account(address)
        if account is not None and _is_empty(account):
            self._note_touched(address)

    def delete_account(self, address: Address) -> None:
        self.delete_storage(address)
        self.put_account(address, None)

    def set_storage(self, address: Address, slot: int, value: int) -> None:
        key = (address, slot)
        if key not in self.original:
            self.original[key] = self.get_storage(address, slot)
        slots = self.slots
        self.undo.extend((slots, key, slots.get(key, ABSENT)))
        slots[key] = value

    def delete_storage(self, address: Address) -> None:
        slots = self.slots
        for key in [key for key in slots if key[0] == address]:
            self.undo.extend((slots, key, slots.pop(key)))
        self._note(self.wiped, address)

    # what lives for one transaction

    def add_log(self, address: bytes, topics: tuple[int, ...], data: bytes) -> None:
        self.undo.extend((self.logs, len(self.logs), ABSENT))
        self.logs.append((address, topics, data))

    def destroy_at_the_end(self, address: Address) -> None:
        self._note(self.destroyed, address)

    def warmed(self) -> list[bytes]:
        """Addresses that the running transaction has warmed, in order."""
        # Those that are always warm come first: `warm` begins as a copy of them.
        keys = islice(self.warm, len(self._always_warm), None)
        return [key for key in keys if isinstance(key, bytes)]

    def is_address_warm(self, address: Address) -> bool:
        return address in self.warm

    def mark_address_warm(self, address: Address) -> None:
        self._note(self.warm, address)

    def is_storage_warm(self, address: Address, slot: int) -> bool:
        return (address, slot) in self.warm

    def mark_storage_warm(self, address: Address, slot: int) -> None:
        self._note(self.warm, (address, slot))

    def get_transient_storage(self, address: Address, slot: int) -> bytes:
        return self.transient.get((address, slot), 0).to_bytes(32, "big")

    def set_transient_storage(self, address: Address, slot: int, value: bytes) -> None:
        self.set_transient(address, slot, int.from_bytes(value, "big"))

    def set_transient(self, address: Address, slot: int, value: int) -> None:
        key, transient = (address, slot), self.transient
        self.undo.extend((transient, key, transient.get(key, ABSENT)))
        transient[key] = value

    def _note_touched(self, address: Address) -> None:
        if address == _RIPEMD160:
            self._touched[address] = None
        else:
            self._note(self._touched, address)

    def _note(self, table: dict[Any, None], key: object) -> None:
        """Put a key into a table that is used as a set."""
        if key not in table:
            self.undo.extend((table, key, ABSENT))
            table[key] = None


def _is_empty(account: Account) -> bool:
    """EIP-161. Storage does not count."""
    return account.nonce == 0 and account.balance == 0 and account.code_hash == EMPTY_CODE_HASH
