"""The rules: one `upon_*` per input or message, in the order of a height's life; then what several rules share.

Safety rests on five habits, visible in each rule: check everything before changing anything; persist before the send
that depends on it; one accepted proposal, one PREPARE and one COMMIT per round; the lock and its proof are kept until
the height is decided; the decided root is read from a verified quorum.
"""

from dst.qbft import justification, tables
from dst.qbft.draft import Draft, Refusal
from dst.qbft.effects import (
    Broadcast,
    Decided,
    FetchBlock,
    FetchDecided,
    HelpLaggard,
    Milestone,
    Persist,
    Reached,
    Reason,
    Refused,
    RequestBlock,
    Send,
    SetTimer,
    TimerKind,
    ValidateBlock,
)
from dst.qbft.inputs import (
    BlockBuilt,
    BlockFetched,
    BlockValidated,
    CertificateReceived,
    HeightDue,
    MessageReceived,
    PeerConnected,
    RetransmitDue,
    RoundExpired,
)
from dst.qbft.messages import (
    Certificate,
    Commit,
    CommitMessage,
    Message,
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
from dst.qbft.records import (
    CommitRecord,
    DecisionRecord,
    PrepareRecord,
    ProposalRecord,
    RoundChangeRecord,
)
from dst.qbft.state import Config, Lock, Proposing, State
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Height, OperatorIndex, Root, Round, leader_of

# ---------------------------------------------------------------- life of a height


def upon_start(draft: Draft) -> None:
    """Say again what the log promised, start timers, and (alone, n = 1) finish what a crash interrupted."""
    for record in draft.state.undelivered:
        draft.emit(Decided(certificate=record.certificate, block=record.block))
    draft.update(undelivered=())
    for message in own_messages(draft.state, draft.config):
        draft.emit(Broadcast(message=message))
    state = draft.state
    if state.round > 0:
        _set_timer(draft, TimerKind.RETRANSMIT)
        if state.accepted is not None:
            _start_round_timer(draft)
    if state.accepted is not None and _own_prepare(draft) is None:
        _ask_validation(draft, state.accepted)
    _upon_progress_of_round(draft)
    _try_commit(draft)
    if state.lock is not None:
        _try_decide(draft, state.lock.round, state.lock.root)


def upon_height_due(draft: Draft, event: HeightDue) -> None:
    """Round 0's timer starts when a block is due, never before; its leader builds."""
    state = draft.state
    if event.height != state.height or state.due:
        return
    draft.update(due=True)
    if state.round > 0:
        return
    _start_round_timer(draft)
    _set_timer(draft, TimerKind.RETRANSMIT)
    if _is_leader(draft) and state.accepted is None:
        _request_block(draft, ())


def upon_block_built(draft: Draft, event: BlockBuilt) -> None:
    state = draft.state
    if (event.height, event.round) != (state.height, state.round) or state.accepted is not None:
        return
    if state.proposing is not None and state.proposing.root is None:
        _propose(draft, state.proposing, event.root, event.block)


def upon_block_fetched(draft: Draft, event: BlockFetched) -> None:
    """A block that a commit quorum decided, or that a lock forces on this leader."""
    state = draft.state
    if event.height != state.height:
        return
    if state.pending is not None and state.pending.root == event.root:
        _decide(draft, state.pending, event.block)
    elif state.proposing is not None and state.proposing.root == event.root:
        _propose(draft, state.proposing, event.root, event.block)


def upon_block_validated(draft: Draft, event: BlockValidated) -> None:
    """Valid: PREPARE, once a round, on disk first. A late verdict (older round, other root) means nothing."""
    state, config = draft.state, draft.config
    accepted = state.accepted
    if (
        accepted is None
        or (event.height, event.round) != (state.height, state.round)
        or event.root != accepted.signed.payload.root
        or _own_prepare(draft) is not None
    ):
        return
    if not event.valid:
        # No culprit: view rules may fail on an honest leader's block.
        detail = f"proposal of height {event.height} round {event.round} is not valid here"
        draft.emit(
            Refused(reason=Reason.INVALID_BLOCK, link_peer=None, culprit=None, detail=detail)
        )
        return
    payload = Prepare(term=config.term, height=state.height, round=state.round, root=event.root)
    signed = SignedPrepare(
        payload=payload, sender=config.self_index, signature=_sign(config, payload)
    )
    draft.emit(Persist(record=PrepareRecord(proposal=accepted, prepare=signed)))
    draft.emit(Broadcast(message=PrepareMessage(signed=signed)))
    draft.update(prepares=tables.with_vote(state.prepares, state.round, config.self_index, signed))
    _try_commit(draft)


def upon_round_expired(draft: Draft, event: RoundExpired) -> None:
    state = draft.state
    if (event.height, event.round) == (state.height, state.round) and state.timed:
        _change_round(draft, Round(state.round + 1))


def upon_retransmit_due(draft: Draft, event: RetransmitDue) -> None:
    """Say again, unchanged, what this round said; ask again for a block still missing."""
    state = draft.state
    if (event.height, event.round) != (state.height, state.round):
        return
    for message in own_messages(state, draft.config):
        draft.emit(Broadcast(message=message))
    _fetch_missing(draft)
    _set_timer(draft, TimerKind.RETRANSMIT)


def upon_peer_connected(draft: Draft, event: PeerConnected) -> None:
    """Over TCP, what a broken link lost is lost for good: tell this peer where the round stands."""
    state = draft.state
    messages = own_messages(state, draft.config)
    if state.accepted is not None and state.accepted not in messages:
        messages = (state.accepted, *messages)
    for message in messages:
        draft.emit(Send(to=event.peer, message=message))


def upon_certificate(draft: Draft, event: CertificateReceived) -> None:
    state, certificate = draft.state, event.certificate
    if certificate.height < state.height:
        return
    if certificate.height > state.height:
        detail = f"certificate of height {certificate.height}, but {state.height} is open here"
        raise Refusal(Reason.TOO_FAR_AHEAD, detail)
    if not justification.is_valid_certificate(certificate, draft.config):
        detail = f"certificate of height {certificate.height} does not prove a decision"
        raise Refusal(Reason.BAD_CERTIFICATE, detail)
    _decide(draft, certificate, event.block)


# ---------------------------------------------------------------- messages


def upon_message(draft: Draft, event: MessageReceived) -> None:
    """Judge one message; a refusal leaves no trace but its reason."""
    try:
        _dispatch(draft, event.link_peer, event.message)
    except Refusal as refusal:
        draft.emit(refusal.effect(event.link_peer))


def _dispatch(draft: Draft, peer: OperatorIndex, message: Message) -> None:
    payload: Payload = message.signed.payload
    if payload.term != draft.config.term:
        raise Refusal(Reason.WRONG_TERM, f"term {payload.term}, ours is {draft.config.term}")
    if payload.height < 1 or payload.round < 0:
        raise Refusal(Reason.STALE, f"no such height or round: {payload.height}, {payload.round}")
    if payload.height < draft.state.height:
        return upon_past_height(draft, peer, message)
    if payload.height > draft.state.height:
        return upon_future_height(draft, peer, message)
    match message:
        case ProposalMessage():
            upon_proposal(draft, peer, message)
        case PrepareMessage():
            upon_prepare(draft, message)
        case CommitMessage():
            upon_commit(draft, message)
        case RoundChangeMessage():
            upon_round_change(draft, peer, message)


def upon_past_height(draft: Draft, peer: OperatorIndex, message: Message) -> None:
    """A round-change, a repetition, or anything below the head shows a laggard; the last votes of the head do not."""
    state = draft.state
    height = message.signed.payload.height
    mark = (peer, type(message).__name__)
    is_late_vote = height == state.height - 1 and not isinstance(message, RoundChangeMessage)
    if is_late_vote and mark not in state.heard:
        draft.update(heard=state.heard | {mark})
        return
    draft.emit(HelpLaggard(peer=peer, height=height))


def upon_future_height(draft: Draft, peer: OperatorIndex, message: Message) -> None:
    """The peer decided this height. One early message is a race, kept for later; more mean that we are behind."""
    state = draft.state
    known = state.early.get(peer, ())
    if message.signed.payload.height == state.height + 1:
        draft.update(early={**state.early, peer: tables.with_early(known, message)})
        if not known:
            return
    draft.emit(FetchDecided(peer=peer, from_height=state.height))


def upon_proposal(draft: Draft, peer: OperatorIndex, message: ProposalMessage) -> None:
    """Accept one proposal a round, and a justified one of a later round at once."""
    state = draft.state
    payload = message.signed.payload
    if payload.round < state.round:
        return
    if state.accepted is not None and state.accepted.signed == message.signed:
        return
    _check_signature(draft, message.signed)
    accepted = state.accepted if payload.round == state.round else None
    if accepted is not None and accepted.signed.payload.root == payload.root:
        return
    if accepted is not None and accepted.signed.sender == message.signed.sender:
        detail = f"another proposal for height {payload.height} round {payload.round}"
        raise Refusal(Reason.SECOND_PROPOSAL, detail, message.signed.sender)
    check_proposal(message, peer, draft.config)
    if payload.round > state.round:
        _enter_round(draft, payload.round)
    _accept(draft, message)


def check_proposal(message: ProposalMessage, peer: OperatorIndex, config: Config) -> None:
    """The one set of checks for everybody's proposals, our own included. Raises: Refusal.

    The leader signs the root alone: for what is attached to it only the leader's own link can be blamed.
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
    if not _hashes_to(message.block, payload.root, config):
        raise Refusal(Reason.ROOT_MISMATCH, f"block of {where} is not the proposed one", blamed)


def upon_prepare(draft: Draft, message: PrepareMessage) -> None:
    """Count first votes of this round, keep those of the next rounds; older rounds cannot be prepared any more."""
    state, signed = draft.state, message.signed
    round_, sender = signed.payload.round, signed.sender
    if round_ < state.round or sender == draft.config.self_index:
        return
    known = state.prepares.get(round_, {}).get(sender)
    if known is not None and known.payload == signed.payload:
        return
    _check_vote(draft, signed, known)
    draft.update(prepares=tables.with_vote(state.prepares, round_, sender, signed))
    _note_seen(draft, sender, round_)
    _upon_progress_of_round(draft)
    _try_commit(draft)


def upon_commit(draft: Draft, message: CommitMessage) -> None:
    """A commit quorum of any round decides, also of one that this node has left."""
    state, signed = draft.state, message.signed
    round_, sender = signed.payload.round, signed.sender
    if sender == draft.config.self_index:
        return
    known = state.commits.get(round_, {}).get(sender)
    if known is not None and known.payload == signed.payload:
        return
    _check_vote(draft, signed, known)
    commits = tables.with_vote(state.commits, round_, sender, signed)
    draft.update(commits=tables.newest_rounds(commits, tables.MAX_COMMIT_ROUNDS))
    _note_seen(draft, sender, round_)
    _upon_progress_of_round(draft)
    _try_decide(draft, round_, signed.payload.root)


def upon_round_change(draft: Draft, peer: OperatorIndex, message: RoundChangeMessage) -> None:
    """Count it only with its lock proven; follow f+1 operators ahead; lead when a quorum wants this round."""
    state, signed = draft.state, message.signed
    payload, sender = signed.payload, signed.sender
    known = state.round_changes.get(sender, ())
    if payload.round < state.round or sender == draft.config.self_index:
        return
    if known and state.round != payload.round < known[-1].signed.payload.round:
        return
    same_round = [each for each in known if each.signed.payload.round == payload.round]
    if any(each.signed.payload == payload for each in same_round):
        return
    _check_signature(draft, signed)
    where = f"height {payload.height} round {payload.round}"
    if same_round:
        raise Refusal(Reason.CONFLICTING_VOTE, f"second round-change for {where}", sender)
    if payload.round > tables.MAX_ROUND:
        raise Refusal(Reason.TOO_FAR_AHEAD, f"round-change for {where}", sender)
    if not justification.is_valid_round_change(message, draft.config):
        blamed = sender if peer == sender else None
        raise Refusal(Reason.UNJUSTIFIED_ROUND_CHANGE, f"round-change for {where}", blamed)
    draft.update(round_changes=tables.with_round_change(state.round_changes, state.round, message))
    _note_seen(draft, sender, payload.round)
    target = tables.jump_target(draft.state, draft.config.n)
    if target is not None:
        _change_round(draft, target)
    else:
        _upon_progress_of_round(draft)


# ---------------------------------------------------------------- shared: checks


def _check_signature(draft: Draft, signed: Signed) -> None:
    if not justification.is_member(signed.sender, draft.config):
        raise Refusal(Reason.NOT_A_MEMBER, f"no operator {signed.sender}")
    if not justification.is_authentic(signed, draft.config):
        raise Refusal(Reason.BAD_SIGNATURE, f"not signed by operator {signed.sender}")


def _check_vote(
    draft: Draft, signed: SignedPrepare | SignedCommit, known: SignedPrepare | SignedCommit | None
) -> None:
    """Window first (cheap), then the signature; a second, different vote of a round is evidence."""
    payload = signed.payload
    where = f"height {payload.height} round {payload.round}"
    if payload.round > draft.state.round + tables.VOTE_WINDOW:
        raise Refusal(Reason.TOO_FAR_AHEAD, f"vote of {where}, we are at {draft.state.round}")
    _check_signature(draft, signed)
    if known is not None:
        raise Refusal(Reason.CONFLICTING_VOTE, f"second vote for {where}", signed.sender)


def _hashes_to(block: bytes, root: Root, config: Config) -> bool:
    try:
        return config.root_of(block) == root
    except InvalidInput:
        return False


def _is_leader(draft: Draft) -> bool:
    state, config = draft.state, draft.config
    return leader_of(state.height, state.round, config.n) == config.self_index


def _own_prepare(draft: Draft) -> SignedPrepare | None:
    return draft.state.prepares.get(draft.state.round, {}).get(draft.config.self_index)


# ---------------------------------------------------------------- shared: proposing and accepting


def _upon_progress_of_round(draft: Draft) -> None:
    """More is known about who is where: the round's timer may start, its leader may propose."""
    state, config = draft.state, draft.config
    if state.round == 0:
        return
    if not state.timed and tables.operators_at(state, state.round) >= justification.quorum_size(
        config.n
    ):
        _start_round_timer(draft)
    if _is_leader(draft) and state.accepted is None and state.proposing is None:
        _lead(draft)


def _lead(draft: Draft) -> None:
    """With a round-change quorum: re-propose the highest lock among them, or a fresh block when there is none."""
    state = draft.state
    round_changes = tables.round_changes_for(state, state.round)
    if len(round_changes) < justification.quorum_size(draft.config.n):
        return
    forced = justification.highest_prepared(each.signed.payload for each in round_changes)
    if forced is None or forced.prepared_root is None:
        return _request_block(draft, round_changes)
    proposing = Proposing(round_changes=round_changes, root=forced.prepared_root)
    block = state.blocks.get(forced.prepared_root)
    if block is not None:
        return _propose(draft, proposing, forced.prepared_root, block)
    draft.update(proposing=proposing)
    _fetch_missing(draft)


def _request_block(draft: Draft, round_changes: tuple[RoundChangeMessage, ...]) -> None:
    draft.update(proposing=Proposing(round_changes=round_changes, root=None))
    draft.emit(RequestBlock(height=draft.state.height, round=draft.state.round))


def _propose(draft: Draft, proposing: Proposing, root: Root, block: bytes) -> None:
    """Propose once a round, on disk first; then treat it like anybody's proposal."""
    state, config = draft.state, draft.config
    payload = Proposal(term=config.term, height=state.height, round=state.round, root=root)
    message = ProposalMessage(
        signed=SignedProposal(
            payload=payload, sender=config.self_index, signature=_sign(config, payload)
        ),
        block=block,
        round_changes=tuple(each.signed for each in proposing.round_changes),
        prepares=_proof_of(proposing),
    )
    try:
        check_proposal(message, config.self_index, config)
    except Refusal as refusal:
        draft.emit(refusal.effect(None))
        return
    draft.emit(Persist(record=ProposalRecord(message=message)))
    draft.emit(Broadcast(message=message))
    _accept(draft, message)


def _proof_of(proposing: Proposing) -> tuple[SignedPrepare, ...]:
    """The prepare quorum of the highest lock among the round-changes; empty when there is none."""
    forced = justification.highest_prepared(each.signed.payload for each in proposing.round_changes)
    for each in proposing.round_changes:
        if each.signed.payload is forced:
            return each.prepares
    return ()


def _accept(draft: Draft, message: ProposalMessage) -> None:
    """From here on this is the round's only proposal. A justified one shows a quorum in the round: the timer starts."""
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
    if payload.round > 0 and not draft.state.timed:
        _start_round_timer(draft)
    _ask_validation(draft, message)


def _ask_validation(draft: Draft, message: ProposalMessage) -> None:
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


def _fetch_missing(draft: Draft) -> None:
    """Ask the signers of the quorum that names the root; each honest one of them stored the block with its PREPARE."""
    state = draft.state
    signers: tuple[OperatorIndex, ...]
    if state.pending is not None:
        root = state.pending.root
        signers = tuple(each.sender for each in state.pending.commits)
    elif state.proposing is not None and state.proposing.root is not None:
        root = state.proposing.root
        signers = tuple(each.sender for each in _proof_of(state.proposing))
    else:
        return
    holders = tuple(sorted(each for each in signers if each != draft.config.self_index))
    draft.emit(FetchBlock(height=state.height, root=root, holders=holders))


# ---------------------------------------------------------------- shared: lock and decision


def _try_commit(draft: Draft) -> None:
    """Lock and COMMIT on a prepare quorum for the accepted proposal of this very round, after our own PREPARE.

    So whoever committed has executed the block and holds it on disk.
    """
    state, config = draft.state, draft.config
    own = _own_prepare(draft)
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
        payload=payload, sender=config.self_index, signature=_sign(config, payload)
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
    _try_decide(draft, state.round, root)


def _try_decide(draft: Draft, round_: Round, root: Root) -> None:
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
        return _decide(draft, certificate, block)
    draft.update(pending=certificate)
    _fetch_missing(draft)


def _decide(draft: Draft, certificate: Certificate, block: bytes) -> None:
    """Final. The next height starts clean: timers and messages of this one no longer match anything."""
    state = draft.state
    draft.emit(Persist(record=DecisionRecord(certificate=certificate, block=block)))
    draft.emit(Decided(certificate=certificate, block=block))
    draft.state = State(
        height=Height(state.height + 1), heard=_heard(state, certificate, draft.config.n)
    )
    for peer in sorted(state.early):
        for message in state.early[peer]:
            upon_message(draft, MessageReceived(link_peer=peer, message=message))


def _heard(state: State, certificate: Certificate, n: int) -> frozenset[tuple[OperatorIndex, str]]:
    """Who has already said what of the decided round; a peer that says it again did not hear the others."""
    round_ = certificate.round
    prepared = {(each, PrepareMessage.__name__) for each in state.prepares.get(round_, {})}
    committed = {(each, CommitMessage.__name__) for each in state.commits.get(round_, {})}
    leader = leader_of(certificate.height, round_, n)
    return frozenset(prepared | committed | {(leader, ProposalMessage.__name__)})


# ---------------------------------------------------------------- shared: rounds, timers, repetition


def _change_round(draft: Draft, round_: Round) -> None:
    """Enter `round_` and say so. The message is built once, here, from the lock of this moment; it never changes."""
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
            payload=payload, sender=config.self_index, signature=_sign(config, payload)
        ),
        prepares=() if lock is None else lock.prepares,
    )
    draft.emit(Persist(record=RoundChangeRecord(message=message)))
    _enter_round(draft, round_)
    draft.update(round_changes=tables.with_round_change(draft.state.round_changes, round_, message))
    draft.emit(Broadcast(message=message))
    _upon_progress_of_round(draft)


