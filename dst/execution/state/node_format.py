"""A trie node in memory, as RLP (what its parent hashes) and packed (what the store keeps).

In memory a child is its RLP *item*: EMPTY, 0xa0 and a hash, or a short list in place; or a node
that is not encoded yet. Source: yellow paper, appendix D.
"""

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from typing import Final, TypeAlias

from dst.spec import rlp

EMPTY: Final = b"\x80"
HASH_ITEM_BYTES: Final = 33
_HASH_PREFIX: Final = b"\xa0"
_BRANCH_ITEMS: Final = 17
_FULL_BRANCH_PREFIX: Final = b"\xf9\x02\x11"
"""RLP of a branch whose sixteen children are hashes and whose value is empty: 532 bytes."""
_FULL_BRANCH_PAYLOAD: Final = 16 * HASH_ITEM_BYTES
_FULL_MASK: Final = 0xFFFF
_ANY: Final = b"\x00"
_BRANCH: Final = 1
_LEAF: Final = 2
_BRANCH_HEADS: Final = tuple(Struct(f">BH{count}I") for count in range(_BRANCH_ITEMS))
_LEAF_HEAD: Final = Struct(">BIB")
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
    """`mask`: bit n is set where child n is a hash; None when that does not describe the branch,
    because a child lies in place or there is a value."""

    __slots__ = ("items", "mask", "value", "versions")

    def __init__(
        self, items: "list[Child]", versions: list[int], value: bytes, mask: int | None
    ) -> None:
        self.items, self.versions, self.value, self.mask = items, versions, value, mask

    def copy(self) -> "Branch":
        return Branch(self.items[:], self.versions[:], self.value, self.mask)


class PackedBranch:
    """A changed branch of hashes that was never unpacked (`patch_branch`): `packed` as it is
    stored, `encoded` its RLP."""

    __slots__ = ("encoded", "packed")

    def __init__(self, packed: bytes, encoded: bytes) -> None:
        self.packed, self.encoded = packed, encoded


Node: TypeAlias = Leaf | Extension | Branch
Made: TypeAlias = Node | PackedBranch
"""What a change leaves in the place of a node."""
Child: TypeAlias = bytes | Made


def empty_branch() -> Branch:
    return Branch([EMPTY] * 16, [0] * 16, b"", 0)


def hash_item(node_hash: bytes) -> bytes:
    return _HASH_PREFIX + node_hash


def is_hash(item: bytes) -> bool:
    return len(item) == HASH_ITEM_BYTES


def encode_node(node: Node) -> bytes:
    """RLP, what the node's parent hashes. All children are items by now."""
    if isinstance(node, Branch):
        return _encode_branch(node)
    if isinstance(node, Leaf):
        return rlp.encode_list(compact_item(node.path, True), rlp.encode_bytes(node.value))
    return rlp.encode_list(compact_item(node.path, False), node.child)


def pack(node: Node, encoded: bytes) -> bytes:
    """The stored form, given the RLP. A byte of kind, then
    leaf: tail, length of the path, path, value
    branch of hashes: mask, versions, items
    anything else: RLP, versions."""
    if isinstance(node, Leaf):
        return _LEAF_HEAD.pack(_LEAF, node.tail, len(node.path)) + node.path + node.value
    if isinstance(node, Extension):
        return _ANY + encoded + _pack_versions([node.child], [node.version])
    if node.mask is None:
        return _ANY + encoded + _pack_versions(node.items, node.versions)
    items, versions = node.items, node.versions
    if node.mask != _FULL_MASK:
        nibbles = _nibbles_of(node.mask)
        items = [items[nibble] for nibble in nibbles]
        versions = [versions[nibble] for nibble in nibbles]
    return b"".join((_BRANCH_HEADS[len(items)].pack(_BRANCH, node.mask, *versions), *items))  # type: ignore[arg-type]


def unpack(packed: bytes) -> Node:
    kind = packed[0]
    if kind == _LEAF:
        _, tail, length = _LEAF_HEAD.unpack_from(packed)
        end = _LEAF_HEAD.size + length
        return Leaf(packed[_LEAF_HEAD.size : end], packed[end:], tail)
    return _unpack_branch(packed) if kind == _BRANCH else _decode(packed, 1)


def child_at(packed: bytes, nibble: int) -> tuple[bytes, int] | None:
    """(item, version) of a branch's child, from the stored form; (EMPTY, 0) when there is none;
    None when this is no branch of hashes."""
    if packed[0] != _BRANCH:
        return None
    mask = packed[1] << 8 | packed[2]
    if not mask >> nibble & 1:
        return EMPTY, 0
    item, version = _places(mask)[nibble]
    return packed[item : item + HASH_ITEM_BYTES], int.from_bytes(
        packed[version : version + 4], "big"
    )


