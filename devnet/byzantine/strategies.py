"""The lies. Those that need nothing of the simulator's world are what it plays, too: one liar, two
worlds."""

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import replace as with_fields
from random import Random
from typing import Final, TypeVar

from msgspec.structs import replace

from devnet.byzantine.liar import (
    ALONE,
    Ask,
    Hands,
    Honest,
    Orders,
    Voting,
    height_of,
    place_of,
)
from devnet.byzantine.names import Strategy
from dst.apis.beacon import ProduceRequest
from dst.execution.header import header_of_payload
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
    Pass,
    PassMessage,
    Prepare,
    PrepareMessage,
    Proposal,
    ProposalMessage,
    RoundChange,
    RoundChangeMessage,
    SignedCommit,
    SignedPass,
    SignedPrepare,
    SignedProposal,
    SignedRoundChange,
)
from dst.rollup.wrapping import encode_requests
from dst.sealing.messages import GroupSignature, PartialRequest, PartialSignature
from dst.spec import ssz
from dst.spec.beacon import BeaconBlock, ExecutionPayload
from dst.spec.errors import DstError
from dst.spec.primitives import (
    BLSSignature,
    Hash32,
    Height,
    OperatorIndex,
    Root,
    Round,
    Slot,
    quorum,
)
from dst.transactions.decoded import decode_once

SAY_AGAIN_S: Final = 0.02
FLOOD: Final = 4 * MAX_PER_PEER
"""Messages at once: more than a peer's share of an inbox."""
FLOOD_EVERY_S: Final = 1.0
FAR: Final = 1_000_000
"""A height or round that nobody comes to."""
RESEND_EVERY_S: Final = 0.2
RESENT: Final = 8
"""Messages at once, to everybody."""
REMEMBERED: Final = 64
"""Things of a kind."""

K = TypeVar("K")
T = TypeVar("T")


class _Latest(OrderedDict[K, T]):
    """The newest `REMEMBERED` of what is drawn or known once for a key."""

    def of(self, key: K, make: Callable[[], T]) -> T:
        if key not in self:
            self.put(key, make())
        return self[key]

    def put(self, key: K, value: T) -> None:
        self[key] = value
        while len(self) > REMEMBERED:
            self.popitem(last=False)


class BadPartials(Honest):
    """Votes honestly, and sends partial signatures that do not verify."""

    def say(self, target: int, message: WireMessage) -> tuple[WireMessage, ...]:
        if isinstance(message, PartialSignature):
            spoilt = BLSSignature(message.signature[:-1] + b"\xff")
            return (replace(message, signature=spoilt),)
        return (message,)


class BadPartialsToSome(BadPartials):
    """To some, drawn for each height; the rest combines as if nothing were wrong."""

    def __init__(
        self, index: int, n: int, rng: Random, hands: Hands, orders: Orders = ALONE
    ) -> None:
        super().__init__(index, n, rng, hands, orders)
        self._victims: _Latest[Height, frozenset[int]] = _Latest()

    def say(self, target: int, message: WireMessage) -> tuple[WireMessage, ...]:
        if not isinstance(message, PartialSignature):
            return (message,)
        victims = self._victims.of(message.height, self._draw)
        return super().say(target, message) if target in victims else (message,)

    def _draw(self) -> frozenset[int]:
        return frozenset(self.rng.sample(self.others, self.rng.randint(1, len(self.others))))


class Withholding(Honest):
    """Takes part, and gives no block and no certificate to anybody."""

    def say(self, target: int, message: WireMessage) -> tuple[WireMessage, ...]:
        return () if isinstance(message, BlockReply | DecidedBlocks) else (message,)


class WithholdBlock(Withholding):
    """Shows its own proposals to as few as can decide with it: the rest learns from their votes of
    a block that it has to ask for."""

    def __init__(
        self, index: int, n: int, rng: Random, hands: Hands, orders: Orders = ALONE
    ) -> None:
        super().__init__(index, n, rng, hands, orders)
        self._shown: _Latest[tuple[Height, Round], frozenset[int]] = _Latest()

    def say(self, target: int, message: WireMessage) -> tuple[WireMessage, ...]:
        if not isinstance(message, ProposalMessage) or message.signed.sender != self.index:
            return super().say(target, message)
        payload = message.signed.payload
        shown = self._shown.of((payload.height, payload.round), self._draw)
        return (message,) if target in shown else ()

    def _draw(self) -> frozenset[int]:
        return frozenset(self.rng.sample(self.others, quorum(self.n) - 1))


