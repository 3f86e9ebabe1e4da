"""What a block's overlay adds to the store: the new root, and the nodes and codes under it."""

from dataclasses import dataclass, field

from dst.crypto.keccak import keccak256
from dst.execution.state.overlay import BlockState
from dst.execution.state.trie import EMPTY_ROOT, Trie
from dst.spec import rlp
from dst.spec.primitives import Address, Hash32


@dataclass(frozen=True, slots=True, kw_only=True)
class StateCommit:
    """What a block adds to the store; all of it is content-addressed."""

    root: Hash32
    nodes: dict[bytes, bytes] = field(default_factory=dict)
    codes: dict[bytes, bytes] = field(default_factory=dict)
    changed: frozenset[bytes] = frozenset()
    """Addresses of accounts that the block wrote."""


def commit(state: BlockState) -> StateCommit:
    """Write the overlay into the tries. Call once, when the block is executed."""
    nodes: dict[bytes, bytes] = {}
    for address, root, new in _commit_storage(state):
        account = state.account(address)
        if account is not None:
            nodes.update(new)
            state.accounts[address] = account._replace(storage_root=root)
    trie = Trie(state.reader.nodes, state.reader.root)
    for key, account in state.accounts.items():
        trie.set(keccak256(key), account.encode() if account else b"")
    root, new = trie.commit()
    nodes.update(new)
    return StateCommit(
        root=root, nodes=nodes, codes=dict(state.codes), changed=frozenset(state.accounts)
    )


def _commit_storage(state: BlockState) -> list[tuple[Address, bytes, dict[bytes, bytes]]]:
    """(address, new storage root, new nodes) of each account whose storage changed."""
    changed: dict[bytes, list[tuple[int, int]]] = {address: [] for address in state.wiped}
    for (address, slot), value in state.slots.items():
        changed.setdefault(address, []).append((slot, value))
    results: list[tuple[Address, bytes, dict[bytes, bytes]]] = []
    for address, slots in changed.items():
        stored = state.reader.account(address)
        fresh = address in state.wiped or stored is None
        root = EMPTY_ROOT if fresh or stored is None else stored.storage_root
        trie = Trie(state.reader.nodes, root)
        for slot, value in slots:
            trie.set(keccak256(slot.to_bytes(32, "big")), rlp.encode_int(value) if value else b"")
        results.append((Address(address), *trie.commit()))
    return results
