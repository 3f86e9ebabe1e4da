"""One operator of a run: the real cores in a shell that mirrors the middleware's, and can die
anywhere.

The shell performs effects strictly in order; before each of them it may crash, which loses its
memory and what was not synced. Engine, rollup node and validator client are answers that come
later, or never. What leaves an operator is told to the world as records, for the checkers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final, Protocol, TypeAlias

import dst.qbft
import dst.sealing
from devnet.sim import blocks, ideal
from devnet.sim.blocks import Opinion
from devnet.sim.clock import Clock
from devnet.sim.disk import Disk
from devnet.sim.l1 import L1
from devnet.sim.network import Network
from devnet.sim.params import ROUND_TIMEOUT_CAP_MS, ROUND_TIMEOUT_MS, SLOT_US, Params
from dst.qbft import effects as qbft_effects
from dst.qbft import inputs as qbft_inputs
from dst.qbft import messages as qbft_messages
from dst.sealing import effects as sealing_effects
from dst.sealing import inputs as sealing_inputs
from dst.sealing import messages as sealing_messages
from dst.spec.primitives import Height, OperatorIndex, Root, Round, Term

CHAIN: Final = Root(b"chain of the simulator".ljust(32, b"\0"))
TERM: Final = Term(0)
HOLD_RETRY_US: Final = 100_000
HELP_INTERVAL_US: Final = 100_000
"""Rate limit of answers to one laggard, and of requests to one peer."""
CATCH_UP_BATCH: Final = 16
"""Certificates per answer to a request by range."""
FETCH_TIMEOUT_US: Final = 200_000
"""Wait for one holder of a block before the next is asked."""

Message: TypeAlias = qbft_messages.Message | sealing_messages.Message


@dataclass(frozen=True, slots=True)
class Help:
    """A certificate with its block, sent unasked or on request."""

    certificate: qbft_messages.Certificate
    block: bytes


class Observer(Protocol):
    """What the world is told of an operator's acts."""

    def voted(self, node: "Node", signed: qbft_messages.Signed) -> None: ...
    def reached(self, node: "Node", effect: qbft_effects.Reached) -> None: ...
    def decided(self, node: "Node", height: Height, round_: Round, root: Root) -> None: ...
    def signed(self, node: "Node", height: Height, root: Root) -> None: ...
    def sealed(self, node: "Node", effect: sealing_effects.Sealed, root: Root) -> None: ...
    def refused(self, node: "Node", reason: str) -> None: ...
    def crashed(self, node: "Node") -> None: ...


class Peers(Protocol):
    """Direct calls between shells (fetches), answered from the other's stores."""

    def instances(self, index: int) -> "list[Node]": ...


