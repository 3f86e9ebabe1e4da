"""Flat state: what accounts and slots are, without walking a trie.

A *base* in the store holds every account and slot as of one canonical block; *layers* in memory,
one a block above it, hold what each block changed and point at their parents. A state is read
through its chain of layers and then the base. The base follows the head at a distance of
`LAYERS_KEPT`; moving it over a block leaves an undo record, so that it can move back when a reorg
goes below it. What no chain of layers reaches (older blocks, branches off below the base) is read
from the trie.

One thread writes; readers stay right while it does. Whoever moves the base announces it, writes,
and settles; a reader looks at the announcement *after* each read of the base. A base that went
forward along the reader's own chain is right, because the chain has the layers it took in. Any
other move makes the reader throw the value away and ask the trie.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

from dst.execution.state.account import Account
from dst.execution.state.commit import StateDiff
from dst.execution.state.reader import TrieSource

LAYERS_KEPT: Final = 16
"""Blocks between head and base: a reorg this deep moves nothing on disk. Each costs a reader one
dictionary lookup, 50 ns."""
MAX_LAYERS: Final = 128
"""Siblings included; the oldest go first, and their blocks are read from the trie then."""


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """What one block changed."""

    hash: bytes
    parent: bytes
    number: int
    diff: StateDiff


class Position(NamedTuple):
    """The block that the base stands at."""

    hash: bytes
    number: int


class Moment(NamedTuple):
    """What readers may rely on; replaced whole. Equal `base` and `moving_to`: at rest."""

    base: Position
    moving_to: Position
    turns: int = 0
    """Moves backwards so far: a reader of before a turn may hold what the turn took away."""


@dataclass(slots=True)
class FlatStatistics:
    layer_hits: int = 0
    base_reads: int = 0
    trie_reads: int = 0


class FlatState:
    """The layers, and where the base is; the store keeps the base itself."""

    def __init__(
        self,
        position: Position,
        read_account: Callable[[bytes], Account | None],
        read_slot: Callable[[bytes, int], int],
    ) -> None:
        self.moment = Moment(position, position)
        self.read_account, self.read_slot = read_account, read_slot
        self.statistics = FlatStatistics()
        self._layers: dict[bytes, Layer] = {}

    def __len__(self) -> int:
        return len(self._layers)

    @property
    def position(self) -> Position:
        return self.moment.base

    def add(self, layer: Layer) -> None:
        self._layers[layer.hash] = layer
        while len(self._layers) > MAX_LAYERS:
            del self._layers[next(iter(self._layers))]

    def layer(self, block_hash: bytes) -> Layer | None:
        return self._layers.get(block_hash)

    @contextmanager
    def moving(self, to: Position) -> Iterator[None]:
        """Around the write that moves the base; when that fails the base stays."""
        base, _, turns = self.moment
        self.moment = Moment(base, to, turns + (to.number < base.number))
        try:
            yield
        except BaseException:
            self.moment = Moment(base, base, self.moment.turns)
            raise
        self.moment = Moment(to, to, self.moment.turns)
        for each in list(self._layers.values()):
            if each.number <= to.number:
                self._layers.pop(each.hash, None)

    def source(self, block_hash: bytes, trie: TrieSource) -> "FlatSource | None":
        """The state after a block, None when the base is not in its past or layers are missing."""
        moment, layers = self.moment, self._layers
        chain: list[Layer] = []
        while block_hash != moment.base.hash:
            layer = layers.get(block_hash)
            if layer is None:
                return None
            chain.append(layer)
            block_hash = layer.parent
        return FlatSource(self, moment, tuple(chain), trie)


class FlatSource:
    """One state; answers from layers, base or, when the base has left its past, the trie."""

    def __init__(
        self, flat: FlatState, moment: Moment, chain: tuple[Layer, ...], trie: TrieSource
    ) -> None:
        self._flat, self._trie = flat, trie
        self._diffs = tuple(layer.diff for layer in chain)
        self._accounts = tuple(layer.diff.accounts for layer in chain)
        self._turns = moment.turns
        self._past = {moment.base.hash, *(layer.hash for layer in chain)}
        self._moment = moment if moment.moving_to.hash in self._past else None

    def account(self, address: bytes) -> Account | None:
        for accounts in self._accounts:
            if address in accounts:
                self._flat.statistics.layer_hits += 1
                return accounts[address]
        account = self._flat.read_account(address)
        return account if self._base_is_ours() else self._trie.account(address)

    def slot(self, address: bytes, slot: int) -> int:
        key = (address, slot)
        for diff in self._diffs:
            value = diff.slots.get(key)
            if value is not None:
                self._flat.statistics.layer_hits += 1
                return value
            if address in diff.wiped:
                return 0
        value = self._flat.read_slot(address, slot)
        return value if self._base_is_ours() else self._trie.slot(address, slot)

    def _base_is_ours(self) -> bool:
        """Asked after a read: what the base may have been then lies in our past."""
        moment = self._flat.moment
        if moment is not self._moment:
            if moment.turns != self._turns or moment.moving_to.hash not in self._past:
                self._flat.statistics.trie_reads += 1
                return False
            self._moment = moment
        self._flat.statistics.base_reads += 1
        return True
