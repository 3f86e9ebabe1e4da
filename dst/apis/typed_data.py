"""Typed structured data as wallets sign it, from JSON to its digest.

Source: EIP-712; MetaMask's `eth_signTypedData_v4` where the EIP leaves room: arrays, types that
contain themselves (a member that is null or left out ends them), and data given as JSON text.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from dst.apis.fields import a_list, an_object
from dst.apis.quantity import parse_quantity
from dst.crypto.keccak import keccak256
from dst.spec.errors import UNREADABLE, InvalidInput
from dst.spec.primitives import ZERO_HASH, Hash32, parse_hex

MAX_TYPES: Final = 256
"""Also of the members of one."""
MAX_MEMBERS_IN_ALL: Final = 1024
"""Of all structs: the hash of a type walks every type that it reaches."""
MAX_VALUES: Final = 10_000
"""Members and array entries of one message: milliseconds of hashing, whoever waits behind."""
MAX_DEPTH: Final = 32
"""Of structs and arrays within each other."""

_DOMAIN: Final = "EIP712Domain"
_DOMAIN_MEMBERS: Final = {
    "name": "string",
    "version": "string",
    "chainId": "uint256",
    "verifyingContract": "address",
    "salt": "bytes32",
}
_IDENTIFIER: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*", re.ASCII)
_INTEGER: Final = re.compile(r"(u?)int(\d*)", re.ASCII)
_FIXED_BYTES: Final = re.compile(r"bytes(\d+)", re.ASCII)
_DECIMAL: Final = re.compile(r"-?\d{1,78}", re.ASCII)

_Types = Mapping[str, tuple[tuple[str, str], ...]]
"""(name, type) of each member, by struct."""


def typed_data_digest(value: object) -> Hash32:
    """What is signed: `value` has `types`, `primaryType`, `domain`, `message`, or is JSON text of
    that. Raises: InvalidInput, naming what is wrong."""
    data = an_object(_from_text(value) if isinstance(value, str) else value, "typed data")
    domain = an_object(data.get("domain"), "domain")
    types = {_DOMAIN: _domain_members(domain), **_parse_types(data.get("types"))}
    primary = data.get("primaryType")
    if not isinstance(primary, str) or primary not in types:
        raise InvalidInput(f"primaryType: {str(primary)[:80]!r} is not among the types")
    encoder = _Encoder(types)
    separator = encoder.struct_hash(_DOMAIN, domain, 0)
    if primary == _DOMAIN:  # the domain alone
        return keccak256(b"\x19\x01" + separator)
    message = an_object(data.get("message"), "message")
    return keccak256(b"\x19\x01" + separator + encoder.struct_hash(primary, message, 0))


class _Encoder:
    """`encodeData` and `hashStruct` over one set of types."""

    def __init__(self, types: _Types) -> None:
        self._types = types
        self._type_hashes: dict[str, bytes] = {}
        self._values = 0

    def struct_hash(self, name: str, value: Mapping[str, Any], depth: int) -> Hash32:
        encoded = [self._type_hash(name)]
        for member, kind in self._types[name]:
            what = f"{name}.{member}"
            encoded.append(self._encode(kind, value.get(member), what, depth + 1))
        return keccak256(b"".join(encoded))

    def _encode(self, kind: str, value: object, what: str, depth: int) -> bytes:
        """One member as 32 bytes."""
        if depth > MAX_DEPTH:
            raise InvalidInput(f"{what}: nested deeper than {MAX_DEPTH} levels")
        self._values += 1
        if self._values > MAX_VALUES:
            raise InvalidInput(f"message: more than {MAX_VALUES} values")
        if kind.endswith("]"):
            return self._encode_array(kind, value, what, depth)
        if kind in self._types:
            if value is None:
                return ZERO_HASH
            return self.struct_hash(kind, an_object(value, what), depth)
        if kind == "string":
            return keccak256(_text(value, what))
        if kind == "bytes":
            return keccak256(parse_hex(value, what=what))
        return _encode_atom(kind, value, what)

    def _encode_array(self, kind: str, value: object, what: str, depth: int) -> bytes:
        element, _, length = kind[:-1].rpartition("[")
        entries = a_list(value, what)
        if length and len(entries) != int(length):
            raise InvalidInput(f"{what}: expected {length} entries, got {len(entries)}")
        return keccak256(b"".join(self._encode(element, each, what, depth + 1) for each in entries))

    def _type_hash(self, name: str) -> bytes:
        if name not in self._type_hashes:
            below = sorted(self._reached_from(name) - {name})
            text = "".join(map(self._signature, (name, *below)))
            self._type_hashes[name] = keccak256(text.encode())
        return self._type_hashes[name]

    def _signature(self, name: str) -> str:
        members = ",".join(f"{kind} {member}" for member, kind in self._types[name])
        return f"{name}({members})"

    def _reached_from(self, name: str) -> set[str]:
        found, waiting = {name}, [name]
        while waiting:
            for _, kind in self._types[waiting.pop()]:
                base = kind.partition("[")[0]
                if base in self._types and base not in found:
                    found.add(base)
                    waiting.append(base)
        return found


def _from_text(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except UNREADABLE:
        raise InvalidInput("typed data: the text is not JSON") from None


def _domain_members(domain: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Where the types do not name the domain: its members that are there, in the EIP's order."""
    return tuple((name, kind) for name, kind in _DOMAIN_MEMBERS.items() if name in domain)


