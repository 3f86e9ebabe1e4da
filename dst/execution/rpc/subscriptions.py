"""`eth_subscribe` over WebSocket: newHeads, logs, newPendingTransactions, syncing.

Heads go through one queue and one publisher, so that every subscriber is told of blocks in their
order and of a reorganisation's removed logs before the new ones. Each event is read and encoded
once, whoever listens; whose a log is, an index says (`log_index`).
"""

import asyncio
import secrets
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from typing import Final

import msgspec

from dst.apis.eth import LogFilter, parse_bool, parse_log_filter, show_transaction
from dst.apis.jsonrpc.errors import METHOD_NOT_FOUND, REFUSED, RpcError
from dst.apis.jsonrpc.ws import DEFAULT_LIMITS, Session, current_session
from dst.execution.chain import Chain, HeadChange
from dst.execution.events import Events
from dst.execution.header import EMPTY_BLOOM
from dst.execution.rpc import views
from dst.execution.rpc.block_logs import BlockLogs
from dst.execution.rpc.chain_info import sync_status
from dst.execution.rpc.dispatch import Threads, Where, rpc
from dst.execution.rpc.log_index import (
    LEAST_WEIGHT,
    MAX_COMBINATIONS,
    Group,
    LogIndex,
    weight_of,
)
from dst.execution.rpc.parameters import DataParam, OptionsParam, SubscriptionParam
from dst.execution.rpc.subscription_room import (
    MAX_WEIGHT,
    MAX_WEIGHT_OF_ONE,
    SubscriptionRoom,
)
from dst.execution.slots import SlotClock
from dst.runtime.log import Logger
from dst.spec.errors import InvalidInput, Unavailable
from dst.spec.primitives import Hash32, to_hex
from dst.transactions.transaction import Transaction

MAX_QUEUED_CHANGES: Final = 1_024
"""Moves of the head that wait for the publisher: a quarter of an hour of 1 s slots."""
TOLD_AT_A_TIME: Final = 128
"""Notifications queued before others have their turn on the event loop: below a millisecond."""
SYNC_CHECK_S: Final = 1.0

_LIMITS = (
    f"{DEFAULT_LIMITS.subscriptions} subscriptions a connection",
    "a subscription weighs the combinations of addresses and topics that it takes, "
    f"{LEAST_WEIGHT} to {MAX_COMBINATIONS}: {MAX_WEIGHT_OF_ONE} a connection, {MAX_WEIGHT} in all; "
    "beyond that the connection with the most is ended, if it has more than who asks",
    f"{DEFAULT_LIMITS.queued} messages and {DEFAULT_LIMITS.queued_bytes >> 20} MiB waiting to be "
    "sent: a slower reader is disconnected",
)

log = Logger("subscriptions")


class Kind(StrEnum):
    NEW_HEADS = "newHeads"
    LOGS = "logs"
    NEW_PENDING_TRANSACTIONS = "newPendingTransactions"
    SYNCING = "syncing"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subscription:
    id: str
    session: Session
    kind: Kind
    after: int
    """The last change of the head that came before it."""
    logs: LogFilter = field(default_factory=LogFilter)
    full: bool = False
    """Whole transactions rather than hashes."""

    @property
    def weight(self) -> int:
        return weight_of(self.logs)

    def tell(self, result: bytes) -> None:
        self.session.notify(self.id, result)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """Of one block: results, shared by all who are told the same."""

    head: bytes | None
    logs: Sequence[tuple[bytes, Sequence[Group[Subscription]]]]


