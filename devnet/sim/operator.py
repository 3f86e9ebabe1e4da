"""One operator of a run: the shipped shells on a simulated machine, which can die anywhere.

A *life* is what one start of the middleware (with its validator client) has in memory. At every
call that leaves the shells, a write, a message, a question to the rollup node, the machine may die:
from then on nothing of that life gets out, and what was not durable is gone. The disk and the
rollup node outlive it.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from random import Random
from typing import Final, Protocol

from devnet.byzantine.strategies import Equivocator
from devnet.sim import blocks, chain, ideal
from devnet.sim.disk import Disk
from devnet.sim.l1 import L1
from devnet.sim.liars import Hands, Liar
from devnet.sim.loop import VirtualLoop, at_rate
from devnet.sim.network import Network
from devnet.sim.params import SLOT_US, Loss, Params
from devnet.sim.rollup import SimRollup
from devnet.sim.store import SimStore
from devnet.sim.tape import chance, stream
from devnet.sim.validator import Duties, SimValidator
from dst.apis.beacon import ProduceRequest, WireBlock
from dst.apis.dst_v1 import EventKind, Scalar
from dst.middleware.store import Record, Rejoin
from dst.middleware.wire import Shells, Surroundings
from dst.middleware.wire_messages import WireMessage, decode_message, encode_message
from dst.p2p.handshake import PROTOCOL_VERSION, Hello
from dst.p2p.link import ANSWER_EVERY_S, ping_interval_s
from dst.p2p.watch import PeerWatch
from dst.qbft import messages as qbft
from dst.qbft.justification import is_valid_certificate
from dst.runtime.metrics import Metrics
from dst.sealing.messages import GroupSignature
from dst.sealing.records import SealRecord
from dst.spec.beacon import BeaconBlock, ExecutionPayload
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Height, OperatorIndex, Root, Round, Slot, Term

WRITE_US: Final = (50, 2_000)
"""What an fsync takes, least and most."""
FULL_RETRY_US: Final = 300_000
ABSENT_RETRY_US: Final = 20_000
"""A validator that is gone looks so often whether it is back."""
POWER_CUT: Final = "the machine died"


_WHOSE: "Final[ContextVar[Operator | None]]" = ContextVar("whose", default=None)
"""The operator whose code runs."""


def crash_point(name: str) -> None:
    """In place of the shipped one, which ends its process there."""
    operator = _WHOSE.get()
    if operator is not None and operator.ends_here(name):
        raise asyncio.CancelledError(POWER_CUT)


class Observer(Protocol):
    """What the world is told of an operator's acts."""

    def voted(self, operator: "Operator", signed: qbft.Signed) -> None: ...
    def saw(
        self,
        operator: "Operator",
        kind: EventKind,
        height: Height | None,
        round_: Round | None,
        root: Root | None,
        extra: dict[str, Scalar],
    ) -> None: ...
    def signed(self, operator: "Operator", height: Height, root: Root) -> None: ...
    def sealed(self, operator: "Operator", message: GroupSignature) -> None: ...
    def struck(self, index: int) -> None: ...
    def lied(
        self,
        operator: "Operator",
        target: int,
        instead_of: WireMessage | None,
        words: tuple[WireMessage, ...],
    ) -> None: ...
    def tell(self, text: str) -> None: ...
    def pings(self, source: int, target: int) -> bool: ...
    def ahead_us(self, index: int) -> int | None:
        """How far ahead an operator's clock is told to be; None: by nobody."""

    def reaches(self, target: int, message: WireMessage) -> bool: ...
    def lost(self, operator: "Operator", peer: OperatorIndex) -> None: ...
    def crashed(self, operator: "Operator") -> None: ...
    def failed(self, operator: "Operator", error: BaseException) -> None: ...


@dataclass(slots=True)
class EndsAt:
    """count: the time that it comes by. told: called when it has ended there."""

    point: str
    count: int
    told: Callable[[], None]


