"""Directed scenes of the pure cores: the cheapest setting in which one missing rule shows. Each
takes a seed and returns what broke, None when nothing did.

Schedules of the explorer with one more trick or with a heal, and plays written word by word.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import dst.sealing
from devnet.checkers.recovery import NAME as RECOVERY
from devnet.model.verdict import Violation
from devnet.sim import ideal, two_signatures
from devnet.sim.chain import TERM, sealing_config
from devnet.sim.lockstep import HEIGHT, Actor, Puppet, Schedule
from devnet.sim.two_signatures import ALICE, CAROL, DAVE, Director, root_of
from dst.qbft import inputs
from dst.qbft import messages as qbft
from dst.qbft.records import DecisionRecord
from dst.sealing import inputs as sealing_inputs
from dst.sealing.effects import Effect, Sealed
from dst.sealing.messages import GroupSignature, PartialSignature
from dst.spec.primitives import BLSSignature, Height, OperatorIndex, Root, Round, leader_of

# ------------------------------------------------------------------- one height, phase by phase


def told(violations: Sequence[Violation]) -> str | None:
    return f"{violations[0].checker}: {violations[0].summary}" if violations else None


def lockstep(seed: int, n: int = 4) -> str | None:
    return told(Schedule(seed, n).play())


TIMERS_AFTER_HEAL: Final = 4
"""Times that all running timers may fire before everybody has decided: one brings them into one
round, f have a liar for a leader, and one is to spare."""


def healed_lockstep(seed: int) -> str | None:
    return heal(Schedule(seed))


def heal(schedule: Schedule) -> str | None:
    """Play it, and then give it a perfect network in which the liars are silent: everybody decides
    within a few timers."""
    if broken := schedule.play():
        return told(broken)
    actors = schedule.stage.actors
    for fired in range(TIMERS_AFTER_HEAL + 1):
        for actor in actors.values():
            actor.feed(inputs.RetransmitDue(height=HEIGHT, round=actor.state.round))
        _let_all_hear(schedule)
        if broken := schedule.stage.violations:
            return told(broken)
        if all(actor.decided is not None for actor in actors.values()):
            return None
        if fired < TIMERS_AFTER_HEAL:
            for actor in actors.values():
                actor.time_out()
    rounds = {f"op{index + 1}": actor.state.round for index, actor in actors.items()}
    return f"{RECOVERY}: not decided {TIMERS_AFTER_HEAL} timers after the heal; rounds {rounds}"


def _let_all_hear(schedule: Schedule) -> None:
    """Until nobody has anything new to say; whoever has decided shows the certificate."""
    actors = schedule.stage.actors
    for decided in [found for actor in actors.values() for found in _decisions_of(actor)]:
        shown = inputs.CertificateReceived(
            link_peer=OperatorIndex(0), certificate=decided.certificate, block=decided.block
        )
        for actor in actors.values():
            actor.feed(shown)
    while said := list(schedule.stage.collect()):
        for source, target, message in said:
            for index, actor in actors.items():
                if index != source and target in (None, index):
                    actor.hear(source, message)


def _decisions_of(actor: Actor) -> list[DecisionRecord]:
    return [each for each in actor.disk.records() if isinstance(each, DecisionRecord)]


class _Contrary(Schedule):
    """Before the others' COMMITs the liars' arrive, for a block that nobody prepared."""

    def _phase_of_commits(self, round_: Round) -> None:
        root, _ = self.stage.fresh_block(f"contrary {round_}")
        for index in self.honest:
            for puppet in self.stage.puppets:
                if self.rng.random() < 0.5:
                    self._give(index, puppet.index, puppet.commit(round_, root))
        super()._phase_of_commits(round_)


def contrary_commits(seed: int) -> str | None:
    return told(_Contrary(seed).play())


class YoungLocks(Schedule):
    """One operator falls behind. The liars show it genuine locks that are no older than the round
    which they ask for with them, and lead such rounds with them.

    taken: how often it counted such a claim.
    """

    def __init__(self, seed: int, n: int = 4) -> None:
        super().__init__(seed, n)
        self.taken = 0
        self._behind = self.rng.choice(self.honest)

    def _victims(self, rate: float = 0.5) -> set[int]:
        return super()._victims(rate) - {self._behind}

    def _let_arm(self, index: int, round_: Round) -> None:
        if index != self._behind:
            super()._let_arm(index, round_)

    def _change_round(self, round_: Round) -> None:
        super()._change_round(round_)
        for claim in sorted(self._claims.values(), key=_prepared_round)[-1:]:
            for puppet in self.stage.puppets:
                self._show(puppet, claim)

    def _show(self, puppet: Puppet, newest: qbft.RoundChangeMessage) -> None:
        actor, lock = self.stage.actors[self._behind], newest.signed.payload
        asked = Round(max(1, actor.state.round) + self.rng.randrange(2))
        if lock.prepared_round is None or lock.prepared_root is None or asked > lock.prepared_round:
            return
        held = (lock.prepared_round, lock.prepared_root)
        claim = puppet.round_change(asked, held, newest.prepares)
        self._claims[asked, puppet.index] = claim
        self._give(self._behind, puppet.index, claim)
        self.taken += claim in actor.state.round_changes.get(puppet.index, ())
        if leader_of(HEIGHT, asked, self.stage.n) == puppet.index:
            self._puppet_proposes(puppet, asked)


def _prepared_round(claim: qbft.RoundChangeMessage) -> int:
    prepared = claim.signed.payload.prepared_round
    return -1 if prepared is None else prepared


# ----------------------------------------------------------------------- directed, word by word


def two_signatures_played(_: int) -> str | None:
    """The four rounds in which shares of different rounds would add up."""
    return told(two_signatures.play(share_at_prepared=False).violations)


def two_locks(_: int) -> str | None:
    """Alice is locked on A of round 0, Dave on B of round 1, which Carol has decided. Then Dave
    leads, and has both claims before him."""
    director = Director(share_at_prepared=False)
    for actor in director.stage.actors.values():
        actor.feed(inputs.HeightDue(height=HEIGHT))
    _lock_alice(director)
    _let_carol_decide(director)
    for round_ in (Round(1), Round(2)):
        for index in (ALICE, DAVE):
            director.actor(index).time_out()
        director.tell(qbft.RoundChangeMessage, ALICE, Round(round_ + 1), DAVE)
        director.tell(qbft.RoundChangeMessage, DAVE, Round(round_ + 1), ALICE)
        director.whisper(director.puppet.round_change(Round(round_ + 1)), ALICE, DAVE)
    _let_dave_lead(director)
    return told(director.stage.violations)


def _lock_alice(director: Director) -> None:
    round_ = Round(0)
    proposal = director.message(qbft.ProposalMessage, ALICE, round_)
    director.tell(qbft.ProposalMessage, ALICE, round_, DAVE)
    director.tell(qbft.PrepareMessage, DAVE, round_, ALICE)
    director.whisper(director.puppet.prepare(round_, root_of(proposal)), ALICE)
    director.time_out(round_)


def _let_carol_decide(director: Director) -> None:
    """The Byzantine leader leaves Alice's lock out."""
    round_, proposal = Round(1), director.without_the_lock(Round(1))
    root = root_of(proposal)
    director.whisper(proposal, ALICE, CAROL, DAVE)
    director.tell(qbft.PrepareMessage, ALICE, round_, CAROL, DAVE)
    director.tell(qbft.PrepareMessage, CAROL, round_, DAVE)
    director.tell(qbft.PrepareMessage, DAVE, round_, CAROL)
    director.tell(qbft.CommitMessage, DAVE, round_, CAROL)
    director.whisper(director.puppet.commit(round_, root), CAROL)
    assert director.actor(CAROL).decided == root


