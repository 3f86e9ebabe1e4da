"""A chain whose blocks are random changes of state, without an EVM, beside a model of plain dicts
that says what every state must be."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from dst.crypto.keccak import keccak256
from dst.execution.block.executed import ExecutedBlock
from dst.execution.chain import Chain
from dst.execution.environment import BlockResult
from dst.execution.genesis import prague_genesis, read_genesis
from dst.execution.header import Header
from dst.execution.pruning import ARCHIVE, Retention
from dst.execution.receipts import Log, Receipt
from dst.execution.state.commit import commit
from dst.execution.state.nodes import StateUnavailable
from dst.execution.state.overlay import BlockState
from dst.execution.state.reader import StateReader, TrieSource
from dst.execution.state.trie import Trie
from dst.execution.store import open_store
from dst.spec.primitives import ZERO_HASH, Address, Hash32

PEOPLE = tuple(Address(bytes([number]) * 20) for number in range(1, 5))
SLOTS = (0, 1, 2**255)


@dataclass
class Person:
    """An account in the model."""

    balance: int
    code: bytes = b""
    slots: dict[int, int] = field(default_factory=dict)


Model = dict[Address, Person]


@dataclass(frozen=True)
class Change:
    """What a block does to one account: credit (created when absent), slots, or its end; `again`
    creates it anew in the same block."""

    person: Address
    credit: int = 0
    slots: Mapping[int, int] = field(default_factory=dict)
    ends: bool = False
    again: bool = False


def apply_to_state(state: BlockState, change: Change) -> None:
    if change.ends:
        state.delete_account(change.person)
        if not change.again:
            return
    state.delta_balance(change.person, change.credit + 1)
    if change.slots:
        state.set_code(change.person, b"\xfe" + change.person)
        for slot, value in change.slots.items():
            state.set_storage(change.person, slot, value)


def apply_to_model(model: Model, change: Change) -> None:
    if change.ends:
        model.pop(change.person, None)
        if not change.again:
            return
    person = model.setdefault(change.person, Person(0))
    person.balance += change.credit + 1
    if change.slots:
        person.code = b"\xfe" + change.person
        person.slots.update(change.slots)


class Ledger:
    """Blocks by hash, each with its model."""

    def __init__(self, folder: Path, retention: Retention = ARCHIVE) -> None:
        self.folder, self.retention = folder, retention
        self.genesis = read_genesis(
            prague_genesis(chain_id=1, timestamp=1, gas_limit=10_000_000, balances={})
        )
        self.chain = self._open()
        self.models: dict[bytes, Model] = {self.genesis.header.hash: {}}
        self.headers: dict[bytes, Header] = {self.genesis.header.hash: self.genesis.header}

    def _open(self) -> Chain:
        self.store = open_store(self.folder)
        return Chain(self.store, self.genesis, self.retention)

    def close(self) -> None:
        self.store.close()

    def reopen(self) -> None:
        self.close()
        self.chain = self._open()

    def make(self, parent: bytes, changes: Sequence[Change], salt: int = 0) -> ExecutedBlock:
        """A block on `parent`; executed, not stored. Raises: StateUnavailable."""
        state = BlockState(self.chain.reader_after(parent))
        for change in changes:
            state.begin_transaction()
            apply_to_state(state, change)
        result = BlockResult(
            touched=(),
            receipts=(receipt(len(changes)),),
            gas_used=0,
            bloom=0,
            requests=(),
            fees=0,
            state=commit(state),
        )
        above = self.headers[parent]
        header = replace(
            above,
            parent_hash=Hash32(parent),
            number=above.number + 1,
            timestamp=above.timestamp + 1,
            state_root=result.state.root,
            extra_data=salt.to_bytes(4, "big"),
        )
        return ExecutedBlock(
            header=header, hash=header.hash, transactions=(), withdrawals=(), result=result
        )

    def insert(self, block: ExecutedBlock, changes: Sequence[Change]) -> None:
        self.chain.insert(block)
        self.learn(block.header, block.header.parent_hash, changes)

    def learn(self, header: Header, parent: bytes, changes: Sequence[Change]) -> None:
        """A block is in the store: what its state must be."""
        model = deepcopy(self.models[parent])
        for change in changes:
            apply_to_model(model, change)
        self.models[header.hash] = model
        self.headers[header.hash] = header

    def extend(
        self, changes: Sequence[Change], parent: bytes | None = None, salt: int = 0
    ) -> Hash32:
        """Make, store; the head moves when the parent was the head."""
        on = self.chain.heads.head_hash if parent is None else parent
        block = self.make(on, changes, salt)
        self.insert(block, changes)
        if parent is None:
            self.chain.set_forkchoice(block.hash, ZERO_HASH, ZERO_HASH)
        return block.hash

    def is_kept(self, block_hash: bytes) -> bool:
        return self.chain.states.is_kept(block_hash, self.headers[block_hash])

    def check_all(self) -> None:
        """Every kept state is what the model says, flat and by trie; every other is refused; the
        store holds the nodes of kept states and no others."""
        needed: set[bytes] = set()
        for block_hash, header in self.headers.items():
            if not self.is_kept(block_hash):
                with pytest.raises(StateUnavailable):
                    self.chain.reader_after(block_hash)
                continue
            reader = self.chain.reader_after(block_hash)
            self.check(reader, block_hash)
            self.check(self.chain.reader(header.state_root), block_hash)
            by_trie = StateReader(
                reader.nodes,
                self.store.code,
                reader.root_ref,
                TrieSource(reader.nodes, reader.root_ref),
            )
            self.check(by_trie, block_hash)
            needed |= self._nodes_of(by_trie, block_hash)
        stored = {key for key, _ in self.store.tables.scan("nodes", b"")}
        assert needed - stored == set(), "a kept state has holes"
        assert stored - needed == set(), "nodes that no kept state has"

    def check(self, reader: StateReader, block_hash: bytes) -> None:
        model = self.models[block_hash]
        for person in PEOPLE:
            expected = model.get(person)
            account = reader.account(person)
            assert (account is None) == (expected is None), (block_hash.hex(), person)
            if account is None or expected is None:
                continue
            assert account.balance == expected.balance
            assert reader.get_code(person) == expected.code
            for slot in SLOTS:
                assert reader.slot(person, slot) == expected.slots.get(slot, 0)

    def _nodes_of(self, reader: StateReader, block_hash: bytes) -> set[bytes]:
        keys = set(Trie(reader.nodes, reader.root_ref).keys_of_nodes())
        for person in PEOPLE:
            account = reader.account(person)
            if account is not None:
                owner = keccak256(person)
                keys |= set(Trie(reader.nodes, account.storage, owner).keys_of_nodes())
        return keys


def receipt(logs: int) -> Receipt:
    return Receipt(
        type_id=2,
        sender=PEOPLE[0],
        to=PEOPLE[1],
        succeeded=True,
        cumulative_gas_used=21_000,
        gas_used=21_000,
        effective_gas_price=1,
        contract_address=None,
        logs=tuple(Log(PEOPLE[0], (), bytes([number])) for number in range(logs)),
    )
