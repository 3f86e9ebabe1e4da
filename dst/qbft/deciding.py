"""From a prepare quorum to the lock, from a commit quorum to the decision."""

from dst.qbft import justification, passing, rounds, tables
from dst.qbft.draft import Draft
from dst.qbft.effects import (
    Broadcast,
    Decided,
    FetchBlock,
    Milestone,
    Persist,
    Reached,
)
from dst.qbft.inputs import (
    MessageReceived,
)
from dst.qbft.messages import (
    Certificate,
    Commit,
    CommitMessage,
    PrepareMessage,
    ProposalMessage,
    SignedCommit,
    SignedPrepare,
)
from dst.qbft.records import (
    CommitRecord,
    DecisionRecord,
)
from dst.qbft.state import Lock, Proposing, State
from dst.spec.primitives import Height, OperatorIndex, Root, Round


def try_commit(draft: Draft) -> None:
    """Lock and COMMIT on a prepare quorum for the accepted proposal of this very round.

    Only after our own PREPARE: so whoever committed has executed the block and holds it on disk.
    """
    state, config = draft.state, draft.config
    own = rounds.own_prepare(draft)
    if own is None or (state.lock is not None and state.lock.round == state.round):
        return
    votes = state.prepares[state.round]
    prepares = tuple(votes[each] for each in sorted(votes) if votes[each].payload == own.payload)
    quorum = justification.quorum_size(config.n)
    if len(prepares) < quorum:
        return
    root = own.payload.root
    payload = Commit(term=config.term, height=state.height, round=state.round, root=root)
    commit = SignedCommit(
        payload=payload, sender=config.self_index, signature=rounds.sign(config, payload)
    )
    proof = prepares[:quorum]
    draft.emit(Persist(record=CommitRecord(prepares=proof, commit=commit)))
    draft.emit(
        Reached(milestone=Milestone.PREPARED, height=state.height, round=state.round, root=root)
    )
    draft.emit(Broadcast(message=CommitMessage(signed=commit)))
    draft.update(
        lock=Lock(prepares=proof, commit=commit),
        commits=tables.with_vote(state.commits, state.round, config.self_index, commit),
    )
    try_decide(draft, state.round, root)


def try_decide(draft: Draft, round_: Round, root: Root) -> None:
    """The decided root is the one a whole quorum of one round names."""
    state, config = draft.state, draft.config
    if state.pending is not None:
        return
    votes = state.commits.get(round_, {})
    commits = tuple(votes[each] for each in sorted(votes) if votes[each].payload.root == root)
    quorum = justification.quorum_size(config.n)
    if len(commits) < quorum:
        return
    certificate = Certificate(
        term=config.term,
        height=state.height,
        round=round_,
        root=root,
        commits=commits[:quorum],
    )
    block = state.blocks.get(root)
    if block is not None:
        return decide(draft, certificate, block)
    draft.update(pending=certificate)
    fetch_missing(draft)


def fetch_missing(draft: Draft) -> None:
    """Ask everybody who should hold the block: the honest ones stored it before they voted."""
    state = draft.state
    if state.pending is not None:
        root = state.pending.root
        holders = {each.sender for each in state.pending.commits}
    elif state.proposing is not None and state.proposing.root is not None:
        root = state.proposing.root
        holders = {each.sender for each in proof_of(state.proposing)}
        holders |= claimants(state.proposing)
    else:
        return
    holders.discard(draft.config.self_index)
    draft.emit(FetchBlock(height=state.height, root=root, holders=tuple(sorted(holders))))


def claimants(proposing: Proposing) -> set[OperatorIndex]:
    """Whoever is locked on the root: the proof's quorum need not name them."""
    return {
        each.signed.sender
        for each in proposing.round_changes
        if each.signed.payload.prepared_root == proposing.root
    }


def proof_of(proposing: Proposing) -> tuple[SignedPrepare, ...]:
    """The prepare quorum of the highest lock among the round-changes; empty when there is none."""
    forced = justification.highest_prepared(each.signed.payload for each in proposing.round_changes)
    for each in proposing.round_changes:
        if each.signed.payload is forced:
            return each.prepares
    return ()


def decide(draft: Draft, certificate: Certificate, block: bytes, *, imported: bool = False) -> None:
    """Final. The next height starts clean: no timer or message of this one matches any more."""
    state, me = draft.state, draft.config.self_index
    draft.emit(Persist(record=DecisionRecord(certificate=certificate, block=block)))
    draft.emit(
        Decided(
            certificate=certificate,
            block=block,
            took_part=state.lock is not None,
            imported=imported,
            signed=any(commit.sender == me for commit in certificate.commits),
        )
    )
    draft.state = State(
        height=Height(state.height + 1),
        heard=heard(state, certificate.round),
        lost=state.lost,
        leaving=state.leaving,
    )
    if not imported:
        passing.pass_lead(draft)  # before the slot begins, so that it costs no message delay then
    draft.replay = [
        MessageReceived(link_peer=peer, message=message)
        for peer in sorted(state.early)
        for message in state.early[peer]
    ]


def heard(state: State, round_: Round) -> frozenset[tuple[OperatorIndex, str]]:
    """Who has said what of the decided round: a peer that says it again did not hear the others."""
    prepared = {(each, PrepareMessage.__name__) for each in state.prepares.get(round_, {})}
    committed = {(each, CommitMessage.__name__) for each in state.commits.get(round_, {})}
    proposed = set()
    if state.accepted is not None and state.round == round_:
        proposed = {(state.accepted.signed.sender, ProposalMessage.__name__)}
    return frozenset(prepared | committed | proposed)