def _let_dave_lead(director: Director) -> None:
    round_ = Round(3)
    root = root_of(director.message(qbft.ProposalMessage, DAVE, round_))
    director.tell(qbft.ProposalMessage, DAVE, round_, ALICE)
    director.tell(qbft.PrepareMessage, ALICE, round_, DAVE)
    director.tell(qbft.PrepareMessage, DAVE, round_, ALICE)
    director.whisper(director.puppet.prepare(round_, root), ALICE, DAVE)
    director.whisper(director.puppet.commit(round_, root), ALICE, DAVE)
    director.tell(qbft.CommitMessage, DAVE, round_, ALICE)
    assert director.actor(ALICE).decided == root


# ------------------------------------------------------------------------------------ sealing


def bad_seals(seed: int) -> str | None:
    """One peer's group signatures that do not verify cost the pairing of one."""
    liar, verified = OperatorIndex(seed % 3 + 1), 0

    def verify(root: Root, signature: BLSSignature) -> bool:
        nonlocal verified
        verified += 1
        return ideal.verify_group(root, signature)

    signatures = (BLSSignature(number.to_bytes(96, "big")) for number in range(256))
    _seal(
        replace(sealing_config(4, 0), verify_group=verify),
        [
            sealing_inputs.GroupSignatureReceived(
                link_peer=liar,
                message=GroupSignature(term=TERM, height=HEIGHT, root=SIGNED, signature=signature),
            )
            for signature in signatures
        ],
    )
    if verified <= 1:
        return None
    return f"S17 isolation of harm: {verified} pairings for what op{liar + 1} sent"


