"""A block executed again, transaction by transaction, with somebody watching."""

from collections.abc import Iterator

from dst.execution.block.body import BlockRun
from dst.execution.block.call_run import CallOutcome, CallRun
from dst.execution.block.ground import Ground
from dst.execution.environment import Interrupt
from dst.execution.evm.precompiles import PRECOMPILES
from dst.execution.evm.tracing import Tracing, computation_for
from dst.execution.header import Header
from dst.execution.receipts import Receipt
from dst.execution.state.overlay import BlockState
from dst.execution.tracers.base import ClientTracer, Scene
from dst.execution.tracers.flat import Place
from dst.spec.errors import DstError
from dst.spec.primitives import Address, Hash32
from dst.transactions.decoded import decode_once
from dst.transactions.transaction import Transaction


class GenesisNotTraceable(DstError):
    """Nothing was executed in it."""


class Replay:
    """The run of one block on its parent's state."""

    def __init__(self, chain: Ground, header: Header, block_hash: Hash32, stop: Interrupt) -> None:
        """Raises: GenesisNotTraceable, StateUnavailable."""
        if header.number == 0:
            raise GenesisNotTraceable("genesis is not traceable")
        self._tracing = Tracing()
        self._header, self._hash = header, block_hash
        self.transactions = [decode_once(raw) for raw in chain.body(block_hash).transactions]
        self.reader = chain.reader_after(header.parent_hash)
        """Of the state before the block."""
        self._run = BlockRun(
            self.reader,
            chain.environment(header),
            stop,
            computation_class=computation_for(self._tracing),
        )
        self._next = 0

    @property
    def accounts(self) -> BlockState:
        """The state as the block has made it so far."""
        return self._run.accounts

    def place(self, index: int) -> Place:
        return Place(
            block_hash=self._hash,
            block_number=self._header.number,
            transaction_hash=self.transactions[index].hash,
            position=index,
        )

    def run_to(self, index: int) -> None:
        """Execute what is before transaction `index`, unwatched."""
        while self._next < index:
            self._run.apply(self.transactions[self._next])
            self._next += 1

    def trace(self, tracer: ClientTracer) -> Receipt:
        """Execute the next transaction under `tracer`."""
        transaction = self.transactions[self._next]
        self._next += 1
        tracer.begin(scene(transaction, self._run, self._header.fee_recipient))
        self._tracing.watch(tracer)
        try:
            receipt = self._run.apply(transaction)
        finally:
            self._tracing.watch(None)
        tracer.end(receipt)
        return receipt

    def rest(self) -> Iterator[tuple[int, Transaction]]:
        """Transactions still to come, with their indices; the caller traces each."""
        while self._next < len(self.transactions):
            yield self._next, self.transactions[self._next]


def scene(transaction: Transaction, run: BlockRun, fee_recipient: Address) -> Scene:
    return Scene(
        transaction=transaction,
        accounts=run.accounts,
        fee_recipient=fee_recipient,
        precompiles=PRECOMPILES,
    )


def trace_call(
    run: CallRun,
    tracing: Tracing,
    message: Transaction,
    fee_recipient: Address,
    tracer: ClientTracer,
) -> CallOutcome:
    """Run a message under `tracer`. `tracing` is the one that `run` was made with."""
    tracer.begin(scene(message, run, fee_recipient))
    tracing.watch(tracer)
    try:
        outcome = run.call(message)
    finally:
        tracing.watch(None)
    tracer.end(outcome.receipt)
    return outcome
