"""Where a call runs: state and block that it sees, overrides, time limit, and how refusals read.

Shared by the families that run messages (calls, simulation, debug, trace).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from dst.apis.eth import parse_block_id
from dst.apis.jsonrpc import REFUSED, REVERTED, RpcError
from dst.apis.overrides import (
    BlockOverrides,
    StateOverrides,
    parse_block_overrides,
    parse_state_overrides,
)
from dst.execution.block.call_run import CallOutcome, CallRefused, CallRun
from dst.execution.call_workers import time_limit
from dst.execution.environment import BlockEnvironment, ExecutionAborted, Interrupt
from dst.execution.evm.overrides import OverrideRefused, override_block
from dst.execution.evm.tracing import Tracing
from dst.execution.reverts import revert_message
from dst.execution.rpc.blocks_by_id import BlocksById
from dst.execution.state.nodes import StateUnavailable
from dst.execution.state.overlay import BlockState
from dst.execution.state.reader import StateReader
from dst.spec.primitives import to_hex
from dst.transactions.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The state and block of one request; `run` makes a fresh run on it."""

    reader: StateReader
    environment: BlockEnvironment
    overrides: StateOverrides
    stop: Interrupt
    accounts: BlockState | None = None
    """An overlay over `reader` with what came before in the block; then `run` once only."""

    def run(self, *, free: bool, tracing: Tracing | None = None) -> CallRun:
        """`free`: a call that pays nothing sees a base fee of nothing, as in geth.

        Raises: OverrideRefused.
        """
        environment = self.environment
        if free:
            environment = replace(environment, base_fee_per_gas=0)
        return CallRun.over(
            self.reader,
            environment,
            self.stop,
            overrides=self.overrides,
            tracing=tracing,
            accounts=self.accounts,
        )


def stage_of(
    blocks: BlocksById,
    block: object,
    state_overrides: object = None,
    block_overrides: object = None,
) -> Stage:
    """From raw parameters; time runs from here. Raises: InvalidInput, RpcError."""
    overrides: StateOverrides = parse_state_overrides(state_overrides)
    of_block: BlockOverrides = parse_block_overrides(block_overrides)
    with refusals():
        reader, environment = blocks.environment_for(parse_block_id(block))
    return Stage(
        reader=reader,
        environment=override_block(environment, of_block),
        overrides=overrides,
        stop=time_limit(),
    )


@contextmanager
def refusals(transaction: Transaction | None = None) -> Iterator[None]:
    """Refusals and aborts as clients read them. Raises: RpcError."""
    try:
        yield
    except CallRefused as error:
        gas = "" if transaction is None else f" (supplied gas {transaction.gas})"
        raise RpcError(REFUSED, f"err: {error}{gas}") from None
    except (OverrideRefused, ExecutionAborted, StateUnavailable) as error:
        raise RpcError(REFUSED, str(error)) from None


def raise_if_failed(outcome: CallOutcome) -> None:
    """Raises: RpcError; a revert is code 3 with its data, so that clients decode the reason."""
    if outcome.error is None:
        return
    if outcome.reverted:
        raise RpcError(REVERTED, revert_message(outcome.output), to_hex(outcome.output))
    raise RpcError(REFUSED, outcome.error)
