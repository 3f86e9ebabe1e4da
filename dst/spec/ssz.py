"""Simple Serialize for the fixed Electra shapes: flat codec, merkleizer and Beacon-API JSON, one
descriptor per SSZ type.

A container is a frozen dataclass whose fields are annotated with a descriptor (`Annotated[int,
UINT64]`) and which is registered by `@container`. Decoding is strict: one byte string per value,
anything else is `InvalidInput`. Everything a length prefix promises is bounded by the bytes at hand
before a list is built.

Source: consensus-specs `ssz/simple-serialize.md`; JSON mapping: Beacon API (integers as decimal
strings, bytes as hex).
"""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from hashlib import sha256
from typing import Final, Protocol, TypeVar, get_type_hints

from dst.spec.errors import InvalidInput
from dst.spec.primitives import Root, parse_hex, to_hex

BYTES_PER_CHUNK: Final = 32
OFFSET_BYTES: Final = 4
MAX_TREE_DEPTH: Final = 40
"""Deepest list of any container here: 2**30 bytes are 2**25 chunks; 40 leaves room."""

T = TypeVar("T")


class SszType(Protocol):
    """One SSZ type: how its values look as bytes, as a root and as JSON."""

    @property
    def fixed_size(self) -> int | None:
        """Bytes of every value, or None when the length varies."""

    def encode(self, value: object) -> bytes: ...

    def decode(self, data: bytes) -> object: ...

    def root(self, value: object) -> bytes: ...

    def to_json(self, value: object) -> object: ...

    def from_json(self, value: object, what: str) -> object: ...


# --- Merkle trees ---------------------------------------------------------------------------------


def _zero_hashes(depth: int) -> tuple[bytes, ...]:
    hashes = [bytes(BYTES_PER_CHUNK)]
    for _ in range(depth):
        hashes.append(sha256(hashes[-1] * 2).digest())
    return tuple(hashes)


ZERO_HASHES: Final = _zero_hashes(MAX_TREE_DEPTH)


def merkleize(chunks: Sequence[bytes], limit: int) -> bytes:
    """Root of `chunks` in the smallest tree that holds `limit` of them, padded with zero chunks.

    Source: simple-serialize.md, `merkleize(chunks, limit)`.
    """
    depth = (limit - 1).bit_length()
    if not chunks:
        return ZERO_HASHES[depth]
    layer, level = list(chunks), 0
    while len(layer) > 1:
        if len(layer) % 2:
            layer.append(ZERO_HASHES[level])
        layer = [sha256(layer[i] + layer[i + 1]).digest() for i in range(0, len(layer), 2)]
        level += 1
    # Above the content there is one node a level, beside zeros: most of a small byte list's tree.
    node = layer[0]
    for zeros in ZERO_HASHES[level:depth]:
        node = sha256(node + zeros).digest()
    return node


def mix_in_length(root: bytes, length: int) -> bytes:
    return sha256(root + length.to_bytes(BYTES_PER_CHUNK, "little")).digest()


def pack(data: bytes) -> list[bytes]:
    """Cut into 32-byte chunks, the last padded with zeros."""
    padded = data + bytes(-len(data) % BYTES_PER_CHUNK)
    return [padded[i : i + BYTES_PER_CHUNK] for i in range(0, len(padded), BYTES_PER_CHUNK)]


# --- Basic types ----------------------------------------------------------------------------------


