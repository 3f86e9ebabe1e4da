"""The one queue in front of a core. Own inputs (timers, answers) always fit; each peer has a share.

What does not fit is dropped with a metric: retransmission makes it good, and no peer can starve
another or fill the memory. Nor can it make others wait: only a few inputs of one peer stand in line
at a time, and what else it sent joins the line behind those of the others, as its own are served.
"""

import asyncio
from collections import deque
from typing import Final, Generic, TypeVar

from dst.runtime.metrics import Metrics
from dst.spec.primitives import OperatorIndex

MAX_PER_PEER: Final = 256
"""Some rounds of every message kind, forwarded ones included."""
MAX_BYTES_PER_PEER: Final = 4 << 20
"""Four of the largest frames."""
IN_LINE_PER_PEER: Final = 16
"""More than an honest peer says in a round. While somebody floods, the loop needs a millisecond for
each input, so that this is what a vote waits for behind him."""

T = TypeVar("T")


class Inbox(Generic[T]):
    def __init__(self, name: str, metrics: Metrics) -> None:
        self._name, self._metrics = name, metrics
        self._line: deque[tuple[T, OperatorIndex | None, int]] = deque()
        self._behind: dict[OperatorIndex, deque[tuple[T, int]]] = {}
        self._load: dict[OperatorIndex, tuple[int, int]] = {}
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._line) + sum(map(len, self._behind.values()))

    def put(self, item: T) -> None:
        """An input of this operator's own."""
        self._line.append((item, None, 0))
        self._filled.set()

    def put_from(self, peer: OperatorIndex, item: T, size_bytes: int) -> bool:
        """An input that `peer` caused; False when its share is used up."""
        count, size = self._load.get(peer, (0, 0))
        if count >= MAX_PER_PEER or (count and size + size_bytes > MAX_BYTES_PER_PEER):
            self._metrics.inc("inbox_dropped_total", inbox=self._name, peer=f"op{peer + 1}")
            return False
        self._load[peer] = (count + 1, size + size_bytes)
        if count < IN_LINE_PER_PEER:
            self._line.append((item, peer, size_bytes))
        else:
            self._behind.setdefault(peer, deque()).append((item, size_bytes))
        self._filled.set()
        return True

    async def get(self) -> T:
        """The next one; the loop's other tasks have their turn before it."""
        await asyncio.sleep(0)
        while not self._line:
            self._filled.clear()
            await self._filled.wait()
        item, peer, size_bytes = self._line.popleft()
        if peer is not None:
            count, size = self._load[peer]
            self._load[peer] = (count - 1, size - size_bytes)
            self._call_up(peer)
        return item

    def _call_up(self, peer: OperatorIndex) -> None:
        """The next of `peer` joins the line: one of its own has left it."""
        behind = self._behind.get(peer)
        if behind:
            item, size_bytes = behind.popleft()
            self._line.append((item, peer, size_bytes))
