"""Directed scenes of the shells: one fault at one moment of a calm network, in virtual time, and
single parts fed by a hostile peer. Each takes a seed and returns what broke, None when nothing did.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial
from random import Random
from typing import Final

from msgspec import structs

from devnet.byzantine.strategies import FAR
from devnet.checkers.no_round_change import NAME as NO_ROUND_CHANGE
from devnet.checkers.recovery import NAME as RECOVERY
from devnet.checkers.rejoin import NAME as REJOIN
from devnet.sim.liars import Hands, Honest, Liar
from devnet.sim.loop import VirtualLoop, play
from devnet.sim.operator import Operator
from devnet.sim.params import Behaviour, CutMode, Params
from devnet.sim.recovery import BOUND_US, CALM, Drill, drill_gap, drill_recovery
from devnet.sim.world import Breach, place_of
from dst.apis.dst_v1 import Scalar
from dst.middleware.wire_messages import WireMessage, decode_message
from dst.p2p.framing import LENGTH_BYTES, MAX_FRAME_BYTES, FrameError, FrameReader
from dst.qbft import messages as qbft
from dst.spec.primitives import Height, Round, leader_of

HOP_S: Final = 0.02
"""The longest way of a message on a calm network."""


def calm(seed: int) -> str | None:
    """Nothing is wrong, so nobody changes a round."""
    cost = drill_gap(seed, fault="none", timers=False)
    changes = cost.round_changes
    return f"{NO_ROUND_CHANGE}: {changes:.2f} for each height" if changes else None


SPLIT_S: Final = 70
"""Soon after a timer of 64 s would have begun, were timers not capped."""
MENDED_WITHIN_S: Final = 8.5


def split(seed: int) -> str | None:
    """Two and two for more than a minute, one of them silent before and after: what that costs does
    not depend on its length."""
    cost = drill_recovery(seed, split_s=SPLIT_S, silent=True, timers=False).seconds
    if cost is not None and cost <= MENDED_WITHIN_S:
        return None
    return (
        f"{RECOVERY}: {cost or BOUND_US / 1e6:.1f} s after {SPLIT_S} s, allowed {MENDED_WITHIN_S}"
    )


class _Scene(Drill):
    """A calm network on which something happens at one height."""

    async def warmed_up(self) -> Height:
        """The height that is next."""
        await self.warm_up()
        return Height(self.top + 1)

    async def decided_by_all(self, height: Height, within_s: float) -> bool:
        return await self._until(
            lambda: all(node.disk.head() >= height for node in self.honest), round(within_s * 1e6)
        )


class _ProposalMissed(_Scene):
    """One operator hears the votes of a height and never its proposal."""

    height = Height(0)
    victim = 0

    def deliver(self, source: int, target: int, message: bytes) -> None:
        said = decode_message(message)
        is_missed = (
            target == self.victim
            and isinstance(said, qbft.ProposalMessage)
            and said.signed.payload.height == self.height
        )
        if not is_missed:
            super().deliver(source, target, message)

    async def play(self) -> str | None:
        height = await self.warmed_up()
        self.victim = (leader_of(height, Round(0), self.n) + 1) % self.n
        self.height = height
        await self._until(lambda: self.top >= height, BOUND_US)
        within_s = 5 * HOP_S
        if await self.decided_by_all(height, within_s):
            return None
        return f"{RECOVERY}: a decided block was not had {within_s:.1f} s after the others"


def proposal_missed(seed: int) -> str | None:
    """It fetches the block from those whose COMMITs it heard: a round trip."""
    return play(lambda loop: _ProposalMissed(loop, seed, CALM).play())


DIALLED_SOON_S: Final = 0.2
"""Later than this the round's timer runs out meanwhile, and the seed says nothing."""


