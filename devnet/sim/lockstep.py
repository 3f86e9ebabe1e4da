"""The guided explorer: one height, phase by phase, each phase reaching a chosen subset of victims.

Random chaos seldom aligns three phases; lock and justification bugs need it. Here a schedule draws,
for each round, who hears the proposal, the votes, the commits and the round-changes, who restarts
in between, and what an omniscient puppet (the Byzantine operators, n - q of them) says to whom:
votes for whatever a victim accepted, proposals with convenient, forged or no justification, claims
of locks that never were. It signs with its own keys only. Time does not exist; timers fire when
they were set and the schedule says so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, TypeVar

import msgspec

import dst.qbft
import dst.sealing
from devnet.checkers.agreement import LiveAgreement
from devnet.checkers.base import LiveChecker
from devnet.checkers.one_group_signature import LiveOneGroupSignature
from devnet.checkers.sign_once import LiveSignOnce
from devnet.model.history import Event, EventKind, GroupSignatureSeen, Record, VoteSeen
from devnet.model.verdict import Violation
from devnet.sim import blocks, ideal
from devnet.sim.chain import CHAIN, TERM, qbft_config, sealing_config
from devnet.sim.disk import Disk
from devnet.sim.story import Story, short, worded
from dst.qbft import effects, inputs
from dst.qbft.messages import (
    Certificate,
    Commit,
    CommitMessage,
    Message,
    Pass,
    Payload,
    Prepare,
    PrepareMessage,
    Proposal,
    ProposalMessage,
    RoundChange,
    RoundChangeMessage,
    SignedCommit,
    SignedPrepare,
    SignedProposal,
    SignedRoundChange,
    signing_digest,
)
from dst.sealing import effects as sealing_effects
from dst.sealing import inputs as sealing_inputs
from dst.sealing.messages import PartialSignature
from dst.spec.primitives import (
    Height,
    OperatorIndex,
    Root,
    Round,
    faults_tolerated,
    leader_of,
    quorum,
)

HEIGHT: Final = Height(1)
ROUNDS: Final = 5
CARRIED: Final = 80
"""Late messages remembered; older ones are lost."""

T = TypeVar("T")


class Actor:
    """An honest operator at height 1: the real core, a disk, an outbox. Answers are immediate."""

    def __init__(self, index: int, n: int, stage: "Stage", name: str = "") -> None:
        """`name` differs from `index` for a twin only, whose blocks differ with it."""
        self.index, self.name = OperatorIndex(index), name or str(index)
        self.config = qbft_config(n, index)
        self.disk = Disk()
        self.stage = stage
        self.builds = 0
        self.outbox: list[tuple[int | None, Message]] = []
        self.timed: Round | None = None
        self.decided: Root | None = None
        self.certificate: Certificate | None = None
        self.state = dst.qbft.restore(self.config, None, ())
        self.feed(inputs.Start())

    @property
    def label(self) -> str:
        """For a reader: `op1`; the other one of twins is `op1'`."""
        return f"op{self.index + 1}" + ("" if self.name == str(self.index) else "'")

    def restart(self) -> None:
        """Lose the memory (not the disk), and say again what the disk remembers."""
        self.disk.crash()
        self.timed = None
        self.state = dst.qbft.restore(self.config, None, self.disk.records())
        self.feed(inputs.Start())
        self.feed(inputs.HeightDue(height=HEIGHT))

    def hear(self, source: int, message: Message) -> None:
        if self.decided is None:
            self.stage.heard(self, source, message)
            peer = OperatorIndex(source)
            self.feed(inputs.MessageReceived(link_peer=peer, message=message))

    def time_out(self) -> None:
        """The round timer, if it was set for this round; the paper's timers never fire unset."""
        if self.decided is None and self.timed == self.state.round:
            self.feed(inputs.RoundExpired(height=HEIGHT, round=self.state.round))

    def feed(self, event: inputs.Input) -> None:
        if self.decided is not None:
            return
        transition = dst.qbft.step(self.state, event, self.config)
        self.state = transition.state
        for effect in transition.effects:
            self._perform(effect)

    def _perform(self, effect: effects.Effect) -> None:
        match effect:
            case effects.Persist():
                self.disk.append(effect.record)
                self.disk.sync()
            case effects.Broadcast():
                self.stage.voted(self, effect.message)
                self.outbox.append((None, effect.message))
            case effects.Send():
                self.outbox.append((effect.to, effect.message))
            case effects.SetTimer(kind=effects.TimerKind.ROUND):
                self.timed = effect.round
            case effects.RequestBlock():
                self._build(effect)
            case effects.ValidateBlock():
                self._validate(effect)
            case effects.FetchBlock():
                block = self.stage.fetch(effect)
                if block is not None:
                    self.feed(inputs.BlockFetched(height=HEIGHT, root=effect.root, block=block))
            case effects.Decided():
                self.decided = effect.certificate.root
                self.certificate = effect.certificate
                self.stage.decided(self, effect)
            case effects.Reached(milestone=effects.Milestone.PREPARED) if effect.root is not None:
                self.stage.prepared(self, effect.root)
            case _:
                pass

    def seal(self, root: Root) -> None:
        """Hand the decision to the real sealing core, and the share signature over it."""
        config = sealing_config(self.config.n, self.index)
        signing_root = ideal.signing_root(root)
        signature = ideal.partial_signer(self.index)(signing_root)
        state = dst.sealing.restore(config, Height(0), {}, ())
        for event in (
            sealing_inputs.Start(),
            sealing_inputs.BlockDecided(height=HEIGHT, root=signing_root),
            sealing_inputs.OwnPartial(height=HEIGHT, root=signing_root, signature=signature),
        ):
            transition = dst.sealing.step(state, event, config)
            state = transition.state
            for effect in transition.effects:
                self._perform_sealing(effect, root)

    def _perform_sealing(self, effect: sealing_effects.Effect, root: Root) -> None:
        match effect:
            case sealing_effects.Persist():
                self.disk.append_sealing(effect.record)
            case sealing_effects.Broadcast(message=PartialSignature()):
                self.stage.share_released(self, root)
            case _:
                pass

    def _build(self, effect: effects.RequestBlock) -> None:
        self.builds += 1
        root, block = self.stage.fresh_block(f"{self.name} {self.builds}")
        self.feed(inputs.BlockBuilt(height=HEIGHT, round=effect.round, root=root, block=block))

    def _validate(self, effect: effects.ValidateBlock) -> None:
        self.feed(
            inputs.BlockValidated(height=HEIGHT, round=effect.round, root=effect.root, valid=True)
        )


