"""Virtual time: a heap of calls. Same calls, same order, whatever the machine does."""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, TypeAlias

Call: TypeAlias = Callable[..., None]


class Clock:
    """now: microseconds since the genesis of the simulated chain."""

    def __init__(self) -> None:
        self.now = 0
        self.calls = 0
        self._heap: list[tuple[int, int, Call, tuple[Any, ...]]] = []
        self._count = 0

    def after(self, delay_us: int, call: Call, *arguments: Any) -> None:
        """Equal times run in the order in which they were asked for."""
        self._count += 1
        heappush(self._heap, (self.now + max(0, delay_us), self._count, call, arguments))

    def run_next(self, until_us: int) -> bool:
        """Run the next call that is due by `until_us`; False when there is none."""
        if not self._heap or self._heap[0][0] > until_us:
            self.now = max(self.now, until_us)
            return False
        self.now, _, call, arguments = heappop(self._heap)
        self.calls += 1
        call(*arguments)
        return True