class Node:
    """`name` differs from `index` for a twin only: two instances of one operator."""

    def __init__(
        self,
        *,
        index: int,
        name: str,
        params: Params,
        clock: Clock,
        network: Network,
        rng: Random,
        l1: L1,
        observer: Observer,
        peers: Peers,
        tamper: Callable[[Message], Message] | None = None,
    ) -> None:
        self.index, self.name = OperatorIndex(index), name
        self.params, self.clock, self.network, self.rng, self.l1 = params, clock, network, rng, l1
        self._observer, self._peers, self._tamper = observer, peers, tamper
        self.disk = Disk()
        self.up = False
        self.boots = 0
        self.calm = False
        self.frozen_until = 0
        self.skew_us = rng.randrange(-params.skew_us, params.skew_us + 1)
        self.lag_us = rng.randrange(params.l1_lag_us + 1)
        self._builds = 0
        self._config = qbft_config(params.n, self.index)
        self._sealing_config = sealing_config(params.n, self.index)
        self._sign_partial = ideal.partial_signer(self.index)

    # ------------------------------------------------------------------ life

    def boot(self) -> None:
        """Start or restart from the disk."""
        self.up, self.boots = True, self.boots + 1
        self._answered: dict[tuple[str, int], int] = {}
        self._timers: dict[object, int] = {}
        self._known: dict[Root, bytes] = {}
        head = self.disk.head()
        records = self.disk.records()
        for record in records:
            if isinstance(record, dst.qbft.records.PrepareRecord):
                self._known[record.proposal.signed.payload.root] = record.proposal.block
        decided = dst.qbft.DecidedHead(height=head) if head else None
        self.qbft = dst.qbft.restore(self._config, decided, records)
        unsealed = {
            height: ideal.signing_root(record.certificate.root)
            for height, record in self.disk.decisions.items()
            if height not in self.disk.seals
        }
        self.sealing = dst.sealing.restore(
            self._sealing_config, head, unsealed, self.disk.sealing_records()
        )
        self._seal(sealing_inputs.Start())
        if self.up:
            self._feed(qbft_inputs.Start())
        for height in sorted(unsealed):
            self._ask_validator(height)
        self._schedule_due()

    def crash(self) -> None:
        if not self.up:
            return
        self.up = False
        self.disk.crash()
        self._observer.crashed(self)

    def later(self, delay_us: int, call: Callable[..., None], *arguments: object) -> None:
        """Call within this life only: a restart forgets what its former self waited for."""
        self.clock.after(delay_us, self._if_alive, self.boots, call, arguments)

    def _if_alive(self, boots: int, call: Callable[..., None], arguments: tuple[object]) -> None:
        if not self.up or self.boots != boots:
            return
        if self.clock.now < self.frozen_until:
            self.clock.after(
                self.frozen_until - self.clock.now, self._if_alive, boots, call, arguments
            )
            return
        call(*arguments)

    # ---------------------------------------------------------------- inputs

    def receive(self, source: int, message: Message | Help) -> None:
        """A message that arrived on the authenticated link of `source`."""
        self.later(0, self._receive, OperatorIndex(source), message)

    def _receive(self, peer: OperatorIndex, message: Message | Help) -> None:
        match message:
            case Help():
                self._feed(
                    qbft_inputs.CertificateReceived(
                        link_peer=peer, certificate=message.certificate, block=message.block
                    )
                )
            case sealing_messages.PartialSignature():
                self._seal(sealing_inputs.PartialReceived(link_peer=peer, message=message))
            case sealing_messages.GroupSignature():
                self._seal(sealing_inputs.GroupSignatureReceived(link_peer=peer, message=message))
            case sealing_messages.PartialRequest():
                self._seal(sealing_inputs.PartialRequested(link_peer=peer, message=message))
            case _:
                self._feed(qbft_inputs.MessageReceived(link_peer=peer, message=message))

    def connected(self, peer: int) -> None:
        """The link that this operator dials to `peer` came up (again)."""
        self.later(0, self._connected, OperatorIndex(peer))

    def _connected(self, peer: OperatorIndex) -> None:
        self._feed(qbft_inputs.PeerConnected(peer=peer))
        if self.up:
            self._seal(sealing_inputs.PeerConnected(peer=peer))

    def _feed(self, event: qbft_inputs.Input) -> None:
        if not self.up:
            return
        if self.params.freeze_rate and not self.calm and self._drawn(self.params.freeze_rate):
            self.frozen_until = self.clock.now + self.rng.randrange(2_000_000)
        transition = dst.qbft.step(self.qbft, event, self._config)
        self.qbft = transition.state
        crash_at = self._draw_crash(len(transition.effects))
        for position, effect in enumerate(transition.effects):
            if position == crash_at or not self.up:
                self._crash_at(effect)
                return
            self._perform(effect)
        if crash_at is not None:
            self.crash()

    def _seal(self, event: sealing_inputs.Input) -> None:
        if not self.up:
            return
        transition = dst.sealing.step(self.sealing, event, self._sealing_config)
        self.sealing = transition.state
        crash_at = self._draw_crash(len(transition.effects))
        for position, effect in enumerate(transition.effects):
            if position == crash_at or not self.up:
                self.crash()
                return
            self._perform_sealing(effect)
        if crash_at is not None:
            self.crash()

    def _draw_crash(self, effects: int) -> int | None:
        """Before which effect to crash (after all of them: `effects`); None: live on."""
        if not effects or self.calm or not self.params.crash_rate:
            return None
        return self.rng.randrange(effects + 1) if self._drawn(self.params.crash_rate) else None

    def _crash_at(self, effect: qbft_effects.Effect) -> None:
        """Half of the crashes before a Persist strike during it: written, never synced."""
        if self.up and isinstance(effect, qbft_effects.Persist) and self._drawn(0.5):
            self.disk.append(effect.record)
        self.crash()

    def _drawn(self, rate: float) -> bool:
        return self.rng.random() < rate

    # ------------------------------------------------------ effects of QBFT

    def _perform(self, effect: qbft_effects.Effect) -> None:
        match effect:
            case qbft_effects.Persist():
                self.disk.append(effect.record)
                self.disk.sync()
            case qbft_effects.Broadcast():
                self._observer.voted(self, effect.message.signed)
                for target in range(self.params.n):
                    if target != self.index:
                        self._send(target, effect.message)
            case qbft_effects.Send():
                self._observer.voted(self, effect.message.signed)
                self._send(effect.to, effect.message)
            case qbft_effects.SetTimer():
                self._set_timer(effect)
            case qbft_effects.RequestBlock():
                self._request_block(effect)
            case qbft_effects.ValidateBlock():
                self._known[effect.root] = effect.block
                self.later(self._engine_time(), self._validate, effect)
            case qbft_effects.FetchBlock():
                self._fetch_block(effect, list(effect.holders))
            case qbft_effects.FetchDecided():
                self._fetch_decided(effect)
            case qbft_effects.HelpLaggard():
                self._help(effect)
            case qbft_effects.Decided():
                self._decided(effect)
            case qbft_effects.Reached():
                self._observer.reached(self, effect)
            case qbft_effects.Refused():
                self._observer.refused(self, effect.reason)

    def _send(self, target: int, message: Message | Help) -> None:
        if self._tamper is not None and not isinstance(message, Help):
            message = self._tamper(message)
        self.network.send(self.index, target, message)

    def _set_timer(self, effect: qbft_effects.SetTimer) -> None:
        number = self._timers[effect.kind] = self._timers.get(effect.kind, 0) + 1
        self.later(effect.delay_ms * 1000, self._timer_ran_out, effect, number)

    def _timer_ran_out(self, effect: qbft_effects.SetTimer, number: int) -> None:
        if self._timers.get(effect.kind) != number:
            return
        height, round_ = effect.height, effect.round
        if effect.kind is qbft_effects.TimerKind.ROUND:
            self._feed(qbft_inputs.RoundExpired(height=height, round=round_))
        else:
            self._feed(qbft_inputs.RetransmitDue(height=height, round=round_))

    def _engine_time(self) -> int:
        most = 20_000 if self.calm else self.params.validate_us
        return self.rng.randrange(100, most + 1)

    def _engine_is_down(self) -> bool:
        return not self.calm and self._drawn(self.params.engine_fails)

    def _request_block(self, effect: qbft_effects.RequestBlock) -> None:
        if not self._engine_is_down():
            self.later(self._engine_time(), self._build, effect)

    def _build(self, effect: qbft_effects.RequestBlock) -> None:
        parent = self._parent_of(effect.height)
        if parent is None:
            return
        self._builds += 1
        salt = f"{self.name} {self.boots} {self._builds}".encode()
        block = blocks.build(parent, self.l1, self.slot_now(), self._l1_seen(), salt)
        root = blocks.root_of(block)
        self._known[root] = block
        self._feed(
            qbft_inputs.BlockBuilt(height=effect.height, round=effect.round, root=root, block=block)
        )

    def _validate(self, effect: qbft_effects.ValidateBlock) -> None:
        """Asked again while it answers HOLD, as long as the core is at this height and round."""
        parent = self._parent_of(effect.height)
        if parent is None or (self.qbft.height, self.qbft.round) != (effect.height, effect.round):
            return
        if self._engine_is_down():
            return
        opinion = self._opinion(parent, effect)
        if opinion is Opinion.HOLD:
            self.later(HOLD_RETRY_US, self._validate, effect)
            return
        self._feed(
            qbft_inputs.BlockValidated(
                height=effect.height,
                round=effect.round,
                root=effect.root,
                valid=opinion is Opinion.VALID,
            )
        )

    def _opinion(self, parent: bytes, effect: qbft_effects.ValidateBlock) -> Opinion:
        block = blocks.decode(effect.block)
        sound = blocks.check_deterministic(parent, block)
        if effect.justified or sound is not Opinion.VALID:
            return sound
        return blocks.check_view(parent, block, self.l1, self.slot_now(), self._l1_seen())

    def slot_now(self) -> int:
        return max(0, (self.clock.now + self.skew_us) // SLOT_US)

    def _l1_seen(self) -> int:
        return self.clock.now - (0 if self.calm else self.lag_us)

    def _parent_of(self, height: Height) -> bytes | None:
        if height == 1:
            return blocks.GENESIS_BYTES
        record = self.disk.decisions.get(Height(height - 1))
        return None if record is None else record.block

    # ---------------------------------------------------- fetch and catch-up

    def _fetch_block(self, effect: qbft_effects.FetchBlock, holders: list[OperatorIndex]) -> None:
        if effect.root in self._known:
            self.later(0, self._fetched, effect, self._known[effect.root])
            return
        if not holders or self.qbft.height != effect.height:
            return
        trip = self._round_trip(holders[0])
        block = self._peers_block(holders[0], effect.root) if trip is not None else None
        if block is None or trip is None:
            self.later(FETCH_TIMEOUT_US, self._fetch_block, effect, holders[1:])
        else:
            self.later(trip, self._fetched, effect, block)

    def _fetched(self, effect: qbft_effects.FetchBlock, block: bytes) -> None:
        self._known[effect.root] = block
        self._feed(qbft_inputs.BlockFetched(height=effect.height, root=effect.root, block=block))

    def _peers_block(self, peer: int, root: Root) -> bytes | None:
        held = (node.block_with(root) for node in self._peers.instances(peer) if node.up)
        return next((block for block in held if block is not None), None)

    def block_with(self, root: Root) -> bytes | None:
        """What this operator would answer to a fetch by root."""
        if root in self._known:
            return self._known[root]
        decided = (r for r in self.disk.decisions.values() if r.certificate.root == root)
        record = next(decided, None)
        return None if record is None else record.block

    def _round_trip(self, peer: int) -> int | None:
        there = self.network.delay(self.index, peer)
        back = self.network.delay(peer, self.index)
        return None if there is None or back is None else there + back

    def _fetch_decided(self, effect: qbft_effects.FetchDecided) -> None:
        trip = self._round_trip(effect.peer)
        if trip is None or not self._may_again("fetch", effect.peer):
            return
        for node in self._peers.instances(effect.peer):
            if not node.up:
                continue
            wanted = range(effect.from_height, effect.from_height + CATCH_UP_BATCH)
            for height in wanted:
                record = node.disk.decisions.get(Height(height))
                if record is not None:
                    answer = Help(record.certificate, record.block)
                    self.later(trip, self._receive, effect.peer, answer)

    def _help(self, effect: qbft_effects.HelpLaggard) -> None:
        record = self.disk.decisions.get(effect.height)
        if record is not None and self._may_again("help", effect.peer):
            self._send(effect.peer, Help(record.certificate, record.block))

    def _may_again(self, what: str, peer: int) -> bool:
        last = self._answered.get((what, peer))
        if last is not None and self.clock.now - last < HELP_INTERVAL_US:
            return False
        self._answered[what, peer] = self.clock.now
        return True

    # --------------------------------------------------- decided and sealed

    def _decided(self, effect: qbft_effects.Decided) -> None:
        certificate = effect.certificate
        self.disk.file_decision(
            dst.qbft.records.DecisionRecord(certificate=certificate, block=effect.block)
        )
        self._known = {}
        self._observer.decided(self, certificate.height, certificate.round, certificate.root)
        self._seal(
            sealing_inputs.BlockDecided(
                height=certificate.height, root=ideal.signing_root(certificate.root)
            )
        )
        if self.up:
            self._ask_validator(certificate.height)
            self._schedule_due()

    def _schedule_due(self) -> None:
        """The next height is due with the first slot after its parent's, by this own clock."""
        if not self.up:
            return
        height = Height(self.disk.head() + 1)
        parent = self._parent_of(height)
        assert parent is not None, "decisions are filed without holes"
        start = (blocks.decode(parent).slot + 1) * SLOT_US - self.skew_us
        self.later(start - self.clock.now, self._due, height)

    def _due(self, height: Height) -> None:
        if self.qbft.height == height:
            self._feed(qbft_inputs.HeightDue(height=height))

    def _ask_validator(self, height: Height) -> None:
        if self.disk.own_partial(height) is None and height not in self.disk.seals:
            most = 20_000 if self.calm else self.params.signing_us
            self.later(self.rng.randrange(100, most + 1), self._validator_signs, height)

    def _validator_signs(self, height: Height) -> None:
        """The validator client: one root per slot, ever; written before the signature leaves it."""
        record = self.disk.decisions[height]
        root = record.certificate.root
        slot = blocks.decode(record.block).slot
        if self.disk.signed.setdefault(slot, root) != root:
            return
        self._observer.signed(self, height, root)
        signing_root = ideal.signing_root(root)
        self._seal(
            sealing_inputs.OwnPartial(
                height=height, root=signing_root, signature=self._sign_partial(signing_root)
            )
        )

    def _perform_sealing(self, effect: sealing_effects.Effect) -> None:
        match effect:
            case sealing_effects.Persist():
                self.disk.append_sealing(effect.record)
            case sealing_effects.Broadcast():
                for target in range(self.params.n):
                    if target != self.index:
                        self._send(target, effect.message)
            case sealing_effects.Send():
                self._send(effect.to, effect.message)
            case sealing_effects.SendStored():
                record = self.disk.seal_of(effect.height)
                if record is not None:
                    self._send(effect.to, record.message)
            case sealing_effects.SetTimer():
                number = self._timers["sealing"] = self._timers.get("sealing", 0) + 1
                self.later(effect.delay_ms * 1000, self._retransmit_sealing, number)
            case sealing_effects.Sealed():
                root = self.disk.decisions[effect.height].certificate.root
                self._observer.sealed(self, effect, root)
            case sealing_effects.Refused():
                self._observer.refused(self, effect.reason)

    def _retransmit_sealing(self, number: int) -> None:
        if self._timers.get("sealing") == number:
            self._seal(sealing_inputs.RetransmitDue())


def qbft_config(n: int, index: int) -> dst.qbft.Config:
    """The core's constants and ideal signatures, for one operator."""
    return dst.qbft.Config(
        genesis_validators_root=CHAIN,
        term=TERM,
        n=n,
        self_index=OperatorIndex(index),
        round_timeout_ms=ROUND_TIMEOUT_MS,
        round_timeout_cap_ms=ROUND_TIMEOUT_CAP_MS,
        max_block_bytes=blocks.MAX_BLOCK_BYTES,
        sign=ideal.signer(OperatorIndex(index)),
        verify=ideal.verify,
        root_of=blocks.root_of,
    )


def sealing_config(n: int, index: int) -> dst.sealing.Config:
    return dst.sealing.Config(
        term=TERM,
        n=n,
        self_index=OperatorIndex(index),
        combine=ideal.combiner(n),
        verify_group=ideal.verify_group,
        verify_partial=ideal.verify_partial,
    )