def _enter_round(draft: Draft, round_: Round) -> None:
    state = draft.state
    draft.update(
        round=round_,
        timed=False,
        accepted=None,
        proposing=None,
        prepares=tables.from_round(state.prepares, round_),
        round_changes=tables.round_changes_from(state.round_changes, round_),
    )
    draft.emit(
        Reached(milestone=Milestone.ROUND_CHANGE, height=state.height, round=round_, root=None)
    )
    _set_timer(draft, TimerKind.RETRANSMIT)


def round_timeout_ms(config: Config, round_: Round) -> int:
    """T(r) = min(T0 * 2^r, cap). The shift is bounded: far above any cap, far below a huge integer."""
    return min(config.round_timeout_ms << min(round_, 16), config.round_timeout_cap_ms)


def _start_round_timer(draft: Draft) -> None:
    draft.update(timed=True)
    _set_timer(draft, TimerKind.ROUND)


def _set_timer(draft: Draft, kind: TimerKind) -> None:
    state, config = draft.state, draft.config
    delay = config.retransmit_ms
    if kind is TimerKind.ROUND:
        delay = round_timeout_ms(config, state.round)
    draft.emit(SetTimer(kind=kind, height=state.height, round=state.round, delay_ms=delay))


def _note_seen(draft: Draft, sender: OperatorIndex, round_: Round) -> None:
    seen = draft.state.seen
    if round_ > seen.get(sender, -1):
        draft.update(seen={**seen, sender: round_})


def own_messages(state: State, config: Config) -> tuple[Message, ...]:
    """What this node has said and still stands by: round-change and proposal of this round, PREPARE, latest COMMIT."""
    me = config.self_index
    messages: list[Message] = [
        each for each in state.round_changes.get(me, ()) if each.signed.payload.round == state.round
    ]
    if state.accepted is not None and state.accepted.signed.sender == me:
        messages.append(state.accepted)
    prepare = state.prepares.get(state.round, {}).get(me)
    if prepare is not None:
        messages.append(PrepareMessage(signed=prepare))
    if state.lock is not None:
        messages.append(CommitMessage(signed=state.lock.commit))
    return tuple(messages)


def _sign(config: Config, payload: Payload) -> bytes:
    return config.sign(signing_digest(config.chain_id, payload))
