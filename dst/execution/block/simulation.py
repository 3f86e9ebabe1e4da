"""Blocks that nobody proposes: each on the one before, calls instead of transactions.

Source: execution-apis, `eth_simulateV1` and its notes; geth where they leave room.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from dst.apis.overrides import BlockOverrides
from dst.apis.simulate import BlockStateCalls, Simulation
from dst.apis.transaction_object import TransactionObject
from dst.execution.block.body import BlockRun
from dst.execution.block.call_objects import message_of, with_hash
from dst.execution.block.call_run import CallOutcome, CallRefused, CallRun, Checks
from dst.execution.block.executed import finished_header
from dst.execution.environment import BlockEnvironment, Interrupt
from dst.execution.evm.messages import new_overlay
from dst.execution.evm.overrides import override_state
from dst.execution.evm.tracing import Tracing, computation_for
from dst.execution.header import Header, next_base_fee
from dst.execution.receipts import Log
from dst.execution.state.nodes import ScratchNodes
from dst.execution.state.reader import StateReader
from dst.execution.tracers.transfers import LogTracer
from dst.spec.errors import DstError
from dst.spec.primitives import ZERO_HASH, Hash32
from dst.transactions.transaction import Transaction

MAX_BLOCKS: Final = 256
"""From the base block to the last simulated one, gaps included."""


class SimulationRefused(DstError):
    """`code` is the one that the specification gives."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class SimulatedCallRefused(DstError):
    """A call that cannot begin, and the gas it was given."""

    def __init__(self, error: CallRefused, gas: int) -> None:
        super().__init__(f"err: {error} (supplied gas {gas})")
        self.fault = error.fault