def bad_partial(seed: int) -> str | None:
    """One of four partial signatures does not verify; the other three seal the block."""
    me, liar = OperatorIndex(3), OperatorIndex(seed % 3)
    events: list[sealing_inputs.Input] = [
        _partial(peer, HEIGHT, spoilt=peer == liar) for peer in range(3)
    ]
    effects = _seal(sealing_config(4, me), [*events, _own_partial(me, HEIGHT)])
    if any(isinstance(each, Sealed) for each in effects):
        return None
    return f"{RECOVERY}: a partial signature of op{liar + 1} keeps the block unsealed"


def bad_partials(seed: int) -> str | None:
    """One peer's partial signatures that do not verify spoil one combination, although his are
    the first at every height."""
    me, liar, heights, combined = OperatorIndex(0), seed % 3 + 1, range(1, 33), 0
    config = sealing_config(4, me)

    def combine(partials: Mapping[OperatorIndex, BLSSignature]) -> BLSSignature:
        nonlocal combined
        combined += 1
        return config.combine(partials)

    events: list[sealing_inputs.Input] = []
    for height in map(Height, heights):
        others = (_partial(peer, height) for peer in range(1, 4) if peer != liar)
        events += [
            sealing_inputs.BlockDecided(height=height, root=SIGNED),
            _partial(liar, height, spoilt=True),
            *others,
            _own_partial(me, height),
        ]
    effects = _seal(replace(config, combine=combine), events)
    if (sealed := sum(isinstance(each, Sealed) for each in effects)) < len(heights):
        return f"{RECOVERY}: {sealed} of {len(heights)} blocks are sealed beside op{liar + 1}"
    if (spoilt := combined - sealed) <= 1:
        return None
    return f"S17 isolation of harm: {spoilt} combinations that op{liar + 1} spoilt"


def _partial(peer: int, height: Height, *, spoilt: bool = False) -> sealing_inputs.PartialReceived:
    operator = OperatorIndex(peer)
    signed = ideal.partial_signer(operator)(SIGNED)
    message = PartialSignature(
        term=TERM,
        height=height,
        root=SIGNED,
        operator=operator,
        signature=BLSSignature(signed[:-1] + b"\xff") if spoilt else signed,
    )
    return sealing_inputs.PartialReceived(link_peer=operator, message=message)


def _own_partial(me: OperatorIndex, height: Height) -> sealing_inputs.OwnPartial:
    signature = ideal.partial_signer(me)(SIGNED)
    return sealing_inputs.OwnPartial(height=height, root=SIGNED, signature=signature)


SIGNED: Final = ideal.signing_root(Root(bytes(32)))


def _seal(config: dst.sealing.Config, events: Iterable[sealing_inputs.Input]) -> list[Effect]:
    """What comes of `events` at the height that was just decided."""
    state = dst.sealing.restore(config, Height(0), {}, ())
    effects: list[Effect] = []
    decided = sealing_inputs.BlockDecided(height=HEIGHT, root=SIGNED)
    for event in (sealing_inputs.Start(), decided, *events):
        transition = dst.sealing.step(state, event, config)
        state = transition.state
        effects += transition.effects
    return effects
