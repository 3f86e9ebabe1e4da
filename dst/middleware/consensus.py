"""The asyncio shell around `dst.qbft`: one inbox, one step at a time, effects in order.

The core decides; this file only does. `Persist` returns when its record is on disk, so whatever is
sent after it is backed by it. Jobs that take time (build, validate, fetch) run beside the loop and
come back as inputs.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final, Protocol, assert_never

import msgspec

import dst.qbft
from dst.apis.drain import Drain
from dst.apis.dst_v1 import EventKind, Scalar
from dst.middleware.accusations import Accusations
from dst.middleware.catch_up import CatchUp
from dst.middleware.inbox import Inbox
from dst.middleware.outcomes import HeightDecided, Outcomes, ResetSeen
from dst.middleware.pace import Pace
from dst.middleware.progress import Progress
from dst.middleware.proposals import Proposals
from dst.middleware.store import Evidence, Store, slot_of
from dst.qbft import effects as fx
from dst.qbft import inputs
from dst.qbft.messages import Certificate, Message
from dst.qbft.passing import is_passed
from dst.qbft.records import DecisionRecord, Record
from dst.qbft.rounds import round_timeout_ms
from dst.runtime.crash_points import crash_point
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec.cluster import ChainConfig
from dst.spec.errors import InvalidInput, ResetRequired
from dst.spec.primitives import Height, OperatorIndex, Root, Round, Slot, leader_of, quorum
from dst.spec.rules import timestamp_at

CLOCK_CHECK_S: Final = 0.5
"""A slot's start is waited for in steps: a wall clock that is set must not cost a whole wait."""

LATE_SLOTS: Final = 3
"""A height open for longer is told to be: a missed slot is a round change, and two in a row
happen."""

WAIT_LINE_S: Final = 10.0
"""A node that does not take part says why at least this often."""

QUIET_REASONS: Final = frozenset({fx.Reason.STALE, fx.Reason.TOO_FAR_AHEAD, fx.Reason.WRONG_TERM})
"""Refusals that a healthy network produces now and then; counted, not logged above debug."""


class Network(Protocol):
    def send(self, to: OperatorIndex, message: Message) -> None: ...
    def broadcast(self, message: Message) -> None: ...
    def up(self) -> tuple[OperatorIndex, ...]: ...


class Observe(Protocol):
    """`EventPusher.emit`."""

    def __call__(
        self,
        kind: EventKind,
        *,
        height: Height | None = None,
        round_: Round | None = None,
        root: Root | None = None,
        slot: Slot | None = None,
        **extra: Scalar,
    ) -> None: ...


_MILESTONES: Final = {
    fx.Milestone.PROPOSAL: EventKind.PROPOSAL,
    fx.Milestone.PREPARED: EventKind.PREPARED,
}


