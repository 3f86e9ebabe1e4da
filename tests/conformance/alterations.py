"""Every single-field alteration of the Engine API's structures, derived from their definitions.

A field's kind (quantity, bytes, list, structure, flag) decides what can be wrong with it. A field
that the structures gain and this module does not know fails `kinds_of`.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import msgspec

from dst.apis.engine_wire import (
    ExecutionPayloadV3,
    ForkchoiceStateV1,
    PayloadAttributesV3,
    WithdrawalV1,
)

Path = tuple[str | int, ...]


class Kind(Enum):
    QUANTITY = auto()
    BYTES = auto()
    """Of a fixed length."""
    UP_TO_32 = auto()
    """Bytes, at most 32."""
    RAW = auto()
    """Bytes of any length: a transaction."""
    LIST = auto()
    FLAG = auto()


_QUANTITIES = frozenset(
    "blockNumber gasLimit gasUsed timestamp baseFeePerGas blobGasUsed excessBlobGas "
    "index validatorIndex amount".split()
)
_LISTS = frozenset({"transactions", "withdrawals"})
_FLAGS = frozenset({"noTxPool"})
_BYTES = frozenset(
    "parentHash feeRecipient stateRoot receiptsRoot logsBloom prevRandao blockHash "
    "address suggestedFeeRecipient parentBeaconBlockRoot headBlockHash safeBlockHash "
    "finalizedBlockHash".split()
)
_UP_TO_32 = frozenset({"extraData"})
_OPTIONAL = frozenset({"noTxPool", "transactions"})
"""Of payload attributes: OP's two fields may be absent or null."""


@dataclass(frozen=True, slots=True)
class Altered:
    what: str
    value: Any
    misshapen: bool
    """True when the result is not of the structure's shape: only -32602 (or -38003) will do."""


def kinds_of(struct: type[msgspec.Struct]) -> dict[str, Kind]:
    """Field -> kind, by the names on the wire."""
    kinds = {}
    for each in msgspec.structs.fields(struct):
        name = each.encode_name
        for names, kind in (
            (_QUANTITIES, Kind.QUANTITY),
            (_LISTS, Kind.LIST),
            (_FLAGS, Kind.FLAG),
            (_BYTES, Kind.BYTES),
            (_UP_TO_32, Kind.UP_TO_32),
        ):
            if name in names:
                kinds[name] = kind
        assert name in kinds, f"{struct.__name__}.{name}: tell this module what kind of field it is"
    return kinds


def alterations_of_payload(payload: Mapping[str, Any]) -> Iterator[Altered]:
    yield from _of_struct(payload, ExecutionPayloadV3, ())


def alterations_of_attributes(attributes: Mapping[str, Any]) -> Iterator[Altered]:
    yield from _of_struct(attributes, PayloadAttributesV3, _OPTIONAL)


def alterations_of_forkchoice(state: Mapping[str, Any]) -> Iterator[Altered]:
    yield from _of_struct(state, ForkchoiceStateV1, ())


def _of_struct(
    whole: Mapping[str, Any], struct: type[msgspec.Struct], optional: Any
) -> Iterator[Altered]:
    for name, kind in kinds_of(struct).items():
        if name in whole:
            yield from _of_field(whole, (name,), kind, name in optional)
    for position, _ in enumerate(whole.get("withdrawals", ())):
        for name, kind in kinds_of(WithdrawalV1).items():
            yield from _of_field(whole, ("withdrawals", position, name), kind, False)
    for position, _ in enumerate(whole.get("transactions", ())):
        yield from _of_field(whole, ("transactions", position), Kind.RAW, False)


def _of_field(
    whole: Mapping[str, Any], path: Path, kind: Kind, optional: bool
) -> Iterator[Altered]:
    value = _at(whole, path)
    label = ".".join(map(str, path))
    if isinstance(path[-1], str):
        yield Altered(f"{label} absent", _without(whole, path), not optional)
    yield Altered(f"{label} = null", _with(whole, path, None), not optional)
    wrong_types: tuple[Any, ...] = (5, 1.5, True, [], {}, [[]], "", "0xzz", "zz", "0X00")
    if kind is Kind.LIST:
        wrong_types = (5, True, {}, "", "0x", [5], [None], [[]])
    elif kind is Kind.FLAG:
        wrong_types = (5, "true", [], {})
    for wrong in wrong_types:
        yield Altered(f"{label} = {wrong!r}", _with(whole, path, wrong), True)
    for what, other, misshapen in _of_value(value, kind):
        yield Altered(f"{label} {what}", _with(whole, path, other), misshapen)


def _of_value(value: Any, kind: Kind) -> Iterator[tuple[str, Any, bool]]:
    """(what, other value, whether the shape is broken too)."""
    if kind is Kind.QUANTITY:
        number = int(value, 16)
        yield "+ 1", hex(number + 1), False
        yield "doubled", hex(number * 2 + 2), False
        yield "maximum", hex(2**64 - 1), False
        if number:
            yield "- 1", hex(number - 1), False
            yield "zero", "0x0", False
        yield "leading zero", "0x0" + value[2:], True
        yield "no digits", "0x", True
        yield "above 256 bits", hex(2**256), True
        yield "negative", "-0x1", True
        yield "decimal", str(number), True
        yield "with a space", " " + value, True
        yield "with an underscore", "0x1_0", True
    elif kind in (Kind.BYTES, Kind.UP_TO_32, Kind.RAW):
        fixed, bounded = kind is Kind.BYTES, kind is not Kind.RAW
        yield "first bit flipped", _flipped(value, 2), False
        yield "last bit flipped", _flipped(value, len(value) - 1), False
        yield "half a byte more", value + "0", True
        yield "without 0x", value[2:] or "00", True
        yield "with a space", value + " ", True
        yield "empty", "0x", fixed
        yield "a byte more", value + "00", fixed
        yield "a byte less", value[:-2], fixed
        yield "very long", value + "00" * 100_000, bounded
    elif kind is Kind.LIST:
        if value:
            yield "emptied", [], False
            yield "first dropped", value[1:], False
            yield "first twice", [value[0], *value], False
            yield "reversed", value[::-1], False
    elif kind is Kind.FLAG:
        yield "negated", not value, False


def _flipped(text: str, at: int) -> str:
    """One hex digit changed."""
    return f"{text[:at]}{int(text[at], 16) ^ 1:x}{text[at + 1 :]}"


def _at(whole: Any, path: Path) -> Any:
    for step in path:
        whole = whole[step]
    return whole


def _with(whole: Mapping[str, Any], path: Path, value: Any) -> Any:
    made = copy.deepcopy(dict(whole))
    _at(made, path[:-1])[path[-1]] = value
    return made


def _without(whole: Mapping[str, Any], path: Path) -> Any:
    made = copy.deepcopy(dict(whole))
    del _at(made, path[:-1])[path[-1]]
    return made
