"""The pool as a service: admits what clients and peers send, follows the head, remembers why a
transaction left. Lives on the event loop; signatures are recovered and accounts read on a thread,
as many transactions at a time as are waiting.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import Final, Protocol

from dst.crypto.keccak import keccak256
from dst.execution.chain import Chain
from dst.execution.pool.candidates import Candidates, choose
from dst.execution.state.account import EMPTY_CODE_HASH
from dst.execution.state.nodes import StateUnavailable
from dst.execution.state.reader import StateReader
from dst.mempool.departures import Departure, Departures, Fate
from dst.mempool.heavy import Call, HeavyBook, Verdict, call_of
from dst.mempool.pool import Dropped, Pool, SenderState, check_size
from dst.mempool.queue import Waiting
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec.errors import Unavailable
from dst.spec.primitives import Address, Hash32
from dst.transactions.decoded import decode_once
from dst.transactions.transaction import InvalidTransaction, Reason, Transaction
from dst.transactions.validity import check_account, check_stateless, is_delegation

MAX_SUBMITTED: Final = 8_192
"""Transactions waiting for their examination, a pool's worth; beyond it senders are told to come
again."""
MAX_EXAMINED_AT_ONCE: Final = 32
"""About 4 ms on the thread, so that neither a receipt nor a client waits long behind what a peer
hands over."""

MAX_YIELD_S: Final = 0.1
"""How long the examination of so many gives way to a block: blocks that follow each other without a
pause leave it three hundred transactions a second."""

RETRY_S: Final = 0.5
"""While the store cannot be read, what a removed block held waits so long for another try."""

log = Logger("pool")


class Source(StrEnum):
    """Who gave us a transaction."""

    CLIENT = "client"
    PEER = "peer"
    """Another node, which serves the client and tells the others itself, or which we asked."""
    JOURNAL = "journal"
    ORPHAN = "orphan"
    """It was in a block that a reorganisation removed."""


_OURS_TO_TELL: Final = frozenset({Source.CLIENT, Source.JOURNAL})
"""What came from a peer goes no further, so no copy comes back; a journal may hold what was
accepted and not told any more."""
_TAKEN_BEFORE: Final = frozenset({Source.JOURNAL, Source.ORPHAN})
"""Nobody is there to come again with them, and no flood of others may cost them their place."""
_TOLD_OF_PEERS: Final = frozenset(
    {Reason.UNDERPRICED_REPLACEMENT, Reason.POOL_FULL, Reason.SENDER_LIMIT, Reason.TOO_HEAVY}
)
"""Refusals of a well-formed, funded transaction: nobody fills the memory with them for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admissible:
    """A transaction that passed every check of its bytes and its sender's account at the head."""

    transaction: Transaction
    head: Hash32
    """The head it was examined at."""
    nonce: int
    balance: int


class Record(Protocol):
    """`Journal` satisfies it: keeps admitted transactions over a restart."""

    def append(self, transactions: Iterable[Transaction]) -> None: ...

    def append_raws(self, raws: Iterable[bytes]) -> None: ...


@dataclass(slots=True, kw_only=True, eq=False)
class _Submission:
    """Transactions that came together, and what became of each."""

    raws: Sequence[bytes]
    source: Source
    outcomes: list[Hash32 | InvalidTransaction] = field(default_factory=list)
    failure: Exception | None = None
    """Why nobody could examine them; each caller is told."""
    done: bool = False


