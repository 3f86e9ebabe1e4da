"""Keys of a fault's YAML form: fields of its class that know how they are read, what the published
schema says of them and what they mean."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from enum import StrEnum
from typing import Any, Final, TypeVar

from devnet.faults.base import Fault
from devnet.model.reading import (
    Fields,
    read_choice,
    read_duration,
    read_integer,
    read_share,
    read_target,
)

_KEY: Final = "key"
_T = TypeVar("_T")
_E = TypeVar("_E", bound=StrEnum)
REQUIRED: Final[Any] = MISSING


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """read: (value, where) -> value of the field. Raises: BadConfig. schema: JSON Schema of the
    value. means: for the documentation."""

    read: Callable[[object, str], Any]
    schema: Mapping[str, Any]
    means: str


def key(
    read: Callable[[object, str], _T],
    schema: Mapping[str, Any],
    means: str,
    default: _T | Any = REQUIRED,
) -> Any:
    """A field of a fault."""
    metadata = {_KEY: Key(read=read, schema=schema, means=means)}
    return field(default=default, metadata=metadata)


def target(means: str, default: Any = REQUIRED) -> Any:
    return key(read_target, {"$ref": "#/$defs/target"}, means, default)


def duration(means: str, default: Any = REQUIRED) -> Any:
    return key(read_duration, {"$ref": "#/$defs/duration"}, means, default)


def choice(kind: type[_E], means: str, default: _E | Any = REQUIRED) -> Any:
    return key(
        lambda value, where: read_choice(value, where, kind),
        {"enum": [str(each) for each in kind]},
        means,
        default,
    )


def integer(low: int, high: int, means: str, default: Any = REQUIRED) -> Any:
    return key(
        lambda value, where: read_integer(value, where, low, high),
        {"type": "integer", "minimum": low, "maximum": high},
        means,
        default,
    )


def share(means: str, default: Any = REQUIRED) -> Any:
    return key(read_share, {"type": "number", "exclusiveMinimum": 0, "maximum": 1}, means, default)


def keys_of(kind: type[Fault]) -> Mapping[str, tuple[Key, Field[Any]]]:
    """YAML key -> how it is read, and the field."""
    return {
        each.name: (each.metadata[_KEY], each)
        for each in fields(kind)  # type: ignore[arg-type]  # every kind is a dataclass
    }


def read_keys(kind: type[Fault], given: Fields) -> Fault:
    """Raises: BadConfig, naming the place."""
    known: dict[str, Any] = {}
    for name, (how, where) in keys_of(kind).items():
        if given.has(name) or where.default is MISSING:
            known[where.name] = how.read(given.required(name), given.at(name))
    return kind(**known)
