"""`eth_subscribe` over WebSocket: newHeads, logs, newPendingTransactions, syncing.

Heads go through one queue and one publisher, so that every subscriber is told of blocks in their
order and of a reorganisation's removed logs before the new ones; transactions go through another.
Each event is read and encoded once, whoever listens; whose a log is, an index says (`log_index`).

What one block tells is bounded: beyond `MAX_TOLD_OF_BLOCK` the connections that are owed most are
dismissed, as are those that make the queue of transactions run over.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import msgspec

from dst.apis.eth import LogFilter, parse_bool, parse_log_filter, show_transaction
from dst.apis.jsonrpc.errors import METHOD_NOT_FOUND, REFUSED, RpcError
from dst.apis.jsonrpc.ws import DEFAULT_LIMITS, Session, current_session
from dst.execution.chain import Chain, HeadChange
from dst.execution.events import Events
from dst.execution.rpc.chain_info import sync_status
from dst.execution.rpc.dispatch import Threads, Where, rpc
from dst.execution.rpc.log_index import (
    LEAST_WEIGHT,
    MAX_COMBINATIONS,
    Audience,
    LogIndex,
    weight_of,
)
from dst.execution.rpc.parameters import DataParam, OptionsParam, SubscriptionParam
from dst.execution.rpc.subscription_room import (
    MAX_WEIGHT,
    MAX_WEIGHT_OF_ONE,
    WEIGHT_OF_HASHES,
    WEIGHT_OF_WHOLE,
    SubscriptionRoom,
)
from dst.execution.rpc.telling import BlockReading, Pace
from dst.execution.slots import SlotClock
from dst.runtime.log import Logger
from dst.spec.errors import InvalidInput, Unavailable
from dst.spec.primitives import Hash32, to_hex
from dst.transactions.transaction import Transaction

MAX_QUEUED_CHANGES: Final = 1_024
"""Moves of the head that wait for the publisher: a quarter of an hour of 1 s slots."""
MAX_QUEUED_TRANSACTIONS: Final = 1_024
"""That wait to be told; each beyond it dismisses a connection that listens."""
MAX_TOLD_OF_BLOCK: Final = 65_536
"""Notifications of one block's logs, to all; a KiB counts as one. About a second of the event loop,
in slices, and 64 MiB."""
SYNC_CHECK_S: Final = 1.0

_LIMITS = (
    f"{DEFAULT_LIMITS.subscriptions} subscriptions a connection",
    "a subscription weighs the combinations of addresses and topics that it takes, "
    f"{LEAST_WEIGHT} to {MAX_COMBINATIONS}, of pending transactions {WEIGHT_OF_HASHES} and whole "
    f"{WEIGHT_OF_WHOLE}: {MAX_WEIGHT_OF_ONE} a connection, {MAX_WEIGHT} in all; "
    "beyond that the connection with the most is ended, if it has more than who asks",
    f"{DEFAULT_LIMITS.queued} messages and {DEFAULT_LIMITS.queued_bytes >> 20} MiB waiting to be "
    "sent: a slower reader is disconnected",
    f"{MAX_TOLD_OF_BLOCK} notifications of one block's logs to all, a KiB counts as one, and "
    f"{MAX_QUEUED_TRANSACTIONS} transactions waiting to be told; beyond that the connections that "
    "cause most are closed with code 1008 and the reason",
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
    """The last change of the head, or transaction, that came before it."""
    logs: LogFilter = field(default_factory=LogFilter)
    full: bool = False
    """Whole transactions rather than hashes."""

    @property
    def weight(self) -> int:
        if self.kind is Kind.NEW_PENDING_TRANSACTIONS:
            return WEIGHT_OF_WHOLE if self.full else WEIGHT_OF_HASHES
        return weight_of(self.logs)

    def tell(self, result: bytes) -> None:
        self.session.notify(self.id, result)


class Subscriptions:
    """`run` publishes until cancelled."""

    def __init__(self, chain: Chain, clock: SlotClock, events: Events, threads: Threads) -> None:
        self._chain, self._clock, self._threads = chain, clock, threads
        self._by_kind: dict[Kind, dict[str, Subscription]] = {kind: {} for kind in Kind}
        self._index: LogIndex[Subscription] = LogIndex()
        self._room = SubscriptionRoom()
        self._pace = Pace()
        self._changes: asyncio.Queue[tuple[int, HeadChange]] = asyncio.Queue(MAX_QUEUED_CHANGES)
        self._changes_seen = 0
        self._transactions: asyncio.Queue[tuple[int, Transaction]] = asyncio.Queue()
        self._transactions_seen = 0
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
            if ended.kind is Kind.LOGS:
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
        """Tell subscribers of heads, transactions and the state of synchronisation."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tell_transactions())
            await self._tell_heads()

    async def _tell_heads(self) -> None:
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
        self._transactions_seen += 1
        if not self._by_kind[Kind.NEW_PENDING_TRANSACTIONS]:
            return
        self._transactions.put_nowait((self._transactions_seen, transaction))
        if self._transactions.qsize() > MAX_QUEUED_TRANSACTIONS:
            self._dismiss_a_listener()

    def _dismiss_a_listener(self) -> None:
        """Of transactions, the one that takes most. One is enough for one transaction: the queue
        grows by no more than there are connections."""
        taken: Counter[Session] = Counter()
        for each in self._by_kind[Kind.NEW_PENDING_TRANSACTIONS].values():
            taken[each.session] += each.weight
        for session, _ in taken.most_common(1):
            session.dismiss("too many transactions wait to be told to its subscriptions")

    async def _tell_transactions(self) -> None:
        pace = Pace()
        while True:
            number, transaction = await self._transactions.get()
            await self._tell_transaction(number, transaction, pace)

    async def _tell_transaction(self, number: int, transaction: Transaction, pace: Pace) -> None:
        listeners = self._by_kind[Kind.NEW_PENDING_TRANSACTIONS]
        as_hash = msgspec.json.encode(to_hex(transaction.hash))
        whole: bytes | None = None
        for each in tuple(listeners.values()):
            if each.after < number and each.id in listeners:
                if each.full and whole is None:
                    whole = msgspec.json.encode(show_transaction(transaction))
                each.tell(whole if each.full and whole is not None else as_hash)
            if pace.is_due(told=1):
                await pace.rest()

    async def _publish(self, number: int, change: HeadChange) -> None:
        for block_hash in reversed(change.removed):
            await self._publish_block(number, block_hash, removed=True)
        for block_hash in change.added:
            await self._publish_block(number, block_hash, removed=False)

    async def _publish_block(self, number: int, block_hash: Hash32, *, removed: bool) -> None:
        """One block at a time: a far jump of the head holds no more than that in memory."""
        reading = BlockReading(
            self._chain,
            self._index,
            block_hash,
            removed=removed,
            with_head=not removed and bool(self._by_kind[Kind.NEW_HEADS]),
            with_logs=bool(self._by_kind[Kind.LOGS]),
        )
        while await self._threads.on_read(reading.go_on):
            pass
        if reading.head is not None:
            await self._tell(reading.head, tuple(self._by_kind[Kind.NEW_HEADS].values()), number)
        await self._see_to_the_budget(reading, number)
        listeners = await self._listeners(reading, number)
        for result, audiences in reading.logs:
            for audience in audiences:
                await self._tell(result, listeners[audience], number)

    async def _tell(self, result: bytes, listeners: tuple[Subscription, ...], number: int) -> None:
        for each in listeners:
            if each.after < number and each.id in self._by_kind[each.kind]:
                each.tell(result)
            if self._pace.is_due(told=1):
                await self._pace.rest()
        if self._pace.is_due():
            await self._pace.rest()

    async def _see_to_the_budget(self, reading: BlockReading[Subscription], number: int) -> None:
        """Dismiss those who are owed most until the others can be told."""
        owed: Counter[Session] = Counter()
        for audience, price in reading.prices.items():
            for each in _members(audience, number):
                owed[each.session] += price
            if self._pace.is_due():
                await self._pace.rest()
        total = owed.total()
        for session, price in owed.most_common():
            if total <= MAX_TOLD_OF_BLOCK:
                return
            total -= price
            session.dismiss("its subscriptions take too much of a block: too many notifications")
            await self._pace.rest()

    async def _listeners(
        self, reading: BlockReading[Subscription], number: int
    ) -> dict[Audience[Subscription], tuple[Subscription, ...]]:
        """Of each audience, those who are left."""
        listeners: dict[Audience[Subscription], tuple[Subscription, ...]] = {}
        for audience in reading.prices:
            listeners[audience] = tuple(_members(audience, number))
            if self._pace.is_due():
                await self._pace.rest()
        return listeners

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
            after=(
                self._transactions_seen
                if kind is Kind.NEW_PENDING_TRANSACTIONS
                else self._changes_seen
            ),
            logs=logs,
            full=full,
        )


def _parse_kind(value: object) -> Kind:
    """Raises: InvalidInput."""
    if not isinstance(value, str) or value not in list(Kind):
        raise InvalidInput(f'no "{str(value)[:80]}" subscription in eth namespace')
    return Kind(value)


def _members(audience: Audience[Subscription], number: int) -> Iterator[Subscription]:
    """Who is told of the change `number`."""
    return (each for each in audience.members() if each.after < number and not each.session.closed)
