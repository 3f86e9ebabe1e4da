"""The written form of what a scenario is made of: the reader's inverse."""

from dataclasses import MISSING
from enum import StrEnum
from typing import Any

from devnet.faults.base import Fault
from devnet.faults.keys import keys_of
from devnet.model.terms import Count, Duration


def written(value: object) -> Any:
    """A value as YAML has it."""
    match value:
        case Duration():
            return _duration(value)
        case Count(plain=plain, operators=0):
            return plain
        case Count(plain=plain):
            return f"n + {plain}" if plain else "n"
        case StrEnum():
            return str(value)
        case tuple():
            return [written(item) for item in value]
        case _:
            return value


def _duration(value: Duration) -> str:
    slots = f"{value.slots:g} slot{'' if value.slots == 1 else 's'}" if value.slots else ""
    whole = value.seconds >= 1 or not value.seconds
    seconds = f"{value.seconds:g}s" if whole else f"{value.seconds * 1000:g}ms"
    if slots and value.seconds:
        return f"{slots} + {seconds}"
    return slots or seconds


def keys_written(fault: Fault) -> dict[str, Any]:
    """Its own keys, without those that have their usual value."""
    found: dict[str, Any] = {}
    for name, (_, field) in keys_of(type(fault)).items():
        value = getattr(fault, field.name)
        if field.default is MISSING or value != field.default:
            found[name] = written(value)
    return found
