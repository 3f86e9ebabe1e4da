"""Merkle-Patricia trie, incremental: a block's writes touch each dirty node once, at `commit`.

Nodes are plain lists, never changed once they are shared (path copying), so an old root stays
readable for ever:
    branch  [child 0 .. child 15, value]
    short   [nibbles, is_leaf, value or child]
A child is b"" (none), a 32-byte hash (in the store) or a list (inline, or not yet committed).
Source: Ethereum yellow paper, appendix D.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from dst.crypto.keccak import keccak256
from dst.spec import rlp
from dst.spec.primitives import Hash32

EMPTY_ROOT: Final = keccak256(b"\x80")

Node: TypeAlias = "list[Any]"
Child: TypeAlias = "bytes | Node"

_HEX_TO_NIBBLE: Final = bytes.maketrans(b"0123456789abcdef", bytes(range(16)))
_NIBBLE_TO_HEX: Final = bytes.maketrans(bytes(range(16)), b"0123456789abcdef")
_BRANCH: Final = 17

NODE_CACHE_ENTRIES: Final = 100_000
"""About 60 MB of decoded nodes: the working set of some 30,000 accounts."""


class NodeCache:
    """Decoded nodes by hash, shared by all tries of a process; bounded by forgetting the older
    half.

    Content-addressed and never changed, so threads may share it.
    """

    def __init__(self, load: Callable[[bytes], bytes], limit: int = NODE_CACHE_ENTRIES) -> None:
        self._load, self._limit = load, limit
        self._nodes: dict[bytes, Node] = {}

    def get(self, node_hash: bytes) -> Node:
        node = self._nodes.get(node_hash)
        if node is None:
            node = _decode_node(rlp.decode_list(self._load(node_hash)))
            self.put(node_hash, node)
        return node

    def put(self, node_hash: bytes, node: Node) -> None:
        if len(self._nodes) >= self._limit:
            for old in list(self._nodes)[: self._limit // 2]:
                self._nodes.pop(old, None)
        self._nodes[node_hash] = node


class Trie:
    """One version of a trie, changed in memory until `commit` returns its root and new nodes."""

    def __init__(self, cache: NodeCache, root: bytes = EMPTY_ROOT) -> None:
        self._cache = cache
        self._root: Child = b"" if root == EMPTY_ROOT else root

    def get(self, key: bytes) -> bytes:
        """The value of `key`, b"" when there is none."""
        path = to_nibbles(key)
        child, at = self._root, 0
        while child != b"":
            node = child if isinstance(child, list) else self._cache.get(child)
            if len(node) == _BRANCH:
                if at == len(path):
                    return bytes(node[16])
                child, at = node[path[at]], at + 1
            elif path[at : at + len(node[0])] != node[0]:
                return b""
            elif node[1]:
                return bytes(node[2]) if at + len(node[0]) == len(path) else b""
            else:
                child, at = node[2], at + len(node[0])
        return b""

    def set(self, key: bytes, value: bytes) -> None:
        """Put `value` under `key`; b"" deletes it."""
        path = to_nibbles(key)
        self._root = self._put(self._root, path, value) if value else self._drop(self._root, path)

    def commit(self) -> tuple[Hash32, dict[bytes, bytes]]:
        """The root, and the encoded nodes that are new since the last commit."""
        new: dict[bytes, bytes] = {}
        if not isinstance(self._root, list):
            return Hash32(self._root or EMPTY_ROOT), new
        node = self._root
        encoded = self._encode(node, new)
        root = keccak256(encoded)
        new[root] = encoded
        self._cache.put(root, node)
        self._root = root
        return root, new

    def _load(self, child: Child) -> Node:
        return child if isinstance(child, list) else self._cache.get(child)

    def _put(self, child: Child, path: bytes, value: bytes) -> Node:
        if child == b"":
            return [path, True, value]
        node = self._load(child)
        if len(node) == _BRANCH:
            branch = node[:]
            if not path:
                branch[16] = value
            else:
                branch[path[0]] = self._put(branch[path[0]], path[1:], value)
            return branch
        return self._put_short(node, path, value)

    def _put_short(self, node: Node, path: bytes, value: bytes) -> Node:
        own, is_leaf, content = node
        shared = _common_prefix(own, path)
        if shared == len(own):
            if not is_leaf:
                return [own, False, self._put(content, path[shared:], value)]
            if shared == len(path):
                return [own, True, value]
        branch: Node = [b""] * _BRANCH
        if shared == len(own):  # a leaf that ends where the new path goes on
            branch[16] = content
        elif is_leaf or shared + 1 < len(own):
            branch[own[shared]] = [own[shared + 1 :], is_leaf, content]
        else:  # an extension of one nibble: its child moves up
            branch[own[shared]] = content
        if shared == len(path):
            branch[16] = value
        else:
            branch[path[shared]] = [path[shared + 1 :], True, value]
        return [path[:shared], False, branch] if shared else branch

    def _drop(self, child: Child, path: bytes) -> Child:
        """`child` without `path`; the same object when the path is not in it."""
        if child == b"":
            return child
        node = self._load(child)
        if len(node) == _BRANCH:
            return self._drop_from_branch(child, node, path)
        own, is_leaf, content = node
        if path[: len(own)] != own:
            return child
        if is_leaf:
            return b"" if len(path) == len(own) else child
        rest = self._drop(content, path[len(own) :])
        if rest is content:
            return child
        return b"" if rest == b"" else self._prepend(own, rest)

    def _drop_from_branch(self, child: Child, node: Node, path: bytes) -> Child:
        slot = path[0] if path else 16
        before = node[slot]
        after = self._drop(before, path[1:]) if path else b""
        if after is before or before == b"":
            return child
        branch = node[:]
        branch[slot] = after
        used = [index for index, each in enumerate(branch) if each != b""]
        if len(used) > 1:
            return branch
        if used[0] == 16:
            return [b"", True, branch[16]]
        return self._prepend(bytes((used[0],)), branch[used[0]])

    def _prepend(self, path: bytes, child: Child) -> Node:
        """A node that reaches `child` through `path`, merged with it when it is short."""
        node = self._load(child)
        if len(node) == _BRANCH:
            return [path, False, child]
        return [path + node[0], node[1], node[2]]

    def _encode(self, node: Node, new: dict[bytes, bytes]) -> bytes:
        """RLP of a node; its dirty children are stored, and replaced by their hashes in place."""
        if len(node) == _BRANCH:
            parts = [self._encode_child(node, index, new) for index in range(16)]
            return rlp.encode_list(*parts, rlp.encode_bytes(node[16]))
        path = rlp.encode_bytes(_compact(node[0], node[1]))
        if node[1]:
            return rlp.encode_list(path, rlp.encode_bytes(node[2]))
        return rlp.encode_list(path, self._encode_child(node, 2, new))

    def _encode_child(self, node: Node, index: int, new: dict[bytes, bytes]) -> bytes:
        child = node[index]
        if not isinstance(child, list):
            return b"\xa0" + child if child else b"\x80"
        encoded = self._encode(child, new)
        if len(encoded) < 32:
            return encoded
        child_hash = keccak256(encoded)
        new[child_hash] = encoded
        self._cache.put(child_hash, child)
        node[index] = child_hash
        return b"\xa0" + child_hash


def ordered_root(values: Sequence[bytes]) -> Hash32:
    """Root of the trie index -> value of a block's transactions, receipts or withdrawals."""
    trie = Trie(NodeCache(_no_store))
    for index, value in enumerate(values):
        trie.set(rlp.encode_int(index), value)
    return trie.commit()[0]


