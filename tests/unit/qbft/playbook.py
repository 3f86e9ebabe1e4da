"""Dialogues with the core: inputs in, effects out; and makers of every signed thing, for every
operator.

Signatures are ideal (a hash of operator and digest), blocks are any bytes, a root is their SHA-256.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from dst.qbft import Config, DecidedHead, State, restore, step
from dst.qbft.effects import Broadcast, Effect, Persist, Refused, Send
from dst.qbft.inputs import (
    BlockBuilt,
    BlockValidated,
    HeightDue,
    Input,
    MessageReceived,
    RoundExpired,
    Start,
)
from dst.qbft.messages import (
    Certificate,
    Commit,
    CommitMessage,
    Message,
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
    signing_digest,
)
from dst.qbft.records import Record
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Height, OperatorIndex, Root, Round, Term, leader_of

CHAIN = Root(b"chain".ljust(32, b"\0"))
OTHER_CHAIN = Root(b"other chain".ljust(32, b"\0"))
E = TypeVar("E", bound=Effect)


def seal_digest(index: int, digest: bytes) -> bytes:
    return hashlib.sha256(b"ideal" + bytes([index]) + digest).digest()


def root_of(block: bytes) -> Root:
    if not block:
        raise InvalidInput("an empty block")
    return Root(hashlib.sha256(block).digest())


def make_config(me: int = 0, n: int = 4) -> Config:
    return Config(
        genesis_validators_root=CHAIN,
        term=Term(0),
        n=n,
        self_index=OperatorIndex(me),
        round_timeout_ms=1000,
        round_timeout_cap_ms=4000,
        max_block_bytes=1000,
        sign=lambda digest: seal_digest(me, digest),
        verify=lambda index, digest, signature: signature == seal_digest(index, digest),
        root_of=root_of,
    )


A, B = b"block A", b"block B"
ROOT_A, ROOT_B = root_of(A), root_of(B)


class Maker:
    """Signs as any operator at one (term, height)."""

    def __init__(self, height: int = 1, n: int = 4, term: int = 0, chain: Root = CHAIN) -> None:
        self.height, self.n, self.term, self.chain = Height(height), n, Term(term), chain

    def leader(self, round_: int) -> int:
        return leader_of(self.height, Round(round_), self.n)

    def signed_prepare(self, sender: int, root: Root = ROOT_A, round_: int = 0) -> SignedPrepare:
        payload = Prepare(term=self.term, height=self.height, round=Round(round_), root=root)
        return SignedPrepare(
            payload=payload,
            sender=OperatorIndex(sender),
            signature=seal_digest(sender, signing_digest(self.chain, payload)),
        )

    def signed_commit(self, sender: int, root: Root = ROOT_A, round_: int = 0) -> SignedCommit:
        payload = Commit(term=self.term, height=self.height, round=Round(round_), root=root)
        return SignedCommit(
            payload=payload,
            sender=OperatorIndex(sender),
            signature=seal_digest(sender, signing_digest(self.chain, payload)),
        )

    def prepare(self, sender: int, root: Root = ROOT_A, round_: int = 0) -> PrepareMessage:
        return PrepareMessage(signed=self.signed_prepare(sender, root, round_))

    def commit(self, sender: int, root: Root = ROOT_A, round_: int = 0) -> CommitMessage:
        return CommitMessage(signed=self.signed_commit(sender, root, round_))

    def prepares(
        self, senders: Iterable[int], root: Root = ROOT_A, round_: int = 0
    ) -> tuple[SignedPrepare, ...]:
        return tuple(self.signed_prepare(each, root, round_) for each in senders)

    def round_change(
        self,
        sender: int,
        round_: int,
        lock: tuple[int, Root] | None = None,
        proof: Sequence[SignedPrepare] | None = None,
    ) -> RoundChangeMessage:
        """`lock` is (prepared round, root), proven by operators 0, 1, 2 unless `proof` says
        otherwise."""
        payload = RoundChange(
            term=self.term,
            height=self.height,
            round=Round(round_),
            prepared_round=None if lock is None else Round(lock[0]),
            prepared_root=None if lock is None else lock[1],
        )
        if proof is None:
            proof = () if lock is None else self.prepares(range(3), lock[1], lock[0])
        return RoundChangeMessage(
            signed=SignedRoundChange(
                payload=payload,
                sender=OperatorIndex(sender),
                signature=seal_digest(sender, signing_digest(self.chain, payload)),
            ),
            prepares=tuple(proof),
        )

    def proposal(
        self,
        block: bytes = A,
        round_: int = 0,
        round_changes: Iterable[RoundChangeMessage] = (),
        prepares: Sequence[SignedPrepare] = (),
        sender: int | None = None,
        root: Root | None = None,
    ) -> ProposalMessage:
        by = self.leader(round_) if sender is None else sender
        payload = Proposal(
            term=self.term,
            height=self.height,
            round=Round(round_),
            root=root_of(block) if root is None else root,
        )
        return ProposalMessage(
            signed=SignedProposal(
                payload=payload,
                sender=OperatorIndex(by),
                signature=seal_digest(by, signing_digest(self.chain, payload)),
            ),
            block=block,
            round_changes=tuple(each.signed for each in round_changes),
            prepares=tuple(prepares),
        )

    def passed(self, round_: int = 0, sender: int | None = None) -> PassMessage:
        """By the round's leader, unless `sender` says otherwise."""
        by = self.leader(round_) if sender is None else sender
        payload = Pass(term=self.term, height=self.height, round=Round(round_))
        return PassMessage(
            signed=SignedPass(
                payload=payload,
                sender=OperatorIndex(by),
                signature=seal_digest(by, signing_digest(self.chain, payload)),
            )
        )

    def certificate(
        self, senders: Iterable[int] = (0, 1, 2), root: Root = ROOT_A, round_: int = 0
    ) -> Certificate:
        return Certificate(
            term=self.term,
            height=self.height,
            round=Round(round_),
            root=root,
            commits=tuple(self.signed_commit(each, root, round_) for each in senders),
        )


