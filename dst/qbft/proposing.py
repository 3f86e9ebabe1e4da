"""From a round-change quorum to a proposal, from a proposal to its validation."""

from collections.abc import Iterator

from dst.qbft import deciding, justification, passing, rounds, tables
from dst.qbft.draft import Draft, Refusal
from dst.qbft.effects import (
    Broadcast,
    Cause,
    Milestone,
    Persist,
    Reached,
    Reason,
    RequestBlock,
    ValidateBlock,
)
from dst.qbft.messages import (
    Proposal,
    ProposalMessage,
    RoundChange,
    RoundChangeMessage,
    SignedProposal,
    SignedRoundChange,
)
from dst.qbft.records import (
    ProposalRecord,
    RoundChangeRecord,
)
from dst.qbft.state import Config, Proposing
from dst.spec.errors import InvalidInput
from dst.spec.primitives import OperatorIndex, Root, Round, faults_tolerated, leader_of


def change_round(draft: Draft, round_: Round, cause: Cause) -> None:
    """Enter `round_` and say so.

    The message is built once, here, from the lock of this moment, and repeated unchanged: one
    rebuilt after preparing in the same round would claim a lock no older than its round.
    """
    state, config = draft.state, draft.config
    lock = state.lock
    payload = RoundChange(
        term=config.term,
        height=state.height,
        round=round_,
        prepared_round=None if lock is None else lock.round,
        prepared_root=None if lock is None else lock.root,
    )
    message = RoundChangeMessage(
        signed=SignedRoundChange(
            payload=payload, sender=config.self_index, signature=rounds.sign(config, payload)
        ),
        prepares=() if lock is None else lock.prepares,
    )
    draft.emit(Persist(record=RoundChangeRecord(message=message)))
    rounds.enter_round(draft, round_, cause)
    draft.update(round_changes=tables.with_round_change(draft.state.round_changes, round_, message))
    draft.emit(Broadcast(message=message))
    passing.pass_lead(draft)
    review_round(draft)


def review_round(draft: Draft) -> None:
    """More is known about who is where: the round's timer may start, its leader may propose, or be
    passed over."""
    state, config = draft.state, draft.config
    if state.round > 0:
        quorum = justification.quorum_size(config.n)
        if not state.timed and tables.operators_at(state, state.round) >= quorum:
            rounds.start_round_timer(draft)
        waits_for_builder = state.proposing is not None and state.proposing.root is None
        is_idle = state.accepted is None and not waits_for_builder
        if rounds.is_leader(draft) and is_idle and not passing.is_passed(state):
            return lead(draft)
    leave_lost_leader(draft)


def leave_lost_leader(draft: Draft) -> None:
    """While the timer of an early round runs, the loss of its leader ends it as the timer would; so
    does its own word that it leaves the lead to the next.

    So whatever bounds timers bounds this: round 0 not before its slot, a later one not before a
    quorum is known to be there, each of them once. And no more than f rounds of a height: f
    operators are all that may be gone, and who leaves the others behind in a later round, where
    timers are long, gains nothing. Where the leader has proposed, the votes go on without it,
    unless somebody who did not get the proposal asks for the next round: with the leader gone a
    quorum may need that operator.
    """
    state = draft.state
    is_lost = rounds.leader(draft) in state.lost
    if not state.timed or state.pending is not None or not (is_lost or passing.is_passed(state)):
        return
    if state.round >= faults_tolerated(draft.config.n):
        return
    if state.accepted is None or tables.somebody_is_ahead(state):
        cause = Cause.LEADER_LOST if is_lost else Cause.LEADER_PASSED
        change_round(draft, Round(state.round + 1), cause)


def lead(draft: Draft) -> None:
    """Given a round-change quorum: propose its highest lock again, or a fresh block if none.

    A claimed lock whose block cannot be had must not hold the height, so while that block is
    fetched, any quorum of round-changes without the claim serves as well. A root that may have
    been decided is claimed in *every* quorum: it is never passed over.
    """
    state = draft.state
    round_changes = tables.round_changes_for(state, state.round)
    for proposing in quorums(round_changes, justification.quorum_size(draft.config.n)):
        if proposing.root is None:
            return request_block(draft, proposing.round_changes)
        block = state.blocks.get(proposing.root)
        if block is not None:
            return propose(draft, proposing, proposing.root, block)
    missing = next(quorums(round_changes, justification.quorum_size(draft.config.n)), None)
    if missing is None or missing == state.proposing:
        return
    draft.update(proposing=missing)
    deciding.fetch_missing(draft)