class FalseStatus(Honest):
    """What it says of itself is made up."""

    def say(self, target: int, message: WireMessage) -> tuple[WireMessage, ...]:
        if not isinstance(message, Status):
            return (message,)
        return (Status(Height(self.rng.choice((0, FAR))), votes=not message.votes),)


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


class SilentAfterPrepare(Honest):
    """Proposes and prepares, so that others count on it, and says nothing that would decide a
    height, end a round or seal a block: no certificate either, which would hold its COMMIT."""

    def say(self, target: int, message: WireMessage) -> tuple[WireMessage, ...]:
        votes = CommitMessage | DecidedBlocks | RoundChangeMessage
        signatures = PartialSignature | GroupSignature
        return () if isinstance(message, votes | signatures) else (message,)


class Hoarder(Honest):
    """Shows his proposals to as few as make a prepare quorum with him, keeps the quorum to himself,
    and claims the lock in every round-change from then on, before anybody else speaks. The block he
    never gives.

    One such liar stops the chain for ever where prepared blocks are forgotten, or where a leader
    lets a claim hold him whose block he cannot have.
    """

    def __init__(
        self, index: int, n: int, rng: Random, hands: Hands, orders: Orders = ALONE
    ) -> None:
        super().__init__(index, n, rng, hands, orders)
        self._votes: dict[tuple[Height, Round, Root], dict[OperatorIndex, SignedPrepare]] = {}
        self._lock: dict[Height, tuple[SignedPrepare, ...]] = {}
        self._shown: dict[tuple[Height, Round], frozenset[int]] = {}
        self._speaks_at: dict[Height, float] = {}

    def hears(self, message: WireMessage) -> None:
        if isinstance(message, PrepareMessage):
            self._keep(message.signed)
        elif isinstance(message, RoundChangeMessage):
            self._left_round(message.signed)
        height, now = Height(height_of(message) or 0), self.hands.now()
        if height in self._lock and now >= self._speaks_at.get(height, 0.0):
            self._speaks_at[height] = now + SAY_AGAIN_S
            self._claim_early(message)

    def _left_round(self, signed: SignedRoundChange) -> None:
        """Somebody may have left the round of the block."""

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
            signed = SignedRoundChange(*self._vote(payload))
            claim = RoundChangeMessage(signed=signed, prepares=self._lock[place.height])
            for target in self.others:
                self.hands.tell(target, claim)

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
                    some = self.rng.sample(self.others, quorum(self.n) - 1)
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

    def is_lie(self, target: int, message: WireMessage, said: tuple[WireMessage, ...]) -> bool:
        """A claim: votes that it keeps to itself are what any silent operator's are."""
        return any(isinstance(each, RoundChangeMessage) and each != message for each in said)

    def _claim(self, message: RoundChangeMessage) -> WireMessage:
        payload = message.signed.payload
        proof = self._lock.get(payload.height)
        if proof is None or proof[0].payload.round >= payload.round:
            return message
        lock = proof[0].payload
        claimed = self.signed(message, prepared_round=lock.round, prepared_root=lock.root)
        return replace(claimed, prepares=proof)


class Flooder(Voting):
    """Takes part, and beside that says more than anybody can read: votes of rounds and heights to
    come, what others have said, questions, and answers that nobody asked for."""

    def __init__(
        self, index: int, n: int, rng: Random, hands: Hands, orders: Orders = ALONE
    ) -> None:
        super().__init__(index, n, rng, hands, orders)
        self._heard: deque[WireMessage] = deque(maxlen=REMEMBERED)
        self._next = 0.0

    def hears(self, message: WireMessage) -> None:
        self._heard.append(message)
        if self.hands.now() < self._next:
            return
        self._next = self.hands.now() + FLOOD_EVERY_S
        for target in self.others:
            for _ in range(FLOOD):
                self.hands.tell(target, self._anything(self.open_height))

    def _anything(self, near: Height) -> WireMessage:
        term = self.hands.term
        height = Height(near + self.rng.choice((-1, 0, 0, 0, 1, 2, FAR)))
        root, round_ = Root(self.rng.randbytes(32)), Round(self.rng.choice((1, 64, 400, FAR)))
        round_ = Round(self.rng.randrange(round_))
        signature = BLSSignature(self.rng.randbytes(96))
        match self.rng.randrange(8):
            case 0:
                vote = Prepare(term, height, round_, root)
                return PrepareMessage(SignedPrepare(*self._vote(vote)))
            case 1:
                commit = Commit(term, height, round_, root)
                return CommitMessage(SignedCommit(*self._vote(commit)))
            case 2:
                change = RoundChange(term, height, Round(round_ + 1), None, None)
                return RoundChangeMessage(SignedRoundChange(*self._vote(change)))
            case 3:
                return PartialSignature(term, height, root, self.index, signature)
            case 4:
                return self.rng.choice((GetDecided(Height(1), 64), GetBlock(height, root)))
            case 5:
                return self.rng.choice(
                    (PartialRequest(term, height), BlockReply(root, bytes(4096)))
                )
            case 6:
                return GroupSignature(term, height, root, signature)
            case _:
                return self.rng.choice(self._heard)


