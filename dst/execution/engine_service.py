"""The rules of the Engine API (execution-apis, engine/prague.md), over a chain, a pool and one
worker thread.

newPayload executes, stores and never moves the head. One validation runs at a time: the same
payload joins it, another one aborts it, and so does the last waiting client that goes away; an
aborted one answers SYNCING. forkchoiceUpdated moves the pointers, tells pool and listeners, each
change once, and may start a build (`dst.execution.builds`); getPayload finishes it. The wire is
`dst.execution.engine_rpc`'s.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from dst.apis.engine import (
    INVALID_FORKCHOICE_STATE,
    INVALID_PAYLOAD_ATTRIBUTES,
    UNKNOWN_PAYLOAD,
    BuiltPayload,
    ForkchoiceState,
    PayloadAttributes,
    PayloadStatus,
    PayloadStatusKind,
)
from dst.apis.jsonrpc import RpcError
from dst.execution.block.allowance import Allowance
from dst.execution.block.builder import BuilderLimits
from dst.execution.block.executed import ExecutedBlock, payload_of
from dst.execution.builds import Builds
from dst.execution.chain import Chain, HeadChange, UnknownBlock, UnknownParent
from dst.execution.environment import ExecutionAborted, InvalidBlock
from dst.execution.header import Header, header_of_payload
from dst.execution.interrupts import AbortFlag
from dst.execution.pool.service import TransactionPool
from dst.execution.store import Body
from dst.mempool.pool import SenderState
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec.beacon import ExecutionPayload
from dst.spec.errors import Unavailable
from dst.spec.primitives import ZERO_HASH, Address, Hash32, to_hex
from dst.transactions.decoded import decode_once
from dst.transactions.transaction import InvalidTransaction

MAX_INVALID: Final = 256
"""Invalid block hashes remembered, so that their descendants are refused without execution."""
MAX_CHANGES: Final = 256
"""Blocks whose changed accounts are remembered; for an older one every waiting sender is read."""

log = Logger("engine")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPayload:
    payload: ExecutionPayload
    parent_beacon_block_root: Hash32
    requests: tuple[bytes, ...]


@dataclass(slots=True, kw_only=True, eq=False)
class _Validation:
    request: NewPayload
    flag: AbortFlag
    future: "asyncio.Future[PayloadStatus]"
    waiting: int = 0

    def can_be_joined(self, request: NewPayload) -> bool:
        """Not one that was aborted and has not noticed yet: whoever asks again wants it executed,
        not its SYNCING."""
        return self.request == request and not self.future.done() and not self.flag.aborted


@dataclass(slots=True, kw_only=True)
class _Memory:
    """What the service remembers; bounded."""

    invalid: OrderedDict[bytes, tuple[Hash32, str]] = field(default_factory=OrderedDict)
    """hash -> (newest valid ancestor, why)."""
    changes: OrderedDict[bytes, frozenset[bytes]] = field(default_factory=OrderedDict)
    """hash -> accounts that the block wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moved:
    """What a new head means to the pool."""

    change: HeadChange
    numbers: tuple[tuple[int, Hash32], ...]
    """(number, hash) of the blocks added."""
    changed: frozenset[bytes] | None
    """Accounts that may have changed; None: any."""
    accounts: dict[Address, SenderState]
    included: dict[tuple[Address, int], Hash32]
    orphans: list[bytes]


