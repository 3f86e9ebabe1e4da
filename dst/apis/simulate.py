"""The parameter of `eth_simulateV1`, decoded. Source: execution-apis, `EthSimulatePayload`."""

from dataclasses import dataclass
from typing import Any, Final

from dst.apis.calls import (
    BlockOverrides,
    CallObject,
    StateOverrides,
    parse_block_overrides,
    parse_call_object,
    parse_state_overrides,
)
from dst.spec.errors import InvalidInput

MAX_CALLS: Final = 5_000
"""Calls over all blocks: 21,000 gas each would be twice the gas cap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockStateCalls:
    """One block of a simulation."""

    block_overrides: BlockOverrides
    state_overrides: StateOverrides
    calls: tuple[CallObject, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    blocks: tuple[BlockStateCalls, ...]
    trace_transfers: bool
    validation: bool
    return_full_transactions: bool


def parse_simulation(value: object) -> Simulation:
    """Raises: InvalidInput."""
    fields = _object(value, "simulation")
    blocks = fields.get("blockStateCalls")
    if not isinstance(blocks, list) or not blocks:
        raise InvalidInput("empty input")
    parsed = tuple(_block(each) for each in blocks)
    if sum(len(each.calls) for each in parsed) > MAX_CALLS:
        raise InvalidInput(f"blockStateCalls: at most {MAX_CALLS} calls")
    return Simulation(
        blocks=parsed,
        trace_transfers=_flag(fields, "traceTransfers"),
        validation=_flag(fields, "validation"),
        return_full_transactions=_flag(fields, "returnFullTransactions"),
    )


def _block(value: object) -> BlockStateCalls:
    fields = _object(value, "blockStateCalls")
    calls = fields.get("calls") or []
    if not isinstance(calls, list):
        raise InvalidInput("calls: expected a list")
    return BlockStateCalls(
        block_overrides=parse_block_overrides(fields.get("blockOverrides")),
        state_overrides=parse_state_overrides(fields.get("stateOverrides")),
        calls=tuple(parse_call_object(each) for each in calls),
    )


def _flag(fields: dict[str, Any], name: str) -> bool:
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidInput(f"{name}: expected true or false")
    return bool(value)


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(f"{what}: expected an object")
    return value