class Equivocator(Honest):
    """Has two blocks built where it leads, and shows one to each half of the honest others, with
    its votes for it; then everybody gets the other one, which convicts it.

    Its fellows, who get both, vote with each half for what that was shown. So up to f liars cost a
    round at most, and f + 1 have two blocks decided at one height. Where they are so many, they
    keep their COMMITs until every half has its own: else the quicker one decides, and its
    certificate may be with the other before that has judged its block.
    """

    def __init__(
        self, index: int, n: int, rng: Random, hands: Hands, orders: Orders = ALONE
    ) -> None:
        super().__init__(index, n, rng, hands, orders)
        self._siblings: _Latest[Root, bytes] = _Latest()
        self._shown: _Latest[tuple[Height, Round], list[ProposalMessage]] = _Latest()
        """What the first half sees, then what the second does."""
        self._committed: _Latest[tuple[Height, Round], dict[int, Root]] = _Latest()
        """By which of the honest to what."""
        liars = {*orders.fellows, self.index}
        self._honest = tuple(each for each in range(n) if each not in liars)
        self._has_both_decided = len(self._honest) // 2 + len(liars) >= quorum(n)
        """The smaller half, too, is a quorum with the liars."""

    async def build(self, ask: Ask, request: ProduceRequest) -> bytes | None:
        block = await ask(request)
        if block is not None:
            sibling = await self._sibling_of(block, ask, request)
            if sibling is not None:
                self._siblings.put(self.hands.root_of(block), sibling)
        return block

    async def _sibling_of(self, block: bytes, ask: Ask, request: ProduceRequest) -> bytes | None:
        """Without transactions, or else of the next slot."""
        for other in (
            with_fields(request, no_tx_pool=True),
            with_fields(request, slot=Slot(request.slot + 1), no_tx_pool=True),
        ):
            try:
                made = await ask(other)
            except DstError:
                continue
            if made is not None and made != block:
                return made
        return None

    def say(self, target: int, message: WireMessage) -> tuple[WireMessage, ...]:
        match message:
            case ProposalMessage() if message.signed.sender == self.index:
                return self._show(target, message)
            case PrepareMessage() | CommitMessage():
                payload = message.signed.payload
                pair = self._shown.get((payload.height, payload.round))
                if not pair or target not in self._honest:
                    return (message,)
                half = self._half_of(target)
                if half == len(pair):
                    return ()  # a fellow's other block is on its way
                if isinstance(message, CommitMessage) and not self._may_commit(payload):
                    return ()
                return (self._votes_for(pair[half])[type(message)],)
            case _:
                return (message,)

    def _show(self, target: int, message: ProposalMessage) -> tuple[WireMessage, ...]:
        payload = message.signed.payload
        sibling = self._siblings.get(payload.root)
        if sibling is None:
            return (message,)
        pair = self._shown.of(
            (payload.height, payload.round), lambda: [message, self._propose(message, sibling)]
        )
        if target not in self._honest:
            return tuple(pair)
        half = self._half_of(target)
        return (pair[half], *self._first_votes(pair[half]), pair[1 - half])

    def _propose(self, message: ProposalMessage, block: bytes) -> ProposalMessage:
        payload = replace(message.signed.payload, root=self.hands.root_of(block))
        signed = SignedProposal(*self._vote(payload))
        return replace(message, signed=signed, block=block)

    def hears(self, message: WireMessage) -> None:
        """A fellow leads: two proposals of a place, in the order of the halves."""
        if isinstance(message, CommitMessage):
            self._hears_commit(message)
        if not isinstance(message, ProposalMessage):
            return
        payload = message.signed.payload
        if message.signed.sender not in self.orders.fellows:
            return
        pair = self._shown.of((payload.height, payload.round), lambda: list[ProposalMessage]())
        if len(pair) == 2 or message in pair:
            return
        pair.append(message)
        if len(pair) == 2:
            for target in self._honest:
                for vote in self._first_votes(pair[self._half_of(target)]):
                    self.hands.tell(target, vote)

    def _hears_commit(self, message: CommitMessage) -> None:
        """The last one that was waited for lets ours go."""
        payload, sender = message.signed.payload, message.signed.sender
        if sender not in self._honest or self._may_commit(payload):
            return
        place = payload.height, payload.round
        self._committed.of(place, dict)[sender] = payload.root
        if self._may_commit(payload):
            for target in self._honest:
                votes = self._votes_for(self._shown[place][self._half_of(target)])
                self.hands.tell(target, votes[CommitMessage])

    def _may_commit(self, payload: Prepare | Commit) -> bool:
        if not self._has_both_decided:
            return True
        place = payload.height, payload.round
        pair, heard = self._shown.get(place), self._committed.get(place, {})
        return (
            pair is not None
            and len(pair) == 2
            and all(
                heard.get(each) == pair[self._half_of(each)].signed.payload.root
                for each in self._honest
            )
        )

    def _first_votes(self, proposal: ProposalMessage) -> list[WireMessage]:
        votes = self._votes_for(proposal)
        return [votes[PrepareMessage]] if self._has_both_decided else list(votes.values())

    def _half_of(self, target: int) -> int:
        return self._honest.index(target) % 2

    def _votes_for(self, proposal: ProposalMessage) -> Mapping[type, WireMessage]:
        payload: Proposal = proposal.signed.payload
        place = payload.term, payload.height, payload.round, payload.root
        return {
            PrepareMessage: PrepareMessage(SignedPrepare(*self._vote(Prepare(*place)))),
            CommitMessage: CommitMessage(SignedCommit(*self._vote(Commit(*place)))),
        }