class Uint:
    """Unsigned integer of `size` bytes, little-endian; a decimal string in JSON."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.fixed_size: int | None = size

    def encode(self, value: object) -> bytes:
        if not isinstance(value, int) or value < 0 or value.bit_length() > 8 * self.size:
            raise InvalidInput(f"not a uint{8 * self.size}: {str(value)[:80]}")
        return value.to_bytes(self.size, "little")

    def decode(self, data: bytes) -> int:
        if len(data) != self.size:
            raise InvalidInput(f"uint{8 * self.size}: expected {self.size} bytes, got {len(data)}")
        return int.from_bytes(data, "little")

    def root(self, value: object) -> bytes:
        return self.encode(value).ljust(BYTES_PER_CHUNK, b"\0")

    def to_json(self, value: object) -> str:
        return str(value)

    def from_json(self, value: object, what: str) -> int:
        digits = value if isinstance(value, str) else ""
        # 78 digits hold 2**256 - 1; longer strings would only cost time.
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 78):
            raise InvalidInput(f"{what}: expected a decimal string, got {str(value)[:80]!r}")
        number = int(digits)
        if number.bit_length() > 8 * self.size:
            raise InvalidInput(f"{what}: does not fit in uint{8 * self.size}: {number}")
        return number


class ByteVector:
    """Exactly `size` bytes. Also serves as Bitvector of 8 * size bits, which has the same bytes and
    root.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.fixed_size: int | None = size

    def encode(self, value: object) -> bytes:
        return self.decode(_bytes(value))

    def decode(self, data: bytes) -> bytes:
        if len(data) != self.size:
            raise InvalidInput(f"expected {self.size} bytes, got {len(data)}")
        return bytes(data)

    def root(self, value: object) -> bytes:
        chunks = pack(self.encode(value))
        return merkleize(chunks, len(chunks))

    def to_json(self, value: object) -> str:
        return to_hex(_bytes(value))

    def from_json(self, value: object, what: str) -> bytes:
        return parse_hex(value, self.size, what=what)


