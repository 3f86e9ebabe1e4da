"""`eth_subscribe` over WebSocket: newHeads, logs, newPendingTransactions, syncing.

Heads go through one queue and one publisher, so that every subscriber is told of blocks in their
order and of a reorganisation's removed logs before the new ones. Each event is read and encoded
once, whoever listens.
"""

import asyncio
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from dst.apis.eth import LogFilter, parse_bool, parse_log_filter, show_transaction
from dst.apis.jsonrpc.errors import METHOD_NOT_FOUND, REFUSED, RpcError
from dst.apis.jsonrpc.ws import DEFAULT_LIMITS, Session, current_session
from dst.execution.chain import Chain, HeadChange
from dst.execution.events import Events
from dst.execution.rpc import views
from dst.execution.rpc.chain_info import sync_status
from dst.execution.rpc.dispatch import Threads, Where, rpc
from dst.execution.rpc.parameters import DataParam, OptionsParam, SubscriptionParam
from dst.execution.slots import SlotClock
from dst.runtime.log import Logger
from dst.spec.errors import InvalidInput, Unavailable
from dst.spec.primitives import Hash32, to_hex
from dst.transactions.transaction import Transaction

MAX_QUEUED_CHANGES: Final = 1_024
"""Moves of the head that wait for the publisher: a quarter of an hour of 1 s slots."""
BLOCKS_AT_A_TIME: Final = 64
"""Blocks read before their subscribers are told: what a far jump of the head holds in memory."""
SYNC_CHECK_S: Final = 1.0

_LIMITS = (
    f"{DEFAULT_LIMITS.subscriptions} subscriptions a connection",
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

    def tell(self, result: bytes) -> None:
        self.session.notify(self.id, result)


_Told: TypeAlias = tuple[Subscription, Sequence[bytes]]
"""Results, shared by all who are told the same."""


class Subscriptions:
    """`run` publishes until cancelled."""

    def __init__(self, chain: Chain, clock: SlotClock, events: Events, threads: Threads) -> None:
        self._chain, self._clock, self._threads = chain, clock, threads
        self._by_kind: dict[Kind, dict[str, Subscription]] = {kind: {} for kind in Kind}
        self._changes: asyncio.Queue[tuple[int, HeadChange]] = asyncio.Queue(MAX_QUEUED_CHANGES)
        self._changes_seen = 0
        self._was_syncing = False
        self._started_at = chain.heads.head.number
        events.heads.add(self._on_head)
        events.transactions.add(self._on_transaction)

    @rpc(
        "eth_subscribe",
        where=Where.LOOP,
        errors=("-32601: notifications not supported (over HTTP)",),
        limits=_LIMITS,
    )
    async def subscribe(self, kind: SubscriptionParam, options: OptionsParam = None) -> str:
        """Be told of new heads, of logs (`removed: true` when a reorganisation takes them back), of
        transactions that the pool takes, or of the node falling behind and catching up."""
        session = current_session.get()
        if session is None:
            raise RpcError(METHOD_NOT_FOUND, "notifications not supported")
        made = self._make(_parse_kind(kind), options, session)
        listeners = self._by_kind[made.kind]
        session.open(made.id, lambda: _forget(listeners, made.id))
        listeners[made.id] = made
        return made.id

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
        for hashes, removed in (
            *((each, True) for each in _chunks(change.removed[::-1])),
            *((each, False) for each in _chunks(change.added)),
        ):
            listeners = {
                kind: [each for each in self._by_kind[kind].values() if each.after < number]
                for kind in (Kind.NEW_HEADS, Kind.LOGS)
            }
            told = await self._threads.on_read(self._collect, hashes, removed, listeners)
            for subscription, results in told:
                for result in results:
                    subscription.tell(result)

    def _collect(
        self,
        hashes: Sequence[Hash32],
        removed: bool,
        listeners: Mapping[Kind, Sequence[Subscription]],
    ) -> list[_Told]:
        """What to tell whom of some blocks, in their order. Runs on the reading thread."""
        told: list[_Told] = []
        for block_hash in hashes:
            header = self._chain.header(block_hash)
            assert header is not None, "blocks of a change are here"
            if not removed and listeners[Kind.NEW_HEADS]:
                shown = (msgspec.json.encode(views.show_whole_header(header, block_hash)),)
                told.extend((each, shown) for each in listeners[Kind.NEW_HEADS])
            logs = views.BlockLogs(self._chain, block_hash, header, removed=removed)
            told.extend((each, logs.encoded(each.logs)) for each in listeners[Kind.LOGS])
        return told

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


def _forget(listeners: dict[str, Subscription], subscription: str) -> None:
    listeners.pop(subscription, None)


def _chunks(hashes: Sequence[Hash32]) -> Iterator[Sequence[Hash32]]:
    for start in range(0, len(hashes), BLOCKS_AT_A_TIME):
        yield hashes[start : start + BLOCKS_AT_A_TIME]
