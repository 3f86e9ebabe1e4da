"""Executed blocks and the three pointers over them. Fork choice is told, never computed:
`newPayload` adds a block, only `forkchoiceUpdated` moves the head, to any block that is here.

One thread calls what changes (`execute`, `insert`, `set_forkchoice`); any thread may read.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeAlias

from dst.execution.block.body import BlockRun
from dst.execution.block.executed import ExecutedBlock
from dst.execution.environment import (
    BlockEnvironment,
    BlockResult,
    Engine,
    Interrupt,
    InvalidBlock,
)
from dst.execution.genesis import Genesis
from dst.execution.header import (
    Header,
    header_fault,
    requests_hash,
)
from dst.execution.pruning import ARCHIVE, Retention
from dst.execution.receipts import Receipt
from dst.execution.state.flat import Position
from dst.execution.state.nodes import StateUnavailable
from dst.execution.state.reader import StateReader
from dst.execution.state.trie import ordered_root
from dst.execution.states import States
from dst.execution.store import BlockStore, Body, PlacedReceipt, Pointers
from dst.runtime.tables import StoreUnavailable
from dst.spec.beacon import Withdrawal
from dst.spec.errors import InvalidInput
from dst.spec.primitives import ZERO_HASH, Hash32, to_hex
from dst.transactions.decoded import decode_once
from dst.transactions.transaction import InvalidTransaction, Transaction

HEADER_CACHE_ENTRIES: Final = 1_024
"""Four times what BLOCKHASH can reach."""


Blocks: TypeAlias = list[tuple[int, bytes]]
"""(number, hash) each."""


class UnknownBlock(InvalidInput):
    """A block that is not here."""


class UnknownParent(UnknownBlock):
    """The parent is not here: the answer is SYNCING, and the rollup node brings it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadChange:
    """What moving the head did to the canonical chain, oldest first."""

    added: tuple[Hash32, ...] = ()
    removed: tuple[Hash32, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """safe and finalized fall back to genesis for readers while nobody named one."""

    head: Header
    head_hash: Hash32
    safe_hash: Hash32
    finalized_hash: Hash32


class Chain:
    def __init__(
        self,
        store: BlockStore,
        genesis: Genesis,
        retention: Retention = ARCHIVE,
        engine: Engine = Engine.FAST,
    ) -> None:
        self.chain_id = genesis.chain_id
        self._engine = engine
        self.genesis_hash = genesis.header.hash
        self._store = store
        self._headers: OrderedDict[bytes, Header] = OrderedDict()
        self._pointers = store.open(genesis.header, genesis.state)
        """As last written by us; after a write that failed the store may have them or not."""
        self._heads = self._heads_of(self._pointers)
        self.states = States(store, retention)
        self.states.load_layers(self._heads.head, self._heads.head_hash)

    # reads

    @property
    def heads(self) -> Heads:
        """One consistent view of the three pointers."""
        return self._heads

    def header(self, block_hash: bytes) -> Header | None:
        header = self._headers.get(block_hash) or self._store.header(block_hash)
        if header is not None:
            self._headers[block_hash] = header
            while len(self._headers) > HEADER_CACHE_ENTRIES:
                self._headers.popitem(last=False)
        return header

    def bloom(self, block_hash: bytes) -> int | None:
        """Bloom filter of a block's logs; a search through thousands of blocks asks for nothing
        else of most, and leaves the cache of headers alone."""
        header = self._headers.get(block_hash)
        if header is None:
            return self._store.bloom(block_hash)
        return int.from_bytes(header.logs_bloom, "big")

    def body(self, block_hash: bytes) -> Body:
        return self._store.body(block_hash)

    def receipts(self, block_hash: bytes) -> tuple[Receipt, ...]:
        return self._store.receipts(block_hash)

    def receipt_at(self, block_hash: bytes, index: int) -> PlacedReceipt | None:
        """One receipt and the index of its first log in the block, whatever the block's size."""
        return self._store.receipt_at(block_hash, index)

    def transaction_at(self, block_hash: bytes, index: int) -> bytes | None:
        """One raw transaction, whatever the block's size."""
        return self._store.transaction_at(block_hash, index)

    def canonical_hash(self, number: int) -> Hash32 | None:
        return self._store.canonical_hash(number)

    def location(self, transaction_hash: bytes) -> tuple[Hash32, int] | None:
        return self._store.location(transaction_hash)

    def reader(self, root: bytes) -> StateReader:
        """A fresh reader of one state; not for two threads at once. Raises: StateUnavailable."""
        heads = self._heads
        if root == heads.head.state_root:
            return self.states.after(heads.head_hash, heads.head)
        return self.states.with_root(root)

    def reader_after(self, block_hash: bytes) -> StateReader:
        """A fresh reader of the state after a block; what is built on the block reads this one.

        Raises: UnknownBlock, StateUnavailable.
        """
        header = self.header(block_hash)
        if header is None:
            raise UnknownBlock(f"block {to_hex(block_hash)} is not known")
        return self.states.after(block_hash, header)

    @property
    def oldest_state(self) -> int:
        """Number of the oldest canonical block whose state is kept."""
        return self.states.oldest

    def environment(self, header: Header) -> BlockEnvironment:
        return BlockEnvironment(
            chain_id=self.chain_id,
            number=header.number,
            timestamp=header.timestamp,
            fee_recipient=header.fee_recipient,
            prev_randao=header.prev_randao,
            gas_limit=header.gas_limit,
            base_fee_per_gas=header.base_fee_per_gas,
            parent_hash=header.parent_hash,
            parent_beacon_block_root=header.parent_beacon_block_root,
            ancestor_hash=self._ancestor_lookup(header),
            engine=self._engine,
        )

    def is_ancestor(self, ancestor: bytes, of: Header, of_hash: bytes) -> bool:
        """True also when both are the same block."""
        wanted = self.header(ancestor)
        if wanted is None:
            return False
        current, current_hash = of, of_hash
        while current.number > wanted.number:
            if self._is_canonical(current, current_hash):
                return self._is_canonical(wanted, ancestor)
            current_hash = current.parent_hash
            current = self._require_header(current_hash)
        return current_hash == ancestor

    # changes

    def execute(
        self,
        header: Header,
        transactions: Sequence[bytes],
        withdrawals: tuple[Withdrawal, ...],
        interrupt: Interrupt,
    ) -> ExecutedBlock:
        """Execute a block whose header is claimed, and compare all that it claims.

        Raises: UnknownParent, InvalidBlock, ExecutionAborted. Nothing is stored.
        """
        parent = self.header(header.parent_hash)
        if parent is None:
            raise UnknownParent(f"parent {to_hex(header.parent_hash)} is not known")
        fault = header_fault(header, parent)
        if fault is not None:
            raise InvalidBlock(fault)
        try:
            reader = self.states.after(header.parent_hash, parent)
        except StateUnavailable as error:
            raise UnknownParent(str(error)) from None
        decoded = _decode_all(transactions)
        run = BlockRun(reader, self.environment(header), interrupt)
        for index, transaction in enumerate(decoded):
            try:
                run.apply(transaction)
            except InvalidTransaction as error:
                raise InvalidBlock(f"transaction {index}: {error}") from None
        result = run.finish(withdrawals)
        _compare(header, result)
        return ExecutedBlock(
            header=header,
            hash=header.hash,
            transactions=decoded,
            withdrawals=withdrawals,
            result=result,
        )

    def insert(self, block: ExecutedBlock) -> None:
        """Store a valid block; idempotent; the head stays.

        Raises: UnknownParent when the parent's state has been pruned since; StoreUnavailable.
        """
        header, state = block.header, block.result.state
        if self.states.is_kept(block.hash, header):
            return
        parent = self.header(header.parent_hash)
        if parent is None or not self.states.is_kept(header.parent_hash, parent):
            raise UnknownParent(f"state of block {header.number - 1} is not available: pruned")
        self._store.put_block(header, block.body(), block.result.receipts, state)
        self.states.add(block.hash, header, state.diff)
        self._headers[block.hash] = header

    def change_to(self, head: Hash32) -> HeadChange:
        """What `set_forkchoice` would do to the canonical chain. Raises as it does."""
        self._head_to_be(head)
        added, removed, _ = self._path(head)
        return _change(added, removed)

    def set_forkchoice(self, head: Hash32, safe: Hash32, finalized: Hash32) -> HeadChange:
        """Move the pointers; safe and finalized are checked by the caller. Whoever needs to read
        what the change is about does so before: the store may be gone right after it.

        Raises: UnknownBlock when `head` is not here or its state is pruned; StoreUnavailable.
        """
        header = self._head_to_be(head)
        pointers = Pointers(head, safe, finalized)
        if pointers == self._pointers:
            return HeadChange()
        heads = self._heads_of(pointers)
        added, removed, common = self._path(head)
        if not self.states.can_turn_to(common.number):
            raise UnknownBlock(f"head {to_hex(head)} leaves the chain below what can be undone")
        with self.states.leaving(common):
            self._store.set_canonical(added, removed, pointers)
        self._pointers, self._heads = pointers, heads
        self._follow(header)
        return _change(added, removed)

    def _head_to_be(self, head: Hash32) -> Header:
        header = self.header(head)
        if header is None or not self.states.is_kept(head, header):
            raise UnknownBlock(f"head {to_hex(head)} is not known")
        return header

    def _follow(self, head: Header) -> None:
        """What can wait: a full disk has been logged, and the next head comes back to it."""
        with suppress(StoreUnavailable):
            self.states.follow(head, self._finalized_number())

    def _finalized_number(self) -> int:
        return self._require_header(self._heads.finalized_hash).number

    def _path(self, head: Hash32) -> tuple[Blocks, Blocks, Position]:
        """Blocks to add and to remove so that `head` ends the canonical chain, oldest first, and
        the block that both ends share. From the old head's ancestry: after a write that failed the
        store's index may be of the old chain or of the new."""
        added: Blocks = []
        removed: Blocks = []
        new, header = bytes(head), self._require_header(head)
        old, leaving = bytes(self._heads.head_hash), self._heads.head
        while new != old:
            if header.number >= leaving.number:
                added.append((header.number, new))
                new = header.parent_hash
                header = self._require_header(new)
            else:
                removed.append((leaving.number, old))
                old = leaving.parent_hash
                leaving = self._require_header(old)
        return added[::-1], removed[::-1], Position(new, header.number)

    def _is_canonical(self, header: Header, block_hash: bytes) -> bool:
        return (
            header.number <= self._heads.head.number
            and self._store.canonical_hash(header.number) == block_hash
        )

    def _heads_of(self, pointers: Pointers) -> Heads:
        genesis = self.genesis_hash
        return Heads(
            head=self._require_header(pointers.head),
            head_hash=Hash32(pointers.head),
            safe_hash=Hash32(pointers.safe if pointers.safe != ZERO_HASH else genesis),
            finalized_hash=Hash32(
                pointers.finalized if pointers.finalized != ZERO_HASH else genesis
            ),
        )

    def _require_header(self, block_hash: bytes) -> Header:
        header = self.header(block_hash)
        assert header is not None, f"store lacks header 0x{block_hash.hex()}"
        return header

    def _ancestor_lookup(self, header: Header) -> Callable[[int], bytes]:
        """Walks the block's own ancestry, which need not be the canonical one; remembers what it
        passed."""
        known = {header.number - 1: bytes(header.parent_hash)}
        lowest = header.number - 1

        def ancestor_hash(number: int) -> bytes:
            nonlocal lowest
            while number < lowest:
                known[lowest - 1] = self._require_header(known[lowest]).parent_hash
                lowest -= 1
            return known.get(number, b"")

        return ancestor_hash


def _change(added: Blocks, removed: Blocks) -> HeadChange:
    return HeadChange(
        added=tuple(Hash32(each) for _, each in added),
        removed=tuple(Hash32(each) for _, each in removed),
    )


def _decode_all(transactions: Sequence[bytes]) -> tuple[Transaction, ...]:
    decoded = []
    for index, raw in enumerate(transactions):
        try:
            decoded.append(decode_once(raw))
        except InvalidTransaction as error:
            raise InvalidBlock(f"transaction {index}: {error}") from None
    return tuple(decoded)


def _compare(header: Header, result: BlockResult) -> None:
    """What the execution found against what the header claims. Raises: InvalidBlock."""
    if result.gas_used != header.gas_used:
        raise InvalidBlock(f"gas used {header.gas_used}, executed {result.gas_used}")
    claims = (
        ("logs bloom", header.logs_bloom, result.bloom.to_bytes(256, "big")),
        (
            "receipts root",
            header.receipts_root,
            ordered_root([each.encode() for each in result.receipts]),
        ),
        ("requests hash", header.requests_hash, requests_hash(result.requests)),
        ("state root", header.state_root, result.state.root),
    )
    for name, claimed, executed in claims:
        if claimed != executed:
            raise InvalidBlock(f"{name} {to_hex(claimed)[:18]}…, executed {to_hex(executed)[:18]}…")
