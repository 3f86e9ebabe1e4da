"""Byzantine operators: the shipped shells with somebody at the wire who changes what they say.

A liar runs the honest code, hears what an operator hears and holds its keys, so that he gets as
deep into the protocol as anybody; his `Lie` decides what each peer is told. Liars do not stop at
the heal.
"""

from collections import deque
from collections.abc import Callable
from hashlib import sha256
from random import Random
from typing import Final, Protocol, TypeVar, cast

from msgspec import Struct
from msgspec.structs import replace

from devnet.sim import blocks, ideal
from devnet.sim.chain import CHAIN, TERM
from devnet.sim.mutation import Memory, Mutator, Resign
from devnet.sim.params import Behaviour
from dst.middleware.inbox import MAX_PER_PEER
from dst.middleware.wire_messages import (
    BlockReply,
    DecidedBlocks,
    DecidedItem,
    GetBlock,
    GetDecided,
    Status,
    WireMessage,
)
from dst.qbft.messages import (
    Commit,
    CommitMessage,
    Payload,
    Prepare,
    PrepareMessage,
    Proposal,
    ProposalMessage,
    RoundChange,
    RoundChangeMessage,
    Signed,
    SignedCommit,
    SignedPrepare,
    SignedProposal,
    SignedRoundChange,
    signing_digest,
)
from dst.sealing.messages import GroupSignature, PartialRequest, PartialSignature
from dst.spec.primitives import (
    BLSSignature,
    Height,
    OperatorIndex,
    Root,
    Round,
    leader_of,
    quorum,
)

SAY_AGAIN_S: Final = 0.02
LIE_RATE: Final = 0.3
"""Of a fuzzer's messages, by kind and place."""
FLOOD: Final = 4 * MAX_PER_PEER
"""Messages at once: more than a peer's share of an inbox."""
FLOOD_EVERY_S: Final = 1.0
FAR: Final = 1_000_000
"""A height or round that nobody comes to."""

V = TypeVar("V", bound=Payload)
S = TypeVar("S", bound=Signed)


class Hands(Protocol):
    """What a liar can do beside changing what his operator says."""

    def strike(self, index: int) -> None:
        """Power-cut an operator, which restarts with its disk intact (before the heal only)."""

    def tell(self, target: int, message: WireMessage) -> None:
        """Say something by himself."""

    def hang_up(self, target: int) -> None:
        """Close both connections with `target`; they are dialled anew soon."""

    def now(self) -> float:
        """Seconds."""


class Liar(Protocol):
    """`say` to `target` instead of `message` (nothing, or several); `hears` what arrives."""

    def say(self, target: int, message: WireMessage) -> tuple[WireMessage, ...]: ...
    def hears(self, message: WireMessage) -> None: ...


class Honest:
    """The base: says what he is told to say."""

    def __init__(self, index: int, n: int, rng: Random, hands: Hands) -> None:
        self.index, self.n, self.rng, self.hands = OperatorIndex(index), n, rng, hands

    def say(self, target: int, message: WireMessage) -> tuple[WireMessage, ...]:
        return (message,)

    def hears(self, message: WireMessage) -> None:
        """Nothing that he makes use of."""

    def signed(self, message: WireMessage, **changes: object) -> WireMessage:
        """A QBFT message with other words, under his own signature."""
        assert isinstance(
            message, ProposalMessage | PrepareMessage | CommitMessage | RoundChangeMessage
        )
        payload: Payload = replace(message.signed.payload, **changes)
        signature = ideal.signer(self.index)(signing_digest(CHAIN, payload))
        return replace(
            message, signed=replace(message.signed, payload=payload, signature=signature)
        )

    def _vote(self, payload: V) -> tuple[V, OperatorIndex, bytes]:
        return payload, self.index, ideal.signer(self.index)(signing_digest(CHAIN, payload))


class BadPartials(Honest):
    """Votes honestly, and sends partial signatures that do not verify."""

    def say(self, target: int, message: WireMessage) -> tuple[WireMessage, ...]:
        if isinstance(message, PartialSignature):
            spoilt = BLSSignature(message.signature[:-1] + b"\xff")
            return (replace(message, signature=spoilt),)
        return (message,)


class Selective(Honest):
    """Speaks to some only, drawn anew for each kind of message and height."""

    def __init__(self, index: int, n: int, rng: Random, hands: Hands) -> None:
        super().__init__(index, n, rng, hands)
        self._told: dict[object, frozenset[int]] = {}

    def say(self, target: int, message: WireMessage) -> tuple[WireMessage, ...]:
        about = type(message).__name__, _height_of(message)
        if about not in self._told:
            count = self.rng.randrange(self.n)
            self._told[about] = frozenset(self.rng.sample(range(self.n), count))
        return (message,) if target in self._told[about] else ()


