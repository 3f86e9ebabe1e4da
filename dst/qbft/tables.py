"""Arithmetic over the tables of `State`: votes, round-changes, known rounds. Pure, copies only.

All bounds on what peers can make this node remember are here.
"""

from collections.abc import Mapping
from typing import Final, TypeVar

from dst.qbft.messages import Message, ProposalMessage, RoundChangeMessage
from dst.qbft.state import State
from dst.spec.primitives import OperatorIndex, Root, Round, faults_tolerated

VOTE_WINDOW: Final = 64
"""PREPAREs and COMMITs further ahead than this many rounds are refused; retransmission repairs it
once this node has caught up by round-changes. 64 rounds are over four minutes of capped timers, and
64 small votes a peer and kind."""

MAX_COMMIT_ROUNDS: Final = 128
"""COMMITs are kept for past rounds too (a quorum of any round decides); the lowest rounds give
way."""

MAX_ROUND: Final = 2**32 - 1
"""Round-changes need no window: at most two a sender are kept and only f+1 of them move a node. The
bound keeps arithmetic and encodings sane."""

MAX_BLOCKS: Final = 4
"""Blocks kept besides the locked one: whoever decides an older root fetches it by root."""

MAX_EARLY: Final = 8
"""Messages of the next height kept for one link peer, one proposal among them: enough for what a
peer says in its first round before this node has decided."""

MAX_WRONG_BODIES: Final = 2
"""Bodies of one height that did not hash to the proposed root, per link peer, before that peer's
proposals of the height are refused unhashed. The signature covers the root alone, so whoever holds
one could attach another body to it each time; a second chance costs little and forgives a fault
on the way."""

V = TypeVar("V")


def with_vote(
    table: Mapping[Round, Mapping[OperatorIndex, V]], round_: Round, sender: OperatorIndex, vote: V
) -> Mapping[Round, Mapping[OperatorIndex, V]]:
    return {**table, round_: {**table.get(round_, {}), sender: vote}}


def from_round(table: Mapping[Round, V], lowest: Round) -> Mapping[Round, V]:
    return {round_: votes for round_, votes in table.items() if round_ >= lowest}


def newest_rounds(table: Mapping[Round, V], count: int) -> Mapping[Round, V]:
    """The `count` highest rounds of a table."""
    if len(table) <= count:
        return table
    return {round_: table[round_] for round_ in sorted(table)[-count:]}


def with_round_change(
    table: Mapping[OperatorIndex, tuple[RoundChangeMessage, ...]],
    current: Round,
    message: RoundChangeMessage,
) -> Mapping[OperatorIndex, tuple[RoundChangeMessage, ...]]:
    """At most two a sender, ascending: the one for the current round and the highest."""
    sender = message.signed.sender
    known = [*table.get(sender, ()), message]
    known.sort(key=lambda each: each.signed.payload.round)
    kept = [each for each in known[:-1] if each.signed.payload.round == current]
    return {**table, sender: (*kept, known[-1])}


def round_changes_from(
    table: Mapping[OperatorIndex, tuple[RoundChangeMessage, ...]], lowest: Round
) -> Mapping[OperatorIndex, tuple[RoundChangeMessage, ...]]:
    kept = {
        sender: tuple(each for each in known if each.signed.payload.round >= lowest)
        for sender, known in table.items()
    }
    return {sender: known for sender, known in kept.items() if known}


def round_changes_for(state: State, round_: Round) -> tuple[RoundChangeMessage, ...]:
    """Those for exactly `round_`, by sender."""
    return tuple(
        each
        for sender in sorted(state.round_changes)
        for each in state.round_changes[sender]
        if each.signed.payload.round == round_
    )


def jump_target(state: State, n: int) -> Round | None:
    """The (f+1)-th highest round asked for ahead of this one: an honest operator is there.

    None when fewer than f+1 are ahead. Never the maximum: one liar must not drag everybody along.
    """
    ahead = sorted(
        (
            known[-1].signed.payload.round
            for known in state.round_changes.values()
            if known[-1].signed.payload.round > state.round
        ),
        reverse=True,
    )
    f = faults_tolerated(n)
    return ahead[f] if len(ahead) > f else None


def somebody_is_ahead(state: State) -> bool:
    """Has any other operator asked for a later round than this one?"""
    return any(
        known[-1].signed.payload.round > state.round for known in state.round_changes.values()
    )


def operators_at(state: State, round_: Round) -> int:
    """Operators known to be in `round_` or later, this one included."""
    return 1 + sum(1 for seen in state.seen.values() if seen >= round_)


def with_block(state: State, root: Root, block: bytes) -> Mapping[Root, bytes]:
    """The newest few and the locked one, in order of arrival."""
    blocks = {known: data for known, data in state.blocks.items() if known != root}
    blocks[root] = block
    locked = None if state.lock is None else state.lock.root
    spare = [known for known in blocks if known != locked]
    for known in spare[:-MAX_BLOCKS]:
        del blocks[known]
    return blocks


def with_early(known: tuple[Message, ...], message: Message) -> tuple[Message, ...]:
    """The newest few of one link peer; a proposal replaces its predecessor (blocks are large)."""
    if isinstance(message, ProposalMessage):
        known = tuple(each for each in known if not isinstance(each, ProposalMessage))
    elif message in known:
        return known
    return (*known, message)[-MAX_EARLY:]
