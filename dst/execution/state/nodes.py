"""Trie nodes as they are stored, and where: by the version that wrote them and their path.

A *version* is the number of one commit, given out once in a process's life and never twice in a
store's. A node's key is version, trie, path, so no two blocks ever write the same node, also where
the contents agree. Three things follow. A node has one creator and, along one chain, one block that
replaces it: that block lists it as stale, and deleting it needs no count of references. A block's
new nodes lie side by side in the store, so writing them is appending. A child cannot be found by
its hash alone, so a node is stored with the versions of its children, and a leaf of the account
trie with the version of its storage trie's root (`node_format`).
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final, NamedTuple

from dst.crypto.keccak import keccak256
from dst.execution.state.node_format import Node, unpack
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Hash32

EMPTY_ROOT: Final = keccak256(b"\x80")
VERSION_BYTES: Final = 4
MAX_VERSION: Final = 2**32 - 1
_STORAGE: Final = b"\x10"
"""Between version and owner in the key of a storage node: no nibble, so never part of a path."""
NODE_CACHE_BYTES: Final = 48 * 2**20
"""Packed nodes kept in memory: all of the upper five levels at 10^6 accounts."""
SHALLOW_DEPTH: Final = 2
"""Nibbles of path up to which a node is also kept decoded: every block changes most of these, and
several children of each. Below them most changes are alone, and made to the packed form."""
MAX_SHALLOW_NODES: Final = 1_024
"""At most 2 MB; one account trie has 273 of them."""
_ENTRY_OVERHEAD: Final = 160
"""What CPython adds to an entry's value: the key, two object headers, the slot in the table."""


class StateUnavailable(InvalidInput):
    """The state of that block is not here: pruned, or never executed here."""


class Ref(NamedTuple):
    """A trie's root: its hash, and the version that its node was written under."""

    hash: Hash32
    version: int


EMPTY_REF: Final = Ref(EMPTY_ROOT, 0)


def node_key(version: int, owner: bytes, path: bytes) -> bytes:
    """`owner`: keccak of the address for a storage trie, empty for the account trie; `path`: one
    byte a nibble."""
    if owner:
        return version.to_bytes(VERSION_BYTES, "big") + _STORAGE + owner + path
    return version.to_bytes(VERSION_BYTES, "big") + path


@dataclass(slots=True)
class CacheStatistics:
    hits: int = 0
    misses: int = 0
    bytes: int = 0


class NodeStore:
    """Packed nodes by key: a cache in front of the store, and the source of versions. Threads may
    share it: what it holds never changes under a key. It is bounded by bytes in two generations:
    what was not used while half of the bound was filled anew is forgotten, all at once."""

    def __init__(
        self,
        load: Callable[[bytes], bytes | None],
        *,
        first_version: int = 1,
        limit_bytes: int = NODE_CACHE_BYTES,
    ) -> None:
        self._load, self._limit = load, limit_bytes
        self._versions: Iterator[int] = count(first_version)
        self._young: dict[bytes, bytes] = {}
        self._old: dict[bytes, bytes] = {}
        self._young_bytes = 0
        self._shallow: dict[bytes, Node] = {}
        self._lock = threading.Lock()
        self.statistics = CacheStatistics()

    def new_version(self) -> int:
        version = next(self._versions)
        assert version <= MAX_VERSION, "versions are used up"
        return version

    def get(self, key: bytes) -> bytes:
        """Raises: StateUnavailable when the node was pruned."""
        data = self._young.get(key)
        if data is not None:
            self.statistics.hits += 1
            return data
        data = self._old.get(key)
        if data is not None:
            self.statistics.hits += 1
        else:
            self.statistics.misses += 1
            data = self._load(key)
            if data is None:
                raise StateUnavailable("state is not available: pruned")
        self.remember({key: data})
        return data

    def node(self, key: bytes, depth: int) -> Node:
        """The same, decoded; nodes near the root stay decoded. Not to be changed."""
        if depth > SHALLOW_DEPTH:
            return unpack(self.get(key))
        node = self._shallow.get(key)
        if node is None:
            node = unpack(self.get(key))
            self.remember({}, {key: node})
        return node

    def remember(
        self,
        nodes: dict[bytes, bytes],
        shallow: dict[bytes, Node] | None = None,
        stale: Sequence[bytes] = (),
    ) -> None:
        """What was just read or written: packed, and decoded where it is shallow. `stale` nodes are
        no longer in the newest state."""
        with self._lock:
            if shallow:
                self._shallow.update(shallow)
                for key in stale:
                    self._shallow.pop(key, None)
                while len(self._shallow) > MAX_SHALLOW_NODES:
                    del self._shallow[next(iter(self._shallow))]
            self._young.update(nodes)
            size = sum(map(len, nodes.values())) + _ENTRY_OVERHEAD * len(nodes)
            self._young_bytes += size
            self.statistics.bytes += size
            if self._young_bytes > self._limit // 2:
                self._old, self._young = self._young, {}
                self.statistics.bytes, self._young_bytes = self._young_bytes, 0

    def forget(self) -> None:
        """Empty the caches: for who overwrites nodes of a version that is not finished."""
        with self._lock:
            self._young, self._old, self._young_bytes = {}, {}, 0
            self._shallow.clear()
            self.statistics.bytes = 0


class ScratchNodes(NodeStore):
    """The same nodes for a state that is never stored: its commits use up no versions, and what
    they make stays here."""

    def __init__(self, nodes: NodeStore) -> None:
        self._nodes = nodes
        self._made: dict[bytes, bytes] = {}

    def new_version(self) -> int:
        return MAX_VERSION

    def get(self, key: bytes) -> bytes:
        made = self._made.get(key)
        return self._nodes.get(key) if made is None else made

    def node(self, key: bytes, depth: int) -> Node:
        made = self._made.get(key)
        return self._nodes.node(key, depth) if made is None else unpack(made)

    def remember(
        self,
        nodes: dict[bytes, bytes],
        shallow: dict[bytes, Node] | None = None,
        stale: Sequence[bytes] = (),
    ) -> None:
        self._made.update(nodes)


def nothing_stored(key: bytes) -> None:
    """The `load` of a store that is empty."""
    return None
