"""What a client may ask of a trace, decoded. Source: execution-apis, `TraceConfig`; geth's options
of the built-in tracers."""

import re
from dataclasses import dataclass, field
from typing import Any, Final

from dst.apis.fields import an_object, flag
from dst.apis.overrides import (
    NO_BLOCK_OVERRIDES,
    BlockOverrides,
    StateOverrides,
    parse_block_overrides,
    parse_state_overrides,
)
from dst.spec.errors import InvalidInput

TRACERS: Final = (
    "callTracer",
    "flatCallTracer",
    "prestateTracer",
    "4byteTracer",
    "noopTracer",
    "muxTracer",
)
_UNITS: Final = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0
}  # fmt: skip
_DURATION: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceConfig:
    """`tracer` "": the struct logger. `limit` 0: no limit of its own."""

    tracer: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    """Of a named tracer; for `muxTracer` the tracers with theirs."""
    timeout_s: float | None = None
    stack: bool = True
    storage: bool = True
    memory: bool = False
    return_data: bool = False
    limit: int = 0
    state_overrides: StateOverrides = field(default_factory=dict)
    block_overrides: BlockOverrides = NO_BLOCK_OVERRIDES
    transaction_index: int | None = None
    """Of a call: it runs before this transaction of the block, not after the last."""


def parse_trace_config(value: object) -> TraceConfig:
    """Raises: InvalidInput."""
    if value is None:
        return TraceConfig()
    fields = an_object(value, "trace config")
    timeout = fields.get("timeout")
    return TraceConfig(
        tracer=check_tracer(fields.get("tracer") or ""),
        options=check_options(fields.get("tracerConfig")),
        timeout_s=None if timeout is None else parse_duration(timeout),
        stack=not flag(fields, "disableStack"),
        storage=not flag(fields, "disableStorage"),
        memory=flag(fields, "enableMemory"),
        return_data=flag(fields, "enableReturnData"),
        limit=_count(fields.get("limit") or 0, "limit"),
        state_overrides=parse_state_overrides(fields.get("stateOverrides")),
        block_overrides=parse_block_overrides(fields.get("blockOverrides")),
        transaction_index=_index(fields.get("txIndex")),
    )


def check_tracer(name: object) -> str:
    """Raises: InvalidInput; programs in JavaScript are not run."""
    if name != "" and name not in TRACERS:
        known = ", ".join(TRACERS)
        raise InvalidInput(f"tracer {str(name)[:40]!r} is not here; there are: {known}")
    return str(name)


def check_options(value: object) -> dict[str, Any]:
    """Raises: InvalidInput."""
    return {} if value is None else an_object(value, "tracerConfig")


def parse_duration(text: object) -> float:
    """Seconds in a Go duration ("300ms", "1m30s"). Raises: InvalidInput."""
    if not isinstance(text, str) or not text:
        raise InvalidInput(f"timeout: expected a duration, got {str(text)[:40]!r}")
    total, at = 0.0, 0
    for found in _DURATION.finditer(text):
        if found.start() != at:
            break
        total += float(found[1]) * _UNITS[found[2]]
        at = found.end()
    if at != len(text):
        raise InvalidInput(f"timeout: not a duration: {text[:40]!r}")
    return total


def _count(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidInput(f"{what}: expected a number from 0 up")
    return value


def _index(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, str) and re.fullmatch(r"0x[0-9a-fA-F]{1,8}", value):
        return int(value, 16)
    return _count(value, "txIndex")
