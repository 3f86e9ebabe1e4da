"""What a block's overlay adds to the store: the new root, the nodes and codes under it, and the
same change as flat values."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from dst.crypto.keccak import keccak256
from dst.execution.state.account import Account
from dst.execution.state.nodes import EMPTY_REF, Ref
from dst.execution.state.overlay import BlockState
from dst.execution.state.reader import slot_key
from dst.execution.state.trie import Entry, Trie, TrieChange, to_nibbles
from dst.spec import rlp
from dst.spec.primitives import Hash32

PATH_CACHE_ENTRIES: Final = 16_384
"""Accounts in use come again block after block; at most 5 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateDiff:
    """The accounts and slots a block changed, as they are after it."""

    accounts: dict[bytes, Account | None] = field(default_factory=dict)
    slots: dict[tuple[bytes, int], int] = field(default_factory=dict)
    wiped: frozenset[bytes] = frozenset()
    """Accounts whose older slots are all gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateCommit:
    """What a block adds to the store. Equal when the states are: versions differ from run to
    run."""

    root: Hash32
    codes: dict[bytes, bytes] = field(default_factory=dict)
    version: int = field(default=0, compare=False)
    """Under which `nodes` were written; the block is stored under it too."""
    root_version: int = field(default=0, compare=False)
    """Of the root's node: an older block's when nothing changed."""
    nodes: dict[bytes, bytes] = field(default_factory=dict, compare=False)
    stale: tuple[bytes, ...] = field(default=(), compare=False)
    """Keys of the parent state's nodes that this state no longer has."""
    diff: StateDiff = field(default_factory=StateDiff, compare=False)

    @property
    def root_ref(self) -> Ref:
        return Ref(self.root, self.root_version)


def commit(state: BlockState) -> StateCommit:
    """Write the overlay into the tries. Call once, when the block is executed."""
    reader = state.reader
    version = reader.nodes.new_version()
    storage = _commit_storage(state, version)
    accounts = _changed_accounts(state, storage)
    entries = [
        Entry(_account_path(address), account.encode(), account.storage_version)
        if account
        else Entry(_account_path(address), b"")
        for address, account in accounts.items()
    ]
    change = Trie(reader.nodes, reader.root_ref).update(entries, version)
    nodes, stale = dict(change.nodes), list(change.stale)
    for each in storage.values():
        nodes.update(each.nodes)
        stale += each.stale
    return StateCommit(
        root=change.root.hash,
        codes=_codes_in_use(state, accounts),
        version=version,
        root_version=change.root.version,
        nodes=nodes,
        stale=tuple(stale),
        diff=StateDiff(
            accounts=accounts,
            slots=dict(state.slots),
            wiped=frozenset(each for each in state.wiped if reader.account(each) is not None),
        ),
    )


def _codes_in_use(state: BlockState, accounts: dict[bytes, Account | None]) -> dict[bytes, bytes]:
    """Not what a creation left that was undone, or a transaction that is not in the block: nobody
    paid for keeping it."""
    used = {account.code_hash for account in accounts.values() if account is not None}
    return {code_hash: code for code_hash, code in state.codes.items() if code_hash in used}


@lru_cache(PATH_CACHE_ENTRIES)
def _account_path(address: bytes) -> bytes:
    return to_nibbles(keccak256(address))


def _changed_accounts(
    state: BlockState, storage: dict[bytes, TrieChange]
) -> dict[bytes, Account | None]:
    """Accounts that differ from the parent state's, with the storage they end with."""
    changed: dict[bytes, Account | None] = {}
    for address, account in state.accounts.items():
        before = state.reader.account(address)
        if account is not None:
            account = _with_storage(account, before, storage.get(address))
        if account != before:
            changed[address] = account
    for address, change in storage.items():
        before = state.reader.account(address)
        if address not in state.accounts and before is not None:
            changed[address] = _with_storage(before, before, change)
    return changed


def _with_storage(account: Account, before: Account | None, change: TrieChange | None) -> Account:
    if change is not None:
        root, version = change.root
    elif before is not None:
        root, version = Hash32(before.storage_root), before.storage_version
    else:
        root, version = EMPTY_REF
    if account.storage_root == root and account.storage_version == version:
        return account
    return account._replace(storage_root=root, storage_version=version)


def _commit_storage(state: BlockState, version: int) -> dict[bytes, TrieChange]:
    """The storage trie of each account whose slots were written or wiped."""
    written: dict[bytes, list[Entry]] = {address: [] for address in state.wiped}
    for (address, slot), value in state.slots.items():
        if value != state.reader.slot(address, slot) or address in state.wiped:
            path = to_nibbles(slot_key(slot))
            written.setdefault(address, []).append(
                Entry(path, rlp.encode_int(value) if value else b"")
            )
    return {
        address: _change_storage(
            state, address, entries if state.account(address) is not None else [], version
        )
        for address, entries in written.items()
    }


def _change_storage(
    state: BlockState, address: bytes, entries: list[Entry], version: int
) -> TrieChange:
    stored = state.reader.account(address)
    owner = keccak256(address)
    old = Trie(state.reader.nodes, EMPTY_REF if stored is None else stored.storage, owner)
    if address not in state.wiped:
        return old.update(entries, version)
    change = Trie(state.reader.nodes, EMPTY_REF, owner).update(entries, version)
    return TrieChange(
        root=change.root, nodes=change.nodes, stale=[*change.stale, *old.keys_of_nodes()]
    )