@dataclass
class Puppet:
    """One Byzantine operator: signs anything as itself."""

    index: OperatorIndex

    def _sign(self, payload: Payload) -> bytes:
        return ideal.signer(self.index)(signing_digest(CHAIN, payload))

    def proposal(
        self,
        round_: Round,
        root: Root,
        block: bytes,
        round_changes: Sequence[RoundChangeMessage],
        prepares: tuple[SignedPrepare, ...],
    ) -> ProposalMessage:
        payload = Proposal(term=TERM, height=HEIGHT, round=round_, root=root)
        signed = SignedProposal(payload=payload, sender=self.index, signature=self._sign(payload))
        return ProposalMessage(
            signed=signed,
            block=block,
            round_changes=tuple(each.signed for each in round_changes),
            prepares=prepares,
        )

    def signed_prepare(self, round_: Round, root: Root) -> SignedPrepare:
        payload = Prepare(term=TERM, height=HEIGHT, round=round_, root=root)
        return SignedPrepare(payload=payload, sender=self.index, signature=self._sign(payload))

    def prepare(self, round_: Round, root: Root) -> PrepareMessage:
        return PrepareMessage(signed=self.signed_prepare(round_, root))

    def commit(self, round_: Round, root: Root) -> CommitMessage:
        payload = Commit(term=TERM, height=HEIGHT, round=round_, root=root)
        signed = SignedCommit(payload=payload, sender=self.index, signature=self._sign(payload))
        return CommitMessage(signed=signed)

    def round_change(
        self,
        round_: Round,
        lock: tuple[Round, Root] | None = None,
        prepares: tuple[SignedPrepare, ...] = (),
    ) -> RoundChangeMessage:
        prepared_round, prepared_root = (None, None) if lock is None else lock
        payload = RoundChange(
            term=TERM,
            height=HEIGHT,
            round=round_,
            prepared_round=prepared_round,
            prepared_root=prepared_root,
        )
        signed = SignedRoundChange(
            payload=payload, sender=self.index, signature=self._sign(payload)
        )
        return RoundChangeMessage(signed=signed, prepares=prepares)


