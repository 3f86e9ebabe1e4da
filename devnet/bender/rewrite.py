"""What a lying service answers, from what the honest one did. Pure; JSON values in and out."""

import json
from collections.abc import Mapping
from typing import Any, Final

_HASH_HEX: Final = 64
_TAGS: Final = frozenset({"latest", "pending", "safe"})
_OTHER_FORK: Final = int("5a" * 32, 16)
_FARTHER_SLOTS: Final = 1000


def json_of(body: bytes) -> Any:
    """None when it is not JSON."""
    try:
        return json.loads(body)
    except ValueError:
        return None


def patched(value: Any, path: tuple[str, ...], to: Any) -> Any:
    """`value` with the member at `path` changed, where it has one."""
    if not path:
        return to
    if not isinstance(value, dict) or path[0] not in value:
        return value
    return {**value, path[0]: patched(value[path[0]], path[1:], to)}


def number_of(result: Any) -> int | None:
    """Of a block; of the block that a receipt or transaction is in."""
    if not isinstance(result, dict):
        return None
    text = result.get("number", result.get("blockNumber"))
    return int(text, 16) if isinstance(text, str) else None


def asked_at(params: list[Any], head: int) -> list[Any]:
    """The question to an L1 whose head is `head`."""
    return [hex(head) if isinstance(each, str) and each in _TAGS else each for each in params]


def seen_at(method: str, result: Any, head: int) -> Any:
    """The answer of an L1 whose head is `head`: what is above is not there yet."""
    if method == "eth_blockNumber":
        return hex(head)
    number = number_of(result)
    return None if number is not None and number > head else result


def other_hash(text: str) -> str:
    """Of the same block on the other fork, and back."""
    return f"0x{int(text, 16) ^ _OTHER_FORK:0{_HASH_HEX}x}"


def on_other_fork(block: Any, last_common: int) -> Any:
    """The block as the other fork has it; what is no block is unchanged."""
    number = number_of(block)
    if number is None or not isinstance(block, dict) or "parentHash" not in block:
        return block
    changed = dict(block)
    if number > last_common and isinstance(block.get("hash"), str):
        changed["hash"] = other_hash(block["hash"])
    if number - 1 > last_common:
        changed["parentHash"] = other_hash(block["parentHash"])
    return changed


def other_header(answer: Any, what: str) -> Any:
    """A Beacon API's answer about a header, with its signature or its slot changed."""
    if what == "signature":
        path: tuple[str, ...] = ("data", "header", "signature")
        return patched(answer, path, _flipped(at(answer, path)))
    path = ("data", "header", "message", "slot")
    slot = at(answer, path)
    return patched(answer, path, str(int(slot) + _FARTHER_SLOTS) if slot else slot)


def at(value: Any, path: tuple[str, ...]) -> Any:
    """The member at `path`, or None."""
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _flipped(text: Any) -> Any:
    """The last hex digit is another one."""
    return f"{text[:-1]}{int(text[-1], 16) ^ 1:x}" if isinstance(text, str) and text else text
