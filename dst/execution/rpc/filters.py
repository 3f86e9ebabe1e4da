"""Filters that clients poll: each holds a position on the canonical chain. Bounded in number and in
idle time."""

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from dst.apis.eth import LogFilter
from dst.apis.jsonrpc import REFUSED, RpcError

MAX_FILTERS: Final = 512
"""Of all clients together; the one idle longest goes first."""
FILTER_IDLE_S: Final = 300.0
"""A filter nobody polls for five minutes is gone, as in geth."""


@dataclass(slots=True, kw_only=True)
class Filter:
    """`logs` None: a block filter. `next_number` is the first block not yet told."""

    logs: LogFilter | None
    next_number: int
    polled: float = 0.0


class Filters:
    def __init__(self) -> None:
        self._filters: OrderedDict[str, Filter] = OrderedDict()

    def add(self, logs: LogFilter | None, next_number: int) -> str:
        self._expire()
        while len(self._filters) >= MAX_FILTERS:
            self._filters.popitem(last=False)
        filter_id = "0x" + (secrets.token_bytes(16).hex().lstrip("0") or "1")
        self._filters[filter_id] = Filter(
            logs=logs, next_number=next_number, polled=time.monotonic()
        )
        return filter_id

    def get(self, filter_id: object) -> Filter:
        """Raises: RpcError."""
        self._expire()
        found = self._filters.get(filter_id) if isinstance(filter_id, str) else None
        if found is None:
            raise RpcError(REFUSED, "filter not found")
        found.polled = time.monotonic()
        self._filters.move_to_end(str(filter_id))
        return found

    def remove(self, filter_id: object) -> bool:
        return isinstance(filter_id, str) and self._filters.pop(filter_id, None) is not None

    def _expire(self) -> None:
        oldest = time.monotonic() - FILTER_IDLE_S
        while self._filters and next(iter(self._filters.values())).polled < oldest:
            self._filters.popitem(last=False)
