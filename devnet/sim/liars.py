"""Byzantine operators: the shipped shells with somebody at the wire who changes what they say.

Those that need nothing of this world are in `devnet.byzantine.strategies`, and lie on a running
network, too. Liars do not stop at the heal.
"""

from collections.abc import Callable
from hashlib import sha256
from random import Random
from typing import Final, Protocol, TypeVar, cast

from msgspec import Struct
from msgspec.structs import replace

from devnet.byzantine import liar, strategies
from devnet.byzantine.liar import height_of, place_of
from devnet.sim import blocks, ideal
from devnet.sim.chain import CHAIN, TERM
from devnet.sim.mutation import Memory, Mutator, Resign
from devnet.sim.params import Behaviour
from dst.middleware.wire_messages import (
    WireMessage,
)
from dst.qbft.messages import (
    Commit,
    CommitMessage,
    Prepare,
    PrepareMessage,
    Proposal,
    ProposalMessage,
    RoundChangeMessage,
    Signed,
    SignedCommit,
    SignedPrepare,
    SignedProposal,
    SignedRoundChange,
    signing_digest,
)
from dst.sealing.messages import PartialSignature
from dst.spec.primitives import (
    Height,
    OperatorIndex,
    Root,
    Round,
    leader_of,
)

LIE_RATE: Final = 0.3
"""Of a fuzzer's messages, by kind and place."""
S = TypeVar("S", bound=Signed)


class Hands(liar.Hands, Protocol):
    """What a liar can do here beside that."""

    def strike(self, index: int) -> None:
        """Power-cut an operator, which restarts with its disk intact (before the heal only)."""

    def hang_up(self, target: int) -> None:
        """Close both connections with `target`; they are dialled anew soon."""


class Liar(Protocol):
    """`say` to `target` instead of `message` (nothing, or several); `hears` what arrives."""

    def say(self, target: int, message: WireMessage) -> tuple[WireMessage, ...]: ...
    def hears(self, message: WireMessage) -> None: ...


class Honest(liar.Honest):
    """The base: says what he is told to say."""

    hands: Hands

    def __init__(self, index: int, n: int, rng: Random, hands: Hands) -> None:
        super().__init__(index, n, rng, hands)


class Selective(Honest):
    """Speaks to some only, drawn anew for each kind of message and height."""

    def __init__(self, index: int, n: int, rng: Random, hands: Hands) -> None:
        super().__init__(index, n, rng, hands)
        self._told: dict[object, frozenset[int]] = {}

    def say(self, target: int, message: WireMessage) -> tuple[WireMessage, ...]:
        about = type(message).__name__, height_of(message)
        if about not in self._told:
            count = self.rng.randrange(self.n)
            self._told[about] = frozenset(self.rng.sample(range(self.n), count))
        return (message,) if target in self._told[about] else ()


class Striker(strategies.Hoarder):
    """A hoarder who cuts the power of those who prepared, when they have left the round of the
    block, which is what they might forget it by."""

    hands: Hands

    def __init__(self, index: int, n: int, rng: Random, hands: Hands) -> None:
        super().__init__(index, n, rng, hands)
        self._struck: set[tuple[Height, OperatorIndex]] = set()

    def _left_round(self, signed: SignedRoundChange) -> None:
        height = signed.payload.height
        voted = {each.sender for each in self._lock.get(height, ())}
        if signed.sender in voted and (height, signed.sender) not in self._struck:
            self._struck.add((height, signed.sender))
            self.hands.strike(signed.sender)


class Repeater(Honest):
    """As soon as a block is as good as decided, he leads the next height with it once more, or with
    a sibling of it, while the others' rollup nodes still import it and stand below.

    One such liar had a block decided at two heights, where a rollup node was not told for which
    height it judges: SQLite refuses the second, and with it every start.
    """

    def __init__(self, index: int, n: int, rng: Random, hands: Hands) -> None:
        super().__init__(index, n, rng, hands)
        self._proposals: dict[Root, ProposalMessage] = {}
        self._lies: dict[Height, tuple[WireMessage, ...]] = {}

    def hears(self, message: WireMessage) -> None:
        if isinstance(message, ProposalMessage):
            self._proposals[message.signed.payload.root] = message

    def say(self, target: int, message: WireMessage) -> tuple[WireMessage, ...]:
        self.hears(message)
        if not isinstance(
            message, ProposalMessage | PrepareMessage | CommitMessage | RoundChangeMessage
        ):
            return (message,)
        place = message.signed.payload
        if place.round == 0 and place.height in self._lies:
            return ()
        if not isinstance(message, CommitMessage):
            return (message,)
        return (message, *self._again(Height(place.height + 1), message.signed.payload.root))

    def _again(self, height: Height, root: Root) -> tuple[WireMessage, ...]:
        if leader_of(height, Round(0), self.n) != self.index or root not in self._proposals:
            return ()
        if height not in self._lies:
            self._lies[height] = self._words(height, self._proposals[root].block)
        return self._lies[height]

    def _words(self, height: Height, block: bytes) -> tuple[WireMessage, ...]:
        if self.rng.random() < 0.5:
            below = blocks.decode(block)
            block = blocks.encode(replace(below, slot=below.slot + 1, salt=b"sibling"))
        place = TERM, height, Round(0), blocks.root_of(block)
        return (
            ProposalMessage(SignedProposal(*self._vote(Proposal(*place))), block, (), ()),
            PrepareMessage(SignedPrepare(*self._vote(Prepare(*place)))),
            CommitMessage(SignedCommit(*self._vote(Commit(*place)))),
        )


