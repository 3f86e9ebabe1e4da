"""One seed: operators, trouble, heal, and the checkers watching all of it.

Safety is checked with every record, by the checkers that judge live networks. After the chaos all
is healed (operators up, links good, views equal; Byzantine operators stay what they are), and then
liveness is owed: new heights at every honest operator, and every decided height sealed there.
"""

import asyncio
import copy
import logging
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Final

import msgspec

from devnet.checkers.agreement import LiveAgreement
from devnet.checkers.base import LiveChecker
from devnet.checkers.linked_chain import LiveLinkedChain
from devnet.checkers.no_crash import LiveNoCrash
from devnet.checkers.one_group_signature import LiveOneGroupSignature
from devnet.checkers.recovery import NAME as RECOVERY
from devnet.checkers.sign_once import LiveSignOnce
from devnet.checkers.true_evidence import LiveTrueEvidence
from devnet.model.history import (
    BlockRead,
    Event,
    EventKind,
    FaultReceipt,
    GroupSignatureSeen,
    ProgramEnded,
    Record,
    VoteSeen,
)
from devnet.model.verdict import Violation
from devnet.sim import blocks, ideal
from devnet.sim.chain import TERM
from devnet.sim.disk import Disk
from devnet.sim.haste import Haste
from devnet.sim.l1 import L1, draw_l1
from devnet.sim.liars import LIARS, Hands, Liar
from devnet.sim.loop import VirtualLoop, play
from devnet.sim.network import Network
from devnet.sim.operator import Operator
from devnet.sim.owed import BOUND_S, DISK_LOST, Owed
from devnet.sim.params import SLOT_US, Behaviour, Params, draw_params
from devnet.sim.phases import Phases
from devnet.sim.sometimes import watching
from devnet.sim.story import Story, described, lie, told
from devnet.sim.tape import drawn_apart, longest, moments, step, stream
from dst.apis.dst_v1 import EventKind as SeenKind
from dst.apis.dst_v1 import Scalar
from dst.middleware.wire_messages import WireMessage
from dst.qbft import messages as qbft_messages
from dst.qbft.effects import Cause
from dst.sealing import messages as sealing_messages
from dst.spec.primitives import Height, OperatorIndex, Root, Round, quorum

LOSS_ABOVE: Final = 3
LIARS_CLOCK_US: Final = 3_600_000_000


class Breach(Exception):
    """An invariant broke; `violations` say which and when."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__("; ".join(f"{item.checker}: {item.summary}" for item in violations))
        self.violations = tuple(violations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one seed came to.

    recovery_us: from the heal to the first height decided above all earlier ones; None on a breach.
    trace: checksum over every record, for the determinism check.
    counts: how often interesting things happened (round changes, crashes, refusals by reason, ...).
    """

    seed: int
    n: int
    failure: str
    heights: int
    virtual_us: int
    recovery_us: int | None
    trace: int
    counts: dict[str, int] = field(default_factory=dict)


