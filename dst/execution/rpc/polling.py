"""Filters for clients that poll: `eth_newFilter`, `eth_newBlockFilter`,
`eth_newPendingTransactionFilter`, and what is asked of them."""

import msgspec

from dst.apis.eth import LogFilter, parse_log_filter
from dst.apis.jsonrpc import REFUSED, RpcError
from dst.execution.chain import Chain
from dst.execution.events import Events
from dst.execution.rpc.dispatch import Threads, Where, rpc
from dst.execution.rpc.filters import (
    FILTER_IDLE_S,
    MAX_FILTERS,
    MAX_RECENT_TRANSACTIONS,
    BlockFilter,
    Filters,
    RecentTransactions,
    TransactionFilter,
)
from dst.execution.rpc.logs import LOG_LIMITS, MAX_LOG_BLOCKS, LogSearch
from dst.execution.rpc.parameters import FilterIdParam, FilterParam
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Hash32, to_hex

_LIMITS = (f"{MAX_FILTERS} filters of all clients together, each gone after {FILTER_IDLE_S:.0f} s",)
_NOT_FOUND = ("-32000: filter not found",)


class Polling:
    """Filters live on the event loop; what they find is looked up on the search workers."""

    def __init__(self, chain: Chain, search: LogSearch, events: Events, threads: Threads) -> None:
        self._chain, self._search, self._threads = chain, search, threads
        self._filters = Filters()
        self._recent = RecentTransactions()
        events.transactions.add(lambda transaction: self._recent.add(transaction.hash))

    @rpc("eth_newFilter", where=Where.LOOP, limits=_LIMITS)
    async def new_filter(self, criteria: FilterParam) -> str:
        """Follow logs from the next block on; blocks named in the criteria are of use to
        eth_getFilterLogs alone."""
        wanted = parse_log_filter(criteria)
        return self._filters.add(BlockFilter(told=self._chain.heads.head_hash, logs=wanted))

    @rpc("eth_newBlockFilter", where=Where.LOOP, limits=_LIMITS)
    async def new_block_filter(self) -> str:
        """Follow the hashes of new blocks."""
        return self._filters.add(BlockFilter(told=self._chain.heads.head_hash))

    @rpc("eth_newPendingTransactionFilter", where=Where.LOOP, limits=_LIMITS)
    async def new_pending_filter(self) -> str:
        """Follow the hashes of transactions that the pool takes."""
        return self._filters.add(TransactionFilter(position=self._recent.end))

    @rpc(
        "eth_getFilterChanges",
        where=Where.LOOP,
        errors=_NOT_FOUND,
        limits=(
            *LOG_LIMITS,
            f"the newest {MAX_RECENT_TRANSACTIONS} pending transactions",
        ),
    )
    async def changes(self, filter_id: FilterIdParam) -> list[str] | msgspec.Raw:
        """What came since the last poll.

        After a reorganisation a log filter first takes back the logs of the blocks that went
        (`removed: true`); then both kinds go on from where the chains part.
        """
        found = self._filters.get(_filter_id(filter_id))
        if isinstance(found, TransactionFilter):
            fresh = self._recent.since(found.position)
            found.position = self._recent.end
            return [to_hex(each) for each in fresh]
        told, found.told = found.told, self._chain.heads.head_hash
        try:
            return await self._threads.on_search(self._since, told, found.told, found.logs)
        except BaseException as error:
            if not (isinstance(error, RpcError) and error.code == REFUSED):
                found.told = told  # busy, closed, the client gone: the next poll gets it
            raise

    @rpc("eth_getFilterLogs", where=Where.LOOP, errors=_NOT_FOUND, limits=LOG_LIMITS)
    async def filter_logs(self, filter_id: FilterIdParam) -> msgspec.Raw:
        """All logs that match a log filter's criteria, its bounds included."""
        found = self._filters.get(_filter_id(filter_id))
        if not isinstance(found, BlockFilter) or found.logs is None:
            raise RpcError(REFUSED, "filter not found")
        return await self._threads.on_search(self._search.find, found.logs)

    @rpc("eth_uninstallFilter", where=Where.LOOP)
    async def uninstall(self, filter_id: FilterIdParam) -> bool:
        """Forget a filter; false when there was none."""
        return self._filters.remove(_filter_id(filter_id))

    def _since(self, told: Hash32, head: Hash32, logs: LogFilter | None) -> list[str] | msgspec.Raw:
        """Raises: RpcError when the way is too long; the filter goes on from the head."""
        removed, added = self._way(told, head)
        if logs is None:
            return [to_hex(each) for each in added]
        return self._search.in_blocks(added, logs, removed=removed)

    def _way(self, told: Hash32, head: Hash32) -> tuple[list[Hash32], list[Hash32]]:
        """Blocks to take back, newest first, and to add, oldest first, from one to the other.

        Both are walked by their parents, so that a head that moves meanwhile changes nothing.
        """
        removed: list[Hash32] = []
        added: list[Hash32] = []
        old, new = told, head
        while old != new:
            if len(removed) + len(added) > MAX_LOG_BLOCKS:
                raise RpcError(REFUSED, f"block range too large: at most {MAX_LOG_BLOCKS} blocks")
            if self._number(new) >= self._number(old):
                added.append(new)
                new = self._parent(new)
            else:
                removed.append(old)
                old = self._parent(old)
        return removed, added[::-1]

    def _number(self, block_hash: Hash32) -> int:
        header = self._chain.header(block_hash)
        assert header is not None, "blocks told and their ancestors are here"
        return header.number

    def _parent(self, block_hash: Hash32) -> Hash32:
        header = self._chain.header(block_hash)
        assert header is not None, "blocks told and their ancestors are here"
        return header.parent_hash


def _filter_id(value: object) -> str:
    """Raises: InvalidInput."""
    if not isinstance(value, str) or not value.startswith("0x"):
        raise InvalidInput("filter id: expected 0x-prefixed hex")
    return value
