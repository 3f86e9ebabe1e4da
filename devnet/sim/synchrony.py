"""After the heal: everybody hears everybody, the liars do not stop, and the height must end.

*Bound.* Let R be the highest round that an honest operator is in when the network heals. Then every
honest operator has decided in round R + f + 1 or earlier:

1. Nobody honest enters a round above R alone. A justified proposal of it shows f + 1 honest
   round-changes, the skip follows f + 1 operators, so that the first to enter came by its timer,
   and a timer of round r runs only where a quorum, f + 1 honest ones among it, is known at r. They
   all repeat their round-changes, and f + 1 of those take every other along. So when all that is
   said has been heard, all are in one round before anybody leaves it.
2. Rounds R + 1 to R + f + 1 have f + 1 leaders in a row, one of whom is honest.
3. That one has round-changes of all q honest operators, or has proposed already. Its highest lock
   was prepared by f + 1 honest operators, who hold the block and are asked for it; otherwise it
   passes the claim over, or builds. All q accept, prepare and commit.

Liars cannot hold that up: what they add is one round-change, one vote each, and claims that are
proven or refused.
"""

from collections.abc import Callable
from random import Random
from typing import Final, cast, get_args

from devnet.model.verdict import Violation
from devnet.sim import lockstep
from devnet.sim.liars import looking_right
from devnet.sim.lockstep import HEIGHT, Actor, Puppet, Schedule, Stage
from devnet.sim.mutation import Memory, Mutator
from devnet.sim.story import Story
from devnet.sim.tape import Digits
from dst.middleware.wire_messages import decode_message, encode_message
from dst.qbft import inputs
from dst.qbft.messages import (
    Message,
    PassMessage,
    PrepareMessage,
    SignedPrepare,
)
from dst.spec.errors import InvalidInput
from dst.spec.primitives import OperatorIndex, Root, Round, faults_tolerated, leader_of, quorum

NAME: Final = "L13 rounds after the heal"
MOST_ROUNDS: Final = 4
"""Of trouble before the heal."""
LONGEST_TALK: Final = 100
"""Exchanges in one round: a handful, with all that liars put in between."""
MEDDLE_RATE: Final = 0.3
"""Of what is said, how often a liar gets a word in before it is heard."""
SAID: Final = tuple(each for each in get_args(Message) if each is not PassMessage)
"""Nobody leaves here."""


def rounds_owed(n: int) -> int:
    """Above the highest honest round at the heal, all honest operators have decided by then."""
    return faults_tolerated(n) + 1


