"""What waits for one peer. Bounded, and fair to what matters: stale heights go first, then the
oldest.

A link through a faulty network may stand still for seconds. When it moves again the peer must not
have to read old rounds first; whatever was dropped here is made good by retransmission and by what
is said again on reconnect.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from dst.spec.primitives import Height

MAX_ENTRIES: Final = 512
"""Several rounds of every message kind of 10 operators, and a full answer to a catch-up request."""

MAX_BYTES: Final = 4 << 20
"""Four of the largest frames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One frame body. `height` None never grows stale (catch-up answers)."""

    body: bytes
    height: Height | None


class SendQueue:
    __slots__ = ("_bytes", "_entries", "_floor", "dropped_full", "dropped_stale")

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._floor = Height(0)
        self.dropped_stale = 0
        self.dropped_full = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        return self._bytes

    def put(self, entry: Entry) -> None:
        """Append; drops the oldest entries until both bounds hold again. A stale entry is dropped
        at once."""
        if self._is_stale(entry):
            self.dropped_stale += 1
            return
        self._entries.append(entry)
        self._bytes += len(entry.body)
        while len(self._entries) > MAX_ENTRIES or (
            self._bytes > MAX_BYTES and len(self._entries) > 1
        ):
            self.pop()
            self.dropped_full += 1

    def pop(self) -> Entry | None:
        """Take the oldest entry; None when empty."""
        if not self._entries:
            return None
        entry = self._entries.popleft()
        self._bytes -= len(entry.body)
        return entry

    def raise_floor(self, height: Height) -> None:
        """Messages about heights below `height` are of no use any more."""
        if height <= self._floor:
            return
        self._floor = height
        kept = deque(entry for entry in self._entries if not self._is_stale(entry))
        self.dropped_stale += len(self._entries) - len(kept)
        self._entries = kept
        self._bytes = sum(len(entry.body) for entry in kept)

    def clear(self) -> int:
        """Drop everything, as when the link is lost; returns how many."""
        count = len(self._entries)
        self._entries.clear()
        self._bytes = 0
        return count

    def _is_stale(self, entry: Entry) -> bool:
        return entry.height is not None and entry.height < self._floor