class Playbook:
    """One node; each call feeds one input and returns (and keeps as `last`) its effects."""

    def __init__(
        self,
        me: int = 0,
        n: int = 4,
        *,
        decided: int = 0,
        records: Iterable[Record] = (),
        config: Config | None = None,
    ) -> None:
        self.config = config or make_config(me, n)
        head = DecidedHead(height=Height(decided)) if decided else None
        self.decided_at_start = head
        self.state: State = restore(self.config, head, records)
        self.make = Maker(self.state.height, n)
        self.log: list[Record] = list(records)
        self.last: tuple[Effect, ...] = ()
        self.history: list[Effect] = []

    def feed(self, event: Input) -> tuple[Effect, ...]:
        transition = step(self.state, event, self.config)
        assert transition == step(self.state, event, self.config), "step is pure"
        self.state, self.last = transition.state, transition.effects
        self.history.extend(self.last)
        self.log.extend(each.record for each in self.last if isinstance(each, Persist))
        return self.last

    def start(self) -> tuple[Effect, ...]:
        return self.feed(Start())

    def due(self) -> tuple[Effect, ...]:
        return self.feed(HeightDue(height=self.state.height))

    def hear(self, message: Message, peer: int | None = None) -> tuple[Effect, ...]:
        link = message.signed.sender if peer is None else OperatorIndex(peer)
        return self.feed(MessageReceived(link_peer=link, message=message))

    def built(self, block: bytes = A) -> tuple[Effect, ...]:
        state = self.state
        return self.feed(
            BlockBuilt(height=state.height, round=state.round, root=root_of(block), block=block)
        )

    def validated(
        self, root: Root = ROOT_A, valid: bool = True, round_: int | None = None
    ) -> tuple[Effect, ...]:
        state = self.state
        at = state.round if round_ is None else Round(round_)
        return self.feed(BlockValidated(height=state.height, round=at, root=root, valid=valid))

    def expire(self) -> tuple[Effect, ...]:
        return self.feed(RoundExpired(height=self.state.height, round=self.state.round))

    def restart(self) -> "Playbook":
        """The same node from its log alone; not started yet."""
        return Playbook(
            decided=self.state.height - 1,
            records=tuple(self.log),
            config=self.config,
            n=self.config.n,
        )

    def get(self, kind: type[E]) -> list[E]:
        """Effects of a kind from the last step, in order."""
        return [each for each in self.last if isinstance(each, kind)]

    def only(self, kind: type[E]) -> E:
        (found,) = self.get(kind)
        return found

    def said(self) -> list[Message]:
        """Messages broadcast or sent in the last step."""
        return [each.message for each in self.last if isinstance(each, Broadcast | Send)]

    def refused(self) -> Refused:
        return self.only(Refused)

    def locked_on_a(self) -> "Playbook":
        """A shortcut: accepted A in round 0, prepared, locked, committed (2 of 3 other votes)."""
        self.due()
        if self.make.leader(0) == self.config.self_index:
            self.built(A)
        else:
            self.hear(self.make.proposal())
        self.validated()
        for sender in others(self.config)[:2]:
            self.hear(self.make.prepare(sender))
        assert self.state.lock is not None
        return self


def others(config: Config) -> list[int]:
    return [each for each in range(config.n) if each != config.self_index]


def with_config(config: Config, **changes: object) -> Config:
    return replace(config, **changes)  # type: ignore[arg-type]