@dataclass
class Stage:
    """The honest operators of one schedule, their puppet opponents, and what is known of the play.

    violations: what the checkers found. share_at_prepared: a *bug* of the play, not of the core:
    each operator releases its partial signature with its COMMIT, over a digest without the round.
    withholding: a block is had from an honest operator that is asked and holds it, or not at all;
    else somebody always gives it.
    """

    n: int
    byzantine: tuple[int, ...]
    share_at_prepared: bool = False
    withholding: bool = False
    blocks: dict[Root, bytes] = field(default_factory=dict)
    story: Story | None = None
    violations: list[Violation] = field(default_factory=list)
    moment: int = 0

    def __post_init__(self) -> None:
        forgiven = frozenset(f"op{index + 1}" for index in self.byzantine)
        self._live: list[LiveChecker] = [
            LiveAgreement(),
            LiveOneGroupSignature(),
            LiveSignOnce(forgiven),
        ]
        self._shares: dict[Root, set[int]] = {}
        self.puppets = [Puppet(OperatorIndex(index)) for index in self.byzantine]
        honest = [index for index in range(self.n) if index not in self.byzantine]
        self.actors = {index: Actor(index, self.n, self) for index in honest}

    def fresh_block(self, salt: str) -> tuple[Root, bytes]:
        block = blocks.encode(
            blocks.Block(HEIGHT, 1, blocks.root_of(blocks.GENESIS_BYTES), 0, 0, salt.encode())
        )
        root = blocks.root_of(block)
        self.blocks[root] = block
        return root, block

    def fetch(self, effect: effects.FetchBlock) -> bytes | None:
        if not effect.holders:
            return None
        if not self.withholding:
            return self.blocks.get(effect.root)
        asked = (self.actors[each] for each in effect.holders if each in self.actors)
        served = (each.disk.promised_block(effect.root) for each in asked)
        return next((block for block in served if block is not None), None)

    # ------------------------------------------------------------ observation

    def tell(self, text: str) -> None:
        """For a reader."""
        if self.story is not None:
            self.story.tell(self._when(), text)

    def heard(self, actor: Actor, source: int, message: Message) -> None:
        if self.story is not None:
            who = f"op{source + 1}" + (", a liar" if source in self.byzantine else "")
            self.story.tell_of(self._when(), f"@ heard {worded(message)} from {who}", actor.label)

    def _when(self) -> str:
        return f"{self.moment:4}"

    def voted(self, actor: Actor, message: Message) -> None:
        payload = message.signed.payload
        if self.story is not None:
            self.story.tell_of(self._when(), f"@ said {worded(message)}", actor.label)
        if isinstance(payload, RoundChange | Pass) or message.signed.sender != actor.index:
            return
        self._record(
            VoteSeen(
                node=f"op{actor.index + 1}",
                step=type(payload).__name__.lower(),
                term=TERM,
                height=HEIGHT,
                round=payload.round,
                root=payload.root.hex(),
                monotonic=self.moment,
            )
        )

    def prepared(self, actor: Actor, root: Root) -> None:
        if self.share_at_prepared:
            self.share_released(actor, root)

    def decided(self, actor: Actor, effect: effects.Decided) -> None:
        root = effect.certificate.root
        self._record(self._event(actor, EventKind.DECIDED, root))
        self.tell(f"{actor.label} decided block {short(root)}")
        if not self.share_at_prepared:
            actor.seal(root)

    def share_released(self, actor: Actor, root: Root) -> None:
        """The adversary adds its own shares: a threshold of them is a group signature."""
        self._record(self._event(actor, EventKind.SIGNED, root))
        holders = self._shares.setdefault(root, set(self.byzantine))
        holders.add(actor.index)
        if len(holders) >= quorum(self.n):
            signing_root = ideal.signing_root(root)
            partials = {
                OperatorIndex(i): ideal.partial_signer(OperatorIndex(i))(signing_root)
                for i in holders
            }
            self._record(
                GroupSignatureSeen(
                    height=HEIGHT,
                    root=root.hex(),
                    signature=ideal.combiner(self.n)(partials).hex(),
                    source="adversary",
                    monotonic=self.moment,
                )
            )

    def _event(self, actor: Actor, kind: EventKind, root: Root) -> Event:
        return Event(
            kind=kind,
            node=f"op{actor.index + 1}",
            height=HEIGHT,
            root=root.hex(),
            monotonic=self.moment,
            wall=self.moment,
        )

    def _record(self, record: Record) -> None:
        self.moment += 1
        for checker in self._live:
            self.violations += checker.feed(record)

    @property
    def group_signed(self) -> set[Root]:
        """Roots on which a threshold of shares is out."""
        return {root for root, holders in self._shares.items() if len(holders) >= quorum(self.n)}

    # --------------------------------------------------------------- delivery

    def collect(self) -> Iterator[tuple[int, int | None, Message]]:
        """Empty the outboxes: (source, addressee or None for all, message)."""
        for index, actor in self.actors.items():
            sent, actor.outbox = actor.outbox, []
            for target, message in sent:
                yield index, target, message


