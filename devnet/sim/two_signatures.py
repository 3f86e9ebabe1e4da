"""The schedule that made two group signatures at one height, against these cores.

Four operators, one Byzantine; every honest step is legal QBFT. Were partial signatures released
with COMMIT over a digest without the round, shares of different rounds would add up: A collects
them in rounds 0 and 2, B in rounds 1 and 3, and the Byzantine operator completes both. Signing
after the decision makes it harmless (ADR 3). `play(share_at_prepared=True)` is the design not
taken: it shows that the schedule still bites.
"""

from typing import Final

from devnet.sim.lockstep import HEIGHT, Actor, Puppet, Stage
from dst.qbft import inputs
from dst.qbft.messages import (
    CommitMessage,
    Message,
    PrepareMessage,
    ProposalMessage,
    RoundChangeMessage,
)
from dst.spec.primitives import OperatorIndex, Root, Round

ALICE: Final = OperatorIndex(1)
"""Leads round 0 of height 1."""
BYZANTINE: Final = OperatorIndex(2)
"""Leads round 1."""
CAROL: Final = OperatorIndex(3)
"""Leads round 2."""
DAVE: Final = OperatorIndex(0)
"""Leads round 3."""


class Director:
    """Decides who hears what: nothing is delivered unless it says so."""

    def __init__(self, *, share_at_prepared: bool) -> None:
        self.stage = Stage(4, (BYZANTINE,), share_at_prepared=share_at_prepared)
        self.puppet: Puppet = self.stage.puppets[0]
        self.said: list[tuple[int, Message]] = []

    def actor(self, index: OperatorIndex) -> Actor:
        return self.stage.actors[index]

    def listen(self) -> None:
        self.said += [(source, message) for source, _, message in self.stage.collect()]

    def message(self, kind: type[Message], source: OperatorIndex, round_: Round) -> Message:
        """What `source` said of that kind in that round.

        Raises: AssertionError when it did not say it: the schedule no longer fits the core.
        """
        self.listen()
        for who, message in self.said:
            fits = isinstance(message, kind) and message.signed.payload.round == round_
            if who == source and fits:
                return message
        raise AssertionError(f"op{source + 1} said no {kind.__name__} in round {round_}")

    def tell(self, kind: type[Message], source: OperatorIndex, round_: Round, *to: int) -> None:
        message = self.message(kind, source, round_)
        for index in to:
            self.stage.actors[index].hear(source, message)

    def whisper(self, message: Message, *to: int) -> None:
        """Something the Byzantine operator signed."""
        for index in to:
            self.stage.actors[index].hear(BYZANTINE, message)

    def claim(self, source: OperatorIndex, round_: Round) -> RoundChangeMessage:
        message = self.message(RoundChangeMessage, source, round_)
        assert isinstance(message, RoundChangeMessage), "asked for that kind"
        return message

    def without_the_lock(self, round_: Round) -> ProposalMessage:
        """The puppet's, of a new block: justified by Carol and Dave, who hold no lock."""
        claims = [
            self.claim(DAVE, round_),
            self.puppet.round_change(round_),
            self.claim(CAROL, round_),
        ]
        root, block = self.stage.fresh_block("byzantine")
        return self.puppet.proposal(round_, root, block, claims, ())

    def time_out(self, round_: Round) -> None:
        """Every honest operator gives up `round_`."""
        for actor in self.stage.actors.values():
            assert actor.state.round == round_, f"op{actor.index + 1} is not in round {round_}"
            actor.time_out()
            assert actor.state.round == round_ + 1, f"op{actor.index + 1}'s timer did not run"


def play(*, share_at_prepared: bool) -> Stage:
    """Play the four rounds, then deliver everything until the height is decided."""
    director = Director(share_at_prepared=share_at_prepared)
    for actor in director.stage.actors.values():
        actor.feed(inputs.HeightDue(height=HEIGHT))
    first = _round_0(director)
    _round_1(director)
    _round_2(director, first)
    _round_3(director)
    _deliver_everything(director)
    return director.stage


def _round_0(director: Director) -> Root:
    """A reaches Alice and Dave; Alice alone sees the prepare quorum."""
    round_ = Round(0)
    root = root_of(director.message(ProposalMessage, ALICE, round_))
    director.tell(ProposalMessage, ALICE, round_, DAVE)
    director.tell(PrepareMessage, DAVE, round_, ALICE)
    director.whisper(director.puppet.prepare(round_, root), ALICE)
    assert _locked(director.actor(ALICE)) == (round_, root)
    director.time_out(round_)
    return root


def _round_1(director: Director) -> None:
    """The Byzantine leader leaves Alice's lock out and proposes B; Dave alone sees the quorum."""
    round_, proposal = Round(1), director.without_the_lock(Round(1))
    root = root_of(proposal)
    director.whisper(proposal, ALICE, DAVE)
    director.tell(PrepareMessage, ALICE, round_, DAVE)
    director.whisper(director.puppet.prepare(round_, root), DAVE)
    assert _locked(director.actor(DAVE)) == (round_, root)
    director.tell(RoundChangeMessage, DAVE, round_, CAROL)
    director.whisper(director.puppet.round_change(round_), CAROL)
    director.time_out(round_)


def _round_2(director: Director, first: Root) -> None:
    """Carol has not heard Dave: A is the highest lock she knows. She alone sees its quorum."""
    round_ = Round(2)
    director.tell(RoundChangeMessage, ALICE, round_, CAROL, DAVE)
    director.whisper(director.puppet.round_change(round_), CAROL, DAVE)
    assert root_of(director.message(ProposalMessage, CAROL, round_)) == first
    director.tell(ProposalMessage, CAROL, round_, ALICE)
    director.tell(PrepareMessage, ALICE, round_, CAROL)
    director.whisper(director.puppet.prepare(round_, first), CAROL)
    assert _locked(director.actor(CAROL)) == (round_, first)
    director.time_out(round_)


def _round_3(director: Director) -> None:
    """Dave has not heard Carol: B is the highest lock he knows. Carol, though locked on A, must
    accept it: it is justified."""
    round_ = Round(3)
    director.tell(RoundChangeMessage, ALICE, round_, DAVE)
    director.whisper(director.puppet.round_change(round_), DAVE)
    proposal = director.message(ProposalMessage, DAVE, round_)
    director.tell(ProposalMessage, DAVE, round_, CAROL)
    director.tell(PrepareMessage, DAVE, round_, CAROL)
    director.whisper(director.puppet.prepare(round_, root_of(proposal)), CAROL)
    assert _locked(director.actor(CAROL)) == (round_, root_of(proposal))


def _deliver_everything(director: Director) -> None:
    """The network heals: all that was ever said arrives everywhere, and what it provokes too."""
    delivered = 0
    director.listen()
    while delivered < len(director.said):
        source, message = director.said[delivered]
        for index, actor in director.stage.actors.items():
            if index != source:
                actor.hear(source, message)
        delivered += 1
        director.listen()


def root_of(message: Message) -> Root:
    assert isinstance(message, ProposalMessage | PrepareMessage | CommitMessage), "has a root"
    return message.signed.payload.root


def _locked(actor: Actor) -> tuple[Round, Root] | None:
    lock = actor.state.lock
    return None if lock is None else (lock.round, lock.root)