def quorums(round_changes: tuple[RoundChangeMessage, ...], quorum: int) -> Iterator[Proposing]:
    """What the round-changes at hand justify: all of them, then those without the highest lock,
    and so on while a quorum is left. Root None: a fresh block."""
    while len(round_changes) >= quorum:
        forced = justification.highest_prepared(each.signed.payload for each in round_changes)
        root = None if forced is None else forced.prepared_root
        yield Proposing(round_changes=round_changes, root=root)
        if root is None:
            return
        round_changes = tuple(
            each for each in round_changes if each.signed.payload.prepared_root != root
        )


def request_block(draft: Draft, round_changes: tuple[RoundChangeMessage, ...]) -> None:
    draft.update(proposing=Proposing(round_changes=round_changes, root=None))
    draft.emit(RequestBlock(height=draft.state.height, round=draft.state.round))


def propose(draft: Draft, proposing: Proposing, root: Root, block: bytes) -> None:
    """Propose once a round, on disk first; then treat it like anybody's proposal."""
    state, config = draft.state, draft.config
    payload = Proposal(term=config.term, height=state.height, round=state.round, root=root)
    message = ProposalMessage(
        signed=SignedProposal(
            payload=payload, sender=config.self_index, signature=rounds.sign(config, payload)
        ),
        block=block,
        round_changes=tuple(each.signed for each in proposing.round_changes),
        prepares=deciding.proof_of(proposing),
    )
    try:
        check_proposal(message, config.self_index, config)
    except Refusal as refusal:
        draft.emit(refusal.effect(None))
        return
    draft.emit(Persist(record=ProposalRecord(message=message)))
    draft.emit(Broadcast(message=message))
    accept(draft, message)


class WrongBody(Refusal):
    """The block is not the signed one: counted against the link that brought it."""


def check_proposal(message: ProposalMessage, peer: OperatorIndex, config: Config) -> None:
    """The one set of checks for everybody's proposals, our own included.

    The leader signs the root alone: what is attached can be blamed on its own link only.
    Raises: Refusal.
    """
    payload, sender = message.signed.payload, message.signed.sender
    where = f"height {payload.height} round {payload.round}"
    blamed = sender if peer == sender else None
    if sender != leader_of(payload.height, payload.round, config.n):
        raise Refusal(Reason.NOT_THE_LEADER, f"operator {sender} does not lead {where}", sender)
    if payload.round > tables.MAX_ROUND:
        raise Refusal(Reason.TOO_FAR_AHEAD, f"proposal of {where}", blamed)
    if len(message.block) > config.max_block_bytes:
        size = f"{len(message.block)} > {config.max_block_bytes} bytes"
        raise Refusal(Reason.OVERSIZED_BLOCK, f"block of {where}: {size}", blamed)
    if not justification.is_justified_proposal(message, config):
        raise Refusal(Reason.UNJUSTIFIED_PROPOSAL, f"proposal of {where}", blamed)
    if not hashes_to(message.block, payload.root, config):
        raise WrongBody(Reason.ROOT_MISMATCH, f"block of {where} is not the proposed one", blamed)


def hashes_to(block: bytes, root: Root, config: Config) -> bool:
    try:
        return config.root_of(block) == root
    except InvalidInput:
        return False


def accept(draft: Draft, message: ProposalMessage) -> None:
    """From here on this is the round's only proposal.

    A justified one shows a quorum in its round, so the timer starts. A commit quorum may have been
    waiting for just this block.
    """
    payload = message.signed.payload
    blocks = tables.with_block(draft.state, payload.root, message.block)
    draft.update(accepted=message, proposing=None, blocks=blocks)
    draft.emit(
        Reached(
            milestone=Milestone.PROPOSAL,
            height=payload.height,
            round=payload.round,
            root=payload.root,
        )
    )
    pending = draft.state.pending
    if pending is not None and pending.root == payload.root:
        return deciding.decide(draft, pending, message.block)
    if payload.round > 0 and not draft.state.timed:
        rounds.start_round_timer(draft)
    ask_validation(draft, message)


def ask_validation(draft: Draft, message: ProposalMessage) -> None:
    payload = message.signed.payload
    draft.emit(
        ValidateBlock(
            height=payload.height,
            round=payload.round,
            root=payload.root,
            block=message.block,
            justified=justification.is_forced(message),
        )
    )
