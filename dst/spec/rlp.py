"""Recursive Length Prefix: the execution layer's encoding, strict on the way in.

An item is `bytes` or a list of items. Integers are big-endian without leading zeros; zero is empty.
Source: Ethereum yellow paper, appendix B.
"""

from typing import Final, TypeAlias

from dst.spec.errors import InvalidInput

Item: TypeAlias = "bytes | list[Item]"

MAX_DEPTH: Final = 16
"""Deepest nesting read. An access list needs 4; deeper input is an attack on the stack."""

_BYTES: Final = tuple(bytes((value,)) for value in range(256))


def encode_length(length: int, offset: int) -> bytes:
    """The prefix of a string (offset 0x80) or list (offset 0xc0) of `length` payload bytes."""
    if length < 56:
        return _BYTES[offset + length]
    size = (length.bit_length() + 7) // 8
    return bytes((offset + 55 + size,)) + length.to_bytes(size, "big")


def encode_bytes(data: bytes) -> bytes:
    if len(data) == 1 and data[0] < 0x80:
        return data
    return encode_length(len(data), 0x80) + data


def encode_int(value: int) -> bytes:
    return encode_bytes(int_to_bytes(value))


def encode_list(*encoded: bytes) -> bytes:
    """Wrap items that are encoded already."""
    payload = b"".join(encoded)
    return encode_length(len(payload), 0xC0) + payload


def encode(item: Item) -> bytes:
    if isinstance(item, list):
        return encode_list(*[encode(each) for each in item])
    return encode_bytes(item)


def int_to_bytes(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def decode(data: bytes) -> Item:
    """Decode exactly one item. Raises: InvalidInput on anything but its canonical encoding."""
    item, end = _decode_at(data, 0, len(data), MAX_DEPTH)
    if end != len(data):
        raise InvalidInput(f"rlp: {len(data) - end} bytes after the item")
    return item


def decode_list(data: bytes) -> list[Item]:
    """Like `decode`, for input that must be a list."""
    item = decode(data)
    if not isinstance(item, list):
        raise InvalidInput("rlp: expected a list")
    return item


def to_bytes(item: Item, length: int | None = None, *, what: str) -> bytes:
    """An item that must be a string, of exactly `length` bytes when given. Raises: InvalidInput."""
    if isinstance(item, list):
        raise InvalidInput(f"rlp: {what}: expected a string, got a list")
    if length is not None and len(item) != length:
        raise InvalidInput(f"rlp: {what}: expected {length} bytes, got {len(item)}")
    return item


def to_int(item: Item, *, bits: int = 256, what: str) -> int:
    """An item that must be an integer below 2**bits. Raises: InvalidInput."""
    data = to_bytes(item, what=what)
    if data[:1] == b"\x00":
        raise InvalidInput(f"rlp: {what}: integer with leading zeros")
    if len(data) * 8 > bits:
        raise InvalidInput(f"rlp: {what}: above {bits} bits")
    return int.from_bytes(data, "big")


def to_list(item: Item, length: int | None = None, *, what: str) -> list[Item]:
    """An item that must be a list, of exactly `length` items when given. Raises: InvalidInput."""
    if not isinstance(item, list):
        raise InvalidInput(f"rlp: {what}: expected a list")
    if length is not None and len(item) != length:
        raise InvalidInput(f"rlp: {what}: expected {length} items, got {len(item)}")
    return item


def _decode_at(data: bytes, at: int, end: int, depth: int) -> tuple[Item, int]:
    """The item that starts at `at` and may not pass `end`, and the position after it."""
    if at >= end:
        raise InvalidInput("rlp: input is too short")
    prefix = data[at]
    if prefix < 0x80:
        return data[at : at + 1], at + 1
    start, stop = _payload_bounds(data, at, end, prefix)
    if prefix < 0xC0:
        if stop - start == 1 and data[start] < 0x80:
            raise InvalidInput("rlp: one byte below 0x80 must stand for itself")
        return data[start:stop], stop
    if depth == 0:
        raise InvalidInput(f"rlp: nested deeper than {MAX_DEPTH}")
    items: list[Item] = []
    while start < stop:
        item, start = _decode_at(data, start, stop, depth - 1)
        items.append(item)
    return items, stop


def _payload_bounds(data: bytes, at: int, end: int, prefix: int) -> tuple[int, int]:
    offset = 0x80 if prefix < 0xC0 else 0xC0
    length = prefix - offset
    start = at + 1
    if length > 55:
        size = length - 55
        start += size
        if start > end or data[at + 1] == 0:
            raise InvalidInput("rlp: bad length prefix")
        length = int.from_bytes(data[at + 1 : start], "big")
        if length < 56:
            raise InvalidInput("rlp: long form of a short length")
    if start + length > end:
        raise InvalidInput("rlp: length passes the end of the input")
    return start, start + length