class Withholding(Honest):
    """Takes part, and gives no block and no certificate to anybody."""

    def say(self, target: int, message: WireMessage) -> tuple[WireMessage, ...]:
        return () if isinstance(message, BlockReply | DecidedBlocks) else (message,)


class FalseAnswers(Honest):
    """What is asked of him is answered, wrongly; what he reports of himself is made up."""

    def say(self, target: int, message: WireMessage) -> tuple[WireMessage, ...]:
        match message:
            case BlockReply():
                return (BlockReply(message.root, self.rng.choice((None, b"", b"x", bytes(4096)))),)
            case DecidedBlocks() if message.items:
                return (replace(message, items=tuple(map(self._forged, message.items))),)
            case Status():
                height = self.rng.choice((0, message.decided_height + 1, FAR))
                return (Status(Height(height), votes=message.votes),)
            case PartialSignature() if self.rng.random() < 0.3:
                seal = GroupSignature(message.term, message.height, message.root, message.signature)
                return (message, seal)
            case _:
                return (message,)

    def _forged(self, item: DecidedItem) -> DecidedItem:
        certificate = item.certificate
        choices: tuple[dict[str, object], ...] = (
            {"block": b"not a block"},
            {"signature": BLSSignature(bytes(96))},
            {"certificate": replace(certificate, commits=certificate.commits[:1])},
            {"certificate": replace(certificate, root=Root(bytes(32)))},
        )
        return replace(item, **self.rng.choice(choices))


class Hoarder(Honest):
    """Shows his proposals to as few as make a prepare quorum with him, keeps the quorum to himself,
    cuts the power of those who prepared when they have left the round, and claims the lock in every
    round-change from then on, before anybody else speaks. The block he never gives.

    One such liar stops the chain for ever where prepared blocks are forgotten, or where a leader
    lets a claim hold him whose block he cannot have.
    """

    def __init__(self, index: int, n: int, rng: Random, hands: Hands) -> None:
        super().__init__(index, n, rng, hands)
        self._votes: dict[tuple[Height, Round, Root], dict[OperatorIndex, SignedPrepare]] = {}
        self._lock: dict[Height, tuple[SignedPrepare, ...]] = {}
        self._shown: dict[tuple[Height, Round], frozenset[int]] = {}
        self._speaks_at: dict[Height, float] = {}
        self._struck: set[tuple[Height, OperatorIndex]] = set()

    def hears(self, message: WireMessage) -> None:
        if isinstance(message, PrepareMessage):
            self._keep(message.signed)
        elif isinstance(message, RoundChangeMessage):
            self._strike_once(message.signed)
        height, now = Height(_height_of(message) or 0), self.hands.now()
        if height in self._lock and now >= self._speaks_at.get(height, 0.0):
            self._speaks_at[height] = now + SAY_AGAIN_S
            self._claim_early(message)

    def _claim_early(self, heard: WireMessage) -> None:
        """For the round that is spoken of, and the one after it: he is there before anybody."""
        if not isinstance(heard, PrepareMessage | CommitMessage | RoundChangeMessage):
            return
        place = heard.signed.payload
        lock = self._lock[place.height][0].payload
        first = max(place.round, lock.round + 1)
        for round_ in (first, first + 1):
            payload = RoundChange(
                term=place.term,
                height=place.height,
                round=Round(round_),
                prepared_round=lock.round,
                prepared_root=lock.root,
            )
            signature = ideal.signer(self.index)(signing_digest(CHAIN, payload))
            signed = SignedRoundChange(payload, self.index, signature)
            claim = RoundChangeMessage(signed=signed, prepares=self._lock[place.height])
            for target in range(self.n):
                if target != self.index:
                    self.hands.tell(target, claim)

    def _strike_once(self, signed: SignedRoundChange) -> None:
        """When they have left the round of the block, which is what they might forget it by."""
        height = signed.payload.height
        voted = {each.sender for each in self._lock.get(height, ())}
        if signed.sender in voted and (height, signed.sender) not in self._struck:
            self._struck.add((height, signed.sender))
            self.hands.strike(signed.sender)

    def _keep(self, signed: SignedPrepare) -> None:
        payload = signed.payload
        votes = self._votes.setdefault((payload.height, payload.round, payload.root), {})
        votes[signed.sender] = signed
        if len(votes) >= quorum(self.n):
            proof = tuple(votes[each] for each in sorted(votes))[: quorum(self.n)]
            known = self._lock.get(payload.height)
            if known is None or known[0].payload.round < payload.round:
                self._lock[payload.height] = proof

    def say(self, target: int, message: WireMessage) -> tuple[WireMessage, ...]:
        match message:
            case ProposalMessage():
                payload = message.signed.payload
                place = payload.height, payload.round
                if payload.height in self._lock:
                    return ()
                if place not in self._shown:
                    others = [each for each in range(self.n) if each != self.index]
                    some = self.rng.sample(others, quorum(self.n) - 1)
                    self._shown[place] = frozenset(some)
                return (message,) if target in self._shown[place] else ()
            case PrepareMessage():
                self._keep(message.signed)
                return ()
            case CommitMessage() | BlockReply() | DecidedBlocks():
                return ()
            case RoundChangeMessage():
                return (self._claim(message),)
            case _:
                return (message,)

    def _claim(self, message: RoundChangeMessage) -> WireMessage:
        payload = message.signed.payload
        proof = self._lock.get(payload.height)
        if proof is None or proof[0].payload.round >= payload.round:
            return message
        lock = proof[0].payload
        claimed = self.signed(message, prepared_round=lock.round, prepared_root=lock.root)
        return replace(claimed, prepares=proof)


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
        place = type(message), _place_of(message) or int(self.hands.now())
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