class Synchrony:
    """Plays a stage to its end. `meddle` is the liars' word in between; `honest` are owed the
    decision (beside them, a twin plays on without a claim)."""

    def __init__(
        self,
        stage: Stage,
        honest: list[int],
        rng: Random,
        meddle: Callable[[], None] = lambda: None,
    ) -> None:
        self.stage, self.honest, self.rng, self.meddle = stage, honest, rng, meddle
        self.highest = max(self._actor(each).state.round for each in honest)
        self.rounds = 0
        """That it took, above `highest`."""

    def play(self) -> list[Violation]:
        self._heal()
        if self.rng.random() < 0.5:
            self._time_out_some()
        for _ in range(self.stage.n * (rounds_owed(self.stage.n) + 2)):  # one timer at a time
            self._speak_again()
            is_quiet = self._settle()
            if self.stage.violations or all(self._actor(each).decided for each in self.honest):
                return self.stage.violations
            self.rounds = max(self._actor(each).state.round for each in self.honest) - self.highest
            if self.rounds > rounds_owed(self.stage.n) or not is_quiet or not self._time_out_some():
                break
        return [*self.stage.violations, self._stuck()]

    def _heal(self) -> None:
        """What was under way is lost, and said again. Now and then the power was cut, too."""
        for _ in self.stage.collect():
            pass
        cut = self.rng.random() < 0.5
        self.stage.tell("everybody hears everybody" + (", and restarts" if cut else ""))
        for actor in self.stage.actors.values():
            if cut and actor.decided is None:
                actor.restart()
            for peer in range(self.stage.n):
                if peer != actor.index:
                    actor.feed(inputs.PeerHeard(peer=OperatorIndex(peer)))

    def _speak_again(self) -> None:
        for actor in self.stage.actors.values():
            actor.feed(inputs.RetransmitDue(height=HEIGHT, round=actor.state.round))

    def _settle(self) -> bool:
        """Until nothing new is said (False: they never stop). Who has decided shows the certificate
        to who has not."""
        for _ in range(LONGEST_TALK):
            self.meddle()
            said = list(self.stage.collect())
            self.rng.shuffle(said)
            for source, target, message in said:
                if self.rng.random() < MEDDLE_RATE:
                    self.meddle()
                for key, actor in self.stage.actors.items():
                    if key != source and target in (None, actor.index):
                        actor.hear(self._actor(source).index, message)
            if not said and not self._share_decisions():
                return True
        return False

    def _share_decisions(self) -> bool:
        holders = [self._actor(each) for each in self.honest if self._actor(each).decided]
        waiting = [each for each in self.stage.actors.values() if each.decided is None]
        if not holders or not waiting:
            return False
        for actor in waiting:
            certificate = holders[0].certificate
            assert certificate is not None, "kept with the decision"
            actor.feed(
                inputs.CertificateReceived(
                    link_peer=holders[0].index,
                    certificate=certificate,
                    block=self.stage.blocks[certificate.root],
                )
            )
        return True

    def _time_out_some(self) -> bool:
        """Of the timers that run, those of the lowest round are the first to end; not all at
        once. False: none runs, and nothing will ever be said again."""
        running = {
            key: actor.state.round
            for key, actor in self.stage.actors.items()
            if actor.decided is None and actor.timed == actor.state.round
        }
        if not any(key in self.honest for key in running):
            return False
        lowest = min(running.values())
        due = [key for key in running if running[key] == lowest]
        for key in self.rng.sample(due, self.rng.randint(1, len(due))):
            self._actor(key).time_out()
        return True

    def _actor(self, key: int) -> Actor:
        return self.stage.actors[key]

    def _stuck(self) -> Violation:
        places = {
            f"op{each + 1}": (actor.state.round, actor.timed)
            for each in self.honest
            if (actor := self._actor(each)).decided is None
        }
        summary = f"undecided {self.rounds} rounds after round {self.highest} of the heal, "
        summary += f"{rounds_owed(self.stage.n)} are owed: (round, timed) {places}"
        return Violation(checker=NAME, summary=summary, height=HEIGHT)


def seeded(seed: int, n: int) -> tuple[Random, Random, Random]:
    """As for a schedule; and what says how many rounds of trouble there are, which seeds share out
    in turn."""
    return *lockstep.seeded(seed, n), Digits(seed)


