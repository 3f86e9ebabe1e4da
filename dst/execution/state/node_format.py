"""A trie node in memory, as RLP (what its parent hashes) and packed (what the store keeps).

In memory a child is its RLP *item*: EMPTY, 0xa0 and a hash, or a short list in place; or a node
that is not encoded yet. Source: yellow paper, appendix D.
"""

from struct import Struct
from typing import Final, TypeAlias

from dst.spec import rlp

EMPTY: Final = b"\x80"
HASH_ITEM_BYTES: Final = 33
_HASH_PREFIX: Final = b"\xa0"
_BRANCH_ITEMS: Final = 17
_FULL_BRANCH_PREFIX: Final = b"\xf9\x02\x11"
"""RLP of a branch whose sixteen children are hashes and whose value is empty: 532 bytes."""
_FULL_BRANCH_END: Final = 532
_PACKERS: Final = tuple(Struct(f">{count}I") for count in range(_BRANCH_ITEMS))
_HEX_TO_NIBBLE: Final = bytes.maketrans(b"0123456789abcdef", bytes(range(16)))
_NIBBLE_TO_HEX: Final = bytes.maketrans(bytes(range(16)), b"0123456789abcdef")


class Leaf:
    """`path`: the nibbles that are left; `tail`: version of the storage trie that the value names,
    0 when it names none."""

    __slots__ = ("path", "tail", "value")

    def __init__(self, path: bytes, value: bytes, tail: int) -> None:
        self.path, self.value, self.tail = path, value, tail


class Extension:
    """Leads to a branch through nibbles that all keys below share."""

    __slots__ = ("child", "path", "version")

    def __init__(self, path: bytes, child: bytes, version: int) -> None:
        self.path, self.child, self.version = path, child, version


class Branch:
    __slots__ = ("items", "value", "versions")

    def __init__(self, items: "list[Child]", versions: list[int], value: bytes) -> None:
        self.items, self.versions, self.value = items, versions, value


Node: TypeAlias = Leaf | Extension | Branch
Child: TypeAlias = bytes | Node


def empty_branch() -> Branch:
    return Branch([EMPTY] * 16, [0] * 16, b"")


def hash_item(node_hash: bytes) -> bytes:
    return _HASH_PREFIX + node_hash


def is_hash(item: bytes) -> bool:
    return len(item) == HASH_ITEM_BYTES


def encode_node(node: Node) -> tuple[bytes, bytes]:
    """(RLP, versions that follow it in the store). All children are items by now."""
    if type(node) is Branch:
        return _encode_branch(node)
    if type(node) is Leaf:
        tail = node.tail.to_bytes(4, "big") if node.tail else b""
        return rlp.encode_list(_compact(node.path, True), rlp.encode_bytes(node.value)), tail
    assert type(node) is Extension
    versions = _PACKERS[1].pack(node.version) if is_hash(node.child) else b""
    return rlp.encode_list(_compact(node.path, False), node.child), versions


def _encode_branch(branch: Branch) -> tuple[bytes, bytes]:
    payload = b"".join(branch.items)  # type: ignore[arg-type]
    if len(payload) == _FULL_BRANCH_END - 4 and not branch.value:
        full = _FULL_BRANCH_PREFIX + payload + EMPTY
        return full, _PACKERS[16].pack(*branch.versions)
    used = [
        version
        for item, version in zip(branch.items, branch.versions, strict=True)
        if len(item) == HASH_ITEM_BYTES  # type: ignore[arg-type]
    ]
    encoded = rlp.encode_list(payload, rlp.encode_bytes(branch.value))
    return encoded, _PACKERS[len(used)].pack(*used)


def unpack(data: bytes) -> Node:
    """The inverse of both parts together; also of an item in place, which has no versions."""
    if len(data) == _FULL_BRANCH_END + 64 and data.startswith(_FULL_BRANCH_PREFIX):
        return Branch(
            [data[at : at + 33] for at in range(3, _FULL_BRANCH_END - 1, 33)],
            list(_PACKERS[16].unpack_from(data, _FULL_BRANCH_END)),
            b"",
        )
    items, end = _split(data)
    if len(items) == _BRANCH_ITEMS:
        return _unpack_branch(items, data, end)
    path = to_nibbles(_string(items[0]))
    own = path[1:] if path[0] & 1 else path[2:]
    if path[0] & 2:
        return Leaf(own, _string(items[1]), int.from_bytes(data[end:], "big"))
    return Extension(own, items[1], int.from_bytes(data[end:], "big"))


def _unpack_branch(items: list[bytes], data: bytes, end: int) -> Branch:
    versions = [0] * 16
    for index in range(16):
        if len(items[index]) == HASH_ITEM_BYTES:
            versions[index] = int.from_bytes(data[end : end + 4], "big")
            end += 4
    return Branch(list(items[:16]), versions, _string(items[16]))


def rlp_of(packed: bytes) -> bytes:
    """The node as its parent hashes it."""
    return packed[: _bounds(packed, 0)[1]]


def _split(data: bytes) -> tuple[list[bytes], int]:
    """Items of an RLP list, each with its prefix, and where the list ends."""
    at, end = _bounds(data, 0)
    items: list[bytes] = []
    while at < end:
        stop = _bounds(data, at)[1]
        items.append(data[at:stop])
        at = stop
    return items, end


def _bounds(data: bytes, at: int) -> tuple[int, int]:
    """Payload start and end of the item at `at`; the store's own data, so not checked again."""
    prefix = data[at]
    if prefix < 0x80:
        return at, at + 1
    offset = 0x80 if prefix < 0xC0 else 0xC0
    length, start = prefix - offset, at + 1
    if length > 55:
        size = length - 55
        length = int.from_bytes(data[start : start + size], "big")
        start += size
    return start, start + length


def _string(item: bytes) -> bytes:
    start, end = _bounds(item, 0)
    return item[start:end]


def to_nibbles(key: bytes) -> bytes:
    """One byte a nibble."""
    return key.hex().encode().translate(_HEX_TO_NIBBLE)


def _compact(path: bytes, is_leaf: bool) -> bytes:
    """Hex-prefix encoding of a path, as an RLP item."""
    odd = len(path) & 1
    flag = (2 if is_leaf else 0) | odd
    digits = bytes((flag,)) + (path if odd else b"\x00" + path)
    return rlp.encode_bytes(bytes.fromhex(digits.translate(_NIBBLE_TO_HEX).decode()))
