"""Filters that clients poll. Bounded in number and in idle time.

A block or log filter holds the hash of the last block it told, so that after a reorganisation it
knows which blocks to take back. A filter of pending transactions holds a position in one ring of
recent hashes that all share.
"""

import secrets
import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final, TypeAlias

from dst.apis.caller import CALLER
from dst.apis.eth import LogFilter
from dst.apis.jsonrpc import REFUSED, RpcError
from dst.spec.primitives import Hash32

MAX_FILTERS: Final = 4_096
"""Of all clients together; the one idle longest goes first."""
MAX_FILTERS_OF_ONE: Final = 64
"""Of one client, whose own oldest goes: nobody pushes out what others poll. On loopback a client is
a connection."""
FILTER_IDLE_S: Final = 300.0
"""A filter nobody polls for five minutes is gone, as in geth."""
MAX_RECENT_TRANSACTIONS: Final = 16_384
"""Twice the pool: a filter polled more seldom than that many transactions come loses the oldest."""


@dataclass(slots=True, kw_only=True)
class BlockFilter:
    told: Hash32
    """The last block whose hash, or whose logs, the client has."""
    logs: LogFilter | None = None
    """None: hashes of blocks."""


@dataclass(slots=True, kw_only=True)
class TransactionFilter:
    position: int
    """Transactions told, counted from the node's start."""


Filter: TypeAlias = BlockFilter | TransactionFilter


class Filters:
    def __init__(self) -> None:
        self._filters: OrderedDict[str, tuple[Filter, float]] = OrderedDict()
        self._owners: dict[str, OrderedDict[str, None]] = {}
        """Client -> its filters, oldest first; may name some that are gone."""

    def add(self, made: Filter) -> str:
        self._expire()
        while len(self._filters) >= MAX_FILTERS:
            self._filters.popitem(last=False)
        filter_id = "0x" + (secrets.token_bytes(16).hex().lstrip("0") or "1")
        self._filters[filter_id] = (made, time.monotonic())
        self._own(CALLER.get(), filter_id)
        return filter_id

    def _own(self, client: str, filter_id: str) -> None:
        own = self._owners.setdefault(client, OrderedDict())
        own[filter_id] = None
        for gone in [each for each in own if each not in self._filters]:
            del own[gone]
        while len(own) > MAX_FILTERS_OF_ONE:
            self._filters.pop(own.popitem(last=False)[0], None)
        if len(self._owners) > MAX_FILTERS:
            self._owners = {
                client: own
                for client, own in self._owners.items()
                if any(each in self._filters for each in own)
            }

    def get(self, filter_id: object) -> Filter:
        """Raises: RpcError."""
        self._expire()
        if not isinstance(filter_id, str) or filter_id not in self._filters:
            raise RpcError(REFUSED, "filter not found")
        found, _ = self._filters[filter_id]
        self._filters[filter_id] = (found, time.monotonic())
        self._filters.move_to_end(filter_id)
        return found

    def remove(self, filter_id: object) -> bool:
        return isinstance(filter_id, str) and self._filters.pop(filter_id, None) is not None

    def _expire(self) -> None:
        oldest = time.monotonic() - FILTER_IDLE_S
        while self._filters and next(iter(self._filters.values()))[1] < oldest:
            self._filters.popitem(last=False)


class RecentTransactions:
    """A ring of what the pool took, numbered from the node's start."""

    def __init__(self, size: int = MAX_RECENT_TRANSACTIONS) -> None:
        self._hashes: deque[Hash32] = deque(maxlen=size)
        self.end = 0

    def add(self, transaction_hash: Hash32) -> None:
        self._hashes.append(transaction_hash)
        self.end += 1

    def since(self, position: int) -> list[Hash32]:
        """What came at or after a position, as far as it is still here."""
        fresh = min(self.end - position, len(self._hashes))
        return [self._hashes[-count] for count in range(fresh, 0, -1)]