class EngineService:
    def __init__(
        self,
        chain: Chain,
        pool: TransactionPool,
        worker: Executor,
        limits: BuilderLimits,
        metrics: Metrics,
        allowance: Allowance | None = None,
    ) -> None:
        self._chain, self._pool, self._worker = chain, pool, worker
        self._metrics, self._allowance = metrics, allowance
        self._builds = Builds(chain, pool, worker, limits, metrics, allowance)
        self._memory = _Memory()
        self._running: _Validation | None = None
        self.on_head: list[Callable[[HeadChange], None]] = []

    def close(self) -> None:
        """Abort a running validation or build, so that the process can end."""
        self._builds.make_way()
        if self._running is not None:
            self._running.flag.abort()

    # newPayload

    async def new_payload(self, request: NewPayload) -> PayloadStatus:
        """Execute and store, or say why not. Cancelling the last caller aborts the execution."""
        running = self._running
        if running is None or not running.can_be_joined(request):
            if running is not None:
                running.flag.abort()
            running = self._running = self._start(request)
        running.waiting += 1
        try:
            return await asyncio.shield(running.future)
        except asyncio.CancelledError:
            if running.waiting == 1:
                running.flag.abort()
            raise
        finally:
            running.waiting -= 1

    def _start(self, request: NewPayload) -> _Validation:
        if self._builds.built(request.payload.block_hash) is None:
            self._builds.make_way()
        flag = AbortFlag()
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._worker, self._validate, request, flag)
        return _Validation(request=request, flag=flag, future=future)

    def _validate(self, request: NewPayload, flag: AbortFlag) -> PayloadStatus:
        """Runs on the worker."""
        started = time.monotonic()
        try:
            status = self._judge(request, flag)
        except Unavailable as error:  # the disk is full
            status = _syncing(str(error))
        except UnknownParent:  # its state is pruned
            status = _syncing()
        self._metrics.observe("engine_new_payload", time.monotonic() - started)
        self._metrics.inc("engine_new_payload_total", status=status.status)
        return status

    def _judge(self, request: NewPayload, flag: AbortFlag) -> PayloadStatus:
        payload, memory = request.payload, self._memory
        if flag.aborted:
            return _syncing()
        header = header_of_payload(payload, request.parent_beacon_block_root, request.requests)
        block_hash = Hash32(payload.block_hash)
        if header.hash != block_hash:
            return invalid_status(
                None, f"blockhash mismatch: claimed {to_hex(block_hash)}, is {to_hex(header.hash)}"
            )
        if self._chain.header(block_hash) is not None:
            return _valid(block_hash)
        known_bad = memory.invalid.get(block_hash) or memory.invalid.get(header.parent_hash)
        if known_bad is not None:
            self._remember_invalid(block_hash, *known_bad)
            return invalid_status(*known_bad)
        if self._chain.header(header.parent_hash) is None:
            return _syncing()
        built = self._builds.built(block_hash)
        if built is not None:
            self._insert(built)
            return _valid(block_hash)
        return self._execute(payload, header, flag)

    def _execute(self, payload: ExecutionPayload, header: Header, flag: AbortFlag) -> PayloadStatus:
        wall, cpu = time.monotonic(), time.thread_time()
        try:
            block = self._chain.execute(
                header, payload.transactions, payload.withdrawals, flag.check
            )
        except UnknownParent:
            return _syncing()
        except ExecutionAborted:  # its round ended: that says most of how slow the machine is
            self._note_validation(wall, time.thread_time() - cpu)
            return _syncing()
        except InvalidBlock as error:
            self._remember_invalid(header.hash, header.parent_hash, str(error))
            log.warning("invalid_payload", number=header.number, hash=header.hash, reason=error)
            return invalid_status(header.parent_hash, str(error))
        cpu = time.thread_time() - cpu
        self._insert(block)
        self._note_validation(wall, cpu)
        return _valid(block.hash)

    def _note_validation(self, started: float, cpu_s: float) -> None:
        if self._allowance is not None:
            self._allowance.note_validation(wall_s=time.monotonic() - started, cpu_s=cpu_s)

    def _insert(self, block: ExecutedBlock) -> None:
        self._chain.insert(block)
        self._memory.changes[block.hash] = frozenset(block.result.state.diff.accounts)
        _bound(self._memory.changes, MAX_CHANGES)

    def _remember_invalid(self, block_hash: Hash32, ancestor: Hash32, reason: str) -> None:
        self._memory.invalid[block_hash] = (ancestor, reason)
        _bound(self._memory.invalid, MAX_INVALID)

    # forkchoiceUpdated

    async def forkchoice_updated(
        self, state: ForkchoiceState, attributes: PayloadAttributes | None = None
    ) -> tuple[PayloadStatus, bytes | None]:
        """Move the pointers; with attributes start a build on the head.

        Raises: RpcError -38002 when safe or finalized are not ancestors of the head, -38003 for
        attributes that cannot follow it (the pointers have moved all the same).
        """
        status = await self.move(state)
        if status.status is not PayloadStatusKind.VALID or attributes is None:
            return status, None
        head = self._chain.heads.head
        if attributes.timestamp <= head.timestamp:
            raise RpcError(
                INVALID_PAYLOAD_ATTRIBUTES,
                f"Invalid payload attributes: timestamp {attributes.timestamp} "
                f"is not above the head's {head.timestamp}",
            )
        return status, self._start_build(state.head_block_hash, attributes)

    async def move(self, state: ForkchoiceState) -> PayloadStatus:
        """Raises: RpcError -38002."""
        known_bad = self._memory.invalid.get(state.head_block_hash)
        if known_bad is not None:
            return invalid_status(*known_bad)
        if state.head_block_hash == ZERO_HASH:
            raise RpcError(INVALID_FORKCHOICE_STATE, "Invalid forkchoice state: zero head")
        senders = self._pool.senders()
        moving = asyncio.get_running_loop().run_in_executor(
            self._worker, self._set_forkchoice, state, senders
        )
        moving.add_done_callback(lambda moved: self._tell(moved, senders))
        try:
            moved = await asyncio.shield(moving)  # a client that goes away stops no head
        except Unavailable as error:  # the disk is full
            return _syncing(str(error))
        except UnknownBlock:  # its state is pruned
            return _syncing()
        return _syncing() if moved is None else _valid(state.head_block_hash)

    def _tell(self, moving: "asyncio.Future[_Moved | None]", known: frozenset[Address]) -> None:
        """All who need to know of a head that has moved, before whoever moved it is answered."""
        if moving.cancelled() or moving.exception() is not None:
            return
        moved = moving.result()
        if moved is None:
            return
        if moved.numbers or moved.change.removed:
            self._tell_pool(moved, known)
            self._builds.note_head(moved.numbers)
        for listener in self.on_head:
            listener(moved.change)

    def _tell_pool(self, moved: _Moved, known: frozenset[Address]) -> None:
        """With the senders that came while the head moved."""
        late = _to_read(self._pool.senders() - known, moved.changed)
        accounts = moved.accounts
        with suppress(Unavailable):  # the builder finds out about those that came late
            accounts = {**accounts, **self._accounts(self._chain.heads.head_hash, late)}
        self._pool.on_head(accounts, moved.included, moved.orphans)

    def _set_forkchoice(self, state: ForkchoiceState, senders: frozenset[Address]) -> _Moved | None:
        """Runs on the worker. `senders`: those who wait in the pool.

        Reads all that is to be told before it moves the head: no failure of the store behind the
        commit keeps it from anybody.
        """
        chain, block_hash = self._chain, state.head_block_hash
        head = chain.header(block_hash)
        if head is None:
            return None
        for name, named in (
            ("finalized", state.finalized_block_hash),
            ("safe", state.safe_block_hash),
        ):
            if named != ZERO_HASH and not chain.is_ancestor(named, head, block_hash):
                raise RpcError(
                    INVALID_FORKCHOICE_STATE,
                    f"Invalid forkchoice state: {name} block is not an ancestor of the head",
                )
        change = chain.change_to(block_hash)
        changed = self._changed_by((*change.added, *change.removed))
        added = [chain.body(each) for each in change.added]
        removed = [chain.body(each) for each in change.removed]
        first = head.number + 1 - len(change.added)
        moved = _Moved(
            change=change,
            numbers=tuple(enumerate(change.added, first)),
            changed=changed,
            accounts=self._accounts(block_hash, _to_read(senders, changed)),
            included=_included(added) if senders else {},
            orphans=_orphans(added, removed),
        )
        chain.set_forkchoice(block_hash, state.safe_block_hash, state.finalized_block_hash)
        return moved

    def _changed_by(self, blocks: Sequence[Hash32]) -> frozenset[bytes] | None:
        known = [self._memory.changes.get(each) for each in blocks]
        found = [each for each in known if each is not None]
        return frozenset().union(*found) if len(found) == len(known) else None

    def _accounts(
        self, block_hash: Hash32, senders: Iterable[Address]
    ) -> dict[Address, SenderState]:
        reader = self._chain.reader_after(block_hash)
        return {
            each: SenderState(reader.get_nonce(each), reader.get_balance(each)) for each in senders
        }

    # builds

    def _start_build(self, parent_hash: Hash32, attributes: PayloadAttributes) -> bytes:
        for raw in attributes.transactions:
            try:
                decode_once(raw)
            except InvalidTransaction as error:
                raise RpcError(
                    INVALID_PAYLOAD_ATTRIBUTES, f"Invalid payload attributes: transactions: {error}"
                ) from None
        return self._builds.start(parent_hash, attributes)

    async def get_payload(self, payload_id: bytes) -> BuiltPayload:
        """Raises: RpcError -38001."""
        build = await self._builds.get(payload_id)
        if build is None:
            raise RpcError(UNKNOWN_PAYLOAD, "Unknown payload")
        return BuiltPayload(
            payload=payload_of(build.block),
            block_value=build.block.result.fees,
            execution_requests=build.block.result.requests,
        )