class Operator:
    """`name` differs from `index` for a twin only: two instances of one operator.

    What a schedule of faults does to it (`surface`), by default nothing: rollup_is_gone,
    validator_is_gone: that program does not run, or nobody reaches it. rollup_late_us,
    signs_late_us, flush_us: what an answer, a signature or an fsync takes more. l1_stands_us: its
    L1 node hears of nothing later. ends_at: a crash point of the shipped code.
    """

    def __init__(
        self,
        *,
        index: int,
        name: str,
        params: Params,
        loop: VirtualLoop,
        network: Network,
        rng: Random,
        l1: L1,
        observer: Observer,
        make_liar: Callable[[Hands], Liar] | None = None,
    ) -> None:
        self.index, self.name = OperatorIndex(index), name
        self.params, self.loop, self.network = params, loop, network
        self.rng = stream(rng, name)
        self.observer = observer
        self.liar = None if make_liar is None else make_liar(self)
        self.disk = Disk()
        self.disk.is_new = params.genesis
        self.life: Life | None = None
        self.calm = False
        self.frozen_until = self.full_until = 0
        self.rollup_is_gone = self.validator_is_gone = False
        self.rollup_late_us = self.signs_late_us = self.flush_us = 0
        self.l1_stands_us: int | None = None
        self.ends_at: EndsAt | None = None
        self.drift_ppm = params.drift_ppm.get(index, 0)
        self.rate = 1 + self.drift_ppm / 1e6
        self.set_clock(self.rng.randrange(-params.skew_us, params.skew_us + 1))
        self._lag_us = self.rng.randrange(params.l1_lag_us + 1)
        config = chain.qbft_config(params.n, index)
        self.rollup = SimRollup(
            name=name,
            l1=l1,
            rng=self.rng,
            trouble=self,
            is_certified=lambda certificate: is_valid_certificate(certificate, config),
        )

    # ------------------------------------------------------------------ life

    @property
    def up(self) -> bool:
        return self.life is not None

    @property
    def is_frozen(self) -> bool:
        return self.frozen_until > self.loop.now_us()

    def boot(self) -> None:
        """Start or restart from the disk."""
        assert self.life is None, f"{self.name} runs already"
        self.life = at_rate(self.rate, Life, self)

    def ends_here(self, point: str) -> bool:
        """Whether it dies at that crash point, now."""
        if self.ends_at is None or self.ends_at.point != point:
            return False
        self.ends_at.count -= 1
        if self.ends_at.count:
            return False
        told, self.ends_at = self.ends_at.told, None
        self.crash()
        told()
        return True

    def crash(self) -> None:
        if self.life is not None:
            self.life.end()
            self.life = None
            self.disk.crash()
            self.observer.crashed(self)

    @property
    def beacon(self) -> "SimRollup | Builder":
        """Whoever builds its blocks."""
        liar = self.liar
        return Builder(liar, self.rollup) if isinstance(liar, Equivocator) else self.rollup

    # ---------------------------------------------------------------- clocks

    def set_clock(self, skew_us: int) -> None:
        """The time of day, which drifts on from there."""
        self.skew_us, self._set_at_us = skew_us, self.loop.now_us()

    def ahead_us(self) -> int:
        """Of the true time: as it was set, and what it has gained since."""
        return self.skew_us + (self.loop.now_us() - self._set_at_us) * self.drift_ppm // 1_000_000

    def wall_us(self) -> int:
        return self.loop.now_us() + self.ahead_us()

    def monotonic(self) -> float:
        return self.loop.seconds * self.rate

    # -------------------------------------------------------- what befalls it

    def now(self) -> float:
        """For liars."""
        return self.loop.seconds

    @property
    def term(self) -> Term:
        return chain.TERM

    def around(self, block: BeaconBlock, payload: ExecutionPayload) -> bytes:
        raise AssertionError("who reads blocks is not played: the simulator's are stand-ins")

    def root_of(self, block: bytes) -> Root:
        return blocks.root_of(block)

    def sign(self, payload: qbft.Payload) -> bytes:
        return ideal.signer(self.index)(qbft.signing_digest(chain.CHAIN, payload))

    def _frozen_s(self) -> float:
        return (self.frozen_until - self.loop.now_us()) / 1e6

    def strike(self, index: int) -> None:
        self.observer.struck(index)

    def hang_up(self, target: int) -> None:
        self.network.flap([(self.index, target), (target, self.index)])

    def may_die(self) -> None:
        if not self.calm and self.drawn(self.params.crash_rate):
            self.crash()

    def drawn(self, rate: float) -> bool:
        return bool(rate) and chance(self.rng, rate)

    def lose_disk(self, loss: Loss) -> None:
        """Everything is gone, the validator's memory too; the next start is told so, or not."""
        self.disk = Disk()
        self.disk.is_new = loss is Loss.NEW
        self.disk.rejoin = Rejoin(vote_above=None) if loss is Loss.REJOIN else None

    def hear(self, source: int, body: bytes) -> None:
        """A message that arrived on the authenticated link of `source`."""
        if self.life is not None:
            if self.drawn(0.0 if self.calm else self.params.freeze_rate):
                self.frozen_until = self.loop.now_us() + self.rng.randrange(2_000_000)
                self.observer.tell(f"{self.name} stands still for {self._frozen_s():.2f} s")
            if self.liar is not None:
                self._tell_liar(self.liar, body)
            self.life.when_awake(self.life.shells.router.received, OperatorIndex(source), body)

    def _tell_liar(self, liar: Liar, body: bytes) -> None:
        try:
            liar.hears(decode_message(body))
        except InvalidInput:
            pass  # of another liar

    def tell(self, target: int, message: WireMessage) -> None:
        """Past the shells: for liars."""
        self.observer.lied(self, target, None, (message,))
        if isinstance(message, qbft.PassMessage):
            self.observer.voted(self, message.signed)
        self.network.send(self.index, target, encode_message(message))

    def ours_is(self, peer: int, up: bool) -> None:
        """The connection that this operator dials."""
        if self.life is not None:
            self.life.when_awake(self.life.watch.ours_is, OperatorIndex(peer), up)

    def theirs_is(self, peer: int, up: bool) -> None:
        if self.life is not None:
            self.life.when_awake(self.life.watch.theirs_is, OperatorIndex(peer), up)

    def link_up(self, peer: int, decided: Height) -> None:
        if self.life is not None:
            hello = Hello(
                protocol_version=PROTOCOL_VERSION,
                chain_id=chain.CONFIG.chain_id,
                lock_hash=bytes(32),
                round_timeout_ms=chain.CONFIG.round_timeout_ms,
                round_timeout_cap_ms=chain.CONFIG.round_timeout_cap_ms,
                seconds_per_slot=chain.CONFIG.seconds_per_slot,
                index=OperatorIndex(peer),
                term=chain.TERM,
                decided_height=decided,
            )
            self.life.when_awake(self.life.shells.router.link_up, OperatorIndex(peer), hello)

    # --------------------------------------------------- what the machine does

    def rollup_delay_us(self) -> int:
        most = 20_000 if self.calm else self.params.validate_us
        frozen = max(0, self.frozen_until - self.loop.now_us())
        return frozen + self.rollup_late_us + self.rng.randrange(100, most + 1)

    def rollup_is_away(self) -> bool:
        return self.rollup_is_gone or self.drawn(0.0 if self.calm else self.params.engine_fails)

    def slot_now(self) -> int:
        return max(0, self.wall_us() // SLOT_US)

    def l1_moment_us(self) -> int:
        heard = self.loop.now_us() - (0 if self.calm else self._lag_us)
        return heard if self.l1_stands_us is None else min(heard, self.l1_stands_us)


@dataclass(frozen=True, slots=True)
class Builder:
    """The rollup node of a liar who has more built than it is asked for."""

    liar: Equivocator
    rollup: SimRollup

    async def produce_block(self, request: ProduceRequest) -> bytes | None:
        return await self.liar.build(self.rollup.produce_block, request)

    async def publish_block(self, block: WireBlock) -> None:
        await self.rollup.publish_block(block)


class Life:
    """The shells of one start, their `Links` and `Machine`, and the validator client beside."""

    def __init__(self, operator: Operator) -> None:
        self._operator, self._loop = operator, operator.loop
        self.dead = False
        self._waiting: deque[tuple[Callable[..., None], tuple[object, ...]]] = deque()
        self.store = SimStore(operator.disk, self)
        self.metrics = Metrics()
        self.shells = Shells(
            Surroundings(
                chain=chain.CONFIG,
                functions=chain.functions(operator.params.n, operator.index),
                store=self.store,
                links=self,
                rollup=operator.rollup,
                beacon=operator.beacon,
                observe=self._observe,
                metrics=self.metrics,
                now=lambda: operator.wall_us() / 1e6,
                monotonic=operator.monotonic,
                rng=operator.rng,
            )
        )
        peers = range(operator.params.n)
        self._peers = tuple(OperatorIndex(each) for each in peers if each != operator.index)
        self.watch = PeerWatch(self._peers, self, operator.monotonic)
        token = _WHOSE.set(operator)
        self._task = operator.loop.create_task(self._run())
        _WHOSE.reset(token)

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.shells.run())
                group.create_task(self.watch.run())
                group.create_task(self._hear_pings())
                group.create_task(self._validator().run())
        except BaseException as error:
            if not self.dead:
                self._operator.observer.failed(self._operator, error)
            raise

    def _validator(self) -> SimValidator:
        index = self._operator.index
        sign = ideal.partial_signer(index)
        return SimValidator(
            beacon=Duties(index, self.shells.progress, self.shells.sealing.own_partial),
            machine=self,
            signed=self._operator.disk.signed,
            sign=lambda root: sign(ideal.signing_root(root)),
            released=self._released,
        )

    def _released(self, block: bytes) -> None:
        operator, height = self._operator, Height(blocks.decode(block).height)
        operator.observer.signed(operator, height, blocks.root_of(block))

    def end(self) -> None:
        self.dead = True
        self._task.add_done_callback(_forget)
        self._task.cancel(POWER_CUT)

    def when_awake(self, call: Callable[..., None], *arguments: object) -> None:
        """Now, or once the process is no longer stopped, in the order of what happened; never
        after its end."""
        if self.dead:
            return
        if not self._operator.is_frozen and not self._waiting:
            return at_rate(self._operator.rate, call, *arguments)
        self._waiting.append((call, arguments))
        if len(self._waiting) == 1:
            self.thaw()

    def thaw(self) -> None:
        """What waited, one after the other; and look again later, if the process stands still."""
        while self._waiting and not self.dead:
            wait = self._operator.frozen_until - self._loop.now_us()
            if wait > 0:
                self._loop.after(wait, self.thaw)
                return
            call, arguments = self._waiting.popleft()
            at_rate(self._operator.rate, call, *arguments)

    # ------------------------------------------------- what the transport would tell

    async def _hear_pings(self) -> None:
        operator, answers_at = self._operator, self._loop.time()
        while True:
            await asyncio.sleep(ping_interval_s(len(self._peers)))
            if operator.is_frozen:
                self.watch.excuse_all()
                continue
            for peer in self._peers:
                if operator.observer.pings(peer, operator.index):
                    self.watch.pinged(peer)
            if self._loop.time() >= answers_at:
                answers_at = self._loop.time() + ANSWER_EVERY_S
                self._hear_clocks()

    def _hear_clocks(self) -> None:
        """As pongs tell them, by the least equal path there is: their way back took all the time.
        Liars are an hour ahead."""
        operator = self._operator
        took_us = 2 * operator.params.latency_us[1]
        for peer in self._peers:
            there_and_back = operator.network.carries(operator.index, peer)
            ahead_us = operator.observer.ahead_us(peer)
            if (
                ahead_us is not None
                and there_and_back
                and operator.observer.pings(peer, operator.index)
            ):
                clock_us = self._loop.now_us() + ahead_us - took_us
                self.shells.router.clock_told(peer, clock_us / 1e6, took_us / 1e6)

    def peer_lost(self, peer: OperatorIndex) -> None:
        self._operator.observer.lost(self._operator, peer)
        if self._operator.params.watches:
            self.when_awake(self.shells.router.peer_lost, peer)

    def peer_heard(self, peer: OperatorIndex) -> None:
        if self._operator.params.watches:
            self.when_awake(self.shells.router.peer_heard, peer)

    def _observe(
        self,
        kind: EventKind,
        *,
        height: Height | None = None,
        round_: Round | None = None,
        root: Root | None = None,
        slot: Slot | None = None,
        **extra: Scalar,
    ) -> None:
        if not self.dead:
            self._operator.observer.saw(self._operator, kind, height, round_, root, extra)

    # ------------------------------------------------------------- `Machine`

    @property
    def is_full(self) -> bool:
        return self._operator.full_until > self._loop.now_us()

    async def reach_disk(self) -> None:
        operator = self._operator
        operator.may_die()
        least, most = WRITE_US
        await self.pause(operator.flush_us + operator.rng.randrange(least, most))
        while self.is_full:
            await self.pause(FULL_RETRY_US)
        operator.may_die()
        await self._stop_if_dead()

    async def written(self, record: Record | None = None) -> None:
        if isinstance(record, SealRecord):
            self._operator.observer.sealed(self._operator, record.message)
        self._operator.may_die()
        await self._stop_if_dead()

    async def take_time_to_sign(self, slot: Slot) -> None:
        """None where the height is sealed already: a restart signs all of them again, and one after
        the other that would take longer than a run."""
        operator, found = self._operator, self.shells.progress.at_slot(slot)
        if operator.signs_late_us:
            await self.pause(operator.signs_late_us)
        while operator.validator_is_gone:
            await self.pause(ABSENT_RETRY_US)
        if found is not None and found.height not in operator.disk.seals:
            most = 20_000 if operator.calm else operator.params.signing_us
            await self.pause(operator.rng.randrange(100, most + 1))

    async def pause(self, delay_us: int) -> None:
        await asyncio.sleep(delay_us / 1e6)
        while self._operator.is_frozen:  # noqa: ASYNC110 - virtual time
            await asyncio.sleep((self._operator.frozen_until - self._loop.now_us()) / 1e6)
        await self._stop_if_dead()

    async def _stop_if_dead(self) -> None:
        if self.dead:
            await self._loop.create_future()  # cancelled with the life

    # --------------------------------------------------------------- `Links`

    def send(self, to: OperatorIndex, body: bytes, *, height: Height | None) -> None:
        self._say(decode_message(body), body, (to,))

    def broadcast(self, body: bytes, *, height: Height | None) -> None:
        operator = self._operator
        others = (each for each in range(operator.params.n) if each != operator.index)
        self._say(decode_message(body), body, tuple(others))

    def up_peers(self) -> tuple[OperatorIndex, ...]:
        operator = self._operator
        peers = (OperatorIndex(each) for each in range(operator.params.n))
        return tuple(
            each
            for each in peers
            if each != operator.index and operator.network.is_open(operator.index, each)
        )

    def raise_floor(self, height: Height) -> None:
        """Nothing waits here: the network takes each message at once."""

    def _say(self, message: WireMessage, body: bytes, targets: tuple[int, ...]) -> None:
        operator = self._operator
        for target in targets:
            if self.dead:
                return
            liar = operator.liar
            words = (message,) if liar is None else liar.say(target, message)
            if words != (message,):
                operator.observer.lied(operator, target, message, words)
            for said in words:
                if isinstance(said, VOTES):
                    operator.observer.voted(operator, said.signed)
                if operator.observer.reaches(target, said):
                    sent = body if said is message else encode_message(said)
                    operator.network.send(operator.index, target, sent)
                operator.may_die()


VOTES: Final = (
    qbft.ProposalMessage,
    qbft.PrepareMessage,
    qbft.CommitMessage,
    qbft.RoundChangeMessage,
    qbft.PassMessage,
)


def _forget(task: asyncio.Task[None]) -> None:
    """A life that ended by force has nothing to report."""
    if not task.cancelled():
        task.exception()