class RoundChangeForger(Honest):
    """Claims locks that nobody has: once a height to everybody, and wherever it changes rounds."""

    def __init__(
        self, index: int, n: int, rng: Random, hands: Hands, orders: Orders = ALONE
    ) -> None:
        super().__init__(index, n, rng, hands, orders)
        self._forged_at = Height(0)
        self._vote_heard: SignedPrepare | None = None

    def hears(self, message: WireMessage) -> None:
        if isinstance(message, PrepareMessage):
            self._vote_heard = message.signed
        place = place_of(message)
        if isinstance(message, PrepareMessage | ProposalMessage) and place is not None:
            height = Height(place[0])
            if height > self._forged_at:
                self._forged_at = height
                for target in self.others:
                    self.hands.tell(target, self._forged(height, Round(1)))

    def say(self, target: int, message: WireMessage) -> tuple[WireMessage, ...]:
        if not isinstance(message, RoundChangeMessage):
            return (message,)
        payload = message.signed.payload
        return (self._forged(payload.height, payload.round),)

    def _forged(self, height: Height, round_: Round) -> WireMessage:
        root, vote = Root(self.rng.randbytes(32)), self._vote_heard
        if vote is not None and vote.payload.height == height and self.rng.random() < 0.5:
            root, proof = vote.payload.root, (vote,) * quorum(self.n)
        else:
            proof = ()
        payload = RoundChange(self.hands.term, height, round_, Round(round_ - 1), root)
        return RoundChangeMessage(SignedRoundChange(*self._vote(payload)), proof)


class Censor(Honest):
    """An honest rollup node builds; where that holds a transaction of the censored, an empty block
    takes its place."""

    async def build(self, ask: Ask, request: ProduceRequest) -> bytes | None:
        block = await ask(request)
        if block is None or not self._is_unwanted(block):
            return block
        return await ask(with_fields(request, no_tx_pool=True))

    def _is_unwanted(self, block: bytes) -> bool:
        payload = ssz.decode(BeaconBlock, block).body.execution_payload
        senders = {decode_once(raw).sender for raw in payload.transactions}
        return self.orders.censored in senders


class InvalidBuilder(Honest):
    """One field of the payload is not what execution gives; it votes for the block all the same.
    The rest fits that field, hash and wrapper too, so that it mostly takes execution to see it."""

    def __init__(
        self, index: int, n: int, rng: Random, hands: Hands, orders: Orders = ALONE
    ) -> None:
        super().__init__(index, n, rng, hands, orders)
        self._made: _Latest[Root, bool] = _Latest()

    async def build(self, ask: Ask, request: ProduceRequest) -> bytes | None:
        block = await ask(request)
        if block is None:
            return None
        spoilt = self._spoilt(block)
        self._made.put(self.hands.root_of(spoilt), True)
        return spoilt

    def vouches(self, block: bytes) -> bool:
        return self._made.get(self.hands.root_of(block)) is not None

    def _spoilt(self, block: bytes) -> bytes:
        decoded = ssz.decode(BeaconBlock, block)
        payload = decoded.body.execution_payload
        made_up = Hash32(self.rng.randbytes(32))
        wrong: tuple[ExecutionPayload, ...] = (
            with_fields(payload, state_root=made_up),
            with_fields(payload, receipts_root=made_up),
            with_fields(payload, gas_used=payload.gas_used + 1),
            with_fields(payload, timestamp=payload.timestamp + 1),
            with_fields(payload, base_fee_per_gas=payload.base_fee_per_gas + 1),
        )
        fitting = [with_fields(each, block_hash=_hash_of(decoded, each)) for each in wrong]
        chosen = self.rng.choice((*fitting, with_fields(payload, block_hash=made_up)))
        return self.hands.around(decoded, chosen)


