"""One seed: operators, trouble, heal, and the checkers watching all of it.

Safety is checked with every record, by the checkers that judge live networks. After the chaos all
is healed (operators up, links good, views equal; Byzantine operators stay what they are), and then
liveness is owed: new heights at every honest operator, and every decided height sealed there.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

import msgspec

from devnet.checkers.agreement import LiveAgreement
from devnet.checkers.base import LiveChecker
from devnet.checkers.one_group_signature import LiveOneGroupSignature
from devnet.checkers.sign_once import LiveSignOnce
from devnet.model.history import Event, EventKind, GroupSignatureSeen, Record, VoteSeen
from devnet.model.verdict import Violation
from devnet.sim import ideal
from devnet.sim.clock import Clock
from devnet.sim.l1 import L1, draw_l1
from devnet.sim.network import Network
from devnet.sim.node import TERM, Message, Node
from devnet.sim.params import SLOT_US, Behaviour, Params, draw_params
from dst.qbft import effects as qbft_effects
from dst.qbft import messages as qbft_messages
from dst.sealing import effects as sealing_effects
from dst.sealing import messages as sealing_messages
from dst.spec.primitives import BLSSignature, Height, OperatorIndex, Root, Round, quorum

HEIGHTS_AFTER_HEAL: Final = 3
"""New heights that every honest operator must reach."""
HEAL_BOUND_US: Final = 30_000_000
"""Virtual time for them; generous against slow leaders, yet no livelock fits in."""


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
    calls: int
    virtual_us: int
    recovery_us: int | None
    trace: int
    counts: dict[str, int] = field(default_factory=dict)


class World:
    """Builds the run of a seed and plays it; also the operators' observer and directory."""

    def __init__(self, seed: int, n: int, *, verbose: bool = False) -> None:
        self.seed, self.n, self.verbose = seed, n, verbose
        self.rng = Random(f"{seed} {n}")
        self.params: Params = draw_params(self.rng, n)
        self.clock = Clock()
        self.l1: L1 = draw_l1(
            self.rng, reorg_count=self.params.l1_reorgs, until_us=self.params.chaos_us
        )
        self.network = Network(self.clock, self.rng, self.params, self._deliver, self._link_up)
        self.counts: dict[str, int] = {}
        self.trace = 0
        self.healed = False
        self.top = Height(0)
        self._first_after_heal: int | None = None
        self._partials: dict[tuple[Height, Root], set[int]] = {}
        self._nodes: dict[int, list[Node]] = {index: self._create(index) for index in range(n)}
        byzantine = self.params.byzantine
        self.honest = [self._nodes[i][0] for i in range(n) if i not in byzantine]
        forgiven = frozenset(_name(index) for index in byzantine)
        self._live: list[LiveChecker] = [
            LiveAgreement(),
            LiveOneGroupSignature(),
            LiveSignOnce(forgiven),
        ]

    def _create(self, index: int) -> list[Node]:
        behaviour = self.params.byzantine.get(index)
        if behaviour is Behaviour.SILENT:
            return []
        names = (
            [f"{_name(index)}", f"{_name(index)}'"]
            if behaviour is Behaviour.TWIN
            else [_name(index)]
        )
        return [
            Node(
                index=index,
                name=name,
                params=self.params,
                clock=self.clock,
                network=self.network,
                rng=self.rng,
                l1=self.l1,
                observer=self,
                peers=self,
                tamper=_spoil_partial if behaviour is Behaviour.BAD_PARTIAL else None,
            )
            for name in names
        ]

    # --------------------------------------------------------------- playing

    def run(self) -> Outcome:
        failure = ""
        try:
            self._play()
        except Breach as breach:
            failure = str(breach)
        except (
            Exception
        ) as error:  # a core must never raise (S17): that is a finding, with its seed
            failure = f"S17 isolation of harm: a core raised {error!r}"
        recovery = None if self._first_after_heal is None else self._first_after_heal
        return Outcome(
            seed=self.seed,
            n=self.n,
            failure=failure,
            heights=self.top,
            calls=self.clock.calls,
            virtual_us=self.clock.now,
            recovery_us=recovery,
            trace=self.trace,
            counts=self.counts,
        )

    def _play(self) -> None:
        if self.verbose:
            print(self.params)
        for node in self._all():
            self.clock.after(self.rng.randrange(SLOT_US), self._boot, node)
        self._plan_trouble()
        while self.clock.run_next(self.params.chaos_us):
            pass
        self._heal()
        limit = self.clock.now + HEAL_BOUND_US
        target = Height(self.top + HEIGHTS_AFTER_HEAL)
        while not self._recovered(target):
            if not self.clock.run_next(limit):
                raise Breach([self._stuck(target)])

    def _recovered(self, target: Height) -> bool:
        for node in self.honest:
            if node.disk.head() < target:
                return False
        return all(
            height in node.disk.seals for node in self.honest for height in range(target, 0, -1)
        )

    def _stuck(self, target: Height) -> Violation:
        heads = {node.name: node.disk.head() for node in self.honest}
        rounds = {node.name: (node.qbft.height, node.qbft.round) for node in self.honest}
        unsealed = {
            node.name: missing
            for node in self.honest
            if (missing := [h for h in range(1, target + 1) if h not in node.disk.seals])
        }
        late = HEAL_BOUND_US / 1e6
        summary = f"height {target} not decided and sealed everywhere {late:.0f} s after the heal: "
        summary += f"heads {heads}, (height, round) {rounds}, unsealed {unsealed}"
        return Violation(checker="L4 recovery after heal", summary=summary, height=target)

    def _heal(self) -> None:
        self.healed = True
        self.network.calm = True
        for node in self._all():
            node.calm = True
            node.frozen_until = min(node.frozen_until, self.clock.now)
            if not node.up:
                self._boot(node)
        self.network.mend()
        self._say("heal")

    # --------------------------------------------------------------- trouble

    def _plan_trouble(self) -> None:
        for every, trouble in (
            (self.params.cut_every_us, self._partition),
            (self.params.crash_every_us, self._crash_someone),
        ):
            at = 0
            while every and (at := at + self.rng.randrange(1, 2 * every)) < self.params.chaos_us:
                self.clock.after(at, trouble)

    def _partition(self) -> None:
        if self.healed:
            return
        side = {index for index in range(self.n) if self.rng.random() < 0.5}
        pairs = [(a, b) for a in sorted(side) for b in range(self.n) if b not in side]
        back = [] if self.params.one_way else [(b, a) for a, b in pairs]
        links = pairs + back
        self.network.cut(links, self.params.cut_mode)
        length = self.rng.randrange(1, self.params.cut_for_us)
        self.clock.after(length, self.network.mend, links)
        self._count("partition")

    def _crash_someone(self) -> None:
        if not self.healed:
            self.rng.choice(self._all()).crash()

    def _boot(self, node: Node) -> None:
        if node.up:
            return
        node.boot()
        others = [index for index in range(self.n) if index != node.index]
        self.network.reconnect([(node.index, other) for other in others])
        self.network.reconnect([(other, node.index) for other in others])

    # ------------------------------------------------- directory and network

    def _all(self) -> list[Node]:
        return [node for index in range(self.n) for node in self._nodes[index]]

    def instances(self, index: int) -> list[Node]:
        return self._nodes[index]

    def _deliver(self, source: int, target: int, message: Message) -> None:
        for node in self._nodes[target]:
            if node.up:
                node.receive(source, message)

    def _link_up(self, source: int, target: int) -> None:
        for node in self._nodes[source]:
            if node.up and any(peer.up for peer in self._nodes[target]):
                node.connected(target)

    # -------------------------------------------------------------- observer

    def voted(self, node: Node, signed: qbft_messages.Signed) -> None:
        payload = signed.payload
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
                monotonic=self.clock.now / 1e6,
            )
        )

    def reached(self, node: Node, effect: qbft_effects.Reached) -> None:
        self._count(effect.milestone)
        if effect.round:
            self._count(f"{effect.milestone} in a later round")
        kind = EventKind(effect.milestone)
        self._record(self._event(node, kind, effect.height, effect.round, effect.root))

    def decided(self, node: Node, height: Height, round_: Round, root: Root) -> None:
        self._count("decided")
        if node.name != _name(node.index):
            return
        if height > self.top and node in self.honest:
            self.top = height
            if self.healed and self._first_after_heal is None:
                self._first_after_heal = self.clock.now - self.params.chaos_us
        if node in self.honest:
            self._record(self._event(node, EventKind.DECIDED, height, round_, root))

    def signed(self, node: Node, height: Height, root: Root) -> None:
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

    def sealed(self, node: Node, effect: sealing_effects.Sealed, root: Root) -> None:
        self._count("sealed")
        if node not in self.honest:
            return
        assert ideal.verify_group(ideal.signing_root(root), effect.signature), "sealed by garbage"
        self._record(self._event(node, EventKind.SEALED, effect.height, None, root))
        self._signature_seen(node.name, effect.height, root, effect.signature)

    def refused(self, node: Node, reason: str) -> None:
        self._count(f"refused {reason}")

    def crashed(self, node: Node) -> None:
        self._count("crash")
        self._say(f"crash {node.name}")
        if not self.healed:
            self.clock.after(self.rng.randrange(1, self.params.down_us), self._boot, node)
        else:
            self.clock.after(1, self._boot, node)

    def _signature_seen(self, source: str, height: Height, root: Root, signature: bytes) -> None:
        self._record(
            GroupSignatureSeen(
                height=height,
                root=root.hex(),
                signature=signature.hex(),
                source=source,
                term=TERM,
                monotonic=self.clock.now / 1e6,
            )
        )

    def _event(
        self, node: Node, kind: EventKind, height: Height, round_: Round | None, root: Root | None
    ) -> Event:
        return Event(
            kind=kind,
            node=_name(node.index),
            height=height,
            round=round_,
            term=TERM,
            root=None if root is None else root.hex(),
            monotonic=self.clock.now / 1e6,
            wall=self.clock.now / 1e6,
        )

    def _record(self, record: Record) -> None:
        self._say(record)
        violations = [breach for checker in self._live for breach in checker.feed(record)]
        if violations:
            raise Breach(violations)

    def _say(self, what: Record | str) -> None:
        self.trace = zlib.crc32(repr((self.clock.now, what)).encode(), self.trace)
        if self.verbose:
            text = what if isinstance(what, str) else msgspec.json.encode(what).decode()
            print(f"{self.clock.now / 1e6:10.4f}  {text}")

    def _count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1


def run_seed(seed: int, n: int, *, verbose: bool = False) -> Outcome:
    """Play one seed; its outcome never depends on anything but its arguments."""
    return World(seed, n, verbose=verbose).run()


def _name(index: int) -> str:
    return f"op{index + 1}"


def _spoil_partial(message: Message) -> Message:
    if isinstance(message, sealing_messages.PartialSignature):
        spoilt = BLSSignature(message.signature[:-1] + b"\xff")
        return msgspec.structs.replace(message, signature=spoilt)
    return message
