"""Merkle-Patricia trie over versioned nodes: reads walk it, a batch of writes changes it in one
pass from the leaves up.

Each dirty node is unpacked, encoded and hashed once however many keys below it change.
Source: yellow paper, appendix D.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dst.crypto.keccak import keccak256
from dst.execution.state.node_format import (
    EMPTY,
    HASH_ITEM_BYTES,
    Branch,
    Child,
    Extension,
    Leaf,
    Made,
    Node,
    PackedBranch,
    child_at,
    decode_in_place,
    empty_branch,
    encode_node,
    hash_item,
    is_hash,
    pack,
    patch_branch,
    to_nibbles,
    unpack,
)
from dst.execution.state.nodes import (
    EMPTY_REF,
    EMPTY_ROOT,
    SHALLOW_DEPTH,
    NodeStore,
    Ref,
    node_key,
)
from dst.execution.state.ordered import ordered_root

__all__ = ["EMPTY_ROOT", "Entry", "Trie", "TrieChange", "ordered_root", "to_nibbles"]


class Entry(NamedTuple):
    """A write: `path` in nibbles, b"" as `value` deletes, `tail` as in `Leaf`."""

    path: bytes
    value: bytes
    tail: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrieChange:
    """A batch applied: the new root, what the store must keep, and what only older states need."""

    root: Ref
    nodes: dict[bytes, bytes] = field(default_factory=dict)
    stale: list[bytes] = field(default_factory=list)


class Trie:
    """One version of one trie. `owner`: keccak of the address for a storage trie."""

    def __init__(self, nodes: NodeStore, root: Ref = EMPTY_REF, owner: bytes = b"") -> None:
        self._nodes, self._owner = nodes, owner
        self.root = root

    def get(self, key: bytes) -> bytes:
        """The value of `key`, b"" when there is none. Raises: StateUnavailable."""
        return self.find(key)[0]

    def find(self, key: bytes) -> tuple[bytes, int]:
        """The value of `key` and its tail, (b"", 0) when there is none. Raises:
        StateUnavailable."""
        path, at = to_nibbles(key), 0
        for node in self._walk(path):
            if isinstance(node, Branch):
                if at == len(path):
                    return node.value, 0
                at += 1
            elif path[at : at + len(node.path)] != node.path:
                break
            elif isinstance(node, Leaf):
                return (node.value, node.tail) if at + len(node.path) == len(path) else (b"", 0)
            else:
                at += len(node.path)
        return b"", 0

    def proof(self, key: bytes) -> list[bytes]:
        """RLP of the nodes from the root towards `key`, those stored by hash (EIP-1186)."""
        return [encode_node(node) for node, by_hash in self._steps(to_nibbles(key)) if by_hash]

    def update(self, entries: Iterable[Entry], version: int) -> TrieChange:
        """Apply writes, one a path. The trie itself stays as it is."""
        changer = _Changer(self._nodes, self._owner, version)
        return changer.run(self.root, sorted(entries))

    def keys_of_nodes(self) -> Iterator[bytes]:
        """Store keys of all its nodes."""
        if self.root.hash != EMPTY_ROOT:
            yield from self._keys_below(hash_item(self.root.hash), self.root.version, b"")

    def _keys_below(self, item: bytes, version: int, path: bytes) -> Iterator[bytes]:
        if not is_hash(item):  # in place: its children are too
            return
        key = node_key(version, self._owner, path)
        yield key
        node = unpack(self._nodes.get(key))
        if type(node) is Extension:
            yield from self._keys_below(node.child, node.version, path + node.path)
        elif type(node) is Branch:
            for nibble, child in enumerate(node.items):
                assert isinstance(child, bytes)
                yield from self._keys_below(child, node.versions[nibble], path + bytes((nibble,)))

    def _walk(self, path: bytes) -> Iterator[Node]:
        """Nodes towards `path`, those in place included."""
        for node, _ in self._steps(path):
            yield node

    def _steps(self, path: bytes) -> Iterator[tuple[Node, bool]]:
        """Nodes towards `path`, and whether each is referred to by hash or lies in its parent."""
        if self.root.hash == EMPTY_ROOT:
            return
        item: Child = hash_item(self.root.hash)
        version, at = self.root.version, 0
        while item != EMPTY:
            assert isinstance(item, bytes)
            if is_hash(item):
                node = self._nodes.node(node_key(version, self._owner, path[:at]), at)
            else:
                node = decode_in_place(item)
            yield node, is_hash(item)
            if isinstance(node, Branch) and at < len(path):
                item, version, at = node.items[path[at]], node.versions[path[at]], at + 1
            elif isinstance(node, Extension) and path.startswith(node.path, at):
                item, version, at = node.child, node.version, at + len(node.path)
            else:
                return


class _Changer:
    """One batch. Methods named after a node kind return what takes its place, None for nothing;
    what they return is encoded by whoever keeps it."""

    def __init__(self, nodes: NodeStore, owner: bytes, version: int) -> None:
        self._nodes, self._owner, self._version = nodes, owner, version
        self.new: dict[bytes, bytes] = {}
        self.shallow: dict[bytes, Node] = {}
        self.stale: list[bytes] = []

    def run(self, root: Ref, entries: list[Entry]) -> TrieChange:
        if not entries:
            return TrieChange(root=root)
        item = EMPTY if root.hash == EMPTY_ROOT else hash_item(root.hash)
        node = self._change(item, root.version, 0, entries)
        ref = self.store_root(node)
        self._nodes.remember(self.new, self.shallow, self.stale)
        return TrieChange(root=ref, nodes=self.new, stale=self.stale)

    def store_root(self, node: Made | None) -> Ref:
        """A root is stored by hash however short it is."""
        if node is None:
            return EMPTY_REF
        assert not isinstance(node, PackedBranch), "those lie deep"
        encoded = encode_node(node)
        key = node_key(self._version, self._owner, b"")
        self.new[key] = pack(node, encoded)
        self.shallow[key] = node
        return Ref(keccak256(encoded), self._version)

    def store(self, node: Made, path: bytes) -> bytes:
        """The item by which a parent refers to `node`; its version is this batch's."""
        if isinstance(node, PackedBranch):
            self.new[node_key(self._version, self._owner, path)] = node.packed
            return hash_item(keccak256(node.encoded))
        encoded = encode_node(node)
        if len(encoded) < 32:
            return encoded
        key = node_key(self._version, self._owner, path)
        self.new[key] = pack(node, encoded)
        if len(path) <= SHALLOW_DEPTH:
            self.shallow[key] = node
        return hash_item(keccak256(encoded))

    def build(self, at: int, entries: Sequence[Entry]) -> Made | None:
        """A fresh subtree of keys that agree in their first `at` nibbles."""
        entries = [each for each in entries if each.value]
        if not entries:
            return None
        first = entries[0].path
        if len(entries) == 1:
            return Leaf(first[at:], entries[0].value, entries[0].tail)
        shared = _common_prefix(first, entries[-1].path, at)  # sorted: the ends differ most
        branch = self._fill(empty_branch(), shared, entries)
        assert branch is not None
        return self._extend(first[:at], first[at:shared], branch)

    def _change(self, child: Child, version: int, at: int, entries: Sequence[Entry]) -> Made | None:
        if child == EMPTY:
            return self.build(at, entries)
        assert not isinstance(child, PackedBranch), "nobody changes what was just made"
        if not isinstance(child, bytes):
            return self._change_node(child, at, entries)
        if at > SHALLOW_DEPTH and len(entries) == 1 and is_hash(child):
            return self._change_one(version, at, entries[0])
        node, key = self._load(child, version, entries[0].path[:at])
        if key:
            self.stale.append(key)
        return self._change_node(node, at, entries)

    def _change_one(self, version: int, at: int, entry: Entry) -> Made | None:
        """One write far from the root, where most are alone. On the way down and up a branch stays
        in its stored form: a third of the cost of taking it apart and putting it together."""
        path, way = entry.path, []
        while True:
            key = node_key(version, self._owner, path[:at])
            self.stale.append(key)
            packed = self._nodes.get(key)
            child = child_at(packed, path[at]) if at < len(path) else None
            if child is None:
                node = self._change_node(unpack(packed), at, (entry,))
                break
            way.append((packed, at))
            item, version = child
            at += 1
            if item == EMPTY:
                node = self.build(at, (entry,))
                break
        for packed, depth in reversed(way):
            node = self._put_child(packed, path[: depth + 1], node)
        return node

    def _put_child(self, packed: bytes, path: bytes, node: Made | None) -> Made | None:
        """What becomes of a branch of hashes when `node` takes the place of its child at `path`."""
        nibble, item = path[-1], EMPTY
        if node is not None:
            item = self.store(node, path)
            if len(item) == HASH_ITEM_BYTES:
                patched = patch_branch(packed, nibble, item, self._version)
                if patched is not None:
                    return patched
        branch = unpack(packed)
        assert isinstance(branch, Branch)
        branch.items[nibble], branch.versions[nibble] = item, self._version
        return self._finish(branch, path[:-1], {nibble}, node is None)

    def _change_node(self, node: Node, at: int, entries: Sequence[Entry]) -> Made | None:
        if isinstance(node, Branch):
            return self._fill(node.copy(), at, entries)
        if type(node) is Leaf:
            return self._leaf(node, at, entries)
        assert type(node) is Extension
        return self._extension(node, at, entries)

    def _load(self, item: bytes, version: int, path: bytes) -> tuple[Node, bytes]:
        """The node and its key in the store, b"" for one in place."""
        if not is_hash(item):
            return decode_in_place(item), b""
        key = node_key(version, self._owner, path)
        return self._nodes.node(key, len(path)), key

    def _leaf(self, leaf: Leaf, at: int, entries: Sequence[Entry]) -> Made | None:
        own = entries[0].path[:at] + leaf.path
        if len(entries) == 1 and entries[0].path == own:
            _, value, tail = entries[0]
            return Leaf(leaf.path, value, tail) if value else None
        if all(each.path != own for each in entries):
            entries = sorted([*entries, Entry(own, leaf.value, leaf.tail)])
        return self.build(at, entries)

    def _extension(self, node: Extension, at: int, entries: Sequence[Entry]) -> Made | None:
        path, prefix = node.path, entries[0].path[:at]
        entries = [each for each in entries if each.value or each.path.startswith(path, at)]
        if not entries:
            return node
        end = at + len(path)
        own = prefix + path
        shared = min(
            _common_prefix(own, entries[0].path, at), _common_prefix(own, entries[-1].path, at)
        )
        if shared == end:
            below = self._change(node.child, node.version, end, entries)
            return self._extend(prefix, path, below)
        branch = empty_branch()  # the extension forks here
        slot, rest = own[shared], own[shared + 1 :]
        branch.items[slot] = Extension(rest, node.child, node.version) if rest else node.child
        branch.versions[slot] = node.version
        return self._extend(prefix, own[at:shared], self._fill(branch, shared, entries, {slot}))

    def _fill(
        self, branch: Branch, at: int, entries: Sequence[Entry], changed: set[int] | None = None
    ) -> Made | None:
        """`branch`, at depth `at`, with entries put in or taken out; its children encoded.
        `changed`: children that were put there by hand."""
        items, versions, prefix = branch.items, branch.versions, entries[0].path[:at]
        start, end, emptied = 0, len(entries), False
        changed = set() if changed is None else changed
        if len(entries[0].path) == at:
            branch.value, branch.mask, start = entries[0].value, None, 1
            emptied = not branch.value
        while start < end:
            nibble = entries[start].path[at]
            stop = start + 1
            while stop < end and entries[stop].path[at] == nibble:
                stop += 1
            node = self._change(items[nibble], versions[nibble], at + 1, entries[start:stop])
            emptied |= node is None
            items[nibble] = EMPTY if node is None else node
            changed.add(nibble)
            start = stop
        return self._finish(branch, prefix, changed, emptied)

    def _finish(
        self, branch: Branch, prefix: bytes, changed: set[int], emptied: bool
    ) -> Made | None:
        """Encode the changed children, or put something simpler in the branch's place."""
        if emptied:
            used = [nibble for nibble in range(16) if branch.items[nibble] != EMPTY]
            if len(used) + bool(branch.value) < 2:
                return self._collapse(branch, prefix, used)
        for nibble in changed:
            self._keep(branch, nibble, prefix)
        return branch

    def _keep(self, branch: Branch, nibble: int, prefix: bytes) -> None:
        """Encode a changed child and note it in the mask."""
        child = branch.items[nibble]
        if not isinstance(child, bytes):
            child = branch.items[nibble] = self.store(child, prefix + bytes((nibble,)))
            branch.versions[nibble] = self._version
        if branch.mask is not None:
            if is_hash(child):
                branch.mask |= 1 << nibble
            elif child == EMPTY:
                branch.mask &= ~(1 << nibble)
            else:
                branch.mask = None

    def _collapse(self, branch: Branch, prefix: bytes, used: list[int]) -> Made | None:
        """What stands for a branch with one child, or only a value, or nothing left."""
        if not used:
            return Leaf(b"", branch.value, 0) if branch.value else None
        nibble = used[0]
        step, child = bytes((nibble,)), branch.items[nibble]
        if not isinstance(child, bytes):
            return self._extend(prefix, step, child)
        node, key = self._load(child, branch.versions[nibble], prefix + step)
        if type(node) is Branch:  # stays where it is
            return Extension(step, child, branch.versions[nibble])
        if key:
            self.stale.append(key)
        return self._extend(prefix, step, node)

    def _extend(self, prefix: bytes, path: bytes, node: Made | None) -> Made | None:
        """What reaches `node` through `path`, merged with it when it is short."""
        if node is None or not path:
            return node
        if type(node) is Leaf:
            return Leaf(path + node.path, node.value, node.tail)
        if type(node) is Extension:
            return Extension(path + node.path, node.child, node.version)
        return Extension(path, self.store(node, prefix + path), self._version)


def _common_prefix(left: bytes, right: bytes, start: int) -> int:
    """Index of the first difference from `start` on."""
    end = min(len(left), len(right))
    for index in range(start, end):
        if left[index] != right[index]:
            return index
    return end
