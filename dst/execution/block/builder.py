"""Builds a block: forced transactions first, then the pool's by price, until gas, bytes or time run
out.

Time is the scarce one: py-evm runs 10 M gas of token transfers in a fraction of a second and 10 M
gas of CALLs in several. So the block has a wall-clock budget, and one transaction a share of it in
CPU time of this thread (CPU, because a busy machine must not get an honest transfer evicted). A
transaction over its share is dropped from the block and evicted from the pool; one that the block's
end interrupted stays.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from dst.apis.engine import PayloadAttributes
from dst.execution.block.body import BlockRun
from dst.execution.chain import Chain, ExecutedBlock, decode_once
from dst.execution.environment import ExecutionAborted
from dst.execution.header import (
    Header,
    next_base_fee,
    requests_hash,
    withdrawals_root,
)
from dst.execution.interrupts import never
from dst.execution.state.trie import ordered_root
from dst.spec.primitives import Address, Hash32
from dst.transactions.transaction import InvalidTransaction, Reason, Transaction

TRANSACTION_SHARE: Final = 0.5
"""Part of the block's time that one transaction may take."""
WRAPPER_BYTES: Final = 8_192
"""Kept free in a block for everything but transactions: header fields, 16 withdrawals, requests."""
BYTES_PER_TRANSACTION: Final = 4
"""SSZ offset of each transaction in its list."""
MIN_TRANSACTION_GAS: Final = 21_000

_WAIT_FOR_ANOTHER_BLOCK: Final = frozenset(
    {Reason.BLOCK_GAS, Reason.FEE_BELOW_BASE_FEE, Reason.NONCE_TOO_HIGH}
)
"""Reasons that a later block may lift: the transaction stays in the pool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuilderLimits:
    """Constants of the network (cluster lock, chain)."""

    builder_time_s: float
    max_block_bytes: int
    extra_data: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    block: ExecutedBlock
    evicted: tuple[Hash32, ...]
    """Transactions that no block will carry: invalid here, or over their share of time."""
    seconds: float
    out_of_time: bool


class TimeShare:
    """The interrupt of a build: wall clock for the block, CPU time of this thread for a
    transaction."""

    def __init__(self, block_seconds: float) -> None:
        self._share = block_seconds * TRANSACTION_SHARE
        self._block_end = time.monotonic() + block_seconds
        self._transaction_start = 0.0

    def begin_transaction(self) -> None:
        self._transaction_start = time.thread_time()

    def check(self) -> None:
        if self.block_is_over() or self.share_is_spent():
            raise ExecutionAborted("the builder's time is spent")

    def block_is_over(self) -> bool:
        return time.monotonic() > self._block_end

    def share_is_spent(self) -> bool:
        return time.thread_time() - self._transaction_start > self._share


def build_block(
    chain: Chain,
    parent_hash: Hash32,
    attributes: PayloadAttributes,
    candidates: Sequence[Transaction],
    limits: BuilderLimits,
) -> Build:
    """Build on `parent_hash`. `candidates` are the pool's, best first, each sender's in nonce
    order.

    Raises: InvalidTransaction when one of `attributes.transactions` cannot be decoded.
    """
    started = time.monotonic()
    parent = chain.header(parent_hash)
    assert parent is not None, "the head is known"
    draft = _draft_header(parent, parent_hash, attributes, limits.extra_data)
    forced = [decode_once(raw) for raw in attributes.transactions]
    share = TimeShare(limits.builder_time_s)
    interrupt = _Switch()
    run = BlockRun(chain.reader_after(parent_hash), chain.environment(draft), interrupt)
    filler = _Filler(run, limits.max_block_bytes - WRAPPER_BYTES)
    for transaction in forced:  # to their end: the payload is a function of the attributes here
        filler.try_forced(transaction)
    interrupt.set(share.check)
    if not attributes.no_tx_pool:
        filler.fill(candidates, share)
    interrupt.set(never)
    result = run.finish(attributes.withdrawals)
    header = replace(
        draft,
        state_root=result.state.root,
        transactions_root=ordered_root([each.raw for each in filler.included]),
        receipts_root=ordered_root([each.encode() for each in result.receipts]),
        logs_bloom=result.bloom.to_bytes(256, "big"),
        gas_used=result.gas_used,
        withdrawals_root=withdrawals_root(attributes.withdrawals),
        requests_hash=requests_hash(result.requests),
    )
    block = ExecutedBlock(
        header=header,
        hash=header.hash,
        transactions=tuple(filler.included),
        withdrawals=attributes.withdrawals,
        result=result,
    )
    return Build(
        block=block,
        evicted=tuple(filler.evicted),
        seconds=time.monotonic() - started,
        out_of_time=filler.out_of_time,
    )


class _Switch:
    """An interrupt that changes with the phase of the build."""

    def __init__(self) -> None:
        self._check = never

    def set(self, check: object) -> None:
        assert callable(check)
        self._check = check

    def __call__(self) -> None:
        self._check()


class _Filler:
    """Puts transactions into a run until a limit is reached."""

    def __init__(self, run: BlockRun, max_bytes: int) -> None:
        self._run = run
        self._bytes_left = max_bytes
        self._skipped_senders: set[Address] = set()
        self.included: list[Transaction] = []
        self.evicted: list[Hash32] = []
        self.out_of_time = False

    def try_forced(self, transaction: Transaction) -> None:
        """A forced transaction that is invalid here is left out; everybody decides the same."""
        try:
            self._run.apply(transaction)
        except InvalidTransaction:
            return
        self._count(transaction)

    def fill(self, candidates: Sequence[Transaction], share: TimeShare) -> None:
        for transaction in candidates:
            if share.block_is_over():
                self.out_of_time = True
                return
            if self._run.gas_left < MIN_TRANSACTION_GAS:
                return
            if transaction.sender in self._skipped_senders:
                continue
            self._try(transaction, share)

    def _try(self, transaction: Transaction, share: TimeShare) -> None:
        size = len(transaction.raw) + BYTES_PER_TRANSACTION
        if size > self._bytes_left:
            self._skipped_senders.add(transaction.sender)
            return
        share.begin_transaction()
        try:
            self._run.apply(transaction)
        except InvalidTransaction as error:
            self._skipped_senders.add(transaction.sender)
            if error.reason not in _WAIT_FOR_ANOTHER_BLOCK:
                self.evicted.append(transaction.hash)
        except ExecutionAborted:
            self._skipped_senders.add(transaction.sender)
            if share.share_is_spent():
                self.evicted.append(transaction.hash)
            self.out_of_time = share.block_is_over()
        else:
            self._count(transaction)

    def _count(self, transaction: Transaction) -> None:
        self.included.append(transaction)
        self._bytes_left -= len(transaction.raw) + BYTES_PER_TRANSACTION


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
