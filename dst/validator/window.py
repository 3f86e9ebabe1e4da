"""Which slots to ask for, as a pure value: every slot gets an answer, old ones in order, the
current one at once.

A decided block is owed a signature however late it was decided, so no slot is given up. After a
long stall the backlog
is longer than what may be open: then the oldest slots are open, and the current one too, so that
the first block after the stall is signed without waiting for the backlog.
"""

from dataclasses import dataclass, field
from typing import Final

from dst.spec.primitives import Slot

MAX_OPEN_SLOTS: Final = 64
"""Questions under way at once: as many blocks as one group signature covers (ADR 5)."""
LIVE_SLOTS: Final = 2
"""Of those, reserved for the newest slots: the current one, and the last, whose block may come
late.
"""
MAX_RESOLVED: Final = 4096
"""Answered slots remembered above an unanswered one. More cannot come together: an answer for a
later slot settles the earlier ones at the middleware, so a slot that stays open for so long is the
middleware's fault, and is let go."""


@dataclass(slots=True)
class SlotWindow:
    """`lowest` is the first slot without an answer; `resolved` holds the answered ones above it."""

    lowest: Slot
    resolved: set[Slot] = field(default_factory=set)

    def wanted(self, current: Slot) -> list[Slot]:
        """Slots to have open now, oldest first; at most MAX_OPEN_SLOTS."""
        live = [
            Slot(slot)
            for slot in range(max(self.lowest, current - LIVE_SLOTS + 1), current + 1)
            if slot not in self.resolved
        ]
        oldest: list[Slot] = []
        slot = self.lowest
        while slot <= current and len(oldest) < MAX_OPEN_SLOTS - LIVE_SLOTS:
            if slot not in self.resolved and slot not in live:
                oldest.append(slot)
            slot = Slot(slot + 1)
        return oldest + live

    def resolve(self, slot: Slot) -> None:
        """`slot` has its answer: signed, refused, or definitely empty."""
        if slot < self.lowest:
            return
        self.resolved.add(slot)
        if len(self.resolved) > MAX_RESOLVED:
            self.lowest = min(self.resolved)
        while self.lowest in self.resolved:
            self.resolved.remove(self.lowest)
            self.lowest = Slot(self.lowest + 1)