class Fuzzer(Honest):
    """Changes one thing in a message, as its schema allows, and signs it with its own keys.

    Drawn for a kind of message and its place (term, height, round): whether at all, for whom, and
    what. So the same lie is told to the same peers each time, and the others hear the truth.
    """

    def __init__(self, index: int, n: int, rng: Random, hands: Hands) -> None:
        super().__init__(index, n, rng, hands)
        self._memory = Memory()
        self._mutator = Mutator(rng, self._memory, looking_right(self.index, rng))
        self._lied_to: dict[object, frozenset[int]] = {}
        self._words: dict[WireMessage, tuple[WireMessage, ...]] = {}

    def hears(self, message: WireMessage) -> None:
        self._memory.keep(message)

    def say(self, target: int, message: WireMessage) -> tuple[WireMessage, ...]:
        self._memory.keep(message)
        if target not in self._told_a_lie(message):
            return (message,)
        if message not in self._words:
            self._words[message] = self._lie(message)
        return self._words[message]

    def _told_a_lie(self, message: WireMessage) -> frozenset[int]:
        place = type(message), place_of(message) or int(self.hands.now())
        if place not in self._lied_to:
            count = self.rng.randrange(1, self.n) if self.rng.random() < LIE_RATE else 0
            self._lied_to[place] = frozenset(self.rng.sample(range(self.n), count))
        return self._lied_to[place]

    def _lie(self, message: WireMessage) -> tuple[WireMessage, ...]:
        match self.rng.randrange(10):
            case 0:
                return ()
            case 1:
                return (message,) * 20
            case 2:
                return (message, self._changed(message))
            case 3:
                return (self._changed(self._changed(message)),)
            case _:
                return (self._changed(message),)

    def _changed(self, message: WireMessage) -> WireMessage:
        return cast(WireMessage, self._mutator.changed(message)[0])


def looking_right(index: OperatorIndex, rng: Random) -> Resign:
    """Mostly: what is signed is what is said, by `index`, whoever it was before; and the root is
    that of the block."""

    def signed(vote: S) -> S:
        signature = ideal.signer(index)(signing_digest(CHAIN, vote.payload))
        return replace(vote, sender=index, signature=signature)

    def resign(changed: Struct, field: str) -> Struct:
        if rng.random() < 0.1:
            return changed
        match changed:
            case SignedProposal() | SignedPrepare() | SignedCommit() | SignedRoundChange():
                return signed(changed) if field == "payload" else changed
            case PartialSignature(root=root) if field == "root":
                return replace(changed, signature=ideal.partial_signer(index)(root))
            case ProposalMessage(signed=proposal, block=block) if field == "block":
                payload = replace(proposal.payload, root=sha256(block).digest())
                return replace(changed, signed=signed(replace(proposal, payload=payload)))
            case _:
                return changed

    return resign


class Closer(Honest):
    """Closes his connections: with some in each round that he leads, before they have his proposal
    (the others get it and wait for their votes), and now and then with anybody."""

    def __init__(self, index: int, n: int, rng: Random, hands: Hands) -> None:
        super().__init__(index, n, rng, hands)
        self._left_out: dict[tuple[Height, Round], frozenset[int]] = {}

    def say(self, target: int, message: WireMessage) -> tuple[WireMessage, ...]:
        match message:
            case ProposalMessage():
                payload = message.signed.payload
                place = payload.height, payload.round
                if place not in self._left_out:
                    others = [each for each in range(self.n) if each != self.index]
                    some = self.rng.sample(others, self.rng.randint(1, len(others)))
                    self._left_out[place] = frozenset(some)
                if target not in self._left_out[place]:
                    return (message,)
                self.hands.hang_up(target)
                return ()
            case _ if self.rng.random() < 0.02:
                self.hands.hang_up(target)
                return ()
            case _:
                return (message,)


LIARS: Final[dict[Behaviour, Callable[[int, int, Random, Hands], Liar]]] = {
    Behaviour.BAD_PARTIAL: strategies.BadPartials,
    Behaviour.SELECTIVE: Selective,
    Behaviour.WITHHOLDING: strategies.Withholding,
    Behaviour.FALSE_ANSWERS: strategies.FalseAnswers,
    Behaviour.HOARDER: Striker,
    Behaviour.FUZZER: Fuzzer,
    Behaviour.CLOSER: Closer,
    Behaviour.FLOODER: strategies.Flooder,
    Behaviour.REPEATER: Repeater,
    Behaviour.PASSER: strategies.Passer,
}