class World:
    """Builds the run of a seed and plays it; also the operators' observer and directory."""

    def __init__(
        self,
        loop: VirtualLoop,
        seed: int,
        n: int,
        *,
        verbose: bool = False,
        params: Params | None = None,
        rng: Random | None = None,
        story: Story | None = None,
    ) -> None:
        """`params` and `rng`: other ones than the seed's."""
        self.seed, self.n, self.verbose, self._story = seed, n, verbose, story
        self.rng = rng or seeded(seed, n)
        self.params = params or draw_params(self.rng, n)
        self.loop = loop
        self.l1: L1 = draw_l1(
            self.rng, reorg_count=self.params.l1_reorgs, until_us=self.params.chaos_us
        )
        self._l1_rng = drawn_apart(self.rng, "l1 silence")
        self._drain_rng = drawn_apart(self.rng, "drains")
        self.network = Network(self.loop, self.rng, self.params, self)
        self._phases = Phases(n, self.rng) if self.params.phases else None
        self.counts: dict[str, int] = {}
        self.trace = 0
        self.healed = False
        self.top = Height(0)
        self._first_after_heal: int | None = None
        self._breach: Breach | None = None
        self._progressed = asyncio.Event()
        self._partials: dict[tuple[Height, Root], set[int]] = {}
        self._nodes: dict[int, list[Operator]] = {index: self._create(index) for index in range(n)}
        byzantine = self.params.byzantine
        self.honest = [self._nodes[i][0] for i in range(n) if i not in byzantine]
        self._read_up_to: dict[str, Height] = {}
        self._haste = Haste(n, frozenset(byzantine))
        forgiven = frozenset(_name(index) for index in byzantine)
        self._evidence = LiveTrueEvidence(forgiven)
        self._owed = Owed(node.name for node in self.honest)
        self._live: list[LiveChecker] = [
            LiveAgreement(),
            LiveOneGroupSignature(),
            LiveSignOnce(forgiven),
            self._evidence,
            LiveLinkedChain(),
            LiveNoCrash(),
            self._owed,
        ]
        for node in self.honest:
            self._had(node, Height(0), blocks.GENESIS_BYTES)

    def _create(self, index: int) -> list[Operator]:
        behaviour = self.params.byzantine.get(index)
        if behaviour is Behaviour.SILENT:
            return []
        names = (
            [f"{_name(index)}", f"{_name(index)}'"]
            if behaviour is Behaviour.TWIN
            else [_name(index)]
        )
        return [
            Operator(
                index=index,
                name=name,
                params=self.params,
                loop=self.loop,
                network=self.network,
                rng=self.rng,
                l1=self.l1,
                observer=self,
                make_liar=self._liar(index),
            )
            for name in names
        ]

    def _liar(self, index: int) -> Callable[[Hands], Liar] | None:
        make = LIARS.get(self.params.byzantine.get(index, Behaviour.SILENT))
        rng = stream(self.rng, _name(index))
        return None if make is None else partial(make, index, self.n, rng)

    def struck(self, index: int) -> None:
        """What a liar wishes for; not while he speaks, and not after the heal."""
        if not self.healed:
            self.loop.after(0, self._crash, index)

    def _crash(self, index: int) -> None:
        if not self.healed:
            for operator in self._nodes[index]:
                operator.crash()

    # --------------------------------------------------------------- playing

    async def run(self) -> Outcome:
        failure = ""
        try:
            with watching(self._count):
                await self._play()
        except Breach as breach:
            failure = str(breach)
        return Outcome(
            seed=self.seed,
            n=self.n,
            failure=failure,
            heights=self.top,
            virtual_us=self.loop.now_us(),
            recovery_us=self._first_after_heal,
            trace=self.trace,
            counts=self.counts,
        )

    async def _play(self) -> None:
        if self.verbose:
            print(self.params)
        for operator in self._all():
            late_us = self.params.late_us.get(operator.index, 0)
            self.loop.after(self.rng.randrange(SLOT_US) + late_us, self._boot, operator)
        self._plan_trouble()
        await self._until(lambda: False, self.params.chaos_us)
        self._heal()
        past_due_us = round(BOUND_S * 1e6) + 1  # not to miss by a rounding that all is due
        await self._until(lambda: self._owed.is_paid, past_due_us)
        if late := self._owed.overdue(self.loop.seconds):
            raise Breach([self._told_why(late)])

    async def _until(self, condition: Callable[[], bool], bound_us: int) -> bool:
        """Whether `condition` came true within the bound; looked at with each decision and seal.

        Raises: Breach, of what was seen meanwhile.
        """
        ends = self.loop.seconds + bound_us / 1e6
        while not condition():
            try:
                async with asyncio.timeout_at(ends):
                    await self._progressed.wait()
            except TimeoutError:
                return condition()
            self._progressed.clear()
            if self._breach is not None:
                raise self._breach
        return True

    def _recovered(self, target: Height) -> bool:
        """Every honest operator has decided that height, and has the seals up to it."""
        return not self._owed.missing(target)

    def _stuck(self, target: Height) -> Violation:
        summary = f"height {target} not decided and sealed everywhere: {self._owed.missing(target)}"
        return self._told_why(Violation(checker=RECOVERY, summary=summary, height=target))

    def _told_why(self, late: Violation) -> Violation:
        """With where honest operators are, and what they wait for."""
        rounds = {node.name: place_of(node) for node in self.honest}
        summary = f"{late.summary}, (height, round) {rounds}, waiting for {self._waits()}"
        return msgspec.structs.replace(late, summary=summary)

    def _waits(self) -> dict[str, tuple[str, ...]]:
        """What honest operators lack, by their own words."""
        found = {}
        for node in self.honest:
            if node.life is not None:
                shells = node.life.shells
                reason = shells.progress.waits_for()
                found[node.name] = (*([] if reason is None else [reason]), *shells.waiting.lacks())
        return found

    def _heal(self) -> None:
        self.healed = True
        self._haste.healed_at = self.loop.seconds
        self.network.calm = True
        self._phases = None
        for node in self._all():
            node.calm = True
            node.frozen_until = node.full_until = self.loop.now_us()
            if node.life is not None:
                node.life.thaw()
            self._mend_l1(node)
            if not node.up:
                self._boot(node)
        self.network.mend()
        now = self.loop.seconds
        self._record(
            FaultReceipt(
                id="chaos", kind="chaos", targets=(), requested=0.0, applied=0.0, healed=now
            )
        )
        self.tell("all is healed; liars stay what they are")

    # --------------------------------------------------------------- trouble

    def _plan_trouble(self) -> None:
        for every, trouble in (
            (self.params.cut_every_us, self._partition),
            (self.params.crash_every_us, self._crash_someone),
            (self.params.full_every_us, self._fill_a_disk),
            (self.params.clock_steps_us, self._step_a_clock),
            (self.params.rollup_loss_us, self._lose_rollup_blocks),
            (self.params.l1_fork_us, self._fork_an_l1),
            (self.params.flap_every_us, self._flap),
        ):
            self._plan(self.rng, every, trouble)
        self._plan(self._l1_rng, self.params.l1_silence_us, self._silence_an_l1)
        self._plan(self._drain_rng, self.params.drain_every_us, self._drain_someone)
        if self.params.loss is not None:
            at = self.rng.randrange(self.params.chaos_us)
            self.loop.after(at, self._lose_a_disk, self.rng.choice(self.honest))
        for operator in self._all():
            if self.params.byzantine.get(operator.index) is Behaviour.ROLLED_BACK:
                self._roll_back_now_and_then(operator)

    def _plan(self, rng: Random, every_us: int, trouble: Callable[[], None]) -> None:
        name = trouble.__name__.strip("_")
        for number, at in moments(rng, name, every_us, self.params.chaos_us):
            self.loop.after(at, self._trouble, trouble, f"{name} {number}")

    def _trouble(self, trouble: Callable[[], None], name: str) -> None:
        with step(self.rng, name):
            trouble()

    def _partition(self) -> None:
        if self.healed:
            return
        side = {index for index in range(self.n) if self.rng.random() < 0.5}
        pairs = [(a, b) for a in sorted(side) for b in range(self.n) if b not in side]
        back = [] if self.params.one_way else [(b, a) for a, b in pairs]
        links = pairs + back
        self.network.cut(links, self.params.cut_mode)
        length = self.rng.randrange(1, self.params.cut_for_us)
        self.loop.after(length, self.network.mend, links)
        self._count("partition")
        if links:
            self.tell(f"{_links(links)} cut ({self.params.cut_mode}) for {length / 1e6:.2f} s")

    def _crash_someone(self) -> None:
        if not self.healed:
            self.rng.choice(self._all()).crash()

    def _flap(self) -> None:
        """One link, all of one operator, or everything at once."""
        if self.healed:
            return
        links = [(a, b) for a in range(self.n) for b in range(self.n) if a != b]
        whose = self.rng.randrange(self.n)
        of_one = [link for link in links if whose in link]
        flapping = self.rng.choice(([self.rng.choice(links)], of_one, of_one, links))
        self.network.flap(flapping)
        self._count("flap")
        self.tell(f"{_links(flapping)} end and are dialled anew")

    def _fill_a_disk(self) -> None:
        if not self.healed:
            until = self.loop.now_us() + self.rng.randrange(1, self.params.full_for_us)
            node = self.rng.choice(self._all())
            node.full_until = until
            self._count("disk full")
            self.tell(f"the disk of {node.name} is full until {until / 1e6:.2f} s")

    def _step_a_clock(self) -> None:
        if not self.healed:
            node = self.rng.choice(self._all())
            node.set_clock(self.rng.randrange(-self.params.skew_us, self.params.skew_us + 1))
            self._count("clock step")
            self.tell(f"the clock of {node.name} steps to {node.skew_us / 1e6:+.2f} s")

    def _lose_rollup_blocks(self) -> None:
        if not self.healed:
            node = self.rng.choice(self._all())
            kept = self.rng.randrange(len(node.rollup.chain) + 1)
            node.rollup.lose(kept)
            self._count("rollup loss")
            self.tell(f"the rollup node of {node.name} loses what it had above height {kept}")

    def _fork_an_l1(self) -> None:
        if not self.healed:
            node = self.rng.choice(self._all())
            rollup = node.rollup
            first = Height(self.rng.randrange(1, len(rollup.chain) + 2))
            rollup.leave_l1(first)
            self.loop.after(self.rng.randrange(4_000_000), rollup.l1.come_back)
            self._count("l1 fork")
            self.tell(f"the L1 node of {node.name} is on a fork: origins are gone from {first} on")

    def _silence_an_l1(self) -> None:
        if not self.healed:
            node = self._l1_rng.choice(self._all())
            node.rollup.l1.is_silent = True
            length = self._l1_rng.randrange(1, 6_000_000)
            self.loop.after(length, self._hear_l1, node)
            self._count("l1 silence")
            self.tell(f"the L1 node of {node.name} is silent for {length / 1e6:.2f} s")

    def _drain_someone(self) -> None:
        """Or tell one to stay after all. Who leaves at the heal goes on to leave."""
        if not self.healed:
            node = self._drain_rng.choice(self._all())
            leaving = self._drain_rng.random() < 0.7
            if node.life is not None:
                node.life.shells.consensus.leave(leaving)
                self._count("drain" if leaving else "drain ended")
                self.tell(f"{node.name} is told to {'leave' if leaving else 'stay'}")

    def _hear_l1(self, node: Operator) -> None:
        node.rollup.l1.is_silent = False

    def _mend_l1(self, node: Operator) -> None:
        node.rollup.l1.come_back()
        self._hear_l1(node)

    def _lose_a_disk(self, node: Operator) -> None:
        """Not while its cluster is so young that a new store would be no mistake."""
        if self.healed:
            return
        if self.top < LOSS_ABOVE:
            self.loop.after(SLOT_US, self._lose_a_disk, node)
            return
        assert self.params.loss is not None
        node.crash()
        self._evidence.guilty.add(_name(node.index))
        node.lose_disk(self.params.loss)
        whose, now = (_name(node.index),), self.loop.seconds
        self._record(
            FaultReceipt(id="loss", kind=DISK_LOST, targets=whose, requested=now, applied=now)
        )
        self._count(f"disk lost: {self.params.loss}")
        self.tell(f"{node.name} loses its disk and will start with --{self.params.loss}")

    def _roll_back_now_and_then(self, node: Operator) -> None:
        """Snapshot now, and back to it later."""
        if self.healed:
            return
        snapshot = copy.deepcopy(node.disk)
        self.loop.after(longest(self.rng, 1, 3_000_000), self._roll_back, node, snapshot)

    def _roll_back(self, node: Operator, snapshot: Disk) -> None:
        if not self.healed:
            node.crash()
            node.disk = snapshot
            self._count("rolled back")
            self.tell(f"{node.name} restarts from an old copy of its disk")
            self._roll_back_now_and_then(node)

    def _boot(self, node: Operator) -> None:
        if node.up:
            return
        node.boot()
        self.tell(f"{node.name} starts")
        others = [index for index in range(self.n) if index != node.index]
        self.network.reconnect([(node.index, other) for other in others])
        self.network.reconnect([(other, node.index) for other in others])

    # ------------------------------------------------- directory and network

    def _all(self) -> list[Operator]:
        return [node for index in range(self.n) for node in self._nodes[index]]

    def is_there(self, index: int) -> bool:
        """A silent operator keeps its connections."""
        if self.params.byzantine.get(index) is Behaviour.SILENT:
            return True
        return any(node.up for node in self._nodes[index])

    def ahead_us(self, index: int) -> int | None:
        for node in self._nodes[index]:
            return node.ahead_us() if node.liar is None else LIARS_CLOCK_US
        return None

    def pings(self, source: int, target: int) -> bool:
        awake = self._nodes[source] == [] or any(
            node.up and not node.is_frozen for node in self._nodes[source]
        )
        return awake and self.network.carries(source, target)

    def reaches(self, target: int, message: WireMessage) -> bool:
        return self._phases is None or self._phases.reaches(target, message)

    def deliver(self, source: int, target: int, message: bytes) -> None:
        for node in self._nodes[target]:
            node.hear(source, message)

    def opened(self, source: int, target: int) -> None:
        there = [node for node in self._nodes[target] if node.up]
        for node in self._nodes[source]:
            node.ours_is(target, True)
            if there:
                node.link_up(target, there[0].disk.head())
        for node in self._nodes[target]:
            node.theirs_is(source, True)

    def closed(self, source: int, target: int) -> None:
        for node in self._nodes[source]:
            node.ours_is(target, False)
        for node in self._nodes[target]:
            node.theirs_is(source, False)

    # -------------------------------------------------------------- observer

    def voted(self, node: Operator, signed: qbft_messages.Signed) -> None:
        payload = signed.payload
        if isinstance(payload, qbft_messages.Pass):
            self._count("pass")
            self._haste.passed(signed.sender, payload.height, payload.round)
            return
        if signed.sender == node.index:
            self._haste.spoke(node.index, payload.height, payload.round)
        if signed.sender != node.index or isinstance(payload, qbft_messages.RoundChange):
            return
        self._record(
            VoteSeen(
                node=_name(node.index),
                step=type(payload).__name__.lower(),
                term=payload.term,
                height=payload.height,
                round=payload.round,
                root=payload.root.hex(),
                monotonic=self.loop.seconds,
            )
        )

    def saw(
        self,
        node: Operator,
        kind: SeenKind,
        height: Height | None,
        round_: Round | None,
        root: Root | None,
        extra: dict[str, Scalar],
    ) -> None:
        self._count(f"{kind} {extra['reason']}" if "reason" in extra else kind)
        if round_:
            self._count(f"{kind} in a later round")
        if height is None or kind is SeenKind.SIGNED:
            return  # a signature is told when it leaves the validator
        if self._story is not None and (text := told(kind, height, round_, root, extra)):
            self._story.tell_of(self._when(), text, node.name)
        if kind is SeenKind.DECIDED:
            self._decided(node, height)
            self._haste.decided(node.index, height)
        elif kind is SeenKind.ROUND_CHANGE:
            self._entered_round(node, height, round_ or Round(0), extra.get("cause"))
        if node in self.honest:
            self._record(self._event(node, EventKind(kind), height, round_, root, extra))

    def _entered_round(self, node: Operator, height: Height, round_: Round, cause: Scalar) -> None:
        self._count(f"round change by {cause}")
        if node in self.honest:
            self._judge(
                self._haste.entered(
                    node.life,
                    node.index,
                    height,
                    round_,
                    by_loss=cause == Cause.LEADER_LOST,
                    by_pass=cause == Cause.LEADER_PASSED,
                    now=self.loop.seconds,
                )
            )

    def _decided(self, node: Operator, height: Height) -> None:
        if node in self.honest:
            self._read_chain(node, height)
        if height > self.top and node in self.honest:
            self.top = height
            self._progressed.set()
            if self.healed and self._first_after_heal is None:
                self._first_after_heal = self.loop.now_us() - self.params.chaos_us

    def _read_chain(self, node: Operator, height: Height) -> None:
        """Of what it decided right before its end nobody was told."""
        for each in range(min(self._read_up_to.get(node.name, 0) + 1, height), height + 1):
            self._had(node, Height(each), node.disk.decisions[Height(each)].block)
        self._read_up_to[node.name] = height

    def _had(self, node: Operator, height: Height, encoded: bytes) -> None:
        """Its block of that height. Blocks go by number and root, as roots say nothing of the
        number."""
        block = blocks.decode(encoded)
        self._record(
            BlockRead(
                node=node.name,
                height=height,
                block_hash=f"{height} {blocks.root_of(encoded).hex()}",
                parent_hash=f"{block.height - 1} {block.parent.hex()}",
                state_root="",
                transactions=(),
            )
        )

    def signed(self, node: Operator, height: Height, root: Root) -> None:
        self._record(self._event(node, EventKind.SIGNED, height, None, root))
        self.share_released(node.index, height, root)

    def share_released(self, index: int, height: Height, root: Root) -> None:
        """The omniscient adversary adds its own shares to every one that left an operator."""
        signers = self._partials.setdefault((height, root), set(self.params.byzantine))
        signers.add(index)
        if len(signers) >= quorum(self.n):
            partials = {
                OperatorIndex(i): ideal.partial_signer(OperatorIndex(i))(ideal.signing_root(root))
                for i in signers
            }
            signature = ideal.combiner(self.n)(partials)
            self._signature_seen("adversary", height, root, signature)

    def sealed(self, node: Operator, message: sealing_messages.GroupSignature) -> None:
        """Durable in its store."""
        self._count("sealed")
        self._progressed.set()
        if node not in self.honest:
            return
        root = node.disk.decisions[message.height].certificate.root
        assert ideal.verify_group(ideal.signing_root(root), message.signature), "sealed by garbage"
        self._record(self._event(node, EventKind.SEALED, message.height, None, root))
        self._signature_seen(node.name, message.height, root, message.signature)

    def lost(self, node: Operator, peer: OperatorIndex) -> None:
        self._count("peer lost")
        self._judge(self._haste.lost(node.life, node.index, peer, self.loop.seconds))

    def _judge(self, found: Violation | None) -> None:
        if found is not None:
            self._break([found])

    def crashed(self, node: Operator) -> None:
        self._count("crash")
        self.tell(f"the machine of {node.name} dies")
        if not self.is_there(node.index):
            self.network.process_ended(node.index)
        self._say(f"crash {node.name}")
        if not self.healed:
            self.loop.after(self.rng.randrange(1, self.params.down_us), self._boot, node)
        else:
            self.loop.after(1, self._boot, node)

    def failed(self, node: Operator, error: BaseException) -> None:
        """A shell must never raise."""
        detail, now = repr(_innermost(error)), self.loop.seconds
        self._record(ProgramEnded(program=node.name, detail=detail, monotonic=now))

    def _signature_seen(self, source: str, height: Height, root: Root, signature: bytes) -> None:
        self._record(
            GroupSignatureSeen(
                height=height,
                root=root.hex(),
                signature=signature.hex(),
                source=source,
                term=TERM,
                monotonic=self.loop.seconds,
            )
        )

    def _event(
        self,
        node: Operator,
        kind: EventKind,
        height: Height,
        round_: Round | None,
        root: Root | None,
        detail: dict[str, Scalar] | None = None,
    ) -> Event:
        return Event(
            kind=kind,
            node=_name(node.index),
            height=height,
            round=round_,
            term=TERM,
            root=None if root is None else root.hex(),
            monotonic=self.loop.seconds,
            wall=self.loop.seconds,
            detail=detail or {},
        )

    def _record(self, record: Record) -> None:
        self._say(record)
        violations = [breach for checker in self._live for breach in checker.feed(record)]
        if violations:
            self._break(violations)

    def _break(self, violations: Sequence[Violation]) -> None:
        """Told by whoever caused it, in the middle of what it does: the run ends with the next
        look."""
        if self._breach is None:
            self._breach = Breach(violations)
        self._progressed.set()

    def tell(self, text: str) -> None:
        """For a reader: no part of the trace."""
        if self._story is not None:
            self._story.tell(self._when(), text)

    def _when(self) -> str:
        return f"{self.loop.seconds:8.3f} s"

    def mishap(self, source: int, target: int, message: bytes, what: str) -> None:
        if self._story is not None:
            text = f"{described(message)} of {_name(source)} to @ {what}"
            self._story.tell_of(self._when(), text, _name(target))

    def lied(
        self,
        node: Operator,
        target: int,
        instead_of: WireMessage | None,
        words: tuple[WireMessage, ...],
    ) -> None:
        if self._story is not None:
            text = lie(node.name, instead_of, words)
            self._story.tell_of(self._when(), text, _name(target))

    def _say(self, what: Record | str) -> None:
        self.trace = zlib.crc32(repr((self.loop.now_us(), what)).encode(), self.trace)
        if self.verbose:
            text = what if isinstance(what, str) else msgspec.json.encode(what).decode()
            print(f"{self.loop.seconds:10.4f}  {text}")

    def _count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1


def seeded(seed: int, n: int) -> Random:
    """What the run of a seed draws from, its parameters first."""
    return Random(f"{seed} {n}")


def run_seed(
    seed: int,
    n: int,
    *,
    verbose: bool = False,
    params: Params | None = None,
    rng: Random | None = None,
    story: Story | None = None,
) -> Outcome:
    """Play one seed; its outcome never depends on anything but its arguments."""

    async def run(loop: VirtualLoop) -> Outcome:
        world = World(loop, seed, n, verbose=verbose, params=params, rng=rng, story=story)
        return await world.run()

    logging.disable(logging.CRITICAL)
    try:
        return play(run)
    finally:
        logging.disable(logging.NOTSET)


def place_of(node: Operator) -> tuple[int, int] | None:
    """The open height and its round; None while it is down."""
    if node.life is None:
        return None
    consensus = node.life.shells.consensus
    return consensus.height, consensus.round


def _links(links: Sequence[tuple[int, int]]) -> str:
    return "links " + ", ".join(f"{_name(a)}>{_name(b)}" for a, b in links)


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _name(index: int) -> str:
    return f"op{index + 1}"
