"""Every state the chain can read: which blocks' states are kept, and by what way each is read.

Recent states are read flat (layers over a base that follows the head), older ones from their trie
nodes, until pruning takes them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Final

from dst.execution.flat_store import decode_diff
from dst.execution.header import Header
from dst.execution.pruning import Retention, prune
from dst.execution.state.commit import StateDiff
from dst.execution.state.flat import LAYERS_KEPT, FlatState, Layer, Position
from dst.execution.state.nodes import NodeStore, Ref, StateUnavailable
from dst.execution.state.reader import StateReader, TrieSource
from dst.execution.store import BlockStore
from dst.runtime.metrics import Metrics

MAX_BASE_MOVE: Final = 64
"""Blocks the base moves over in one write; after a long import it takes several."""
CODE_CACHE_ENTRIES: Final = 1_024
"""At most 24 MB."""


class States:
    """Any thread reads; the thread that changes the chain calls `add` and `follow`."""

    def __init__(self, store: BlockStore, retention: Retention) -> None:
        self._store, self._retention = store, retention
        self.nodes = NodeStore(store.node, first_version=store.next_version())
        self.flat = FlatState(store.base(), store.account, store.slot)
        self._code = lru_cache(CODE_CACHE_ENTRIES)(store.code)
        self.oldest = store.oldest_state()
        self.pruned_nodes = 0

    def load_layers(self, head: Header, head_hash: bytes) -> None:
        """After a start: the layers between the base and the head, from the store."""
        chain: list[Layer] = []
        block_hash, header = head_hash, head
        while block_hash != self.flat.position.hash:
            chain.append(
                Layer(block_hash, header.parent_hash, header.number, self._stored_diff(block_hash))
            )
            block_hash = header.parent_hash
            parent = self._store.header(block_hash)
            assert parent is not None, f"store lacks block 0x{block_hash.hex()}"
            header = parent
        for layer in reversed(chain):
            self.flat.add(layer)

    def is_kept(self, block_hash: bytes, header: Header) -> bool:
        return self._store.state_of(block_hash, header.state_root) is not None

    def after(self, block_hash: bytes, header: Header) -> StateReader:
        """The state after one block. Raises: StateUnavailable."""
        ref = self._store.state_of(block_hash, header.state_root)
        if ref is None:
            raise StateUnavailable(f"state of block {header.number} is not available: pruned")
        return self._reader(block_hash, ref)

    def with_root(self, root: bytes) -> StateReader:
        """A state by its root, wherever it occurs. Raises: StateUnavailable."""
        places = self._store.states(root)
        if not places:
            raise StateUnavailable(f"state 0x{root.hex()} is not available: pruned or unknown")
        for block_hash, ref in places:
            trie = TrieSource(self.nodes, ref)
            source = self.flat.source(block_hash, trie)
            if source is not None:
                return StateReader(self.nodes, self._code, ref, source)
        return StateReader(self.nodes, self._code, places[-1][1])

    def add(self, block_hash: bytes, header: Header, diff: StateDiff) -> None:
        """A block is in the store now."""
        self.flat.add(Layer(block_hash, header.parent_hash, header.number, diff))

    def can_turn_to(self, number: int) -> bool:
        """Whether the base can go back to the canonical block of that number."""
        return number >= self.flat.position.number or self._store.can_undo(number + 1)

    @contextmanager
    def leaving(self, common: Position) -> Iterator[None]:
        """Around the write that makes another branch, from `common` on, canonical."""
        if common.number >= self.flat.position.number:
            yield
            return
        with self.flat.moving(common):
            yield

    def follow(self, head: Header, finalized: int) -> None:
        """The head has moved: bring the base after it, and let go of what is out of the window."""
        target = head.number - LAYERS_KEPT
        while self.flat.position.number < target:
            first = self.flat.position.number + 1
            self._advance(range(first, min(first + MAX_BASE_MOVE, target + 1)))
        step = prune(self._store, self._retention.boundary(head.number, finalized))
        self.oldest = step.oldest_state
        self.pruned_nodes += step.nodes

    def _advance(self, numbers: range) -> None:
        moves = [self._move(number) for number in numbers]
        with self.flat.moving(moves[-1][0]):
            self._store.advance_base(moves)

    def _move(self, number: int) -> tuple[Position, StateDiff]:
        block_hash = self._store.canonical_hash(number)
        assert block_hash is not None, f"no canonical block {number} below the head"
        layer = self.flat.layer(block_hash)
        diff = layer.diff if layer is not None else self._stored_diff(block_hash)
        return Position(block_hash, number), diff

    def register(self, metrics: Metrics) -> None:
        """Gauges of the store: sizes, caches, layers, pruning."""
        nodes, flat = self.nodes.statistics, self.flat.statistics
        for name, read in (
            ("store_bytes", self._store.tables.bytes_used),
            ("store_node_cache_bytes", lambda: nodes.bytes),
            ("store_node_cache_hits_total", lambda: nodes.hits),
            ("store_node_cache_misses_total", lambda: nodes.misses),
            ("store_layers", lambda: len(self.flat)),
            ("store_base_number", lambda: self.flat.position.number),
            ("store_layer_hits_total", lambda: flat.layer_hits),
            ("store_base_reads_total", lambda: flat.base_reads),
            ("store_flat_misses_total", lambda: flat.trie_reads),
            ("store_oldest_state", lambda: self.oldest),
            ("store_pruned_nodes_total", lambda: self.pruned_nodes),
        ):
            metrics.function(name, _as_float(read))

    def _reader(self, block_hash: bytes, ref: Ref) -> StateReader:
        source = self.flat.source(block_hash, TrieSource(self.nodes, ref))
        return StateReader(self.nodes, self._code, ref, source)

    def _stored_diff(self, block_hash: bytes) -> StateDiff:
        data = self._store.diff(block_hash)
        assert data is not None, f"store lacks the diff of 0x{block_hash.hex()}"
        return decode_diff(data)


def _as_float(read: Callable[[], int]) -> Callable[[], float]:
    return lambda: float(read())
