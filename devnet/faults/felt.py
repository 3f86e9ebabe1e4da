"""Proof by those who dial: what they tell of a link, compared with what they told before.

A Toxiproxy's list says what was asked of it; here is whether anybody felt it. Who dials a
consensus link has a pong each half a second while it is up; other calls come as they come, so
that there a look can show that a fault is not felt, and seldom has to show that it is. A link whose
end does not answer, or that another fault has taken down, tells nothing: its list stands for it.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from devnet.faults.surface import Said, World
from devnet.model.clock import now

ENOUGH_PONGS: Final = 6
ENOUGH_ANSWERS: Final = 10
"""After the first look: the quickest of the last four is then none that was under way before; of
calls several may be at a time."""
PONG_S: Final = 0.5
"""Between two: who looks sooner learns nothing."""
RESOLUTION_S: Final = 0.001
"""Of what is measured; nothing arrives earlier than a toxic says."""
WAITED_S: Final = 3.0
"""For the first failure of somebody who may have nothing to ask, or no time-out yet."""
LEAST_S: Final = 0.02
"""A delay above what a busy machine adds by itself: one below it proves nothing."""
FELT: Final = (
    "from 20 ms a round trip on, the quickest of the last four answers takes as long as was asked"
    " (less 1 ms) on every consensus link that is up and was quicker before, and no answer to other"
    " calls of rollup nodes and middlewares takes less (one that comes early, as one does when"
    " another fault begins or ends on the stream, is let go); after the heal consensus links are"
    " quicker again"
)
"""Of delays, for the documentation."""
LIST_ALONE: Final = "the Toxiproxies' list alone"


@dataclass(slots=True)
class Felt:
    """Of one fault. words: whose word the last look went by, for its receipt; empty before it."""

    words: str = ""
    _before: Mapping[str, Said] = field(default_factory=dict)
    _first: dict[str, Said] = field(default_factory=dict)
    """The first look of each link."""
    _last: Mapping[str, Said] = field(default_factory=dict)
    _failed: dict[str, int] = field(default_factory=dict)
    """Link -> failures counted since it began."""
    _mark: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Link -> when it was first seen to have failed last, or to tell; what it had sent by then."""
    _quick: dict[str, float] = field(default_factory=dict)
    """Link -> what it had been answered when it was first seen to be answered too soon."""
    _late: set[str] = field(default_factory=set)
    """Links that were once seen to be late."""
    _began: float = 0.0
    """The first look."""
    _is_proven: bool = False

    async def note(self, links: Sequence[str], world: World) -> None:
        """Before it begins."""
        self._before = dict(await world.links.told(links))
        self._last = self._before

    # ------------------------------------------------------------------------ looks

    async def not_late(
        self, asked_s: Mapping[str, float], world: World, *, spares: bool = False
    ) -> str:
        """Links that answer sooner than was asked, or of which nothing is measured yet. asked_s:
        link -> the least that an answer takes longer. spares: it need not act on all."""
        said = await self._look(tuple(asked_s), world)
        can_tell = {link for link in said if self._can_tell(link, asked_s[link])}
        pinged = {link.name for link in world.topology.consensus_links}
        measured = {
            link: each.trip_s
            for link, each in said.items()
            if link in can_tell
            and each.trip_s is not None
            and self._heard(link, each) >= (ENOUGH_PONGS if link in pinged else ENOUGH_ANSWERS)
        }
        quick = [link for link, trip in measured.items() if trip < asked_s[link] - RESOLUTION_S]
        late = {link: trip for link, trip in measured.items() if link not in quick}
        self._late |= set(late)
        self.words = _times(late, asked_s) if late else LIST_ALONE
        if spares:
            return ""
        if early := self._for_long(quick, said) if self._is_proven else quick:
            return f"answered too soon: {', '.join(early)}"
        awaited = [
            link
            for link in can_tell & pinged
            if link not in measured and said[link].trip_s is not None
        ]
        if awaited and not self._is_proven:
            await asyncio.sleep(PONG_S)
            return f"not measured yet: {', '.join(sorted(awaited))}"
        self._is_proven = True
        return ""

    async def still_late(self, asked_s: Mapping[str, float], world: World) -> str:
        """Consensus links that were late, and still are."""
        pinged = {link.name for link in world.topology.consensus_links}
        links = tuple(link for link in asked_s if link in self._late & pinged)
        said = await world.links.told(links)
        slow = [
            link
            for link, each in said.items()
            if each.trip_s is not None and each.trip_s >= asked_s[link]
        ]
        return f"still late: {', '.join(slow)}" if slow else ""

    async def not_failing(
        self,
        links: Sequence[str],
        world: World,
        *,
        within_s: float,
        must: Iterable[str],
        spares: bool = False,
    ) -> str:
        """Of those that must: who has not failed since it began, or not for so long. The others
        have some time for it, but where some are spared."""
        said = await self._look(links, world)
        asked = [link for link in must if link in said]
        waiting = not spares and now() - self._began < WAITED_S
        none = [link for link in (said if waiting else asked) if not self._failed.get(link)]
        quiet = [link for link in asked if now() - self._mark[link][0] > within_s]
        self.words = self._failures(links)
        if none and not self._is_proven:
            await asyncio.sleep(PONG_S / 2)
            return f"not failed yet: {', '.join(none)}"
        self._is_proven = True
        return f"not failed for {within_s:g} s: {', '.join(quiet)}" if quiet else ""

    async def not_silent(self, links: Sequence[str], world: World, *, must: Iterable[str]) -> str:
        """Links over which an answer came since the last look; and of those that must, who has not
        failed since it began."""
        before = self._last if self._first else {}
        if none := await self.not_failing(links, world, within_s=float("inf"), must=must):
            return none
        answered = [
            link
            for link, each in self._last.items()
            if link in before and each.answers > before[link].answers
        ]
        return f"still answered: {', '.join(answered)}" if answered else ""

    async def not_ended(self, links: Sequence[str], world: World, *, sent: float) -> str:
        """Links that have not failed while so much more was sent over them."""
        said = await self._look(links, world)
        self.words = self._failures(links)
        whole = [link for link, each in said.items() if each.sent - self._mark[link][1] > sent]
        return f"sent on and on: {', '.join(whole)}" if whole else ""

    # --------------------------------------------------------------------- counting

    async def _look(self, links: Sequence[str], world: World) -> Mapping[str, Said]:
        said = dict(await world.links.told(links))
        self._began = self._began or now()
        for link, each in said.items():
            last = self._last.get(link, each)
            if each.answers < last.answers or each.failures < last.failures:
                self._first[link], last = _STARTED, each  # its program has been started anew
            self._first.setdefault(link, each)
            more = round(each.failures - last.failures)
            self._failed[link] = self._failed.get(link, 0) + more
            if more or link not in self._last or link not in self._mark:
                self._mark[link] = (now(), each.sent)
        self._last = said
        return said

    def _for_long(self, quick: Sequence[str], said: Mapping[str, Said]) -> list[str]:
        """One answer comes early whenever another fault begins or ends on the stream: a toxic that
        is stirred lets go what it holds."""
        self._quick = {link: self._quick.get(link, said[link].answers) for link in quick}
        return [link for link, at in self._quick.items() if said[link].answers - at >= ENOUGH_PONGS]

    def _can_tell(self, link: str, asked_s: float) -> bool:
        """What took as long before proves nothing."""
        before = self._before.get(link)
        took = before.trip_s if before is not None and before.trip_s is not None else 0.0
        return asked_s >= LEAST_S and took < asked_s / 2

    def _heard(self, link: str, each: Said) -> float:
        return each.answers - self._first[link].answers

    def _failures(self, links: Sequence[str]) -> str:
        found = [self._failed[link] for link in links if self._failed.get(link)]
        if not found:
            return LIST_ALONE
        times = f"{sum(found)} failure{'s' if sum(found) > 1 else ''}"
        return f"{times} counted by those who dial, on {len(found)} of {len(links)} links"


_STARTED: Final = Said(answers=0, failures=0)


def _times(trips: Mapping[str, float], asked_s: Mapping[str, float]) -> str:
    """`answers take 100.8 to 103.1 ms on 12 of 12 links`."""
    low, high = (f"{seconds * 1000:.1f}" for seconds in (min(trips.values()), max(trips.values())))
    return f"answers take {low} to {high} ms on {len(trips)} of {len(asked_s)} links"
