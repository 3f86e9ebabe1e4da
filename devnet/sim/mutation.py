"""Small changes to a message, derived from its schema (ByzzFuzz): what a field may hold says how it
can lie, so a new field or message is covered without a word here.

| the field holds | it becomes |
|---|---|
| a number | one more, one less, now and then very many more |
| a flag | the other |
| bytes of a fixed length: a digest, a signature | another one of that length that was said before |
| a block | an earlier one, a torn one, or one with a small change in turn |
| a list | with one dropped, repeated, added, or replaced by an earlier one, or changed in turn |
| a message in the message | an earlier one of its type, or changed in turn |
| something or nothing | the other of the two |

Whoever changes something may sign it again with the keys that he has (`Resign`); nobody's signature
is ever forged, only used in another place.
"""

from collections import deque
from collections.abc import Callable, Iterator
from functools import cache
from random import Random
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import inspect
from msgspec.structs import replace

from devnet.sim import blocks
from dst.spec.errors import InvalidInput

REMEMBERED: Final = 32
"""Things of a kind that a mutator can bring back."""
FAR: Final = 1_000_000
ITEM: Final = "*"
"""In a path: an element of a list."""
BODY: Final = "body"
"""In a path: what the bytes of a block say."""
Path: TypeAlias = tuple[str, ...]
Resign: TypeAlias = Callable[[msgspec.Struct, str], msgspec.Struct]
"""(struct, its changed field) -> the struct, signed anew or otherwise made to look right again."""


class Memory:
    """What was said before: bytes by their length, structs by their type."""

    def __init__(self) -> None:
        self._known: dict[object, deque[object]] = {}

    def keep(self, value: object) -> None:
        """With all that is in it."""
        if isinstance(value, msgspec.Struct):
            self._add(type(value), value)
            for name in value.__struct_fields__:
                self.keep(getattr(value, name))
        elif isinstance(value, tuple):
            for each in value:
                self.keep(each)
        elif isinstance(value, bytes):
            self._add(len(value), value)

    def _add(self, kind: object, value: object) -> None:
        known = self._known.setdefault(kind, deque(maxlen=REMEMBERED))
        if value not in known:
            known.append(value)

    def other_than(self, value: object, kind: object, rng: Random) -> object | None:
        known = [each for each in self._known.get(kind, ()) if each != value]
        return rng.choice(known) if known else None


class Mutator:
    """Draws one change at a time."""

    def __init__(self, rng: Random, memory: Memory, resign: Resign) -> None:
        self._rng, self._memory, self._resign = rng, memory, resign

    def changed(self, message: msgspec.Struct) -> tuple[msgspec.Struct, Path]:
        """Another message of the type, and where it differs. The fields of a struct are equally
        likely, however much is in each. An empty list of what never was said stays empty."""
        return self._struct(message)

    def _value(self, value: Any, kind: inspect.Type) -> tuple[Any, Path]:
        match kind:
            case inspect.UnionType():
                return self._optional(value, kind)
            case inspect.IntType():
                return value + self._rng.choice((-1, 1, -1, 1, FAR)), ()
            case inspect.BoolType():
                return not value, ()
            case inspect.BytesType(min_length=length) if length is not None:
                return self._bytes(value), ()
            case inspect.BytesType():
                return self._block(value)
            case inspect.VarTupleType():
                return self._list(value, kind.item_type)
            case inspect.StructType():
                return self._nested(value)
            case _:
                raise NotImplementedError(f"no mutation of {kind}")

    def _optional(self, value: Any, kind: inspect.UnionType) -> tuple[Any, Path]:
        """Nothing, or something; structs that may stand in for one another do not occur."""
        (something,) = (each for each in kind.types if not isinstance(each, inspect.NoneType))
        if value is None:
            return self._made(something), ()
        if self._rng.random() < 0.5:
            return None, ()
        return self._value(value, something)

    def _made(self, kind: inspect.Type) -> Any:
        """Something where nothing was."""
        match kind:
            case inspect.IntType():
                return 0
            case inspect.BytesType(min_length=length):
                return self._memory.other_than(None, length, self._rng) or bytes(length or 1)
            case _:
                raise NotImplementedError(f"nothing to put in place of None: {kind}")

    def _bytes(self, value: bytes) -> bytes:
        found = self._memory.other_than(value, len(value), self._rng)
        if isinstance(found, bytes):
            return found
        return value[:-1] + bytes([value[-1] ^ 1])

    def _block(self, value: bytes) -> tuple[bytes, Path]:
        style = self._rng.randrange(6)
        try:
            block = blocks.decode(value)
        except InvalidInput:
            style = 0
        if style == 0:
            return value[: len(value) // 2] + b"x", ()
        if style == 1:
            known = self._memory.other_than(block, blocks.Block, self._rng)
            return (blocks.encode(known) if isinstance(known, blocks.Block) else b""), ()
        self._memory.keep(block)
        changed, path = self._struct(block)
        assert isinstance(changed, blocks.Block), "a struct stays one"
        return blocks.encode(changed), (BODY, *path)

    def _list(self, value: tuple[Any, ...], kind: inspect.Type) -> tuple[tuple[Any, ...], Path]:
        items = list(value)
        assert isinstance(kind, inspect.StructType), "lists on the wire hold structs"
        at = self._rng.randrange(max(1, len(items)))
        present = items[at] if items else None
        earlier = self._memory.other_than(present, kind.cls, self._rng)
        style = self._rng.randrange(8) if items else 0
        if style == 0 and earlier is not None:
            items.append(earlier)
        elif not items:
            return value, ()
        elif style == 1 and earlier is not None:
            items[at] = earlier
        elif style == 2:
            items.append(items[at])
        elif style == 3:
            del items[at]
        else:
            items[at], path = self._value(items[at], kind)
            return tuple(items), (ITEM, *path)
        return tuple(items), ()

    def _nested(self, value: msgspec.Struct) -> tuple[msgspec.Struct, Path]:
        if self._rng.random() < 0.15:
            found = self._memory.other_than(value, type(value), self._rng)
            if isinstance(found, msgspec.Struct):
                return found, ()
        return self._struct(value)

    def _struct(self, value: msgspec.Struct) -> tuple[msgspec.Struct, Path]:
        field = self._rng.choice(fields_of(type(value)))
        inner, path = self._value(getattr(value, field.name), field.type)
        changed = self._resign(replace(value, **{field.name: inner}), field.name)
        return changed, (field.name, *path)


@cache
def fields_of(kind: type[msgspec.Struct]) -> tuple[inspect.Field, ...]:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType), f"{kind} is no struct"
    return info.fields


def places(kind: type[msgspec.Struct]) -> Iterator[Path]:
    """Every field, and every field of what it holds."""
    for field in fields_of(kind):
        yield (field.name,)
        for path in _within(field.type):
            yield (field.name, *path)


def _within(kind: inspect.Type) -> Iterator[Path]:
    match kind:
        case inspect.StructType():
            yield from places(kind.cls)
        case inspect.VarTupleType():
            yield (ITEM,)
            for path in _within(kind.item_type):
                yield (ITEM, *path)
        case inspect.UnionType():
            for each in kind.types:
                yield from _within(each)
        case inspect.BytesType(min_length=None):
            yield (BODY,)
            for field in fields_of(blocks.Block):
                yield (BODY, field.name)
        case _:
            return
