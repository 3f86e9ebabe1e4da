"""The two event streams: a resumable ring buffer for `/dst/v1/events`, a bus for the standard one.

Readers never slow the node: the ring drops its oldest events, a slow subscriber of the bus loses
its oldest. Both are told by what they see next (sequence numbers jump; `headers/head` is the
truth).
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from itertools import islice
from typing import Final

from dst.apis.beacon import SLOTS_PER_EPOCH, BeaconEvent
from dst.apis.dst_v1 import Emitter, Event, NumberedEvent
from dst.spec.primitives import Root, Slot, Term, to_hex

RING_CAPACITY: Final = 4096
"""Some 500 heights of about eight events: a reader may be gone for minutes and miss nothing."""
SUBSCRIBER_QUEUE: Final = 256
"""Events a slow subscriber of the standard stream may lag behind."""


class EventRing:
    """Numbered events of this node and of its middleware."""

    def __init__(self, operator: str, term: Term) -> None:
        self.emit: Final = Emitter(operator, term, lambda event: self.extend((event,)))
        """Adds an event of this process."""
        self._events: deque[NumberedEvent] = deque(maxlen=RING_CAPACITY)
        self._sequence = 0
        self._grown = asyncio.Event()

    def extend(self, events: Sequence[Event]) -> None:
        """Add events that carry their own times."""
        for event in events:
            self._sequence += 1
            self._events.append(NumberedEvent(sequence=self._sequence, event=event))
        self._grown.set()
        self._grown = asyncio.Event()

    async def stream(self, after: int | None) -> AsyncIterator[NumberedEvent]:
        """Events above `after` as far back as the ring reaches, then new ones; only new ones for
        None."""
        last = self._sequence if after is None else after
        while True:
            grown = self._grown
            fresh = max(self._sequence - last, 0)  # read from the end: a reader has the rest
            for numbered in list(islice(reversed(self._events), fresh))[::-1]:
                last = numbered.sequence
                yield numbered
            if grown is self._grown:
                await grown.wait()


class BeaconBus:
    """Standard events to whoever listens."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[BeaconEvent]] = set()

    def publish(self, event: BeaconEvent) -> None:
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)

    async def stream(self, topics: frozenset[str]) -> AsyncIterator[BeaconEvent]:
        """Events of these topics from the first `anext` on."""
        queue: asyncio.Queue[BeaconEvent] = asyncio.Queue(SUBSCRIBER_QUEUE)
        self._queues.add(queue)
        try:
            while True:
                event = await queue.get()
                if event.topic in topics:
                    yield event
        finally:
            self._queues.discard(queue)


def head_event(slot: Slot, root: Root, state_root: Root, dependent_root: Root) -> BeaconEvent:
    """Topic `head`: the newest sealed block. The dependent roots never change here."""
    return BeaconEvent(
        topic="head",
        data={
            "slot": str(slot),
            "block": to_hex(root),
            "state": to_hex(state_root),
            "epoch_transition": slot % SLOTS_PER_EPOCH == 0,
            "previous_duty_dependent_root": to_hex(dependent_root),
            "current_duty_dependent_root": to_hex(dependent_root),
            "execution_optimistic": False,
        },
    )


def block_event(slot: Slot, root: Root) -> BeaconEvent:
    """Topic `block`: a block was sealed or imported."""
    return BeaconEvent(
        topic="block",
        data={"slot": str(slot), "block": to_hex(root), "execution_optimistic": False},
    )


def finalized_event(slot: Slot, root: Root, state_root: Root) -> BeaconEvent:
    """Topic `finalized_checkpoint`: L1 finalised the batch that ends in this block."""
    return BeaconEvent(
        topic="finalized_checkpoint",
        data={
            "block": to_hex(root),
            "state": to_hex(state_root),
            "epoch": str(slot // SLOTS_PER_EPOCH),
            "execution_optimistic": False,
        },
    )
