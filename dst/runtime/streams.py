"""Connections that last: WebSockets and event streams. Few of them, shared between addresses.

A full house makes room: first goes a stream that nobody uses, then the oldest of the address with
the most. Nobody makes room for an address that holds more streams than they do.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from dst.runtime.places import LOCAL

MAX_STREAMS: Final = 128
"""Event streams of one listener."""
STREAMS_PER_ADDRESS: Final = 32
"""Of one remote address."""
UNUSED_S: Final = 10.0
"""A WebSocket that asks for nothing and follows nothing for so long may be ended for another."""


def _always_used() -> float | None:
    return None


@dataclass(slots=True, eq=False)
class Stream:
    """One that is open. `unused_since` (monotonic seconds): None while it is of use."""

    address: str
    end: Callable[[], None]
    unused_since: Callable[[], float | None] = _always_used
    opened: float = field(default_factory=time.monotonic)


class Streams:
    """Of one kind on one listener."""

    def __init__(
        self,
        total: int = MAX_STREAMS,
        per_address: int = STREAMS_PER_ADDRESS,
        *,
        ends_oldest: bool = True,
    ) -> None:
        """ends_oldest: false where a stream that is of use is never ended for another of its own
        address."""
        self._total, self._per_address = total, per_address
        self._ends_oldest = ends_oldest
        self._open: set[Stream] = set()
        self._of_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def holding(self, stream: Stream) -> Iterator[bool]:
        """A place for the time of the block; False when there is none."""
        if not self._make_room(stream):
            yield False
            return
        self._open.add(stream)
        self._of_address[stream.address] += 1
        try:
            yield True
        finally:
            self._forget(stream)

    def _make_room(self, newcomer: Stream) -> bool:
        own = self._of_address[newcomer.address]
        if newcomer.address != LOCAL and own >= self._per_address:
            candidates = [each for each in self._open if each.address == newcomer.address]
        elif len(self._open) >= self._total:
            candidates = [each for each in self._open if self._of_address[each.address] >= own]
        else:
            return True
        victim = self._victim(candidates, own)
        if victim is None:
            return False
        self._forget(victim)
        victim.end()
        return True

    def _victim(self, candidates: list[Stream], own: int) -> Stream | None:
        unused = [(since, each) for each in candidates if (since := each.unused_since())]
        since, stalest = min(unused, key=lambda pair: pair[0], default=(0.0, None))
        if stalest is not None and time.monotonic() - since > UNUSED_S:
            return stalest
        if not self._ends_oldest:
            candidates = [each for each in candidates if self._of_address[each.address] > own + 1]
        return min(
            candidates,
            key=lambda each: (-self._of_address[each.address], each.opened),
            default=None,
        )

    def _forget(self, stream: Stream) -> None:
        if stream in self._open:
            self._open.remove(stream)
            self._of_address[stream.address] -= 1
            if not self._of_address[stream.address]:
                del self._of_address[stream.address]
