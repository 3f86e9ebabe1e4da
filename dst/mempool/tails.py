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
    def __init__(self) -> None:
        self._heap: list[tuple[Rank, int, SenderQueue]] = []

    def note(self, queue: SenderQueue) -> None:
        """The queue's tail or its rank may have changed."""
        queue.version += 1
        if len(queue):
            heapq.heappush(self._heap, (queue.tail_rank(), queue.version, queue))

    def cheapest(self, queues: Mapping[Address, SenderQueue]) -> SenderQueue:
        """The queue whose tail is worth least; there must be one."""
        if len(self._heap) > 2 * len(queues) + SLACK:
            live = (each for each in queues.values() if len(each))
            self._heap = [(each.tail_rank(), each.version, each) for each in live]
            heapq.heapify(self._heap)
        while True:
            _, version, queue = self._heap[0]
            if version == queue.version and len(queue):
                return queue
            heapq.heappop(self._heap)