def seeded(seed: int, n: int) -> tuple[Random, Random]:
    """What the schedule of a seed draws from; what links do apart."""
    return Random(f"lockstep {seed} {n}"), Random(f"links {seed} {n}")


class Schedule:
    """Draws and plays one schedule. `seed` alone decides it, or other `draws` than the seed's.
    liars: f, unless as a control."""

    def __init__(
        self,
        seed: int,
        n: int = 4,
        rounds: int = ROUNDS,
        *,
        liars: int | None = None,
        draws: tuple[Random, Random] | None = None,
        story: Story | None = None,
    ) -> None:
        self.rng, self.links = draws or seeded(seed, n)
        self.rounds = rounds
        count = faults_tolerated(n) if liars is None else liars
        byzantine = sorted(self.rng.sample(range(n), count))
        self.stage = Stage(n, tuple(byzantine), story=story)
        self.honest = sorted(self.stage.actors)
        self.restart_rate = self.rng.choice((0.0, 0.0, 0.2))
        self.loss_rate = self.links.choice((0.0, 0.0, 0.3))
        self._late: list[tuple[int, int, Message]] = []
        self._proposed: list[Root] = []
        self._claims: dict[tuple[Round, int], RoundChangeMessage] = {}
        self._votes: dict[tuple[Round, Root], dict[int, SignedPrepare]] = {}

    def play(self) -> list[Violation]:
        for actor in self.stage.actors.values():
            actor.feed(inputs.HeightDue(height=HEIGHT))
        for number in range(self.rounds):
            self._play_round(Round(number))
            if self.stage.violations:
                break
        return self.stage.violations

    def _play_round(self, round_: Round) -> None:
        leader = leader_of(HEIGHT, round_, self.stage.n)
        if leader in self.stage.byzantine:
            self._puppet_proposes(self._puppet(leader), round_)
        self._maybe_lose_links()
        self._spread(ProposalMessage, self._victims(0.7))
        self._maybe_restart()
        self._maybe_lose_links()
        if leader in self.stage.byzantine and self.restart_rate:
            self._puppet_proposes(self._puppet(leader), round_)
        if self.rng.random() < 0.3 and self.stage.puppets:
            self._puppet_forges(round_)
        self._phase_of_votes(round_)
        self._maybe_restart()
        self._phase_of_commits(round_)
        self._deliver_some_late()
        self._change_round(round_)

    # ------------------------------------------------------------------ phases

    def _phase_of_votes(self, round_: Round) -> None:
        victims = self._victims()
        self._spread(PrepareMessage, victims)
        for index in victims:
            accepted = self._accepted(index, round_)
            if accepted is not None:
                for puppet in self.stage.puppets:
                    self._give(index, puppet.index, puppet.prepare(round_, accepted))

    def _phase_of_commits(self, round_: Round) -> None:
        """Often a single victim decides: the most dangerous state for every later round."""
        victims = {self.rng.choice(self.honest)} if self.rng.random() < 0.4 else self._victims()
        committed = self._committed(round_)
        self._spread(CommitMessage, victims)
        for index in sorted(victims):
            for root in committed:
                for puppet in self.stage.puppets:
                    self._give(index, puppet.index, puppet.commit(round_, root))

    def _change_round(self, round_: Round) -> None:
        """Everybody undecided gives up; the next round hears a chosen subset of the claims."""
        asked = Round(round_ + 1)
        for index in self.honest:
            self._let_arm(index, round_)
            self.stage.actors[index].time_out()
        self._note_claims()
        for puppet in self.stage.puppets:
            claim = self._puppet_claims(puppet, asked)
            self._claims[claim.signed.payload.round, puppet.index] = claim
            for index in sorted(self._victims(0.8)):
                self._give(index, puppet.index, claim)
        self._spread(RoundChangeMessage, self._victims(0.8))

    def _let_arm(self, index: int, round_: Round) -> None:
        """A round's timer runs once a quorum is known to be there; mostly, let that be known."""
        actor = self.stage.actors[index]
        if round_ == 0 or actor.timed == actor.state.round or self.rng.random() < 0.2:
            return
        for (asked, source), claim in sorted(self._claims.items(), key=lambda item: item[0]):
            if asked >= actor.state.round and source != index:
                self._give(index, source, claim)

    def _deliver_some_late(self) -> None:
        kept = []
        for index, source, message in self._late:
            if self.rng.random() < 0.15:
                self._give(index, source, message)
            else:
                kept.append((index, source, message))
        self._late = kept[-CARRIED:]

    def _maybe_restart(self) -> None:
        for index in self.honest:
            actor = self.stage.actors[index]
            if actor.decided is None and self.rng.random() < self.restart_rate:
                self.stage.tell(f"op{index + 1} restarts")
                actor.restart()

    def _maybe_lose_links(self) -> None:
        """Some no longer hear the leader of their round, or hear it again."""
        for index in self.honest:
            if self.links.random() < self.loss_rate:
                actor = self.stage.actors[index]
                leader = leader_of(HEIGHT, actor.state.round, self.stage.n)
                if leader != index:
                    what = self.links.choice((inputs.PeerLost, inputs.PeerHeard))
                    self.stage.tell(f"op{index + 1} is told {what.__name__} of op{leader + 1}")
                    actor.feed(what(peer=leader))

    # ---------------------------------------------------------------- delivery

    def _victims(self, rate: float = 0.5) -> set[int]:
        """All, none, one, all but one, or a random part of the honest operators."""
        style = self.rng.randrange(7)
        one = self.rng.choice(self.honest)
        if style < 2:
            return set(self.honest)
        if style == 2:
            return set()
        if style == 3:
            return {one}
        if style == 4:
            return set(self.honest) - {one}
        return {index for index in self.honest if self.rng.random() < rate}

    def _spread(self, kind: type[Message], victims: set[int]) -> None:
        """Deliver the waiting messages of one kind to the victims; the others may get them late."""
        self._late += [
            (index, source, message)
            for source, target, message in self.stage.collect()
            for index in self.honest
            if index != source and target in (None, index)
        ]
        now = [item for item in self._late if isinstance(item[2], kind) and item[0] in victims]
        self._late = [item for item in self._late if item not in now]
        for index, source, message in now:
            self._give(index, source, message)

    def _give(self, index: int, source: int, message: Message) -> None:
        payload = message.signed.payload
        if isinstance(message, PrepareMessage) and isinstance(payload, Prepare):
            votes = self._votes.setdefault((payload.round, payload.root), {})
            votes[message.signed.sender] = message.signed
        self.stage.actors[index].hear(source, message)

    # ------------------------------------------------------------------ puppet

    def _puppet(self, index: OperatorIndex) -> Puppet:
        return next(puppet for puppet in self.stage.puppets if puppet.index == index)

    def _puppet_proposes(self, puppet: Puppet, round_: Round) -> None:
        """One or two blocks, new or known, to parts of the honest operators."""
        self._note_claims()
        roots = [self._puppet_block(puppet, round_), self._puppet_block(puppet, round_)]
        split = self.rng.random() < 0.5
        claims = self._convenient_claims(puppet, round_)
        for index in self.honest:
            if self.rng.random() < 0.15:
                continue
            root = self.rng.choice(roots) if split else roots[0]
            self._give(index, puppet.index, self._puppet_proposal(puppet, round_, root, claims))

    def _puppet_block(self, puppet: Puppet, round_: Round) -> Root:
        known = self._proposed[-3:]
        if known and self.rng.random() < 0.4:
            return self.rng.choice(known)
        root, _ = self.stage.fresh_block(f"puppet {puppet.index} {round_} {self.rng.randrange(2)}")
        self._proposed.append(root)
        return root

    def _convenient_claims(self, puppet: Puppet, round_: Round) -> list[RoundChangeMessage]:
        """A quorum with as few and as old locks as can be found, or all there is, or nothing."""
        if round_ == 0 or self.rng.random() < 0.15:
            return []
        mine = {
            (asked, who): claim for (asked, who), claim in self._claims.items() if asked == round_
        }
        for other in self.stage.puppets:
            if self.rng.random() < 0.5:
                mine[round_, other.index] = other.round_change(round_)
        ordered = sorted(
            mine.values(),
            key=lambda each: (_lock_round(each), each.signed.sender),
        )
        if self.rng.random() < 0.7:
            return ordered[: quorum(self.stage.n)]
        return ordered

    def _puppet_proposal(
        self, puppet: Puppet, round_: Round, root: Root, claims: list[RoundChangeMessage]
    ) -> ProposalMessage:
        """Mostly what the claims force, with its proof; sometimes something else."""
        forced = max(claims, key=_lock_round, default=None)
        prepares: tuple[SignedPrepare, ...] = ()
        if forced is not None and _lock_round(forced) >= 0 and self.rng.random() < 0.8:
            assert forced.signed.payload.prepared_root is not None, (
                "lock round and root go together"
            )
            root, prepares = forced.signed.payload.prepared_root, forced.prepares
        return puppet.proposal(round_, root, self.stage.blocks[root], claims, prepares)

    def _puppet_claims(self, puppet: Puppet, round_: Round) -> RoundChangeMessage:
        """No lock, a copied lock, or a lock that never was (no proof, or too small a proof)."""
        style = self.rng.randrange(7)
        known = sorted(self._proposed) or [self.stage.fresh_block("puppet spare")[0]]
        root = self.rng.choice(known)
        if style < 2:
            return puppet.round_change(round_, (Round(round_ - 1), root))
        if style == 2:
            older = Round(self.rng.randrange(round_))
            proof = tuple(each.signed_prepare(older, root) for each in self.stage.puppets)
            return puppet.round_change(round_, (older, root), proof)
        if style == 3:
            locks = [claim for claim in self._claims.values() if _lock_round(claim) >= 0]
            honest = [claim for claim in locks if _lock_round(claim) < round_]
            if honest:
                copied = self.rng.choice(honest)
                payload = copied.signed.payload
                assert payload.prepared_round is not None, "filtered for locks"
                assert payload.prepared_root is not None, "filtered for locks"
                lock = (payload.prepared_round, payload.prepared_root)
                return puppet.round_change(round_, lock, copied.prepares)
        if style == 4:
            return puppet.round_change(Round(round_ + self.rng.choice((1, 2, 4000))))
        return puppet.round_change(round_)

    def _puppet_forges(self, round_: Round) -> None:
        """A certificate, and votes in the names of others (members or not), for a block of its own.

        It has its own signature only, and puts it under every name.
        """
        puppet = self.rng.choice(self.stage.puppets)
        root = self._puppet_block(puppet, round_)
        victim = self.stage.actors[self.rng.choice(self.honest)]
        own = puppet.commit(round_, root).signed
        names = [OperatorIndex(each) for each in range(self.stage.n + 1)]
        votes = [msgspec.structs.replace(own, sender=name) for name in names]
        if self.rng.random() < 0.5:
            for vote in votes:
                victim.hear(puppet.index, CommitMessage(signed=vote))
            return
        repeated = [own] * quorum(self.stage.n)
        commits = tuple(self.rng.choice((votes[: quorum(self.stage.n)], repeated, [own])))
        certificate = Certificate(
            term=TERM, height=HEIGHT, round=round_, root=root, commits=commits
        )
        victim.feed(
            inputs.CertificateReceived(
                link_peer=puppet.index, certificate=certificate, block=self.stage.blocks[root]
            )
        )

    # ---------------------------------------------------------------- omniscience

    def _note_claims(self) -> None:
        """The puppet reads every round-change, delivered or not."""
        for actor in self.stage.actors.values():
            for _, message in actor.outbox:
                self._note(message)
        for _, _, message in self._late:
            self._note(message)

    def _note(self, message: Message) -> None:
        if isinstance(message, RoundChangeMessage):
            self._claims[message.signed.payload.round, message.signed.sender] = message
        if (
            isinstance(message, ProposalMessage)
            and message.signed.payload.root not in self._proposed
        ):
            self._proposed.append(message.signed.payload.root)

    def _accepted(self, index: int, round_: Round) -> Root | None:
        state = self.stage.actors[index].state
        if state.round != round_ or state.accepted is None:
            return None
        return state.accepted.signed.payload.root

    def _committed(self, round_: Round) -> list[Root]:
        """Roots that an honest operator commits in this round."""
        roots = {
            message.signed.payload.root
            for actor in self.stage.actors.values()
            for _, message in actor.outbox
            if isinstance(message, CommitMessage) and message.signed.payload.round == round_
        }
        return sorted(roots)


def _lock_round(claim: RoundChangeMessage) -> int:
    prepared = claim.signed.payload.prepared_round
    return -1 if prepared is None else prepared


def told(violations: Sequence[Violation]) -> str:
    """Each once; empty for none."""
    return "; ".join(dict.fromkeys(f"{each.checker}: {each.summary}" for each in violations))


def explore(seeds: Sequence[int], n: int = 4) -> tuple[int, list[Violation]] | None:
    """The first seed whose schedule breaks an invariant, with what broke; None when none does."""
    for seed in seeds:
        violations = Schedule(seed, n).play()
        if violations:
            return seed, violations
    return None