class HealedSchedule(Schedule):
    """A schedule of trouble that may have left any lock anywhere; then the heal, and the puppet
    plays on with all that it has learnt. What it has prepared it gives to nobody."""

    def __init__(
        self,
        seed: int,
        n: int = 4,
        *,
        draws: tuple[Random, Random, Random] | None = None,
        story: Story | None = None,
    ) -> None:
        *others, turn = draws or seeded(seed, n)
        rounds = 1 + turn.randrange(MOST_ROUNDS)
        super().__init__(seed, n, rounds, draws=(others[0], others[1]), story=story)
        self.stage.withholding = True
        self.hoards = self.rng.random() < 0.5
        self._memory = Memory()
        self.synchrony: Synchrony | None = None

    def play(self) -> list[Violation]:
        if super().play():
            return self.stage.violations
        self.synchrony = Synchrony(self.stage, self.honest, self.rng, self._meddle)
        return self.synchrony.play()

    def _note(self, message: Message) -> None:
        """Also the votes that nobody heard."""
        super()._note(message)
        self._memory.keep(message)
        if isinstance(message, PrepareMessage):
            payload = message.signed.payload
            votes = self._votes.setdefault((payload.round, payload.root), {})
            votes[message.signed.sender] = message.signed

    def _phase_of_votes(self, round_: Round) -> None:
        if self.stage.puppets and self.rng.random() < 0.5:
            self._note_claims()
            self._say_something_like_it(self.rng.choice(self.stage.puppets))
        super()._phase_of_votes(round_)

    def _say_something_like_it(self, puppet: Puppet) -> None:
        """What somebody said, changed in one place and under the puppet's own signature."""
        kind = self.rng.choice(SAID)
        known = self._memory.other_than(None, kind, self.rng)
        if known is None:
            return
        assert isinstance(known, Message), "kept by its type"
        resign = looking_right(puppet.index, self.rng)
        changed, _ = Mutator(self.rng, self._memory, resign).changed(known)
        try:
            message = decode_message(encode_message(cast(Message, changed)))
        except InvalidInput:
            return
        assert isinstance(message, Message), "a struct stays one"
        for index in sorted(self._victims()):
            self.stage.actors[index].hear(puppet.index, message)

    def _phase_of_commits(self, round_: Round) -> None:
        """Mostly lost: what was decided before the heal leaves little to do after it."""
        if self.rng.random() < 0.2:
            super()._phase_of_commits(round_)

    def _meddle(self) -> None:
        """One word to some: a proposal, votes for what each has accepted, a claim, a forgery."""
        if not self.stage.puppets:
            return
        puppet = self.rng.choice(self.stage.puppets)
        if self.hoards and self._claim_hoarded(puppet):
            return
        at = self.stage.actors[self.rng.choice(self.honest)].state.round
        match self.rng.randrange(6):
            case 0:
                leads = [each for each in self._rounds_of(puppet.index) if each >= at]
                self._puppet_proposes(puppet, leads[0])
            case 1:
                for index in sorted(self._victims()):
                    root = self._accepted(index, at)
                    if root is not None:
                        self._give(index, puppet.index, puppet.prepare(at, root))
            case 2:
                for index in sorted(self._victims()):
                    for root in self._committed(at):
                        self._give(index, puppet.index, puppet.commit(at, root))
            case 3:
                self._note_claims()
                claim = self._puppet_claims(puppet, Round(at + 1))
                self._claims[claim.signed.payload.round, puppet.index] = claim
                for index in sorted(self._victims(0.8)):
                    self._give(index, puppet.index, claim)
            case 4:
                self._puppet_forges(at)
            case 5:
                self._say_something_like_it(puppet)

    def _claim_hoarded(self, puppet: Puppet) -> bool:
        """Before anybody else speaks in a round: the lock that nobody else need know of."""
        self._note_claims()
        found = self.hoarded_lock()
        if found is None:
            return False
        lock, proof = found
        for index in self.honest:
            at = self.stage.actors[index].state.round
            for asked in (at, at + 1):
                if asked > lock[0]:
                    claim = puppet.round_change(Round(asked), lock, proof)
                    self._give(index, puppet.index, claim)
        return True

    def hoarded_lock(self) -> tuple[tuple[Round, Root], tuple[SignedPrepare, ...]] | None:
        """The highest of which a prepare quorum was ever signed, the puppets' votes with it."""
        for (round_, root), votes in sorted(self._votes.items(), reverse=True):
            proof = dict(votes)
            for each in self.stage.puppets:
                proof[each.index] = each.signed_prepare(round_, root)
            if len(proof) >= quorum(self.stage.n):
                kept = tuple(proof[each] for each in sorted(proof))[: quorum(self.stage.n)]
                return (round_, root), kept
        return None

    def _rounds_of(self, index: OperatorIndex) -> list[Round]:
        rounds = range(self.rounds + 2 * self.stage.n + 2)
        return [
            Round(each) for each in rounds if leader_of(HEIGHT, Round(each), self.stage.n) == index
        ]


def explore(seeds: range, n: int = 4) -> tuple[int, list[Violation]] | None:
    """The first seed that breaks an invariant or the bound; None when none does."""
    for seed in seeds:
        violations = HealedSchedule(seed, n).play()
        if violations:
            return seed, violations
    return None