def to_nibbles(key: bytes) -> bytes:
    """One byte a nibble."""
    return key.hex().encode().translate(_HEX_TO_NIBBLE)


def _no_store(node_hash: bytes) -> bytes:
    raise AssertionError(f"a fresh trie has no stored node {node_hash.hex()}")


def _common_prefix(left: bytes, right: bytes) -> int:
    length = min(len(left), len(right))
    for index in range(length):
        if left[index] != right[index]:
            return index
    return length


def _compact(path: bytes, is_leaf: bool) -> bytes:
    """Hex-prefix encoding of a path."""
    odd = len(path) & 1
    flag = (2 if is_leaf else 0) | odd
    digits = bytes((flag,)) + (path if odd else b"\x00" + path)
    return bytes.fromhex(digits.translate(_NIBBLE_TO_HEX).decode())


def _decode_node(item: list[rlp.Item]) -> Node:
    if len(item) == _BRANCH:
        return [_decode_child(child) for child in item[:16]] + [item[16]]
    path = to_nibbles(rlp.to_bytes(item[0], what="trie path"))
    is_leaf = bool(path[0] & 2)
    own = path[1:] if path[0] & 1 else path[2:]
    return [own, is_leaf, item[1] if is_leaf else _decode_child(item[1])]


def _decode_child(item: rlp.Item) -> Child:
    return _decode_node(item) if isinstance(item, list) else item