class Flooder(Honest):
    """Takes part, and beside that says more than anybody can read: votes of rounds and heights to
    come, what others have said, questions, and answers that nobody asked for."""

    def __init__(self, index: int, n: int, rng: Random, hands: Hands) -> None:
        super().__init__(index, n, rng, hands)
        self._heard: deque[WireMessage] = deque(maxlen=64)
        self._next = 0.0

    def hears(self, message: WireMessage) -> None:
        self._heard.append(message)
        if self.hands.now() < self._next:
            return
        self._next = self.hands.now() + FLOOD_EVERY_S
        height = max((_height_of(each) or 0 for each in self._heard), default=0)
        for target in range(self.n):
            for _ in range(FLOOD if target != self.index else 0):
                self.hands.tell(target, self._anything(Height(height)))

    def _anything(self, near: Height) -> WireMessage:
        height = Height(near + self.rng.choice((-1, 0, 0, 0, 1, 2, FAR)))
        root, round_ = Root(self.rng.randbytes(32)), Round(self.rng.choice((1, 64, 400, FAR)))
        round_ = Round(self.rng.randrange(round_))
        signature = BLSSignature(self.rng.randbytes(96))
        match self.rng.randrange(8):
            case 0:
                vote = Prepare(TERM, height, round_, root)
                return PrepareMessage(SignedPrepare(*self._vote(vote)))
            case 1:
                commit = Commit(TERM, height, round_, root)
                return CommitMessage(SignedCommit(*self._vote(commit)))
            case 2:
                change = RoundChange(TERM, height, Round(round_ + 1), None, None)
                return RoundChangeMessage(SignedRoundChange(*self._vote(change)))
            case 3:
                return PartialSignature(TERM, height, root, self.index, signature)
            case 4:
                return self.rng.choice((GetDecided(Height(1), 64), GetBlock(height, root)))
            case 5:
                return self.rng.choice(
                    (PartialRequest(TERM, height), BlockReply(root, bytes(4096)))
                )
            case 6:
                return GroupSignature(TERM, height, root, signature)
            case _:
                return self.rng.choice(self._heard)


def _place_of(message: WireMessage) -> tuple[int, int] | None:
    """Height and round, as far as it has them."""
    match message:
        case ProposalMessage() | PrepareMessage() | CommitMessage() | RoundChangeMessage():
            return message.signed.payload.height, message.signed.payload.round
        case PartialSignature() | GroupSignature():
            return message.height, 0
        case _:
            return None


def _height_of(message: WireMessage) -> int | None:
    place = _place_of(message)
    return None if place is None else place[0]


LIARS: Final[dict[Behaviour, Callable[[int, int, Random, Hands], Honest]]] = {
    Behaviour.BAD_PARTIAL: BadPartials,
    Behaviour.SELECTIVE: Selective,
    Behaviour.WITHHOLDING: Withholding,
    Behaviour.FALSE_ANSWERS: FalseAnswers,
    Behaviour.HOARDER: Hoarder,
    Behaviour.FUZZER: Fuzzer,
    Behaviour.CLOSER: Closer,
    Behaviour.FLOODER: Flooder,
    Behaviour.REPEATER: Repeater,
}