class Subscriptions:
    """`run` publishes until cancelled."""

    def __init__(self, chain: Chain, clock: SlotClock, events: Events, threads: Threads) -> None:
        self._chain, self._clock, self._threads = chain, clock, threads
        self._by_kind: dict[Kind, dict[str, Subscription]] = {kind: {} for kind in Kind}
        self._index: LogIndex[Subscription] = LogIndex()
        self._room = SubscriptionRoom()
        self._told = 0
        self._changes: asyncio.Queue[tuple[int, HeadChange]] = asyncio.Queue(MAX_QUEUED_CHANGES)
        self._changes_seen = 0
        self._was_syncing = False
        self._started_at = chain.heads.head.number
        events.heads.add(self._on_head)
        events.transactions.add(self._on_transaction)

    @rpc(
        "eth_subscribe",
        where=Where.LOOP,
        errors=(
            "-32601: notifications not supported (over HTTP)",
            "-32005: too many subscriptions, of this connection or of all",
        ),
        limits=_LIMITS,
    )
    async def subscribe(self, kind: SubscriptionParam, options: OptionsParam = None) -> str:
        """Be told of new heads, of logs (`removed: true` when a reorganisation takes them back), of
        transactions that the pool takes, or of the node falling behind and catching up."""
        session = current_session.get()
        if session is None:
            raise RpcError(METHOD_NOT_FOUND, "notifications not supported")
        made = self._make(_parse_kind(kind), options, session)
        self._room.make_for(session, made.weight)
        session.open(made.id, lambda: self._forget(made))
        self._room.take(session, made.weight)
        self._by_kind[made.kind][made.id] = made
        if made.kind is Kind.LOGS:
            self._index.add(made.logs, made)
        return made.id

    def _forget(self, ended: Subscription) -> None:
        if self._by_kind[ended.kind].pop(ended.id, None) is not None:
            self._room.give(ended.session, ended.weight)
            self._index.remove(ended.logs, ended)

    @rpc(
        "eth_unsubscribe",
        where=Where.LOOP,
        errors=("-32000: subscription not found", "-32601: notifications not supported"),
    )
    async def unsubscribe(self, subscription: DataParam) -> bool:
        """End a subscription of this connection."""
        session = current_session.get()
        if session is None:
            raise RpcError(METHOD_NOT_FOUND, "notifications not supported")
        if not isinstance(subscription, str):
            raise InvalidInput("subscription: expected a string")
        if not session.end(subscription):
            raise RpcError(REFUSED, "subscription not found")
        return True

    async def run(self) -> None:
        """Tell subscribers of heads and of the state of synchronisation."""
        while True:
            try:
                number, change = await asyncio.wait_for(self._changes.get(), SYNC_CHECK_S)
            except TimeoutError:
                pass
            else:
                try:
                    await self._publish(number, change)
                except Unavailable as error:
                    log.warning("blocks_not_told", reason=error)
                    self._drop_readers()
            self._tell_syncing()

    def counts(self) -> dict[str, int]:
        """Subscriptions of each kind."""
        return {str(kind): len(listeners) for kind, listeners in self._by_kind.items()}

    # events

    def _on_head(self, change: HeadChange) -> None:
        self._changes_seen += 1
        if not (self._by_kind[Kind.NEW_HEADS] or self._by_kind[Kind.LOGS]):
            return
        try:
            self._changes.put_nowait((self._changes_seen, change))
        except asyncio.QueueFull:
            log.warning("publisher_too_slow", queued=self._changes.qsize())
            self._drop_readers()

    def _drop_readers(self) -> None:
        """Whoever is told of blocks is told of all, or knows that it was not."""
        for kind in (Kind.NEW_HEADS, Kind.LOGS):
            for each in tuple(self._by_kind[kind].values()):
                each.session.drop("the node cannot tell all of its blocks in time")

    def _on_transaction(self, transaction: Transaction) -> None:
        listeners = self._by_kind[Kind.NEW_PENDING_TRANSACTIONS]
        if not listeners:
            return
        as_hash = msgspec.json.encode(to_hex(transaction.hash))
        whole: bytes | None = None
        for each in tuple(listeners.values()):
            if each.full and whole is None:
                whole = msgspec.json.encode(show_transaction(transaction))
            each.tell(whole if each.full and whole is not None else as_hash)

    async def _publish(self, number: int, change: HeadChange) -> None:
        for block_hash in reversed(change.removed):
            await self._publish_block(number, block_hash, removed=True)
        for block_hash in change.added:
            await self._publish_block(number, block_hash, removed=False)

    async def _publish_block(self, number: int, block_hash: Hash32, *, removed: bool) -> None:
        """One block at a time: a far jump of the head holds no more than that in memory."""
        told = await self._threads.on_read(
            self._collect,
            block_hash,
            removed=removed,
            with_head=not removed and bool(self._by_kind[Kind.NEW_HEADS]),
            with_logs=bool(self._by_kind[Kind.LOGS]),
        )
        results = [(told.head, self._by_kind[Kind.NEW_HEADS].values())] if told.head else []
        for result, listeners in chain(results, _listeners(told.logs)):
            for each in tuple(listeners):
                if each.after < number and each.id in self._by_kind[each.kind]:
                    each.tell(result)
                    await self._pause_when_due()

    async def _pause_when_due(self) -> None:
        """Thousands of notifications leave room for what else the event loop has to do."""
        self._told += 1
        if self._told % TOLD_AT_A_TIME == 0:
            await asyncio.sleep(0)

    def _collect(
        self, block_hash: Hash32, *, removed: bool, with_head: bool, with_logs: bool
    ) -> _Told:
        """What to tell whom of a block. Runs on the reading thread."""
        header = self._chain.header(block_hash)
        assert header is not None, "blocks of a change are here"
        head = msgspec.json.encode(views.show_whole_header(header, block_hash))
        logs: list[tuple[bytes, list[Group[Subscription]]]] = []
        if with_logs and header.logs_bloom != EMPTY_BLOOM:
            of_block = BlockLogs(self._chain, block_hash, header, removed=removed)
            for position, log in of_block:
                groups = self._index.matching(log)
                if groups:
                    logs.append((of_block.encoded(position), groups))
        return _Told(head=head if with_head else None, logs=logs)

    def _tell_syncing(self) -> None:
        status = sync_status(self._chain.heads.head, self._clock, self._started_at)
        if bool(status) == self._was_syncing:
            return
        self._was_syncing = bool(status)
        result = msgspec.json.encode({"syncing": True, "status": status} if status else False)
        for each in tuple(self._by_kind[Kind.SYNCING].values()):
            each.tell(result)

    def _make(self, kind: Kind, options: object, session: Session) -> Subscription:
        """Raises: InvalidInput."""
        logs, full = LogFilter(), False
        if kind is Kind.LOGS and options is not None:
            logs = parse_log_filter(options)
        elif kind is Kind.NEW_PENDING_TRANSACTIONS and options is not None:
            full = parse_bool(options, "full transactions")
        elif options is not None:
            raise InvalidInput(f"{kind} takes no options")
        return Subscription(
            id="0x" + secrets.token_hex(16),
            session=session,
            kind=kind,
            after=self._changes_seen,
            logs=logs,
            full=full,
        )


def _parse_kind(value: object) -> Kind:
    """Raises: InvalidInput."""
    if not isinstance(value, str) or value not in list(Kind):
        raise InvalidInput(f'no "{str(value)[:80]}" subscription in eth namespace')
    return Kind(value)


def _listeners(
    logs: Sequence[tuple[bytes, Sequence[Group[Subscription]]]],
) -> Iterator[tuple[bytes, Collection[Subscription]]]:
    return ((result, group.members) for result, groups in logs for group in groups)
