"""Finds the cheapest tail among all senders without looking at each: a heap whose stale entries are
passed over."""

import heapq
from collections.abc import Mapping
from typing import Final

from dst.mempool.queue import Rank, SenderQueue
from dst.spec.primitives import Address

SLACK: Final = 64
"""Entries beyond twice the senders before the heap is made anew; so it stays in proportion."""


class Tails:
    def __init__(self, queues: Mapping[Address, SenderQueue]) -> None:
        """queues: of all senders, as they change."""
        self._queues = queues
        self._heap: list[tuple[Rank, int, SenderQueue]] = []

    def __len__(self) -> int:
        """Entries, stale ones too."""
        return len(self._heap)

    def note(self, queue: SenderQueue) -> None:
        """The queue's tail or its rank may have changed, or it is gone."""
        queue.version += 1
        if len(queue):
            heapq.heappush(self._heap, (queue.tail_rank(), queue.version, queue))
        if len(self._heap) > 2 * len(self._queues) + SLACK:
            live = (each for each in self._queues.values() if len(each))
            self._heap = [(each.tail_rank(), each.version, each) for each in live]
            heapq.heapify(self._heap)

    def cheapest(self) -> SenderQueue:
        """The queue whose tail is worth least; there must be one."""
        while True:
            _, version, queue = self._heap[0]
            if version == queue.version and len(queue):
                return queue
            heapq.heappop(self._heap)
