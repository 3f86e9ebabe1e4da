"""The watch between events: it looks when silence would become too long, and excuses its own."""

import asyncio
from contextlib import suppress

import pytest

from dst.p2p import watch as watching
from dst.p2p.watch import PeerWatch
from dst.spec.primitives import OperatorIndex

P1, P2 = OperatorIndex(1), OperatorIndex(2)


class Told:
    def __init__(self) -> None:
        self.lost: list[OperatorIndex] = []
        self.heard: list[OperatorIndex] = []

    def peer_lost(self, peer: OperatorIndex) -> None:
        self.lost.append(peer)

    def peer_heard(self, peer: OperatorIndex) -> None:
        self.heard.append(peer)


class Rig:
    """A clock that only sleeping moves, by what is asked for and `oversleeps` on top."""

    def __init__(self) -> None:
        self.now, self.told, self.oversleeps = 0.0, Told(), [0.0]
        self.watch = PeerWatch((P1, P2), self.told, lambda: self.now)

    def regular(self) -> "Rig":
        for peer in (P1, P2):
            self.watch.ours_is(peer, up=True)
            self.watch.theirs_is(peer, up=True)
        for _ in range(20):
            self.now += 0.1
            for peer in (P1, P2):
                self.watch.pinged(peer)
        return self

    async def look(self, times: int) -> None:
        done = 0

        async def sleep(seconds: float) -> None:
            nonlocal done
            if done == times:
                raise asyncio.CancelledError
            done += 1
            self.now += seconds + (self.oversleeps.pop(0) if self.oversleeps else 0.0)

        with pytest.MonkeyPatch.context() as patch, suppress(asyncio.CancelledError):
            patch.setattr(asyncio, "sleep", sleep)
            await self.watch.run()


async def test_silence_is_noticed_without_any_event() -> None:
    rig = Rig().regular()
    begun = rig.now
    while not rig.told.lost:
        rig.watch.pinged(P2)
        await rig.look(1)
        assert rig.now < begun + 5
    assert rig.told.lost == [P1]
    assert rig.now - begun <= 0.25 + watching.SHORTEST_LOOK_S + 1e-9


async def test_a_process_that_stood_still_blames_nobody() -> None:
    rig = Rig().regular()
    rig.oversleeps = [30.0]
    await rig.look(1)
    assert rig.told.lost == []
    await rig.look(20)
    assert rig.told.lost == [P1, P2], "but nobody spoke after it either"


def test_the_owner_is_told_both_ways() -> None:
    rig = Rig().regular()
    rig.watch.theirs_is(P1, up=False)
    rig.watch.ours_is(P1, up=False)
    rig.watch.theirs_is(P1, up=True)
    assert (rig.told.lost, rig.told.heard) == ([P1], [P1])


def test_whoever_is_not_watched_is_nobodys_business() -> None:
    rig = Rig()
    stranger = OperatorIndex(9)
    rig.watch.theirs_is(stranger, up=True)
    rig.watch.ours_is(stranger, up=False)
    rig.watch.heard(stranger)
    rig.watch.pinged(stranger)
    assert rig.told.lost == []
