"""A follower hears of transactions from the operators it knows: it asks each for news and fetches
what it lacks, once, from the one that told first. Operators need not know their followers.

What leaves the operators' pools without a block leaves here too, when all of them but f say so: a
follower never builds, so it cannot find out itself that a transaction is too heavy.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from dst.execution.pool.peer import NotServed, Peer, peer_session
from dst.execution.pool.service import Source, TransactionPool
from dst.mempool.departures import Departure, Fate
from dst.runtime.backoff import Backoff
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec.errors import InvalidInput, Unavailable
from dst.spec.primitives import Hash32, parse_hex, to_hex

WAIT_MS: Final = 10_000
"""How long an operator keeps a question without news open."""
POLL_TIMEOUT_S: Final = WAIT_MS / 1000 + 3
FETCH_TIMEOUT_S: Final = 1.0
"""Then another operator is asked; they are a round trip away."""
MAX_FETCHED_AT_ONCE: Final = 256
MAX_VERDICTS: Final = 8_192
"""Departures heard of and not yet believed."""
STOCK_RETRY_S: Final = 60.0
"""An operator of another make has no news to give; it may be replaced by one of ours."""
_BELIEVED: Final = frozenset({Fate.TOO_HEAVY, Fate.EVICTED})
"""What a follower cannot judge itself; the rest it sees from blocks."""

log = Logger("subscriber")


class _Departed(msgspec.Struct, frozen=True):
    hash: str
    fate: Fate
    reason: str
    message: str


class _Changes(msgspec.Struct, frozen=True):
    epoch: str
    cursor: str
    whole: bool
    added: list[str]
    departed: list[_Departed]


class Subscriber:
    """`run` until cancelled."""

    def __init__(
        self,
        sources: Sequence[str],
        pool: TransactionPool,
        metrics: Metrics,
        *,
        faulty: int,
        secret: bytes | None = None,
    ) -> None:
        """faulty: f, how many operators may lie. secret: what operators know each other by, and who
        they gave it to."""
        self._sources, self._pool, self._metrics = sources, pool, metrics
        self._secret = secret
        self._needed = max(1, len(sources) - faulty)
        self._fetching: set[Hash32] = set()
        self._verdicts: OrderedDict[Hash32, set[str]] = OrderedDict()

    async def run(self) -> None:
        async with peer_session() as session:
            peers = [Peer(url, session, self._secret) for url in self._sources]
            for each in peers:
                each.count_in(self._metrics)
            async with asyncio.TaskGroup() as group:
                for peer in peers:
                    others = [each for each in peers if each is not peer]
                    group.create_task(self._follow(peer, others))

    async def _follow(self, peer: Peer, others: Sequence[Peer]) -> None:
        epoch, cursor = "", "0x0"
        backoff = Backoff()
        while True:
            try:
                params = [epoch, cursor, hex(WAIT_MS)]
                changes = await peer.call("dst_poolChanges", params, _Changes, POLL_TIMEOUT_S)
                await self._take(changes, [peer, *others])
            except NotServed:
                await asyncio.sleep(STOCK_RETRY_S)
            except (Unavailable, InvalidInput) as error:
                log.debug("no_news", source=peer.url, error=str(error))
                await asyncio.sleep(backoff.next_delay())
            else:
                epoch, cursor = changes.epoch, changes.cursor
                backoff.reset()

    async def _take(self, changes: _Changes, peers: Sequence[Peer]) -> None:
        """Raises: Unavailable when nobody gives what was announced, InvalidInput for nonsense."""
        wanted = [Hash32(parse_hex(each, 32, what="hash")) for each in changes.added]
        missing = [each for each in wanted if self._is_new(each)]
        for start in range(0, len(missing), MAX_FETCHED_AT_ONCE):
            await self._fetch(missing[start : start + MAX_FETCHED_AT_ONCE], peers)
        for gone in changes.departed:
            self._hear(peers[0].url, gone)

    def _is_new(self, transaction_hash: Hash32) -> bool:
        return (
            self._pool.get(transaction_hash) is None
            and transaction_hash not in self._fetching
            and self._pool.departure(transaction_hash) is None
        )

    async def _fetch(self, hashes: Sequence[Hash32], peers: Sequence[Peer]) -> None:
        self._fetching.update(hashes)
        try:
            raws = await self._ask(hashes, peers)
            outcomes = await self._pool.submit_all(raws, Source.PEER)
            self._metrics.inc("pool_fetched_total", len(outcomes))
        finally:
            self._fetching.difference_update(hashes)

    async def _ask(self, hashes: Sequence[Hash32], peers: Sequence[Peer]) -> list[bytes]:
        """From the first that answers."""
        params: list[Any] = [[to_hex(each) for each in hashes]]
        for peer in peers:
            try:
                found = await peer.call(
                    "dst_pooledTransactions", params, list[str | None], FETCH_TIMEOUT_S
                )
            except (Unavailable, NotServed):
                continue
            return [parse_hex(raw, what="raw transaction") for raw in found if raw is not None]
        raise Unavailable("no operator gives the transactions that one has announced")

    def _hear(self, source: str, gone: _Departed) -> None:
        transaction_hash = Hash32(parse_hex(gone.hash, 32, what="hash"))
        if gone.fate not in _BELIEVED or self._pool.get(transaction_hash) is None:
            return
        sources = self._verdicts.setdefault(transaction_hash, set())
        sources.add(source)
        if len(sources) >= self._needed:
            del self._verdicts[transaction_hash]
            departure = Departure(fate=gone.fate, detail=gone.reason, message=gone.message)
            self._pool.believe(transaction_hash, departure)
        while len(self._verdicts) > MAX_VERDICTS:
            self._verdicts.popitem(last=False)
