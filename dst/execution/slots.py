"""The execution layer's idea of time: which slot the clock says it is, and so how old its head is.

A head older than a few slots means that this node lags behind the chain or that the chain stands
(a cluster without quorum): the execution layer cannot tell the two apart, and either way whoever
sends a transaction here has to know.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dst.execution.header import Header
from dst.runtime.machine import wall_clock
from dst.spec.cluster import ChainConfig

STALE_SLOTS: Final = 8
"""Slots without a new head: a crashed leader costs two or three."""
STALE_SECONDS: Final = 10
"""A head is not stale before this, however short the slots: two round timeouts at their cap (4 s)
and some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotClock:
    """Slots of one chain; `now` is Unix time in seconds."""

    genesis_time: int
    seconds_per_slot: int
    now: Callable[[], float] = wall_clock

    @classmethod
    def of(cls, chain: ChainConfig) -> "SlotClock":
        return cls(genesis_time=chain.genesis_time, seconds_per_slot=chain.seconds_per_slot)

    def age(self, head: Header) -> float:
        """Seconds since the head's slot began; never negative."""
        return max(0.0, self.now() - max(head.timestamp, self.genesis_time))

    def slots_behind(self, head: Header) -> int:
        """Slots that began since the head's and brought no block here."""
        return int(self.age(head) // self.seconds_per_slot)

    def is_stale(self, head: Header) -> bool:
        return self.age(head) > max(STALE_SLOTS * self.seconds_per_slot, STALE_SECONDS)

    def complaint(self, head: Header) -> str | None:
        """What whoever asks about this node's health is told; None when all is well."""
        if not self.is_stale(head):
            return None
        return (
            f"head {head.number} is {self.age(head):.0f} s old "
            f"({self.slots_behind(head)} slots): this node lags, or the chain stands"
        )

    def next_timestamp(self, head: Header) -> int:
        """When the next block can begin at the earliest: the first slot after the head's that is
        not past."""
        slot = max(head.timestamp - self.genesis_time, 0) // self.seconds_per_slot + 1
        current = int((self.now() - self.genesis_time) // self.seconds_per_slot)
        return self.genesis_time + max(slot, current) * self.seconds_per_slot
