"""What happens here is stamped here, delivered in order, and never waited for."""

import asyncio
import time
from collections.abc import Sequence

import pytest

from dst.apis.dst_v1 import Event, EventKind
from dst.middleware import events
from dst.middleware.events import EventPusher
from dst.runtime.metrics import Metrics
from dst.spec.errors import Unavailable
from dst.spec.primitives import Height, Round, Term


class Sink:
    """Refuses the first `outages` posts."""

    def __init__(self, outages: int = 0) -> None:
        self.outages, self.taken = outages, list[Event]()
        self.came = asyncio.Event()

    async def push_events(self, events: Sequence[Event]) -> None:
        if self.outages:
            self.outages -= 1
            raise Unavailable("not yet")
        self.taken += events
        self.came.set()


async def delivered(sink: Sink, pusher: EventPusher) -> list[Event]:
    running = asyncio.get_running_loop().create_task(pusher.run())
    await asyncio.wait_for(sink.came.wait(), 5)
    running.cancel()
    return sink.taken


async def test_stamped_when_it_happens_not_when_it_is_delivered() -> None:
    sink = Sink(outages=2)
    pusher = EventPusher(sink, "op1", Term(3), Metrics())
    before = time.monotonic(), time.time()
    pusher.emit(EventKind.ROUND_CHANGE, height=Height(4), round_=Round(1), cause="timer")
    pusher.emit(EventKind.DECIDED, height=Height(4))
    after = time.monotonic(), time.time()
    first, second = await delivered(sink, pusher)
    assert (first.kind, first.height, first.round) == (EventKind.ROUND_CHANGE, 4, 1)
    assert (first.operator, first.term, first.extra) == ("op1", 3, {"cause": "timer"})
    assert second.kind is EventKind.DECIDED
    for each in (first, second):
        assert before[0] <= each.monotonic <= after[0]
        assert before[1] <= each.wall <= after[1]


async def test_the_oldest_are_lost_and_counted_when_nobody_takes_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "MAX_QUEUED", 3)
    sink, metrics = Sink(), Metrics()
    pusher = EventPusher(sink, "op1", Term(0), metrics)
    for height in range(1, 6):
        pusher.emit(EventKind.DECIDED, height=Height(height))
    assert [each.height for each in await delivered(sink, pusher)] == [3, 4, 5]
    assert "events_dropped_total 2" in metrics.render()