def _to_read(senders: frozenset[Address], changed: frozenset[bytes] | None) -> frozenset[Address]:
    return senders if changed is None else senders & changed


def _included(added: Iterable[Body]) -> dict[tuple[Address, int], Hash32]:
    decoded = (decode_once(raw) for body in added for raw in body.transactions)
    return {(each.sender, each.nonce): each.hash for each in decoded}


def _orphans(added: Iterable[Body], removed: Iterable[Body]) -> list[bytes]:
    """Transactions of removed blocks that no added one carries, oldest first, each once."""
    kept = {each for body in added for each in body.transaction_hashes}
    pairs = [
        pair
        for body in removed
        for pair in zip(body.transaction_hashes, body.transactions, strict=True)
    ]
    return list({key: raw for key, raw in pairs if key not in kept}.values())


def _bound(table: "OrderedDict[Any, Any]", limit: int) -> None:
    while len(table) > limit:
        table.popitem(last=False)


def _valid(block_hash: Hash32) -> PayloadStatus:
    return PayloadStatus(status=PayloadStatusKind.VALID, latest_valid_hash=block_hash)


def invalid_status(ancestor: Hash32 | None, reason: str) -> PayloadStatus:
    return PayloadStatus(
        status=PayloadStatusKind.INVALID, latest_valid_hash=ancestor, validation_error=reason
    )


def _syncing(reason: str | None = None) -> PayloadStatus:
    """reason: what this node lacks besides the parent, for whoever reads more than the status."""
    return PayloadStatus(status=PayloadStatusKind.SYNCING, validation_error=reason)
