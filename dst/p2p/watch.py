"""Watches all peers of one operator and tells who is lost and who is heard again.

The links tell it what happens on their connections; between events it looks again when the silence
of a peer would become too long.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from dst.p2p.reachability import Reachability, Verdict
from dst.spec.primitives import OperatorIndex

SHORTEST_LOOK_S: Final = 0.01
LONGEST_LOOK_S: Final = 0.2
"""Shorter than any patience, so that nothing that happens between two looks is seen late."""
STALL_S: Final = 0.1
"""A look that comes so much too late says that this process stood still: then it is no news that
nothing was heard."""


class WatchEvents(Protocol):
    """Calls are synchronous and must not block."""

    def peer_lost(self, peer: OperatorIndex) -> None: ...

    def peer_heard(self, peer: OperatorIndex) -> None: ...


class PeerWatch:
    """`monotonic` in seconds."""

    def __init__(
        self,
        peers: Iterable[OperatorIndex],
        events: WatchEvents,
        monotonic: Callable[[], float],
    ) -> None:
        self._peers = {peer: Reachability() for peer in sorted(peers)}
        self._events, self._monotonic = events, monotonic

    def ours_is(self, peer: OperatorIndex, up: bool) -> None:
        """The connection that we dial: established, or ended or refused."""
        if (found := self._peers.get(peer)) is not None:
            found.ours_is(up, self._monotonic())
            self._judge(peer)

    def theirs_is(self, peer: OperatorIndex, up: bool) -> None:
        """The connection that the peer dials."""
        if (found := self._peers.get(peer)) is not None:
            found.theirs_is(up, self._monotonic())
            self._judge(peer)

    def heard(self, peer: OperatorIndex) -> None:
        if (found := self._peers.get(peer)) is not None:
            found.heard(self._monotonic())
            self._judge(peer)

    def pinged(self, peer: OperatorIndex) -> None:
        if (found := self._peers.get(peer)) is not None:
            found.pinged(self._monotonic())

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            planned_s = self._next_look_s()
            slept_from = self._monotonic()
            await asyncio.sleep(planned_s)
            if self._monotonic() - slept_from > planned_s + STALL_S:
                self.excuse_all()
            for peer in self._peers:
                self._judge(peer)

    def _next_look_s(self) -> float:
        now = self._monotonic()
        looks = [each.looks_again_at(now) for each in self._peers.values()]
        waits = [at - now for at in looks if at is not None]
        return min(max(min(waits, default=LONGEST_LOOK_S), SHORTEST_LOOK_S), LONGEST_LOOK_S)

    def excuse_all(self) -> None:
        """We stood still ourselves: silence begins anew."""
        now = self._monotonic()
        for each in self._peers.values():
            each.excuse(now)

    def _judge(self, peer: OperatorIndex) -> None:
        match self._peers[peer].judge(self._monotonic()):
            case Verdict.LOST:
                self._events.peer_lost(peer)
            case Verdict.HEARD:
                self._events.peer_heard(peer)
            case None:
                pass