def _hash_of(block: BeaconBlock, payload: ExecutionPayload) -> Hash32:
    """Of the execution block, had that block this payload."""
    requests = encode_requests(block.body.execution_requests)
    return header_of_payload(payload, block.l1_origin.hash, requests).hash


class StaleResender(Voting):
    """What was said at heights long decided is said again, by whomever it was signed."""

    def __init__(
        self, index: int, n: int, rng: Random, hands: Hands, orders: Orders = ALONE
    ) -> None:
        super().__init__(index, n, rng, hands, orders)
        self._known: deque[WireMessage] = deque(maxlen=REMEMBERED * 4)
        self._next = 0.0

    def say(self, target: int, message: WireMessage) -> tuple[WireMessage, ...]:
        self._keep(message)
        return super().say(target, message)

    def hears(self, message: WireMessage) -> None:
        self._keep(message)
        if self.hands.now() < self._next:
            return
        self._next = self.hands.now() + RESEND_EVERY_S
        oldest = self.open_height - 1
        stale = [each for each in self._known if (height_of(each) or 0) < oldest]
        for each in self.rng.sample(stale, min(RESENT, len(stale))):
            for target in self.others:
                self.hands.tell(target, each)

    def _keep(self, message: WireMessage) -> None:
        if height_of(message) is not None and message not in self._known:
            self._known.append(message)


class Passer(Honest):
    """Passes its lead on and proposes all the same: to some the one, to others the other, to others
    both in either order. Now and then it passes on what it does not lead, or what nobody may."""

    def __init__(
        self, index: int, n: int, rng: Random, hands: Hands, orders: Orders = ALONE
    ) -> None:
        super().__init__(index, n, rng, hands, orders)
        self._ways: _Latest[tuple[Height, Round], Mapping[int, int]] = _Latest()
        self._forged_at = Height(0)

    def say(self, target: int, message: WireMessage) -> tuple[WireMessage, ...]:
        if not isinstance(message, ProposalMessage) or message.signed.sender != self.index:
            return (message,)
        payload = message.signed.payload
        passed = self._pass(payload.height, payload.round)
        match self._ways.of((payload.height, payload.round), self._draw)[target]:
            case 0:
                return (message,)
            case 1:
                return (passed,)
            case 2:
                return (passed, message)
            case _:
                return (message, passed)

    def hears(self, message: WireMessage) -> None:
        if not isinstance(message, ProposalMessage):
            return
        height = message.signed.payload.height
        if height > self._forged_at and self.rng.random() < 0.5:
            self._forged_at = height
            forged = self._pass(height, self.rng.choice((Round(0), Round(FAR))))
            for target in self.others:
                self.hands.tell(target, forged)

    def _draw(self) -> Mapping[int, int]:
        return {target: self.rng.randrange(4) for target in self.others}

    def _pass(self, height: Height, round_: Round) -> WireMessage:
        return PassMessage(SignedPass(*self._vote(Pass(self.hands.term, height, round_))))


LIARS: Final[Mapping[Strategy, type[Honest]]] = {
    Strategy.EQUIVOCATE: Equivocator,
    Strategy.WITHHOLD_BLOCK: WithholdBlock,
    Strategy.CLAIM_LOCK: Hoarder,
    Strategy.SILENT_AFTER_PREPARE: SilentAfterPrepare,
    Strategy.FORGE_ROUND_CHANGES: RoundChangeForger,
    Strategy.BAD_PARTIALS: BadPartialsToSome,
    Strategy.FALSE_STATUS: FalseStatus,
    Strategy.FLOOD: Flooder,
    Strategy.CENSOR: Censor,
    Strategy.INVALID_BLOCK: InvalidBuilder,
    Strategy.STALE_RESEND: StaleResender,
    Strategy.PASS_AND_PROPOSE: Passer,
}