class _VoteLost(_Scene):
    """A connection ends with the PREPARE that is under way on it, and every vote is needed."""

    height = Height(0)
    voter = leader = 0
    lost_at = redialled_at = 0.0

    def voted(self, node: Operator, signed: qbft.Signed) -> None:
        super().voted(node, signed)
        is_it = isinstance(signed.payload, qbft.Prepare) and signed.payload.height == self.height
        if is_it and node.index == self.voter and not self.lost_at:
            self.lost_at = self.loop.seconds
            self.network.flap([(self.voter, self.leader)])

    def opened(self, source: int, target: int) -> None:
        super().opened(source, target)
        if self.height and (source, target) == (self.voter, self.leader):
            self.redialled_at = self.loop.seconds
            self._progressed.set()

    async def play(self) -> str | None:
        silent = next(iter(self.params.byzantine))
        height = await self.warmed_up()
        while leader_of(height, Round(0), self.n) == silent:
            await self.decided_by_all(height, BOUND_US / 1e6)
            height = Height(height + 1)
        self.leader = leader_of(height, Round(0), self.n)
        self.voter = next(each for each in range(self.n) if each not in (self.leader, silent))
        self.height = height
        await self._until(lambda: self.redialled_at > 0, BOUND_US)
        within_s = 8 * HOP_S
        is_done = await self.decided_by_all(height, within_s)
        if is_done or self.redialled_at > self.lost_at + DIALLED_SOON_S:
            return None
        return f"{RECOVERY}: not decided {within_s:.1f} s after the link was back"


def vote_lost(seed: int) -> str | None:
    """It is said again as soon as there is a connection, not when the next repetition is due."""
    params = replace(CALM, byzantine={seed % CALM.n: Behaviour.SILENT})
    return play(lambda loop: _VoteLost(loop, seed, params).play())


class _OutOfStep(_Scene):
    """Nobody hears anybody, one is silent anyway, and two of the other three are down meanwhile."""

    async def play(self) -> str | None:
        height = await self.warmed_up()
        links = [(a, b) for a in range(self.n) for b in range(self.n) if a != b]
        self.network.cut(links, CutMode.DROP)
        for node in self.honest[1:]:
            node.crash()
        await self._until(lambda: False, 20_000_000)
        for node in self.honest[1:]:
            self._boot(node)
        await self._until(lambda: False, 20_000_000)
        self.network.mend()
        if await self.decided_by_all(height, MENDED_WITHIN_S):
            return None
        rounds = [node.life.shells.consensus.round for node in self.honest if node.life is not None]
        return f"{RECOVERY}: {MENDED_WITHIN_S} s after the heal they are in rounds {rounds}"


def out_of_step(seed: int) -> str | None:
    """However far apart they might be, they meet in one round."""
    params = replace(CALM, byzantine={seed % CALM.n: Behaviour.SILENT})
    return play(lambda loop: _OutOfStep(loop, seed, params).play())


class _Hurrier(Honest):
    """Proposes nothing, and asks for rounds that are far away."""

    def say(self, target: int, message: WireMessage) -> tuple[WireMessage, ...]:
        match message:
            case qbft.ProposalMessage():
                return ()
            case qbft.RoundChangeMessage():
                return (self.signed(message, round=Round(message.signed.payload.round + FAR)),)
            case _:
                return (message,)


class _Forwarder(Honest):
    """Passes on what a leader signed with a body that the leader did not attach, to whoever has not
    heard the leader yet."""

    def hears(self, message: WireMessage) -> None:
        if isinstance(message, qbft.ProposalMessage):
            for target in range(self.n):
                if target not in (self.index, message.signed.sender):
                    self.hands.tell(target, structs.replace(message, block=b"another body"))


class _BesideALiar(_Scene):
    """He leads, and each of the others does."""

    def __init__(self, loop: VirtualLoop, seed: int, params: Params, make: type[Honest]) -> None:
        self._make = make
        super().__init__(loop, seed, params)

    def _liar(self, index: int) -> Callable[[Hands], Liar] | None:
        is_he = index in self.params.byzantine
        return partial(self._make, index, self.n, self.rng) if is_he else None

    async def play(self) -> str | None:
        try:
            height = await self.warmed_up()
            await self.decided_by_all(Height(height + self.n), BOUND_US / 1e6)
        except Breach as breach:
            return str(breach)
        return None


