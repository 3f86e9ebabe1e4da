"""Members of JSON objects as clients send them, each read with a check. A member that is null is as
good as left out.

All raise InvalidInput, naming what is wrong.
"""

from collections.abc import Mapping
from typing import Any

from dst.apis.quantity import parse_quantity
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Hash32, parse_hex


def an_object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(f"{what}: expected an object")
    return value


def a_list(value: object, what: str, *, most: int | None = None) -> list[Any]:
    """Of at most `most` entries."""
    if not isinstance(value, list):
        raise InvalidInput(f"{what}: expected a list")
    if most is not None and len(value) > most:
        raise InvalidInput(f"{what}: at most {most}")
    return value


def quantity(fields: Mapping[str, Any], name: str, bits: int = 64) -> int | None:
    value = fields.get(name)
    return None if value is None else parse_quantity(value, what=name, bits=bits)


def flag(fields: Mapping[str, Any], name: str) -> bool:
    """False when left out."""
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidInput(f"{name}: expected true or false")
    return bool(value)


def word(value: object, what: str) -> Hash32:
    """Up to 32 bytes of hex, padded in front: libraries send words and quantities alike."""
    if not isinstance(value, str) or not value.startswith("0x") or len(value) > 66:
        raise InvalidInput(f"{what}: expected at most 32 bytes of hex, got {str(value)[:80]!r}")
    return Hash32(parse_hex("0x" + value[2:].rjust(64, "0"), 32, what=what))


def word_number(value: object, what: str) -> int:
    return int.from_bytes(word(value, what), "big")