BLOCK_NUMBERS: Final = -38_020
BLOCK_TIMES: Final = -38_021
BLOCK_GAS: Final = -38_015
CLIENT_LIMIT: Final = -38_026


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedCall:
    transaction: Transaction
    outcome: CallOutcome
    logs: tuple[tuple[int, Log], ...]
    """With their indices in the block; transfers are among them when asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedBlock:
    header: Header
    hash: Hash32
    calls: tuple[SimulatedCall, ...]


def _empty_block(number: int, time: int) -> BlockStateCalls:
    return BlockStateCalls(
        block_overrides=BlockOverrides(number=number, time=time), state_overrides={}, calls=()
    )


def plan_blocks(
    base: Header, blocks: tuple[BlockStateCalls, ...], seconds_per_slot: int
) -> Iterator[BlockStateCalls]:
    """Every block of the simulation with its number and time set, gaps filled by empty ones.

    Raises: SimulationRefused.
    """
    if len(blocks) > MAX_BLOCKS:
        raise SimulationRefused(CLIENT_LIMIT, "too many blocks")
    number, time = base.number, base.timestamp
    planned: list[BlockStateCalls] = []
    for block in blocks:
        overrides = block.block_overrides
        wanted = number + 1 if overrides.number is None else overrides.number
        if wanted <= number:
            raise SimulationRefused(
                BLOCK_NUMBERS, f"block numbers must be in order: {wanted} <= {number}"
            )
        if wanted - base.number > MAX_BLOCKS:
            raise SimulationRefused(CLIENT_LIMIT, "too many blocks")
        for missing in range(number + 1, wanted):
            time += seconds_per_slot
            planned.append(_empty_block(missing, time))
        next_time = time + seconds_per_slot if overrides.time is None else overrides.time
        if next_time <= time:
            raise SimulationRefused(
                BLOCK_TIMES, f"block timestamps must be in order: {next_time} <= {time}"
            )
        number, time = wanted, next_time
        overrides = replace(overrides, number=number, time=time)
        planned.append(replace(block, block_overrides=overrides))
    return iter(planned)


class Simulator:
    """One simulation: `run` yields block after block, each on the state of the ones before."""

    def __init__(
        self,
        reader: StateReader,
        base: Header,
        base_hash: Hash32,
        base_environment: BlockEnvironment,
        request: Simulation,
        interrupt: Interrupt,
        *,
        gas: int,
        seconds_per_slot: int,
    ) -> None:
        """`base_environment` is the base block's own; `gas` is for all calls together."""
        reader.nodes = ScratchNodes(reader.nodes)
        self._reader, self._request, self._interrupt = reader, request, interrupt
        self._accounts = new_overlay(reader)
        self._parent, self._parent_hash = base, base_hash
        self._base_environment = base_environment
        self._hashes = {base.number: bytes(base_hash)}
        self._base_number = base.number
        self._gas_left = gas
        self._seconds_per_slot = seconds_per_slot

    def run(self) -> Iterator[SimulatedBlock]:
        """Raises: SimulationRefused, SimulatedCallRefused, OverrideRefused, ExecutionAborted,
        InvalidInput."""
        for block in plan_blocks(self._parent, self._request.blocks, self._seconds_per_slot):
            self._interrupt()
            yield self._run_block(block)

    def _run_block(self, block: BlockStateCalls) -> SimulatedBlock:
        draft = self._draft(block.block_overrides)
        tracing = Tracing()
        precompiles = override_state(self._accounts, block.state_overrides)
        run = _SimulatedBlockRun(
            self._reader,
            self._environment(draft, block.block_overrides.blob_base_fee),
            self._interrupt,
            computation_class=computation_for(tracing, precompiles),
            accounts=self._accounts,
        )
        calls: list[SimulatedCall] = []
        next_log = 0
        for call in block.calls:
            tracer = LogTracer(transfers=self._request.trace_transfers, first_index=next_log)
            calls.append(self._call(run, call, tracing, tracer))
            next_log = tracer.next_index
        result = run.finish()
        header = finished_header(draft, [each.transaction.raw for each in calls], (), result)
        self._parent, self._parent_hash = header, header.hash
        self._hashes[header.number] = bytes(self._parent_hash)
        return SimulatedBlock(header=header, hash=self._parent_hash, calls=tuple(calls))

    def _draft(self, overrides: BlockOverrides) -> Header:
        """The header as far as it is known before execution."""
        parent = self._parent
        assert overrides.number is not None
        assert overrides.time is not None
        base_fee = overrides.base_fee_per_gas
        if base_fee is None:
            base_fee = next_base_fee(parent) if self._request.validation else 0
        gas_limit = overrides.gas_limit
        return Header(
            parent_hash=self._parent_hash,
            fee_recipient=overrides.fee_recipient or parent.fee_recipient,
            state_root=ZERO_HASH,
            number=overrides.number,
            gas_limit=parent.gas_limit if gas_limit is None else gas_limit,
            timestamp=overrides.time,
            prev_randao=overrides.prev_randao or ZERO_HASH,
            base_fee_per_gas=base_fee,
            parent_beacon_block_root=overrides.beacon_root or ZERO_HASH,
        )

    def _environment(self, draft: Header, blob_base_fee: int | None) -> BlockEnvironment:
        return BlockEnvironment(
            chain_id=self._base_environment.chain_id,
            number=draft.number,
            timestamp=draft.timestamp,
            fee_recipient=draft.fee_recipient,
            prev_randao=draft.prev_randao,
            gas_limit=draft.gas_limit,
            base_fee_per_gas=draft.base_fee_per_gas,
            parent_hash=draft.parent_hash,
            parent_beacon_block_root=draft.parent_beacon_block_root,
            ancestor_hash=self._ancestor_hash,
            blob_base_fee=self._base_environment.blob_base_fee
            if blob_base_fee is None
            else blob_base_fee,
        )

    def _ancestor_hash(self, number: int) -> bytes:
        if number < self._base_number:
            return self._base_environment.ancestor_hash(number)
        return self._hashes.get(number, b"")

    def _call(
        self,
        run: "_SimulatedBlockRun",
        call: TransactionObject,
        tracing: Tracing,
        tracer: LogTracer,
    ) -> SimulatedCall:
        transaction = self._transaction(run, call)
        validation = self._request.validation
        tracing.watch(tracer)
        try:
            outcome = run.call(transaction, Checks(nonce=validation, free=not validation))
        except CallRefused as error:
            raise SimulatedCallRefused(error, transaction.gas) from None
        tracing.watch(None)
        self._gas_left -= outcome.gas_used
        return SimulatedCall(transaction=transaction, outcome=outcome, logs=tracer.logs)

    def _transaction(self, run: "_SimulatedBlockRun", call: TransactionObject) -> Transaction:
        """The call with its gas and nonce filled in. Raises: SimulationRefused, InvalidInput."""
        limit = run.gas_used + run.gas_left
        gas = run.gas_left if call.gas is None else call.gas
        if gas > run.gas_left:
            raise SimulationRefused(
                BLOCK_GAS, f"block gas limit reached: {run.gas_used} >= {limit}"
            )
        message = message_of(
            call,
            chain_id=self._base_environment.chain_id,
            gas=gas,
            nonce=self._accounts.get_nonce(call.caller),
        )
        return with_hash(replace(message, gas=min(message.gas, self._gas_left)))


class _SimulatedBlockRun(CallRun):
    """Calls in a block of their own: with the system calls of its start."""

    def _begin(self) -> None:
        BlockRun._begin(self)
