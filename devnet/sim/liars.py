"""Byzantine operators: the shipped shells with somebody at the wire who changes what they say.

A liar runs the honest code, hears what an operator hears and holds its keys, so that he gets as
deep into the protocol as anybody; his `Lie` decides what each peer is told. Liars do not stop at
the heal.
"""

from collections.abc import Callable
from random import Random
from typing import Final, Protocol

from msgspec.structs import replace

from devnet.sim import blocks, ideal
from devnet.sim.chain import CHAIN
from devnet.sim.params import Behaviour
from dst.middleware.wire_messages import (
    BlockReply,
    DecidedBlocks,
    DecidedItem,
    GetBlock,
    GetDecided,
    Status,
    WireMessage,
    decode_message,
)
from dst.qbft.messages import (
    CommitMessage,
    Payload,
    PrepareMessage,
    ProposalMessage,
    RoundChange,
    RoundChangeMessage,
    SignedPrepare,
    SignedRoundChange,
    signing_digest,
)
from dst.sealing.messages import GroupSignature, PartialSignature
from dst.spec.primitives import BLSSignature, Height, OperatorIndex, Root, Round, quorum

SAY_AGAIN_S: Final = 0.02
FAR: Final = 1_000_000
"""A height or round that nobody comes to."""


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
    def hears(self, body: bytes) -> None: ...


class Honest:
    """The base: says what he is told to say."""

    def __init__(self, index: int, n: int, rng: Random, hands: Hands) -> None:
        self.index, self.n, self.rng, self.hands = OperatorIndex(index), n, rng, hands

    def say(self, target: int, message: WireMessage) -> tuple[WireMessage, ...]:
        return (message,)

    def hears(self, body: bytes) -> None:
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

    def hears(self, body: bytes) -> None:
        message = decode_message(body)
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


class Fuzzer(Honest):
    """Changes one thing in a message now and then, as its schema allows, and signs it: ByzzFuzz."""

    def say(self, target: int, message: WireMessage) -> tuple[WireMessage, ...]:
        if self.rng.random() > 0.15:
            return (message,)
        match message:
            case ProposalMessage():
                return (self._other_block(message),)
            case PrepareMessage() | CommitMessage():
                return (self.signed(message, **self._other_vote(message.signed.payload)),)
            case RoundChangeMessage():
                return (self._other_change(message),)
            case GetBlock() | GetDecided():
                return (message,) * 20
            case _:
                return self.rng.choice(((), (message, message)))

    def _other_vote(self, payload: Payload) -> dict[str, object]:
        choices: tuple[dict[str, object], ...] = (
            {"round": Round(max(0, payload.round + self.rng.choice((-1, 1, 70))))},
            {"height": Height(payload.height + self.rng.choice((-1, 1, FAR)))},
            {"root": Root(self.rng.randbytes(32))},
            {"term": payload.term + 1},
        )
        return self.rng.choice(choices)

    def _other_change(self, message: RoundChangeMessage) -> WireMessage:
        payload = message.signed.payload
        choices: tuple[dict[str, object], ...] = (
            {"round": Round(payload.round + self.rng.choice((1, 2, FAR)))},
            {"prepared_round": None, "prepared_root": None},
            {"prepared_round": Round(0), "prepared_root": Root(self.rng.randbytes(32))},
            {"height": Height(payload.height + 1)},
        )
        changed = self.signed(message, **self.rng.choice(choices))
        return self.rng.choice((changed, replace(changed, prepares=())))

    def _other_block(self, message: ProposalMessage) -> WireMessage:
        """Another block under his own signature: an invalid one, one for another voter, or a body
        that is not the signed one."""
        block = blocks.decode(message.block)
        other = blocks.encode(
            self.rng.choice(
                (
                    replace(block, executes=False),
                    replace(block, slot=block.slot + self.rng.choice((1, 2, 50))),
                    replace(block, salt=block.salt + b"'"),
                    replace(block, origin_number=block.origin_number + 1),
                )
            )
        )
        if self.rng.random() < 0.2:
            return replace(message, block=other)
        changed = self.signed(message, root=blocks.root_of(other))
        return replace(changed, block=other)


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


def _height_of(message: WireMessage) -> int | None:
    match message:
        case ProposalMessage() | PrepareMessage() | CommitMessage() | RoundChangeMessage():
            return message.signed.payload.height
        case PartialSignature() | GroupSignature():
            return message.height
        case _:
            return None


LIARS: Final[dict[Behaviour, Callable[[int, int, Random, Hands], Honest]]] = {
    Behaviour.BAD_PARTIAL: BadPartials,
    Behaviour.SELECTIVE: Selective,
    Behaviour.WITHHOLDING: Withholding,
    Behaviour.FALSE_ANSWERS: FalseAnswers,
    Behaviour.HOARDER: Hoarder,
    Behaviour.FUZZER: Fuzzer,
    Behaviour.CLOSER: Closer,
}
