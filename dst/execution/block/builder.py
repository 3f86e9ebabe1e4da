"""Builds a block: forced transactions first, then the pool's by price, until gas, bytes or time run
out.

Time is the scarce one (docs/heavy-transactions.md): the block has so many seconds of CPU time of
this thread (CPU, because a busy machine must not get an honest transaction refused, and because the
other operators spend it again), and one transaction a share of them. What needs more than its share
is left out and named, to be tried alone in a later block; alone it may take all of it, and then the
block carries nothing else of the pool. Once somebody waits for the block, wall clock counts too;
what the end interrupts stays in the pool.

Forced transactions run to their end whatever they take, because every node must decide the same
about them; the Portal meters their gas (half a block's), and their time is taken off the pool's.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from operator import itemgetter
from typing import Final

from dst.apis.engine import PayloadAttributes
from dst.execution.block.body import BlockRun
from dst.execution.block.executed import ExecutedBlock, assembled
from dst.execution.block.ground import Ground
from dst.execution.environment import ExecutionAborted
from dst.execution.header import Header, next_base_fee
from dst.runtime.log import Logger
from dst.spec.primitives import Address, Hash32
from dst.transactions.decoded import decode_once
from dst.transactions.transaction import InvalidTransaction, Reason, Transaction

log = Logger("builder")

TRANSACTION_SHARE: Final = 0.5
"""Part of the block's time that one transaction may take beside others."""
WALL_FACTOR: Final = 1.5
"""Wall clock that a block may take once it is asked for, as a multiple of its CPU time."""
WRAPPER_BYTES: Final = 8_192
"""Kept free in a block for everything but transactions: header fields, 16 withdrawals, requests."""
BYTES_PER_TRANSACTION: Final = 4
"""SSZ offset of each transaction in its list."""
MIN_TRANSACTION_GAS: Final = 21_000

