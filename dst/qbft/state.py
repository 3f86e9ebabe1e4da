"""State, configuration and transition of the QBFT core: values, no behaviour.

`State` describes one open height: everything below it is decided. All tables are treated as
    immutable; a rule that changes one copies it (they hold a few entries per operator).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec

from dst.qbft.effects import Effect
from dst.qbft.messages import (
    Certificate,
    Message,
    PassMessage,
    ProposalMessage,
    RoundChangeMessage,
    SignedCommit,
    SignedPrepare,
)
from dst.qbft.records import DecisionRecord
from dst.spec.committee import Committee
from dst.spec.primitives import Height, OperatorIndex, Root, Round

RETRANSMIT_MS: Final = 500
"""As the cap of the reconnect back-off: a lost message costs at most half a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Committee):
    """A committee as one of its members sees it: constants of the network, and this operator's pure
    functions.

    round_timeout_ms, round_timeout_cap_ms: T0 and the cap of T(r) = min(T0 * 2^r, cap); compared in
        HELLO.
    max_block_bytes: largest encoded block accepted or proposed.
    sign: this operator's identity signature over a 32-byte digest (deterministic, RFC 6979).
    root_of: hash tree root of an encoded block; raises InvalidInput for what is not a block.
    """

    self_index: OperatorIndex
    round_timeout_ms: int
    round_timeout_cap_ms: int
    max_block_bytes: int
    sign: Callable[[bytes], bytes]
    root_of: Callable[[bytes], Root]
    retransmit_ms: int = RETRANSMIT_MS


class DecidedHead(msgspec.Struct, frozen=True, kw_only=True):
    """Highest decision in the store."""

    height: Height


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """The highest prepare quorum this node saw, and the COMMIT it sent for it.

    Kept until the height is decided.
    """

    prepares: tuple[SignedPrepare, ...]
    commit: SignedCommit

    @property
    def round(self) -> Round:
        return self.commit.payload.round

    @property
    def root(self) -> Root:
        return self.commit.payload.root


class Proposing(msgspec.Struct, frozen=True, kw_only=True):
    """This leader waits for a block.

    Fresh (root None, from the builder) or forced by a lock (from a holder).
    """

    round_changes: tuple[RoundChangeMessage, ...]
    root: Root | None


Prepares: TypeAlias = Mapping[Round, Mapping[OperatorIndex, SignedPrepare]]
Commits: TypeAlias = Mapping[Round, Mapping[OperatorIndex, SignedCommit]]


class State(msgspec.Struct, frozen=True, kw_only=True):
    """One open height.

    due: the slot has begun (HeightDue seen).
    proposal_within_ms: how long round 0 waits for its proposal, where that was measured
        (HeightDue); None: as long as for all the rest.
    timed: the timer of `round` runs.
    accepted: the one proposal accepted in `round`.
    proposing: set while this node, leader of `round`, waits for the block to propose.
    prepares, commits: first vote per (round, sender), own ones included.
    round_changes: per sender the one of `round` and the highest one, ascending, own included.
    seen: highest round in which each other operator is known to be.
    blocks: encoded blocks of this height by root (bounded).
    pending: a certificate whose block is still being fetched.
    early: messages of the next height by link peer (bounded).
    heard: (link peer, kind) of votes already heard of the decided round below: a repetition marks a
        laggard.
    lost: peers that are not heard at present; outlives the height.
    leaving: this node passes on what it would lead; outlives the height.
    passes: by round, what its leader said instead of a proposal, own ones included (rounds below f
        alone).
    wrong_bodies: per link peer, proposals whose body was not the signed block (bounded).
    undelivered: decisions found in the log at restore, announced again by Start.
    """

    height: Height
    round: Round = Round(0)
    due: bool = False
    proposal_within_ms: int | None = None
    timed: bool = False
    accepted: ProposalMessage | None = None
    proposing: Proposing | None = None
    lock: Lock | None = None
    prepares: Prepares = {}
    commits: Commits = {}
    round_changes: Mapping[OperatorIndex, tuple[RoundChangeMessage, ...]] = {}
    seen: Mapping[OperatorIndex, Round] = {}
    blocks: Mapping[Root, bytes] = {}
    pending: Certificate | None = None
    early: Mapping[OperatorIndex, tuple[Message, ...]] = {}
    heard: frozenset[tuple[OperatorIndex, str]] = frozenset()
    lost: frozenset[OperatorIndex] = frozenset()
    leaving: bool = False
    passes: Mapping[Round, PassMessage] = {}
    wrong_bodies: Mapping[OperatorIndex, int] = {}
    undelivered: tuple[DecisionRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    state: State
    effects: tuple[Effect, ...]