class TransactionPool:
    def __init__(
        self,
        chain: Chain,
        metrics: Metrics,
        *,
        executor: Executor | None = None,
        journal: Record | None = None,
        give_way: Callable[[float], None] = lambda until: None,
    ) -> None:
        """give_way: returns when no block is made or checked, at `until` (monotonic) at the latest;
        called between two transactions on the executor's thread."""
        self._chain, self._metrics = chain, metrics
        self._executor, self._journal = executor, journal
        self._give_way = give_way
        self._pool = Pool()
        self._book = HeavyBook()
        self._departures = Departures()
        self._submissions: list[_Submission] = []
        self._submitted = 0
        self._admitting = asyncio.Lock()
        self._orphans: dict[bytes, None] = {}
        """Of removed blocks, not examined yet; each once, oldest first."""
        self._taking_back: asyncio.Task[None] | None = None
        self.on_added: list[Callable[[Transaction], None]] = []
        self.on_accepted: list[Callable[[Transaction], None]] = []
        """Of those added, the ones that are ours to tell the other nodes."""
        self.on_departed: list[Callable[[Hash32, Departure], None]] = []
        self.on_heavy: list[Callable[[Hash32], None]] = []
        """Told of each that needed more than its share of a block."""
        metrics.function("pool_transactions", lambda: float(len(self._pool)))
        metrics.function("pool_bytes", lambda: float(self._pool.bytes))

    def close(self) -> None:
        """End what runs beside."""
        if self._taking_back is not None:
            self._taking_back.cancel()

    # --- admission ---

    async def submit(self, raw: bytes, source: Source = Source.CLIENT) -> Hash32:
        """Raises: InvalidTransaction, Unavailable."""
        (outcome,) = await self.submit_all([raw], source)
        if isinstance(outcome, InvalidTransaction):
            raise outcome
        return outcome

    async def submit_all(
        self, raws: Sequence[bytes], source: Source
    ) -> list[Hash32 | InvalidTransaction]:
        """Examine and admit, each on its own merits; the answers are in the order of `raws`.

        Whoever comes first takes along what others brought meanwhile: one hop to the thread for
        all of it. Raises: Unavailable when too many wait; what was taken before is never too many.
        """
        if source not in _TAKEN_BEFORE and self._submitted + len(raws) > MAX_SUBMITTED:
            raise Unavailable(f"busy: {self._submitted} transactions wait for their examination")
        outcomes: list[Hash32 | InvalidTransaction] = []
        self._submitted += len(raws)
        try:
            for start in range(0, len(raws), MAX_EXAMINED_AT_ONCE):
                part = raws[start : start + MAX_EXAMINED_AT_ONCE]
                outcomes += await self._submit(_Submission(raws=part, source=source))
        finally:
            self._submitted -= len(raws)
        return outcomes

    async def _submit(self, submission: _Submission) -> list[Hash32 | InvalidTransaction]:
        if submission.source is Source.ORPHAN:  # the next block may be built of them
            self._submissions.insert(0, submission)
        else:
            self._submissions.append(submission)
        try:
            async with self._admitting:
                while not submission.done:
                    await self._work_off(self._take_some())
        finally:
            if not submission.done and submission in self._submissions:
                self._submissions.remove(submission)
        if submission.failure is not None:
            raise submission.failure
        return submission.outcomes

    def _take_some(self) -> list[_Submission]:
        taken: list[_Submission] = []
        count = 0
        while self._submissions and (not taken or count < MAX_EXAMINED_AT_ONCE):
            taken.append(self._submissions.pop(0))
            count += len(taken[-1].raws)
        return taken

    async def _work_off(self, taken: list[_Submission]) -> None:
        admitted: list[Transaction] = []
        try:
            await self._examine_and_add(taken, admitted)
        except asyncio.CancelledError:  # this caller went away, the others did not
            self._submissions[:0] = taken
            raise
        except Exception as error:  # no submission may wait for ever for one that is not there
            for each in taken:
                if not each.done:
                    each.failure, each.done = error, True
        finally:
            self._keep(admitted)

    async def _examine_and_add(self, taken: list[_Submission], admitted: list[Transaction]) -> None:
        unknown = {raw for each in taken for raw in each.raws if keccak256(raw) not in self._pool}
        examined = await asyncio.get_running_loop().run_in_executor(
            self._executor, self._examine_all, list(unknown)
        )
        for submission in taken:
            for raw in submission.raws:
                outcome = self._conclude(examined.get(raw), submission.source, admitted)
                submission.outcomes.append(outcome)
                if submission.source is Source.PEER and isinstance(outcome, InvalidTransaction):
                    self._note_refused(raw, outcome)
            submission.done = True

    def _conclude(
        self,
        examined: Admissible | InvalidTransaction | None,
        source: Source,
        admitted: list[Transaction],
    ) -> Hash32 | InvalidTransaction:
        try:
            if examined is None:
                raise InvalidTransaction(Reason.ALREADY_KNOWN, "already known")
            if isinstance(examined, InvalidTransaction):
                raise examined
            transaction = self._add(examined, source)
        except InvalidTransaction as error:
            self._metrics.inc("pool_refused_total", reason=error.reason)
            return error
        if source is not Source.JOURNAL:
            admitted.append(transaction)
        return transaction.hash

    def _note_refused(self, raw: bytes, error: InvalidTransaction) -> None:
        """A transaction that another node has taken and told its sender so: who asks here is told
        why it does not wait here."""
        transaction_hash = keccak256(raw)
        if error.reason in _TOLD_OF_PEERS and transaction_hash not in self._pool:
            self._depart(transaction_hash, Fate.DROPPED, error.reason, str(error))

    def _examine_all(self, raws: Sequence[bytes]) -> dict[bytes, Admissible | InvalidTransaction]:
        heads = self._chain.heads
        reader = self._chain.reader(heads.head.state_root)
        results: dict[bytes, Admissible | InvalidTransaction] = {}
        until = time.monotonic() + MAX_YIELD_S
        for raw in raws:
            self._give_way(until)
            try:
                results[raw] = self._examine(raw, reader, heads.head_hash, heads.head.gas_limit)
            except InvalidTransaction as error:
                results[raw] = error
        return results

    def examine(self, raw: bytes) -> Admissible:
        """Decode and check against the head's state. Any thread. Raises: InvalidTransaction."""
        heads = self._chain.heads
        reader = self._chain.reader(heads.head.state_root)
        return self._examine(raw, reader, heads.head_hash, heads.head.gas_limit)

    def _examine(self, raw: bytes, reader: StateReader, head: Hash32, gas_limit: int) -> Admissible:
        check_size(raw)
        transaction = decode_once(raw)
        check_stateless(transaction, self._chain.chain_id)
        if transaction.gas > gas_limit:
            raise InvalidTransaction(
                Reason.BLOCK_GAS,
                f"exceeds block gas limit: tx gas {transaction.gas}, limit {gas_limit}",
            )
        check_account(transaction, reader, allow_gap=True)
        if not self._book.is_empty:
            self._check_weight(transaction, reader)
        return Admissible(
            transaction=transaction,
            head=head,
            nonce=reader.get_nonce(transaction.sender),
            balance=reader.get_balance(transaction.sender),
        )

    def _check_weight(self, transaction: Transaction, reader: StateReader) -> None:
        """Raises: InvalidTransaction when the same call proved too heavy not long ago."""
        height = self._chain.heads.head.number
        if self._book.refuses(_call(transaction, reader), transaction.gas, height):
            raise InvalidTransaction(
                Reason.TOO_HEAVY,
                "too heavy: this call was not executed within the time that a block has; "
                "send it with less gas, or split it",
            )

    def admit(self, admissible: Admissible, source: Source = Source.PEER) -> Hash32:
        """Raises: InvalidTransaction (already known, underpriced, limits)."""
        transaction = self._add(admissible, source)
        self._keep([transaction])
        return transaction.hash

    def _add(self, admissible: Admissible, source: Source) -> Transaction:
        """The head may have moved since the examination; then it is repeated, or the queue would
        start from a nonce that is spent."""
        if admissible.head != self._chain.heads.head_hash:
            admissible = self.examine(admissible.transaction.raw)
        transaction = admissible.transaction
        added = self._pool.add(transaction, nonce=admissible.nonce, balance=admissible.balance)
        self._departures.forget(transaction.hash)
        self._metrics.inc("pool_added_total", source=source)
        if added.replaced is not None:
            self._note_replaced(added.replaced, transaction.hash)
        for each in added.evicted:
            self._depart(each, Fate.EVICTED, Reason.POOL_FULL, "the pool was full of better paid")
        listeners = [*self.on_added, *(self.on_accepted if source in _OURS_TO_TELL else ())]
        for listener in listeners:
            listener(transaction)
        return transaction

    def _keep(self, admitted: list[Transaction]) -> None:
        """On disk before anybody is told that it was taken."""
        if self._journal is not None and admitted:
            self._journal.append(admitted)

    # --- the head ---

    def on_head(
        self,
        accounts: Mapping[Address, SenderState],
        included: Mapping[tuple[Address, int], Hash32],
        orphans: Sequence[bytes],
    ) -> None:
        """A new head: learn accounts, drop what it includes, take back what removed blocks held.
        That is examined beside, before what clients and peers have submitted: no head waits for it.

        accounts: of every sender here whose account may have changed, also of one that sent
            nothing (an authority of EIP-7702, a delegated account that was made to pay).
        included: (sender, nonce) -> hash of what the new blocks carry.
        """
        self.learn(accounts, included)
        if self._journal is not None and orphans:  # a kill before they are examined loses none
            self._journal.append_raws(orphans)
        self._orphans.update(dict.fromkeys(orphans))
        if self._orphans and (self._taking_back is None or self._taking_back.done()):
            self._taking_back = asyncio.get_running_loop().create_task(self._take_back())

    async def _take_back(self) -> None:
        while self._orphans:
            part = list(islice(self._orphans, MAX_EXAMINED_AT_ONCE))
            for raw in part:  # now: a block that is removed meanwhile may give it back again
                del self._orphans[raw]
            try:
                outcomes = await self.submit_all(part, Source.ORPHAN)
            except (Unavailable, StateUnavailable) as error:
                log.debug("orphans_wait", count=len(part), reason=error)
                self._orphans = {**dict.fromkeys(part), **self._orphans}
                await asyncio.sleep(RETRY_S)
                continue
            for outcome in outcomes:
                if isinstance(outcome, InvalidTransaction):
                    log.debug("orphan_dropped", reason=outcome.reason)

    def learn(
        self,
        accounts: Mapping[Address, SenderState],
        included: Mapping[tuple[Address, int], Hash32],
    ) -> None:
        """As `on_head`, where no block was removed."""
        for dropped in self._pool.advance(accounts):
            self._note_dropped(dropped, included)

    def _note_dropped(
        self, dropped: Dropped, included: Mapping[tuple[Address, int], Hash32]
    ) -> None:
        transaction, reason = dropped
        self._book.forget(transaction.hash)
        winner = included.get((transaction.sender, transaction.nonce))
        if winner == transaction.hash:
            return
        if winner is not None:
            self._note_replaced(transaction.hash, winner)
        elif reason is Reason.NONCE_TOO_LOW:
            message = "the account's nonce moved past it (another transaction or an authorization)"
            self._depart(transaction.hash, Fate.DROPPED, reason, message)
        else:
            message = "the balance does not pay for it together with what waits before it"
            self._depart(transaction.hash, Fate.DROPPED, reason, message)

    def _note_replaced(self, old: Hash32, by: Hash32) -> None:
        message = f"replaced by 0x{by.hex()}, of the same sender and nonce"
        self._depart(old, Fate.REPLACED, Fate.REPLACED, message, replaced_by=by)

    def _depart(
        self,
        transaction_hash: Hash32,
        fate: Fate,
        detail: str,
        message: str,
        replaced_by: Hash32 | None = None,
    ) -> None:
        departure = Departure(
            fate=fate, detail=str(detail), message=message, replaced_by=replaced_by
        )
        self._book.forget(transaction_hash)
        self._departures.note(transaction_hash, departure)
        self._metrics.inc("pool_departed_total", fate=fate, detail=detail)
        for listener in self.on_departed:
            listener(transaction_hash, departure)

    # --- the builder ---

    def candidates(self, base_fee_per_gas: int, gas_limit: int) -> Candidates:
        """For a block, best first; what is known to be heavy apart."""
        return choose(self._pool.executable(), base_fee_per_gas, gas_limit, self._book)

    def best(self, base_fee_per_gas: int, gas_limit: int) -> tuple[Transaction, ...]:
        """What a normal block would take, best first."""
        return self.candidates(base_fee_per_gas, gas_limit).light

    def drop_invalid(self, transaction_hash: Hash32, error: InvalidTransaction) -> None:
        """The builder found that no block can carry it."""
        if self._pool.remove(transaction_hash):
            self._depart(transaction_hash, Fate.DROPPED, error.reason, str(error))

    def note_heavy(
        self, transaction_hash: Hash32, *, seconds: float, alone: bool, proves: bool = False
    ) -> None:
        """A build gave a transaction `seconds` of CPU time and it needs more, or a block with it
        alone was too slow for the others. `proves`: those were all that a block ever has."""
        transaction = self._pool.get(transaction_hash)
        if transaction is None:
            return
        verdict = self._book.note_failure(
            transaction_hash, seconds=seconds, alone=alone, proves=proves
        )
        log.info(
            "heavy", hash=transaction_hash, ms=round(seconds * 1000), alone=alone, then=verdict
        )
        if not alone:
            for listener in self.on_heavy:
                listener(transaction_hash)
        if verdict is Verdict.TOO_HEAVY:
            self.drop_heavy(
                transaction_hash, f"needs more than {seconds * 1000:.0f} ms of CPU time"
            )

    def drop_heavy(self, transaction_hash: Hash32, why: str) -> None:
        """Give a transaction up as too heavy, and refuse the same call from now on."""
        transaction = self._pool.get(transaction_hash)
        if transaction is None:
            return
        self._prove(transaction)
        self._pool.remove(transaction_hash)
        message = f"too heavy: {why}; send it with less gas, or split it"
        self._depart(transaction_hash, Fate.TOO_HEAVY, Reason.TOO_HEAVY, message)

    def _prove(self, transaction: Transaction) -> None:
        """Note what it calls; while the store cannot be read nothing is noted."""
        head = self._chain.heads.head
        with suppress(Unavailable):
            reader = self._chain.reader(head.state_root)
            self._book.prove(transaction, _call(transaction, reader), head.number)

    def believe(self, transaction_hash: Hash32, departure: Departure) -> None:
        """Those who build say that it will not be in a block."""
        if self._pool.remove(transaction_hash):
            self._depart(transaction_hash, departure.fate, departure.detail, departure.message)

    # --- what clients ask ---

    @property
    def book(self) -> HeavyBook:
        return self._book

    def get(self, transaction_hash: Hash32) -> Transaction | None:
        return self._pool.get(transaction_hash)

    def departure(self, transaction_hash: Hash32) -> Departure | None:
        return self._departures.get(transaction_hash)

    def missing_nonce(self, transaction: Transaction) -> int | None:
        """The nonce a waiting transaction waits for; None: executable."""
        return self._pool.missing_nonce(transaction)

    def before(self, transaction: Transaction) -> list[Transaction]:
        """Executable ones of its sender that come before a waiting one."""
        ready, _ = self._pool.waiting(transaction.sender)
        return [each for each in ready if each.nonce < transaction.nonce]

    def pending_nonce(self, sender: Address, nonce: int) -> int:
        return self._pool.pending_nonce(sender, nonce)

    def senders(self) -> frozenset[Address]:
        return self._pool.senders()

    def hashes(self) -> list[Hash32]:
        return [each.hash for each in self._pool.transactions()]

    def transactions(self) -> list[Transaction]:
        """All, oldest arrival first."""
        return list(self._pool.transactions())

    def by_nonce(self, sender: Address, nonce: int) -> Transaction | None:
        return self._pool.by_nonce(sender, nonce)

    def waiting(self, sender: Address) -> Waiting:
        """One sender's (executable, behind a nonce gap), each in nonce order."""
        return self._pool.waiting(sender)

    def content(self) -> dict[Address, Waiting]:
        """Everything that waits, by sender."""
        return {sender: self.waiting(sender) for sender in self._pool.senders()}

    def counts(self) -> tuple[int, int]:
        return self._pool.counts()


def _call(transaction: Transaction, reader: StateReader) -> Call:
    """What it runs, through a delegation (EIP-7702); a precompile is known by its address."""
    if transaction.is_create:
        return call_of(transaction, b"")
    code = reader.get_code(transaction.to)
    target = Address(code[3:]) if is_delegation(code) else transaction.to
    account = reader.account(target)
    has_code = account is not None and account.code_hash != EMPTY_CODE_HASH
    return call_of(transaction, account.code_hash if account and has_code else target)
