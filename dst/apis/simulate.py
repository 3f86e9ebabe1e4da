"""The parameter of `eth_simulateV1`, decoded. Source: execution-apis, `EthSimulatePayload`."""

from dataclasses import dataclass
from typing import Final

from dst.apis.fields import a_list, an_object, flag
from dst.apis.overrides import (
    BlockOverrides,
    StateOverrides,
    parse_block_overrides,
    parse_state_overrides,
)
from dst.apis.transaction_object import TransactionObject, parse_transaction_object
from dst.spec.errors import InvalidInput

MAX_CALLS: Final = 5_000
"""Calls over all blocks: 21,000 gas each would be twice the gas cap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockStateCalls:
    """One block of a simulation."""

    block_overrides: BlockOverrides
    state_overrides: StateOverrides
    calls: tuple[TransactionObject, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    blocks: tuple[BlockStateCalls, ...]
    trace_transfers: bool
    validation: bool
    return_full_transactions: bool


def parse_simulation(value: object) -> Simulation:
    """Raises: InvalidInput."""
    fields = an_object(value, "simulation")
    blocks = fields.get("blockStateCalls")
    if not isinstance(blocks, list) or not blocks:
        raise InvalidInput("empty input")
    parsed = tuple(_block(each) for each in blocks)
    if sum(len(each.calls) for each in parsed) > MAX_CALLS:
        raise InvalidInput(f"blockStateCalls: at most {MAX_CALLS} calls")
    return Simulation(
        blocks=parsed,
        trace_transfers=flag(fields, "traceTransfers"),
        validation=flag(fields, "validation"),
        return_full_transactions=flag(fields, "returnFullTransactions"),
    )


def _block(value: object) -> BlockStateCalls:
    fields = an_object(value, "blockStateCalls")
    calls = a_list(fields.get("calls") or [], "calls")
    return BlockStateCalls(
        block_overrides=parse_block_overrides(fields.get("blockOverrides")),
        state_overrides=parse_state_overrides(fields.get("stateOverrides")),
        calls=tuple(parse_transaction_object(each) for each in calls),
    )