class Consensus:
    def __init__(
        self,
        *,
        config: dst.qbft.Config,
        chain: ChainConfig,
        store: Store,
        network: Network,
        progress: Progress,
        proposals: Proposals,
        catch_up: CatchUp,
        outcomes: Outcomes,
        observe: Observe,
        log: Logger,
        metrics: Metrics,
        now: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._config, self._chain, self._store = config, chain, store
        self._network, self._progress, self._proposals = network, progress, proposals
        self._catch_up, self._outcomes = catch_up, outcomes
        self._observe, self._log, self._metrics, self._now = observe, log, metrics, now
        self._accusations = Accusations(monotonic)
        self._inbox: Inbox[inputs.Input] = Inbox("consensus", metrics)
        self._timers: dict[fx.TimerKind, asyncio.TimerHandle] = {}
        self._round_ends: tuple[Height, Round, float] | None = None
        self._jobs: dict[str, tuple[Height, Round | None, asyncio.Task[None]]] = {}
        self._judged: dict[Root, fx.ValidateBlock] = {}
        """Justified proposals being executed, with the latest round that asked."""
        self._due: asyncio.Task[None] | None = None
        self._due_since: tuple[Height, float] | None = None
        self._fetching: fx.FetchBlock | None = None
        self._group: asyncio.TaskGroup | None = None
        self._started = False
        self._early: dict[tuple[OperatorIndex, type[Message]], inputs.MessageReceived] = {}
        """What was heard before the start, the latest of each kind from each peer: who began a
        moment sooner says it again only after a round."""
        self._lost: set[OperatorIndex] = set()
        self._leaving = False
        self._pace, self._monotonic = Pace(), monotonic
        self._state = self._restore()

    # --------------------------------------------------------------- inputs, from anywhere

    def message_received(self, peer: OperatorIndex, message: Message, size_bytes: int) -> None:
        if not self._progress.is_halted and not self._progress.is_rejoining:
            event = inputs.MessageReceived(link_peer=peer, message=message)
            self._inbox.put_from(peer, event, size_bytes)

    def certificate_received(
        self, peer: OperatorIndex, certificate: Certificate, block: bytes, size_bytes: int
    ) -> None:
        """`block` hashes to the certificate's root (checked by catch-up)."""
        event = inputs.CertificateReceived(link_peer=peer, certificate=certificate, block=block)
        self._inbox.put_from(peer, event, size_bytes)

    def peer_connected(self, peer: OperatorIndex) -> None:
        if self._started:
            self._inbox.put(inputs.PeerConnected(peer=peer))

    def peer_lost(self, peer: OperatorIndex) -> None:
        self._lost.add(peer)
        if self._started:
            self._inbox.put(inputs.PeerLost(peer=peer))

    def peer_heard(self, peer: OperatorIndex) -> None:
        self._lost.discard(peer)
        if self._started:
            self._inbox.put(inputs.PeerHeard(peer=peer))

    def leave(self, leaving: bool) -> None:
        """Pass on what it leads from now on, or no longer; over halts, until the process ends."""
        if leaving != self._leaving:
            self._log.info("drain" if leaving else "drain_ended", waits_for=self._leads())
        self._leaving = leaving
        self._metrics.set("consensus_leaving", int(leaving))
        if self._started:
            self._inbox.put(inputs.Leave(leaving=leaving))

    def drain(self) -> Drain:
        return Drain(
            leaving=self._state.leaving if self._started else self._leaving,
            under_way=self._leads(),
            others_lack=self._lacks_quorum(own_votes=0),
        )

    def _leads(self) -> str | None:
        """A round that it has not passed on: what stops it now costs that round."""
        state, config = self._state, self._config
        leader = leader_of(state.height, state.round, config.n)
        if not self._started or leader != config.self_index or is_passed(state):
            return None
        return f"it leads height {state.height}, round {state.round}"

    @property
    def height(self) -> Height:
        """The open height."""
        return self._state.height

    @property
    def round(self) -> Round:
        return self._state.round

    def waits_for(self) -> str | None:
        """What the open height lacks, for a person, once it is late."""
        due = self._due_since
        if not self._started or due is None or due[0] != self._state.height:
            return None
        if self._monotonic() - due[1] < LATE_SLOTS * self._chain.seconds_per_slot:
            return None
        place = f"height {self._state.height}, round {self._state.round}"
        own = self._lacks_quorum() or self._lacks_block() or self._proposals.waits_for()
        return f"{place}: {own or 'votes'}"

    def _lacks_quorum(self, own_votes: int = 1) -> str | None:
        n, reached = self._config.n, set(self._network.up()) - self._lost
        abstain = self._progress.abstain() & reached
        votes = own_votes + len(reached - abstain)
        if votes >= quorum(n):
            return None
        peers = (OperatorIndex(index) for index in range(n) if index != self._config.self_index)
        away = [f"op{peer + 1} is not reached" for peer in peers if peer not in reached]
        silent = [f"op{peer + 1} does not vote" for peer in sorted(abstain)]
        return f"a quorum, {votes} of {n} vote and {quorum(n)} must: {', '.join(away + silent)}"

    def _lacks_block(self) -> str | None:
        fetch = self._fetching
        if fetch is None:
            return None
        holders = ", ".join(f"op{peer + 1}" for peer in fetch.holders)
        return f"block 0x{fetch.root.hex()[:16]}… that was prepared, asked for at {holders}"

    # ----------------------------------------------------------------------------- loop

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                group.create_task(self._start_when_allowed())
                while True:
                    await self._handle(await self._inbox.get())
        finally:
            for handle in self._timers.values():
                handle.cancel()

    def _restore(self) -> dst.qbft.State:
        head = self._store.decided_height()
        decided = dst.qbft.DecidedHead(height=head) if head else None
        return dst.qbft.restore(self._config, decided, self._store.promises())

    async def _start_when_allowed(self) -> None:
        """A node that may have forgotten votes takes part only once it has caught up."""
        said = None
        while not self._progress.takes_part:
            reason = self._progress.waits_for()
            if reason != said:
                self._log.warning("not_voting", waits_for=reason)
            said = reason
            try:
                async with asyncio.timeout(WAIT_LINE_S):
                    await self._progress.changed()
            except TimeoutError:
                said = None  # so that who looks later finds it, too
        self._inbox.put(inputs.Start())

    async def _handle(self, event: inputs.Input) -> None:
        if not self._takes(event):
            return
        transition = dst.qbft.step(self._state, event, self._config)
        self._state = transition.state
        self._drop_outdated_jobs()
        for effect in transition.effects:
            if isinstance(effect, fx.Decided):
                await self._judge_store(effect)
        for effect in transition.effects:
            await self._perform(effect, event)

    def _takes(self, event: inputs.Input) -> bool:
        """Halted: nothing. Rejoining: certificates alone, which move the height and vote for
        nothing. Before a start what peers say is kept for it."""
        if isinstance(event, inputs.Start):
            return self._start()
        if self._progress.is_halted:
            if self._started:
                self._pause()
            return False
        if isinstance(event, inputs.MessageReceived) and not self._started:
            self._early[event.link_peer, type(event.message)] = event
        return self._started or isinstance(event, inputs.CertificateReceived)

    def _start(self) -> bool:
        """From the log, also after a halt: what was heard meanwhile was dropped."""
        if not self._progress.takes_part:
            self._pause()
            return False
        self._state = self._restore()
        self._started = True
        for peer in sorted(self._lost):
            self._inbox.put(inputs.PeerLost(peer=peer))
        if self._leaving:
            self._inbox.put(inputs.Leave(leaving=True))
        for heard in self._early.values():
            self._inbox.put(heard)
        self._early.clear()
        self._wait_for_slot()
        return True

    async def _judge_store(self, decided: fx.Decided) -> None:
        """Does it show that votes are missing here?"""
        if not decided.signed or decided.took_part:
            return
        await self._progress.vote_forgotten()
        if self._started and self._progress.is_rejoining:
            self._pause()

    def _pause(self) -> None:
        """Import only, until a start is allowed again."""
        self._started = False
        for handle in self._timers.values():
            handle.cancel()
        for _, _, task in self._jobs.values():
            task.cancel()
        self._timers.clear()
        self._jobs.clear()
        if self._due is not None:
            self._due.cancel()
        self._spawn(self._start_when_allowed())

    async def _perform(self, effect: fx.Effect, event: inputs.Input) -> None:
        match effect:
            case fx.Persist(record=record):
                await self._persist(record)
            case fx.Broadcast() | fx.Send() if not self._progress.takes_part:
                pass  # halted while its record was written, or found to have forgotten votes
            case fx.Broadcast(message=message):
                self._network.broadcast(message)
                crash_point("vote-after-send")
            case fx.Send(to=to, message=message):
                self._network.send(to, message)
            case fx.SetTimer() | fx.RequestBlock() | fx.ValidateBlock() if not self._started:
                pass
            case fx.ValidateBlock() if self._progress.is_behind:
                pass  # an honest operator has decided this height: import it, do not vote on it
            case fx.SetTimer():
                self._set_timer(effect)
            case fx.RequestBlock():
                self._begin("build", effect.height, effect.round, self._build(effect))
            case fx.ValidateBlock():
                self._judge(effect)
            case fx.FetchBlock():
                self._fetch_block(effect)
            case fx.FetchDecided(peer=peer, from_height=first):
                self._catch_up.fetch_decided(peer, first)
            case fx.HelpLaggard(peer=peer, height=height):
                self._catch_up.help_laggard(peer, height)
            case fx.Decided(certificate=certificate, block=block):
                self._decided(certificate, block)
            case fx.Refused():
                await self._refused(effect, event)
            case fx.Reached():
                self._reached(effect)
            case _:
                assert_never(effect)

    async def _persist(self, record: Record) -> None:
        is_vote = not isinstance(record, DecisionRecord)
        if is_vote:
            crash_point("vote-before-persist")
        await self._store.append((record,))
        crash_point("vote-after-persist" if is_vote else "decision-after-persist")

    # --------------------------------------------------------------------------- timers

    def _set_timer(self, effect: fx.SetTimer) -> None:
        loop = asyncio.get_running_loop()
        running = self._timers.pop(effect.kind, None)
        if running is not None:
            running.cancel()
        event: inputs.Input
        if effect.kind is fx.TimerKind.ROUND:
            event = inputs.RoundExpired(height=effect.height, round=effect.round)
            ends = loop.time() + (effect.delay_ms + effect.spare_ms) / 1000
            self._round_ends = (effect.height, effect.round, ends)
            self._metrics.set("consensus_round_timeout_ms", effect.delay_ms)
        else:
            event = inputs.RetransmitDue(height=effect.height, round=effect.round)
        self._timers[effect.kind] = loop.call_later(effect.delay_ms / 1000, self._inbox.put, event)

    def _deadline_of(self, height: Height, round_: Round) -> float:
        """Loop time at which the round ends; a full timeout from now when its timer has not
        started."""
        if self._round_ends is not None and self._round_ends[:2] == (height, round_):
            return self._round_ends[2]
        longest_ms = round_timeout_ms(self._config, round_)
        return asyncio.get_running_loop().time() + longest_ms / 1000

    def _wait_for_slot(self) -> None:
        """One task at a time waits until the open height is due."""
        if not self._started:
            return
        if self._due is not None:
            self._due.cancel()
        self._due = self._spawn(self._announce_due(self._state.height))

    async def _announce_due(self, height: Height) -> None:
        """Due: the slot after the parent's has begun, and we are not behind."""
        head = self._store.head_entry()
        begins = timestamp_at(self._chain, (0 if head is None else head.slot) + 1)
        while (wait_s := begins - self._now()) > 0:  # noqa: ASYNC110 - a clock sets no event
            await asyncio.sleep(min(wait_s, CLOCK_CHECK_S))
        while self._progress.is_behind:
            await self._progress.changed()
        self._due_since = (height, self._monotonic())
        self._pace.due(height, self._monotonic())
        within_ms = self._pace.proposal_within_ms
        self._inbox.put(inputs.HeightDue(height=height, proposal_within_ms=within_ms))

    # ----------------------------------------------------------------------------- jobs

    def _spawn(self, job: Coroutine[object, object, None]) -> asyncio.Task[None]:
        assert self._group is not None, "the loop runs"
        return self._group.create_task(job)

    def _begin(
        self, name: str, height: Height, round_: Round | None, job: Coroutine[object, object, None]
    ) -> None:
        """Start a job and cancel its predecessor. round_ None: it outlives its round, not its
        height."""
        older = self._jobs.pop(name, None)
        if older is not None:
            older[2].cancel()
        self._jobs[name] = (height, round_, self._spawn(job))

    def _drop_outdated_jobs(self) -> None:
        for name, (height, round_, task) in list(self._jobs.items()):
            left_round = round_ is not None and round_ != self._state.round
            if height != self._state.height or left_round:
                task.cancel()
                del self._jobs[name]

    async def _reporting_reset(self, work: Awaitable[None]) -> None:
        try:
            await work
        except ResetRequired as error:
            self._outcomes.put(ResetSeen(error=error))

    async def _build(self, effect: fx.RequestBlock) -> None:
        async def work() -> None:
            block = await self._proposals.build(effect.height)
            try:
                root = self._config.root_of(block)
            except InvalidInput as error:
                self._log.error("own_rollup_node_built_garbage", reason=str(error))
                return
            self._inbox.put(
                inputs.BlockBuilt(height=effect.height, round=effect.round, root=root, block=block)
            )

        await self._reporting_reset(work())

    def _judge(self, effect: fx.ValidateBlock) -> None:
        """A fresh proposal is judged within its round; a justified one to the end, over rounds."""
        if not effect.justified:
            self._begin("validate", effect.height, effect.round, self._validate(effect))
            return
        self._judged[effect.root] = effect
        name = f"validate {effect.root.hex()}"
        running = self._jobs.get(name)
        if running is None or running[2].done():
            self._begin(name, effect.height, None, self._validate(effect))

    async def _validate(self, effect: fx.ValidateBlock) -> None:
        def round_ends() -> float:
            return self._deadline_of(effect.height, effect.round)

        async def work() -> None:
            valid = await self._proposals.validate(
                effect.block,
                height=effect.height,
                round_=effect.round,
                justified=effect.justified,
                deadline_s=None if effect.justified else round_ends,
            )
            asked = self._judged.pop(effect.root, effect) if effect.justified else effect
            self._inbox.put(
                inputs.BlockValidated(
                    height=asked.height, round=asked.round, root=asked.root, valid=valid
                )
            )

        await self._reporting_reset(work())

    def _fetch_block(self, effect: fx.FetchBlock) -> None:
        name = f"fetch {effect.root.hex()}"
        running = self._jobs.get(name)
        if running is None or running[2].done():
            self._begin(name, effect.height, None, self._fetch(effect))

    async def _fetch(self, effect: fx.FetchBlock) -> None:
        self._fetching = effect
        block = await self._catch_up.fetch_block(effect.height, effect.root, effect.holders)
        if block is not None:
            self._fetching = None
            self._inbox.put(
                inputs.BlockFetched(height=effect.height, root=effect.root, block=block)
            )

    # ------------------------------------------------------------------ what came of it

    def _decided(self, certificate: Certificate, block: bytes) -> None:
        slot = slot_of(block)
        self._metrics.set("consensus_decided_height", certificate.height)
        self._metrics.set("consensus_decided_round", certificate.round)
        self._observe(
            EventKind.DECIDED,
            height=certificate.height,
            round_=certificate.round,
            root=certificate.root,
            slot=slot,
        )
        self._log.info(
            "decided", height=certificate.height, round=certificate.round, root=certificate.root
        )
        # Before the validator can hear of it: its signature must find the height open for sealing.
        self._outcomes.put(HeightDecided(certificate=certificate))
        self._progress.decided(slot)
        self._judged.clear()
        self._fetching = None
        self._wait_for_slot()
        if self._progress.is_syncing and not self._inbox:
            self._catch_up.ask_somebody()

    def _reached(self, effect: fx.Reached) -> None:
        self._metrics.inc("consensus_milestones_total", milestone=effect.milestone.value)
        if effect.cause is not None:
            return self._round_entered(effect, effect.cause)
        if effect.milestone is fx.Milestone.PROPOSAL:
            self._pace.proposed(effect.height, effect.round, self._monotonic())
        self._observe(
            _MILESTONES[effect.milestone],
            height=effect.height,
            round_=effect.round,
            root=effect.root,
        )

    def _round_entered(self, effect: fx.Reached, cause: fx.Cause) -> None:
        self._metrics.inc("consensus_round_changes_total", cause=cause.value)
        self._log.info("round_change", height=effect.height, round=effect.round, cause=cause.value)
        if cause is fx.Cause.TIMER:
            self._pace.expired()
        self._observe(
            EventKind.ROUND_CHANGE, height=effect.height, round_=effect.round, cause=cause.value
        )

    async def _refused(self, effect: fx.Refused, event: inputs.Input) -> None:
        reason = effect.reason
        self._metrics.inc("consensus_refused_total", reason=reason.value)
        is_quiet = reason in QUIET_REASONS
        may_say = not is_quiet and self._accusations.may_say(effect.link_peer, reason.value)
        say = self._log.warning if may_say else self._log.debug
        say("refused", reason=reason.value, peer=effect.link_peer, detail=effect.detail)
        if effect.culprit is None or is_quiet:
            return
        offence = effect.offence
        height = _height_of(event) if offence is None else offence.signed.payload.height
        if not self._accusations.is_first(effect.culprit, height, reason.value):
            return
        await self._store.note_evidence(
            Evidence(height, effect.culprit, reason.value, effect.detail, _proof(effect))
        )
        self._observe(
            EventKind.EVIDENCE,
            height=height,
            culprit=effect.culprit + 1,
            reason=reason.value,
            detail=effect.detail,
        )


def _height_of(event: inputs.Input) -> Height | None:
    match event:
        case inputs.MessageReceived(message=message):
            return message.signed.payload.height
        case inputs.CertificateReceived(certificate=certificate):
            return certificate.height
        case _:
            return None


def _proof(effect: fx.Refused) -> bytes:
    """What convicts: the signed message, after the one that it contradicts; msgpack array."""
    if effect.offence is None:
        return b""
    convicting = [effect.contradicts, effect.offence.signed]
    return msgspec.msgpack.encode([each for each in convicting if each is not None])