class ByteList:
    """At most `limit` bytes."""

    fixed_size: int | None = None

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def encode(self, value: object) -> bytes:
        return self.decode(_bytes(value))

    def decode(self, data: bytes) -> bytes:
        if len(data) > self.limit:
            raise InvalidInput(f"at most {self.limit} bytes allowed, got {len(data)}")
        return bytes(data)

    def root(self, value: object) -> bytes:
        data = self.encode(value)
        chunk_limit = -(-self.limit // BYTES_PER_CHUNK)
        return mix_in_length(merkleize(pack(data), chunk_limit), len(data))

    def to_json(self, value: object) -> str:
        return to_hex(_bytes(value))

    def from_json(self, value: object, what: str) -> bytes:
        data = parse_hex(value, what=what)
        if len(data) > self.limit:
            raise InvalidInput(f"{what}: at most {self.limit} bytes allowed, got {len(data)}")
        return data


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise InvalidInput(f"expected bytes, got {type(value).__name__}")
    return value


# --- Composite types ------------------------------------------------------------------------------


class ListOf:
    """Tuple of elements of one type.

    `limit` shapes the tree and is the standard's; `most` is how many we take, where that is less:
    a list's root costs time by its elements, however small their bytes are.
    """

    fixed_size: int | None = None

    def __init__(self, element: SszType, limit: int, *, most: int | None = None) -> None:
        self.element = element
        self.limit = limit
        self.most = limit if most is None else most

    def encode(self, value: object) -> bytes:
        items = self._items(value)
        parts = [self.element.encode(item) for item in items]
        if self.element.fixed_size is not None:
            return b"".join(parts)
        return _join_with_offsets([(None, part) for part in parts])

    def decode(self, data: bytes) -> tuple[object, ...]:
        return tuple(self.element.decode(part) for part in self._split(data))

    def _split(self, data: bytes) -> list[bytes]:
        if not data:
            return []
        size = self.element.fixed_size
        if size is not None:
            if len(data) % size:
                raise InvalidInput(f"list of {size}-byte elements is {len(data)} bytes long")
            self._check_count(len(data) // size)
            return [data[i : i + size] for i in range(0, len(data), size)]
        first = int.from_bytes(data[:OFFSET_BYTES], "little")
        if first == 0 or first % OFFSET_BYTES or first > len(data):
            raise InvalidInput(f"first list offset {first} is impossible in {len(data)} bytes")
        self._check_count(first // OFFSET_BYTES)
        offsets = [
            int.from_bytes(data[i : i + OFFSET_BYTES], "little")
            for i in range(0, first, OFFSET_BYTES)
        ]
        return _cut_at(data, offsets)

    def root(self, value: object) -> bytes:
        items = self._items(value)
        roots = [self.element.root(item) for item in items]
        return mix_in_length(merkleize(roots, self.limit), len(items))

    def to_json(self, value: object) -> list[object]:
        return [self.element.to_json(item) for item in self._items(value)]

    def from_json(self, value: object, what: str) -> tuple[object, ...]:
        if not isinstance(value, list):
            raise InvalidInput(f"{what}: expected a list")
        self._check_count(len(value))
        return tuple(self.element.from_json(v, f"{what}[{i}]") for i, v in enumerate(value))

    def _items(self, value: object) -> tuple[object, ...]:
        if not isinstance(value, tuple):
            raise InvalidInput(f"expected a tuple, got {type(value).__name__}")
        self._check_count(len(value))
        return value

    def _check_count(self, count: int) -> None:
        if count > self.most:
            raise InvalidInput(f"at most {self.most} list elements allowed, got {count}")


class EmptyList:
    """A list which the rollup never fills (attestations, slashings, ...): only its limit matters,
    for the root.
    """

    fixed_size: int | None = None

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def encode(self, value: object) -> bytes:
        self._check(value == ())
        return b""

    def decode(self, data: bytes) -> tuple[()]:
        self._check(not data)
        return ()

    def root(self, value: object) -> bytes:
        self._check(value == ())
        return mix_in_length(merkleize((), self.limit), 0)

    def to_json(self, value: object) -> list[object]:
        return []

    def from_json(self, value: object, what: str) -> tuple[()]:
        self._check(value == [], what)
        return ()

    def _check(self, is_empty: bool, what: str = "list") -> None:
        if not is_empty:
            raise InvalidInput(f"{what}: must be empty in a rollup block")


class ContainerType:
    """A registered dataclass; fields in declaration order."""

    def __init__(self, cls: type[object]) -> None:
        self.cls = cls
        self.fields = _described_fields(cls)
        sizes = [kind.fixed_size for _, kind in self.fields]
        self._head_size = sum(OFFSET_BYTES if size is None else size for size in sizes)
        self.fixed_size: int | None = None if None in sizes else self._head_size

    def encode(self, value: object) -> bytes:
        self._check(value)
        parts = [(kind.fixed_size, kind.encode(getattr(value, name))) for name, kind in self.fields]
        return _join_with_offsets(parts)

    def decode(self, data: bytes) -> object:
        if len(data) < self._head_size or self.fixed_size not in (None, len(data)):
            raise InvalidInput(
                f"{self.cls.__name__}: expected {self._head_size} bytes, got {len(data)}"
            )
        parts = self._split(data)
        values = {
            name: kind.decode(part) for (name, kind), part in zip(self.fields, parts, strict=True)
        }
        return self.cls(**values)

    def _split(self, data: bytes) -> list[bytes]:
        """The bytes of each field; offsets must begin right after the head and never go back."""
        parts: list[bytes | None] = []
        offsets: list[int] = []
        position = 0
        for _, kind in self.fields:
            size = kind.fixed_size
            part = data[position : position + (OFFSET_BYTES if size is None else size)]
            position += len(part)
            if size is None:
                offsets.append(int.from_bytes(part, "little"))
            parts.append(None if size is None else part)
        if not offsets:
            return [part for part in parts if part is not None]
        if offsets[0] != self._head_size:
            raise InvalidInput(f"{self.cls.__name__}: first offset {offsets[0]} is wrong")
        tail = iter(_cut_at(data, offsets))
        return [next(tail) if part is None else part for part in parts]

    def root(self, value: object) -> bytes:
        self._check(value)
        roots = [kind.root(getattr(value, name)) for name, kind in self.fields]
        return merkleize(roots, len(roots))

    def to_json(self, value: object) -> dict[str, object]:
        self._check(value)
        return {name: kind.to_json(getattr(value, name)) for name, kind in self.fields}

    def from_json(self, value: object, what: str) -> object:
        if not isinstance(value, dict):
            raise InvalidInput(f"{what}: expected an object")
        names = [name for name, _ in self.fields]
        if value.keys() != set(names):
            missing = sorted(set(names) - value.keys())
            unknown = sorted(str(key)[:40] for key in value.keys() - set(names))[:8]
            raise InvalidInput(f"{what}: missing fields {missing}, unknown fields {unknown}")
        return self.cls(
            **{name: kind.from_json(value[name], f"{what}.{name}") for name, kind in self.fields}
        )

    def _check(self, value: object) -> None:
        if type(value) is not self.cls:
            raise InvalidInput(f"expected {self.cls.__name__}, got {type(value).__name__}")


def _join_with_offsets(parts: Sequence[tuple[int | None, bytes]]) -> bytes:
    """Head (fixed-size parts in place, an offset for each other part), then the variable parts in
    order.
    """
    head: list[bytes] = []
    tail: list[bytes] = []
    offset = sum(OFFSET_BYTES if size is None else size for size, _ in parts)
    for size, part in parts:
        if size is not None:
            head.append(part)
            continue
        head.append(offset.to_bytes(OFFSET_BYTES, "little"))
        tail.append(part)
        offset += len(part)
    return b"".join(head + tail)


def _cut_at(data: bytes, offsets: Sequence[int]) -> list[bytes]:
    ends = [*offsets[1:], len(data)]
    if any(start > end for start, end in zip(offsets, ends, strict=True)):
        raise InvalidInput("offsets go backwards or past the end")
    return [data[start:end] for start, end in zip(offsets, ends, strict=True)]


# --- Registry and entry points --------------------------------------------------------------------

_REGISTRY: dict[type[object], ContainerType] = {}


def container(cls: type[T]) -> type[T]:
    """Class decorator: make a dataclass known to the codec. Every field needs an SSZ descriptor in
    its annotation.
    """
    _REGISTRY[cls] = ContainerType(cls)
    return cls


def container_type(cls: type[object]) -> ContainerType:
    """The descriptor of a registered dataclass, for use as field or element type."""
    return _REGISTRY[cls]


def _described_fields(cls: type[object]) -> tuple[tuple[str, SszType], ...]:
    assert is_dataclass(cls), cls
    hints = get_type_hints(cls, include_extras=True)
    return tuple((field.name, _descriptor(hints[field.name])) for field in fields(cls))


def _descriptor(hint: object) -> SszType:
    if isinstance(hint, type) and hint in _REGISTRY:
        return _REGISTRY[hint]
    metadata: tuple[SszType, ...] = getattr(hint, "__metadata__", ())
    assert len(metadata) == 1, f"no SSZ descriptor in {hint}"
    return metadata[0]


def encode(value: object) -> bytes:
    """SSZ bytes of a registered container. Raises: InvalidInput when a field does not fit its
    type.
    """
    return _REGISTRY[type(value)].encode(value)


def decode(cls: type[T], data: bytes) -> T:
    """The container that `data` encodes. Raises: InvalidInput on anything but its one encoding."""
    value = _REGISTRY[cls].decode(data)
    assert isinstance(value, cls)
    return value


def hash_tree_root(value: object) -> Root:
    """32-byte root of a registered container. Source: simple-serialize.md, Merkleization."""
    return Root(_REGISTRY[type(value)].root(value))


def to_json(value: object) -> dict[str, object]:
    """Beacon-API JSON of a registered container: snake_case, decimal strings, 0x hex."""
    return _REGISTRY[type(value)].to_json(value)


def from_json(cls: type[T], value: object) -> T:
    """Inverse of `to_json`. Raises: InvalidInput naming the field; missing and unknown fields are
    refused.
    """
    result = _REGISTRY[cls].from_json(value, cls.__name__)
    assert isinstance(result, cls)
    return result
