"""From the core's state to the model's words."""

from collections.abc import Iterable
from typing import Final

from devnet.sim import blocks
from devnet.sim.formal import values
from devnet.sim.formal.values import NO_ROOT, NO_ROUND
from dst.qbft import State
from dst.qbft.messages import (
    Certificate,
    Commit,
    Prepare,
    ProposalMessage,
    RoundChangeMessage,
    Signed,
    SignedCommit,
    SignedPrepare,
    SignedRoundChange,
)
from dst.qbft.state import Lock, Proposing
from dst.spec.primitives import Height, OperatorIndex, Root

N: Final = 4
HEIGHT: Final = Height(1)


class Blocks:
    """A block for each name that the model uses, and back from its root."""

    def __init__(self) -> None:
        self._names: dict[Root, str] = {}

    def named(self, name: str) -> tuple[Root, bytes]:
        parent = blocks.root_of(blocks.GENESIS_BYTES)
        data = blocks.encode(blocks.Block(HEIGHT, 1, parent, 0, 0, name.encode()))
        root = blocks.root_of(data)
        self._names[root] = name
        return root, data

    def name(self, root: Root | None) -> str:
        return NO_ROOT if root is None else self._names[root]


def operator(
    index: OperatorIndex, state: State, decided: Certificate | None, known: Blocks
) -> values.Operator:
    """What the model says of an operator, read off the core; `decided` is its decision of height
    1, after which the state is that of height 2."""
    return values.Operator(
        me=index,
        round=state.round,
        timed=state.timed,
        accepted=_accepted(state.accepted, known),
        proposing=_proposing(state.proposing, known),
        lock=_lock(state.lock, known),
        prepares=_votes((v for votes in state.prepares.values() for v in votes.values()), known),
        commits=_votes((v for votes in state.commits.values() for v in votes.values()), known),
        round_changes=_round_changes(
            (each for sent in state.round_changes.values() for each in sent), known
        ),
        seen={i: state.seen.get(OperatorIndex(i), NO_ROUND) for i in range(N)},
        blocks=frozenset(known.name(root) for root in state.blocks),
        pending=_certificate(state.pending, known),
        decided=_certificate(decided, known),
    )


def senders(signed: Iterable[Signed]) -> frozenset[int]:
    return frozenset(each.sender for each in signed)


def _accepted(message: ProposalMessage | None, known: Blocks) -> values.Proposal:
    if message is None:
        return values.Proposal(
            round=NO_ROUND, root=NO_ROOT, round_changes=frozenset(), prepares=frozenset()
        )
    return values.Proposal(
        round=message.signed.payload.round,
        root=known.name(message.signed.payload.root),
        round_changes=frozenset(_claim(each, known) for each in message.round_changes),
        prepares=senders(message.prepares),
    )


def _proposing(proposing: Proposing | None, known: Blocks) -> values.Proposing:
    return values.Proposing(
        active=proposing is not None,
        root=known.name(None if proposing is None else proposing.root),
        round_changes=_round_changes(() if proposing is None else proposing.round_changes, known),
    )


def _lock(lock: Lock | None, known: Blocks) -> values.Lock:
    if lock is None:
        return values.Lock(round=NO_ROUND, root=NO_ROOT, prepares=frozenset())
    return values.Lock(
        round=lock.round, root=known.name(lock.root), prepares=senders(lock.prepares)
    )


def _certificate(certificate: Certificate | None, known: Blocks) -> values.Certificate:
    if certificate is None:
        return values.Certificate(round=NO_ROUND, root=NO_ROOT, commits=frozenset())
    return values.Certificate(
        round=certificate.round,
        root=known.name(certificate.root),
        commits=senders(certificate.commits),
    )


def _votes(signed: Iterable[SignedPrepare | SignedCommit], known: Blocks) -> frozenset[values.Vote]:
    return frozenset(_vote(each.sender, each.payload, known) for each in signed)


def _vote(sender: OperatorIndex, payload: Prepare | Commit, known: Blocks) -> values.Vote:
    return values.Vote(sender=sender, round=payload.round, root=known.name(payload.root))


def _round_changes(
    messages: Iterable[RoundChangeMessage], known: Blocks
) -> frozenset[values.RoundChange]:
    return frozenset(
        values.RoundChange(payload=_claim(each.signed, known), prepares=senders(each.prepares))
        for each in messages
    )


def _claim(signed: SignedRoundChange, known: Blocks) -> values.Claim:
    payload = signed.payload
    return values.Claim(
        sender=signed.sender,
        round=payload.round,
        prepared_round=NO_ROUND if payload.prepared_round is None else payload.prepared_round,
        prepared_root=known.name(payload.prepared_root),
    )