def patch_branch(packed: bytes, nibble: int, item: bytes, version: int) -> PackedBranch | None:
    """A branch of hashes with one child's hash put in the place of another, under a new version;
    None when there was no child: then the branch has to be unpacked."""
    mask = packed[1] << 8 | packed[2]
    if not mask >> nibble & 1:
        return None
    at, version_at = _places(mask)[nibble]
    patched = b"".join(
        (
            packed[:version_at],
            version.to_bytes(4, "big"),
            packed[version_at + 4 : at],
            item,
            packed[at + HASH_ITEM_BYTES :],
        )
    )
    prefix, runs, end = _layout(mask)
    parts = [prefix]
    for gap, start, stop in runs:
        parts += gap, patched[start:stop]
    parts.append(end)
    return PackedBranch(patched, b"".join(parts))


@lru_cache(65_536)
def _places(mask: int) -> tuple[tuple[int, int], ...]:
    """Where the item and the version of each child are in the stored form of a branch."""
    head = _BRANCH_HEADS[mask.bit_count()].size
    before = [(mask & (1 << nibble) - 1).bit_count() for nibble in range(16)]
    return tuple((head + HASH_ITEM_BYTES * count, 3 + 4 * count) for count in before)


@lru_cache(65_536)
def _layout(mask: int) -> tuple[bytes, tuple[tuple[bytes, int, int], ...], bytes]:
    """How the RLP of a branch comes from its stored form: what goes before, then runs of children
    (the empty ones before them, start, stop), then the rest with the empty value."""
    nibbles = _nibbles_of(mask)
    payload = HASH_ITEM_BYTES * len(nibbles) + _BRANCH_ITEMS - len(nibbles)
    runs: list[tuple[bytes, int, int]] = []
    at, next_nibble = _BRANCH_HEADS[len(nibbles)].size, 0
    for nibble in nibbles:
        if runs and nibble == next_nibble:
            gap, start, _ = runs.pop()
        else:
            gap, start = EMPTY * (nibble - next_nibble), at
        at, next_nibble = at + HASH_ITEM_BYTES, nibble + 1
        runs.append((gap, start, at))
    return rlp.encode_length(payload, 0xC0), tuple(runs), EMPTY * (_BRANCH_ITEMS - next_nibble)


def decode_in_place(item: bytes) -> Node:
    """A node that lies in its parent; it is too short to refer to others by hash."""
    return _decode(item, 0)


def _encode_branch(branch: Branch) -> bytes:
    payload = b"".join(branch.items)  # type: ignore[arg-type]
    if len(payload) == _FULL_BRANCH_PAYLOAD and not branch.value:
        return _FULL_BRANCH_PREFIX + payload + EMPTY
    return rlp.encode_list(payload, rlp.encode_bytes(branch.value))


def _pack_versions(items: "Sequence[Child]", versions: list[int]) -> bytes:
    used = [version for item, version in zip(items, versions, strict=True) if len(item) == 33]  # type: ignore[arg-type]
    return _PACKERS[len(used)].pack(*used)


@lru_cache(65_536)
def _nibbles_of(mask: int) -> tuple[int, ...]:
    return tuple(nibble for nibble in range(16) if mask >> nibble & 1)


def _unpack_branch(packed: bytes) -> Branch:
    mask = int.from_bytes(packed[1:3], "big")
    nibbles = _nibbles_of(mask)
    head = _BRANCH_HEADS[len(nibbles)]
    _, _, *stored = head.unpack_from(packed)
    if mask == _FULL_MASK:
        items: list[Child] = [packed[at : at + 33] for at in range(head.size, len(packed), 33)]
        return Branch(items, stored, b"", mask)
    items, versions, at = [EMPTY] * 16, [0] * 16, head.size
    for nibble, version in zip(nibbles, stored, strict=True):
        items[nibble] = packed[at : at + HASH_ITEM_BYTES]
        versions[nibble] = version
        at += HASH_ITEM_BYTES
    return Branch(items, versions, b"", mask)


def _decode(data: bytes, at: int) -> Node:
    items, end = _split(data, at)
    if len(items) == _BRANCH_ITEMS:
        return _decode_branch(items, data, end)
    path = to_nibbles(_string(items[0]))
    own = path[1:] if path[0] & 1 else path[2:]
    version = int.from_bytes(data[end:], "big")
    if path[0] & 2:
        return Leaf(own, _string(items[1]), version)
    return Extension(own, items[1], version)


def _decode_branch(items: list[bytes], data: bytes, end: int) -> Branch:
    versions = [0] * 16
    for index in range(16):
        if len(items[index]) == HASH_ITEM_BYTES:
            versions[index] = int.from_bytes(data[end : end + 4], "big")
            end += 4
    return Branch(list(items[:16]), versions, _string(items[16]), None)


def _split(data: bytes, start: int) -> tuple[list[bytes], int]:
    """Items of an RLP list, each with its prefix, and where the list ends."""
    at, end = _bounds(data, start)
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


def compact_item(path: bytes, is_leaf: bool) -> bytes:
    """Hex-prefix encoding of a path, as an RLP item."""
    odd = len(path) & 1
    flag = (2 if is_leaf else 0) | odd
    digits = bytes((flag,)) + (path if odd else b"\x00" + path)
    return rlp.encode_bytes(bytes.fromhex(digits.translate(_NIBBLE_TO_HEX).decode()))