def hurried(seed: int) -> str | None:
    """Nobody follows him to where he says that he is."""
    return _beside(_Hurrier, seed)


def forwarded(seed: int) -> str | None:
    """Nobody takes the leader for a liar."""
    return _beside(_Forwarder, seed)


def _beside(make: type[Honest], seed: int) -> str | None:
    params = replace(CALM, byzantine={seed % CALM.n: Behaviour.FUZZER})
    return play(lambda loop: _BesideALiar(loop, seed, params, make).play())


class _OldCopy(_Scene):
    """An operator says COMMIT at two heights and asks for round 1 of the second with its lock. Then
    it restarts from a copy of its disk that knows of neither, and hears that the others are in
    round 1 before it imports the first height: it must not follow them without the lock."""

    height = Height(0)
    """The second one, whose COMMITs are lost."""

    def deliver(self, source: int, target: int, message: bytes) -> None:
        said = decode_message(message)
        is_lost = isinstance(said, qbft.CommitMessage) and said.signed.payload.height == self.height
        if not is_lost:
            super().deliver(source, target, message)

    def _entered_round(self, node: Operator, height: Height, round_: Round, cause: Scalar) -> None:
        super()._entered_round(node, height, round_, cause)
        self._progressed.set()

    async def play(self) -> str | None:
        silent = next(iter(self.params.byzantine))
        first = await self.warmed_up()
        while leader_of(Height(first + 1), Round(1), self.n) != silent:
            first = Height(first + 1)
        self.height = Height(first + 1)
        await self.decided_by_all(Height(first - 1), BOUND_US / 1e6)
        victim = self.rng.choice(self.honest)
        copy = deepcopy(victim.disk)
        try:
            await self._until(self._all_ask_for_round_1, BOUND_US)
            await self._until(lambda: False, round(2 * HOP_S * 1e6))
            victim.crash()
            victim.disk = copy
            self._boot(victim)
            await self._until(lambda: False, 500_000)
        except Breach as breach:
            return str(breach)
        return None

    def _all_ask_for_round_1(self) -> bool:
        there = (self.height, Round(1))
        return all(place_of(node) == there for node in self.honest)


def old_copy(seed: int) -> str | None:
    params = replace(CALM, byzantine={seed % CALM.n: Behaviour.SILENT})
    return play(lambda loop: _OldCopy(loop, seed, params).play())


class _HaltEnds(_Scene):
    """The L1 node of one operator is for some seconds on a fork that lacks an origin of ours."""

    async def play(self) -> str | None:
        height = await self.warmed_up()
        node = self.rng.choice(self.honest)
        node.rollup.leave_l1(Height(min(height - 1, len(node.rollup.chain))))
        await self._until(lambda: False, 4_000_000)
        node.rollup.l1.come_back()
        target = Height(self.top + 3)
        if await self.decided_by_all(target, MENDED_WITHIN_S):
            return None
        return f"{REJOIN}: {node.name} has not decided {target}"


def halt_ends(seed: int) -> str | None:
    return play(lambda loop: _HaltEnds(loop, seed, CALM).play())


# ----------------------------------------------------------------- single parts, and hostile peers


FRAMES: Final = 200


def hostile_stream(seed: int) -> str | None:
    """Frames in arbitrary pieces, then a length that no frame may have, and what would fill it."""
    rng = Random(f"stream {seed}")
    reader = FrameReader()
    for body in (rng.randbytes(rng.randint(1, 64)) for _ in range(FRAMES)):
        stream = len(body).to_bytes(LENGTH_BYTES, "big") + body
        cut = rng.randrange(len(stream))
        if [*reader.feed(stream[:cut]), *reader.feed(stream[cut:])] != [body]:
            return "S17 isolation of harm: a frame was not read as it was sent"
    try:
        reader.feed(rng.randint(MAX_FRAME_BYTES + 1, 2**32 - 1).to_bytes(LENGTH_BYTES, "big"))
        reader.feed(bytes(2 * MAX_FRAME_BYTES))
    except FrameError:
        return None
    return f"S17 isolation of harm: {2 * MAX_FRAME_BYTES} bytes of one frame are held"