_NOT_IN_THIS_BLOCK: Final = frozenset(
    {
        Reason.BLOCK_GAS,
        Reason.FEE_BELOW_BASE_FEE,
        Reason.NONCE_TOO_HIGH,
        Reason.NONCE_TOO_LOW,
        Reason.INSUFFICIENT_FUNDS,
    }
)
"""Reasons that may hold in this block alone: the transaction stays in the pool. A replacement of
one that is in it already, or a sender whose money went in it, is judged when a block is the
head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuilderLimits:
    """Bytes and extra data are constants of the network; the time is what `Allowance` says now."""

    builder_time_s: float
    max_block_bytes: int
    extra_data: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class TooSlow:
    """A transaction that did not end within the CPU time it was given, or, as the first one tried,
    within the block's wall clock."""

    hash: Hash32
    seconds: float
    alone: bool
    """It had the whole time of a block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    block: ExecutedBlock
    too_slow: tuple[TooSlow, ...]
    invalid: tuple[tuple[Hash32, InvalidTransaction], ...]
    """No block can carry them."""
    alone: Hash32 | None
    """The heavy transaction that has this block for itself."""
    whole_seconds: float
    """CPU time that there was."""
    cpu_seconds: float
    """What the transactions in the block took; the other operators spend it again."""
    seconds: float
    """Wall clock in which the builder worked."""
    out_of_time: bool


class _End(Enum):
    """Why a transaction was interrupted."""

    ITS_SHARE = auto()
    BLOCK_TIME = auto()
    STOPPED = auto()


class BuildClock:
    """The interrupt of a build. `stop` and `ask` are for any thread."""

    def __init__(self, whole_s: float) -> None:
        self.whole_s = whole_s
        self.spent_s = 0.0
        """CPU time of all transactions so far, those left out too."""
        self._wall_end = float("inf")
        self._stopped = False
        self._running: tuple[float, float] | None = None

    def ask(self) -> None:
        """Somebody waits for the block from now on."""
        self._wall_end = min(self._wall_end, time.monotonic() + WALL_FACTOR * self.whole_s)

    def stop(self) -> None:
        self._stopped = True

    @property
    def is_over(self) -> bool:
        return self._stopped or self.spent_s >= self.whole_s or time.monotonic() > self._wall_end

    def begin(self, limit_s: float) -> None:
        """A transaction starts that may take `limit_s`; infinity: it runs to its end."""
        self._running = (time.thread_time(), limit_s)

    def end(self) -> float:
        """CPU seconds of the transaction that ends here."""
        assert self._running is not None
        taken = time.thread_time() - self._running[0]
        self.spent_s += taken
        self._running = None
        return taken

    def check(self) -> None:
        """Between opcodes, several hundred times a second. Raises: ExecutionAborted."""
        if self._running is not None and self.why_over() is not None:
            raise ExecutionAborted("the builder's time is spent")

    def why_over(self) -> _End | None:
        assert self._running is not None
        started, limit = self._running
        if limit == float("inf"):
            return None
        if self._stopped:
            return _End.STOPPED
        taken = time.thread_time() - started
        if taken > limit:
            return _End.ITS_SHARE
        if self.spent_s + taken > self.whole_s or time.monotonic() > self._wall_end:
            return _End.BLOCK_TIME
        return None


class BlockBuilder:
    """One block in the making. `begin`, `add` and `finish` run on the thread that executes, one at
    a time; `clock.ask` and `clock.stop` may come from any."""

    def __init__(
        self,
        chain: Ground,
        parent_hash: Hash32,
        attributes: PayloadAttributes,
        limits: BuilderLimits,
    ) -> None:
        """Raises: InvalidTransaction when one of `attributes.transactions` cannot be decoded."""
        self._forced = [decode_once(raw) for raw in attributes.transactions]
        self._chain, self._parent_hash, self._attributes = chain, parent_hash, attributes
        self._limits = limits
        self.clock = BuildClock(limits.builder_time_s)
        self._bytes_left = limits.max_block_bytes - WRAPPER_BYTES
        self._skipped_senders: set[Address] = set()
        self._included: list[Transaction] = []
        self._included_s = 0.0
        self._too_slow: list[TooSlow] = []
        self._invalid: list[tuple[Hash32, InvalidTransaction]] = []
        self._alone: Hash32 | None = None
        self._is_closed = attributes.no_tx_pool
        """Nothing more of the pool belongs into this block."""
        self._tried_any = False
        self._worked_s = 0.0
        self._out_of_time = False

    def begin(self, light: Sequence[Transaction], heavy: Transaction | None = None) -> None:
        """Forced transactions, then `heavy` alone, or `light` in their order.

        light: the pool's, best first, each sender's in nonce order.
        """
        started = time.monotonic()
        parent = self._chain.header(self._parent_hash)
        assert parent is not None, "the head is known"
        self._draft = _draft_header(
            parent, self._parent_hash, self._attributes, self._limits.extra_data
        )
        self._run = BlockRun(
            self._chain.reader_after(self._parent_hash),
            self._chain.environment(self._draft),
            self.clock.check,
        )
        for transaction in self._forced:
            self._try_forced(transaction)
        if heavy is not None and not self._is_closed:
            self._try_alone(heavy)
        self._fill(light)
        self._worked_s += time.monotonic() - started

    def add(self, arrivals: Sequence[Transaction]) -> None:
        """Transactions that came after `begin`."""
        started = time.monotonic()
        self._fill(arrivals)
        self._worked_s += time.monotonic() - started

    def finish(self) -> Build:
        """Withdrawals, requests, roots. Nothing may follow."""
        started = time.monotonic()
        attributes = self._attributes
        result = self._run.finish(attributes.withdrawals)
        block = assembled(self._draft, self._included, attributes.withdrawals, result)
        return Build(
            block=block,
            too_slow=tuple(self._too_slow),
            invalid=tuple(self._invalid),
            alone=self._alone,
            whole_seconds=self.clock.whole_s,
            cpu_seconds=self._included_s,
            seconds=self._worked_s + time.monotonic() - started,
            out_of_time=self._out_of_time,
        )

    def _try_forced(self, transaction: Transaction) -> None:
        """One that is invalid here is left out; everybody decides the same."""
        self.clock.begin(float("inf"))
        try:
            self._run.apply(transaction)
        except InvalidTransaction:
            self.clock.end()
        else:
            self._count(transaction)

    def _try_alone(self, heavy: Transaction) -> None:
        """With all of the time, as far as forced transactions left it. One that turns out light
        leaves room for others; otherwise the block is its own, or empty."""
        clock = self.clock
        is_whole = clock.spent_s < (1 - TRANSACTION_SHARE) * clock.whole_s
        before, failed = len(self._included), len(self._too_slow)
        spent = clock.spent_s
        self._try(heavy, max(0.0, clock.whole_s - spent), alone=is_whole)
        if len(self._included) > before and (
            clock.spent_s - spent > TRANSACTION_SHARE * clock.whole_s
        ):
            self._alone = heavy.hash
            self._is_closed = True
        if len(self._too_slow) > failed:
            self._is_closed = True

    def _fill(self, candidates: Sequence[Transaction]) -> None:
        if self._is_closed:
            return
        share = TRANSACTION_SHARE * self.clock.whole_s
        given_up = len(self._too_slow)
        if given_up:
            candidates = _least_gas_first(candidates)
        for at, transaction in enumerate(candidates, 1):
            if self.clock.is_over:
                self._out_of_time = True
                return
            if self._run.gas_left < MIN_TRANSACTION_GAS:
                return
            if transaction.sender not in self._skipped_senders:
                self._try(transaction, share, alone=False)
            if len(self._too_slow) > given_up:
                self._fill(candidates[at:])
                return

    def _try(self, transaction: Transaction, limit_s: float, *, alone: bool) -> None:
        size = len(transaction.raw) + BYTES_PER_TRANSACTION
        if size > self._bytes_left:
            self._skipped_senders.add(transaction.sender)
            return
        clock = self.clock
        is_first, self._tried_any = not self._tried_any, True
        clock.begin(limit_s)
        try:
            self._run.apply(transaction)
        except InvalidTransaction as error:
            clock.end()
            self._skipped_senders.add(transaction.sender)
            if error.reason not in _NOT_IN_THIS_BLOCK:
                self._invalid.append((transaction.hash, error))
        except ExecutionAborted:
            why = clock.why_over()
            taken = clock.end()
            self._skipped_senders.add(transaction.sender)
            self._out_of_time |= why is not _End.ITS_SHARE
            if why is _End.ITS_SHARE or (is_first and why is _End.BLOCK_TIME):
                self._too_slow.append(TooSlow(hash=transaction.hash, seconds=taken, alone=alone))
        except Exception:  # our fault; the run has undone it, and the chain goes on without it
            clock.end()
            log.exception("transaction_failed", hash=transaction.hash)
            self._skipped_senders.add(transaction.sender)
            fault = InvalidTransaction(Reason.NODE_FAULT, "this node failed to execute it")
            self._invalid.append((transaction.hash, fault))
        else:
            self._count(transaction)

    def _count(self, transaction: Transaction) -> None:
        self._included_s += self.clock.end()
        self._included.append(transaction)
        self._bytes_left -= len(transaction.raw) + BYTES_PER_TRANSACTION


def _least_gas_first(candidates: Sequence[Transaction]) -> list[Transaction]:
    """Each sender's in nonce order still. Once one took its share for nothing, the best paying may
    do so next: who promises much and pays nothing must not take the rest from the small ones."""
    most: dict[Address, int] = {}
    ranked = []
    for each in candidates:
        most[each.sender] = max(each.gas, most.get(each.sender, 0))
        ranked.append((most[each.sender], each))
    return [each for _, each in sorted(ranked, key=itemgetter(0))]


def build_block(
    chain: Ground,
    parent_hash: Hash32,
    attributes: PayloadAttributes,
    candidates: Sequence[Transaction],
    limits: BuilderLimits,
    *,
    heavy: Transaction | None = None,
) -> Build:
    """Build on `parent_hash` in one go. Raises: InvalidTransaction when one of
    `attributes.transactions` cannot be decoded."""
    builder = BlockBuilder(chain, parent_hash, attributes, limits)
    builder.clock.ask()
    builder.begin(candidates, heavy)
    return builder.finish()


def _draft_header(
    parent: Header, parent_hash: Hash32, attributes: PayloadAttributes, extra_data: bytes
) -> Header:
    """The header as far as it is known before execution; the gas limit is the chain's constant."""
    return Header(
        parent_hash=parent_hash,
        fee_recipient=attributes.suggested_fee_recipient,
        state_root=parent.state_root,
        number=parent.number + 1,
        gas_limit=parent.gas_limit,
        timestamp=attributes.timestamp,
        extra_data=extra_data,
        prev_randao=attributes.prev_randao,
        base_fee_per_gas=next_base_fee(parent),
        parent_beacon_block_root=attributes.parent_beacon_block_root,
    )