def _parse_types(value: object) -> dict[str, tuple[tuple[str, str], ...]]:
    types = an_object(value, "types")
    if len(types) > MAX_TYPES:
        raise InvalidInput(f"types: at most {MAX_TYPES}")
    for name in types:
        if not _IDENTIFIER.fullmatch(name) or _is_atom(name) or name in ("string", "bytes"):
            raise InvalidInput(f"types: {name[:80]!r} cannot be the name of a struct")
    parsed = {name: _parse_members(name, members, types) for name, members in types.items()}
    if sum(map(len, parsed.values())) > MAX_MEMBERS_IN_ALL:
        raise InvalidInput(f"types: at most {MAX_MEMBERS_IN_ALL} members in all")
    return parsed


def _parse_members(
    name: str, value: object, types: Mapping[str, object]
) -> tuple[tuple[str, str], ...]:
    members = []
    for each in a_list(value, f"types: {name}", most=MAX_TYPES):
        entry = an_object(each, f"types: member of {name}")
        member, kind = entry.get("name"), entry.get("type")
        if not isinstance(member, str) or not _IDENTIFIER.fullmatch(member):
            raise InvalidInput(f"types: {str(member)[:80]!r} cannot be the name of a member")
        if not isinstance(kind, str) or not _is_type(kind, types):
            raise InvalidInput(f"types: {name}.{member}: there is no type {str(kind)[:80]!r}")
        members.append((member, kind))
    return tuple(members)


def _is_type(kind: str, types: Mapping[str, object]) -> bool:
    base, *dimensions = kind.split("[")
    if len(dimensions) > MAX_DEPTH:
        return False
    if not all(re.fullmatch(r"\d{0,9}\]", each, re.ASCII) for each in dimensions):
        return False
    return base in types or base in ("string", "bytes") or _is_atom(base)


def _is_atom(kind: str) -> bool:
    if kind in ("bool", "address"):
        return True
    if integer := _INTEGER.fullmatch(kind):
        return integer[2] == "" or integer[2] in _SIZES_IN_BITS
    fixed = _FIXED_BYTES.fullmatch(kind)
    return fixed is not None and fixed[1] in _SIZES_IN_BYTES


_SIZES_IN_BITS: Final = frozenset(str(bits) for bits in range(8, 257, 8))
_SIZES_IN_BYTES: Final = frozenset(str(size) for size in range(1, 33))


def _encode_atom(kind: str, value: object, what: str) -> bytes:
    if kind == "bool":
        if not isinstance(value, bool):
            raise InvalidInput(f"{what}: expected true or false")
        return int(value).to_bytes(32, "big")
    if kind == "address":
        return parse_hex(value, 20, what=what).rjust(32, b"\0")
    if fixed := _FIXED_BYTES.fullmatch(kind):
        return parse_hex(value, int(fixed[1]), what=what).ljust(32, b"\0")
    integer = _INTEGER.fullmatch(kind)
    assert integer is not None, "types are checked before values"
    return _encode_integer(value, int(integer[2] or 256), what, signed=not integer[1])


def _encode_integer(value: object, bits: int, what: str, *, signed: bool) -> bytes:
    """A JSON integer, a decimal or a hex number as text."""
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        number = int(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        number = parse_quantity(value, what=what, bits=256)
    low, high = (-(1 << bits - 1), 1 << bits - 1) if signed else (0, 1 << bits)
    if not low <= number < high:
        raise InvalidInput(f"{what}: out of range")
    return number.to_bytes(32, "big", signed=signed)


def _text(value: object, what: str) -> bytes:
    if not isinstance(value, str):
        raise InvalidInput(f"{what}: expected text")
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{what}: expected text") from None
