"""The rules: one `upon_*` per input, in the order of a height's life, then one per message.

Safety rests on five habits, seen in each rule: check everything before changing anything; persist
before the send that depends on it; one accepted proposal, one PREPARE and one COMMIT per round; the
lock and its proof are kept until the height is decided; the decided root is read from a verified
quorum.
"""

from dst.qbft import deciding, justification, passing, proposing, rounds, tables
from dst.qbft.draft import Draft, Refusal
from dst.qbft.effects import (
    Broadcast,
    Cause,
    Decided,
    FetchDecided,
    HelpLaggard,
    Persist,
    Reason,
    Send,
    TimerKind,
)
from dst.qbft.inputs import (
    BlockBuilt,
    BlockFetched,
    BlockValidated,
    CertificateReceived,
    HeightDue,
    Leave,
    MessageReceived,
    PeerConnected,
    PeerHeard,
    PeerLost,
    RetransmitDue,
    RoundExpired,
)
from dst.qbft.messages import (
    CommitMessage,
    Message,
    PassMessage,
    Payload,
    Prepare,
    PrepareMessage,
    ProposalMessage,
    RoundChangeMessage,
    Signed,
    SignedCommit,
    SignedPrepare,
)
from dst.qbft.records import (
    PrepareRecord,
)
from dst.spec.primitives import OperatorIndex, Round, leader_of


def upon_start(draft: Draft) -> None:
    """Say again what the log promised, start timers, and (alone, n = 1) finish what a crash
    interrupted."""
    for record in draft.state.undelivered:
        draft.emit(Decided(certificate=record.certificate, block=record.block))
    draft.update(undelivered=())
    for message in rounds.own_messages(draft.state, draft.config):
        draft.emit(Broadcast(message=message))
    state = draft.state
    if state.round > 0:
        rounds.set_timer(draft, TimerKind.RETRANSMIT)
        if state.accepted is not None:
            rounds.start_round_timer(draft)
    if state.accepted is not None and rounds.own_prepare(draft) is None:
        proposing.ask_validation(draft, state.accepted)
    proposing.review_round(draft)
    deciding.try_commit(draft)
    if state.lock is not None:
        deciding.try_decide(draft, state.lock.round, state.lock.root)


def upon_height_due(draft: Draft, event: HeightDue) -> None:
    """Round 0's timer starts when a block is due, never before; its leader builds."""
    state = draft.state
    if event.height != state.height or state.due:
        return
    draft.update(due=True, proposal_within_ms=event.proposal_within_ms)
    if state.round > 0:
        return
    rounds.start_round_timer(draft)
    rounds.set_timer(draft, TimerKind.RETRANSMIT)
    passing.pass_lead(draft)
    if rounds.is_leader(draft) and state.accepted is None and not passing.is_passed(draft.state):
        return proposing.request_block(draft, ())
    proposing.leave_lost_leader(draft)


def upon_block_built(draft: Draft, event: BlockBuilt) -> None:
    state = draft.state
    if (event.height, event.round) != (state.height, state.round) or state.accepted is not None:
        return
    if state.proposing is not None and state.proposing.root is None:
        proposing.propose(draft, state.proposing, event.root, event.block)


def upon_block_fetched(draft: Draft, event: BlockFetched) -> None:
    """A block that a commit quorum decided, or that a lock forces on this leader."""
    state = draft.state
    if event.height != state.height:
        return
    if state.pending is not None and state.pending.root == event.root:
        deciding.decide(draft, state.pending, event.block)
    elif state.proposing is not None and state.proposing.root == event.root:
        proposing.propose(draft, state.proposing, event.root, event.block)


def upon_block_validated(draft: Draft, event: BlockValidated) -> None:
    """Valid: PREPARE, once a round, on disk first. A late verdict means nothing any more."""
    state, config = draft.state, draft.config
    accepted = state.accepted
    if (
        accepted is None
        or (event.height, event.round) != (state.height, state.round)
        or event.root != accepted.signed.payload.root
        or rounds.own_prepare(draft) is not None
    ):
        return
    if not event.valid:
        # No culprit: view rules may fail on an honest leader's block.
        detail = f"proposal of height {event.height} round {event.round} is not valid here"
        raise Refusal(Reason.INVALID_BLOCK, detail)
    payload = Prepare(term=config.term, height=state.height, round=state.round, root=event.root)
    signed = SignedPrepare(
        payload=payload, sender=config.self_index, signature=rounds.sign(config, payload)
    )
    draft.emit(Persist(record=PrepareRecord(proposal=accepted, prepare=signed)))
    draft.emit(Broadcast(message=PrepareMessage(signed=signed)))
    draft.update(prepares=tables.with_vote(state.prepares, state.round, config.self_index, signed))
    deciding.try_commit(draft)


def upon_round_expired(draft: Draft, event: RoundExpired) -> None:
    """No proposal, or no decision, in time."""
    state = draft.state
    if (event.height, event.round) != (state.height, state.round) or not state.timed:
        return
    if state.accepted is not None and rounds.spare_ms(state, draft.config):
        return rounds.use_spare(draft)
    proposing.change_round(draft, Round(state.round + 1), Cause.TIMER)


def upon_retransmit_due(draft: Draft, event: RetransmitDue) -> None:
    """Say again, unchanged, what this round said; ask again for a block still missing."""
    state = draft.state
    if (event.height, event.round) != (state.height, state.round):
        return
    for message in rounds.own_messages(state, draft.config):
        draft.emit(Broadcast(message=message))
    deciding.fetch_missing(draft)
    rounds.set_timer(draft, TimerKind.RETRANSMIT)


def upon_peer_connected(draft: Draft, event: PeerConnected) -> None:
    """Over TCP, what a broken link lost is lost for good: tell this peer where the round stands."""
    state = draft.state
    messages = rounds.own_messages(state, draft.config)
    if state.accepted is not None and state.accepted not in messages:
        messages = (state.accepted, *messages)
    for message in messages:
        draft.emit(Send(to=event.peer, message=message))


def upon_peer_lost(draft: Draft, event: PeerLost) -> None:
    """If it leads, there is nothing to wait for."""
    draft.update(lost=draft.state.lost | {event.peer})
    proposing.leave_lost_leader(draft)


def upon_peer_heard(draft: Draft, event: PeerHeard) -> None:
    """From the next round that it leads it is waited for again."""
    draft.update(lost=draft.state.lost - {event.peer})


def upon_leave(draft: Draft, event: Leave) -> None:
    """What it leads from now on goes to the next; what it is proposing is finished."""
    draft.update(leaving=event.leaving)
    passing.pass_lead(draft)
    proposing.leave_lost_leader(draft)


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
    deciding.decide(draft, certificate, event.block, imported=True)


def upon_message(draft: Draft, event: MessageReceived) -> None:
    """Sort by height: below, a laggard may speak; above, we may be one."""
    peer, message = event.link_peer, event.message
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
        case PassMessage():
            upon_pass(draft, message)


def upon_past_height(draft: Draft, peer: OperatorIndex, message: Message) -> None:
    """First late votes are normal; a repetition, a round-change or an older height is a laggard."""
    state = draft.state
    height = message.signed.payload.height
    mark = (peer, type(message).__name__)
    is_late_vote = height == state.height - 1 and not isinstance(message, RoundChangeMessage)
    if is_late_vote and mark not in state.heard:
        draft.update(heard=state.heard | {mark})
        return
    draft.emit(HelpLaggard(peer=peer, height=height))


def upon_future_height(draft: Draft, peer: OperatorIndex, message: Message) -> None:
    """The peer decided our height. One early message is a race; more mean that we are behind."""
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
        raise Refusal(
            Reason.SECOND_PROPOSAL, detail, message.signed.sender, contradicts=accepted.signed
        )
    if state.wrong_bodies.get(peer, 0) >= tables.MAX_WRONG_BODIES:
        detail = f"operator {peer} brought {tables.MAX_WRONG_BODIES} wrong bodies at this height"
        raise Refusal(Reason.ROOT_MISMATCH, detail)
    proposing.check_proposal(message, peer, draft.config)
    if payload.round > state.round:
        rounds.enter_round(draft, payload.round, Cause.OTHERS)
    proposing.accept(draft, message)


def upon_prepare(draft: Draft, message: PrepareMessage) -> None:
    """Count first votes of this round, keep those of the next; older rounds are over."""
    state, signed = draft.state, message.signed
    round_, sender = signed.payload.round, signed.sender
    if round_ < state.round or sender == draft.config.self_index:
        return
    known = state.prepares.get(round_, {}).get(sender)
    if known is not None and known.payload == signed.payload:
        return
    _check_vote(draft, signed, known)
    draft.update(prepares=tables.with_vote(state.prepares, round_, sender, signed))
    rounds.note_seen(draft, sender, round_)
    proposing.review_round(draft)
    deciding.try_commit(draft)


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
    rounds.note_seen(draft, sender, round_)
    proposing.review_round(draft)
    deciding.try_decide(draft, round_, signed.payload.root)


def upon_round_change(draft: Draft, peer: OperatorIndex, message: RoundChangeMessage) -> None:
    """Count it only with its lock proven; follow f+1 ahead of us; lead when a quorum is here."""
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
        detail = f"second round-change for {where}"
        first = same_round[0].signed
        raise Refusal(Reason.CONFLICTING_VOTE, detail, sender, contradicts=first)
    if payload.round > tables.MAX_ROUND:
        raise Refusal(Reason.TOO_FAR_AHEAD, f"round-change for {where}", sender)
    if not justification.is_valid_round_change(message, draft.config):
        blamed = sender if peer == sender else None
        raise Refusal(Reason.UNJUSTIFIED_ROUND_CHANGE, f"round-change for {where}", blamed)
    draft.update(round_changes=tables.with_round_change(state.round_changes, state.round, message))
    rounds.note_seen(draft, sender, payload.round)
    target = tables.jump_target(draft.state, draft.config.n)
    if target is not None:
        proposing.change_round(draft, target, Cause.OTHERS)
    else:
        proposing.review_round(draft)


def upon_pass(draft: Draft, message: PassMessage) -> None:
    """The leader's own word that it will not propose. A hint: it ends the round where the loss of
    the leader would, and nowhere else."""
    state, signed = draft.state, message.signed
    payload, sender = signed.payload, signed.sender
    if payload.round < state.round or sender == draft.config.self_index:
        return
    if state.passes.get(payload.round) == message:
        return
    _check_signature(draft, signed)
    where = f"height {payload.height} round {payload.round}"
    if sender != leader_of(payload.height, payload.round, draft.config.n):
        detail = f"operator {sender} passes on {where}, which it does not lead"
        raise Refusal(Reason.NOT_THE_LEADER, detail, sender)
    if not passing.may_be_passed(payload.round, draft.config):
        raise Refusal(Reason.TOO_FAR_AHEAD, f"nobody may pass on {where}", sender)
    draft.update(passes={**state.passes, payload.round: message})
    proposing.leave_lost_leader(draft)


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
        detail = f"second vote for {where}"
        raise Refusal(Reason.CONFLICTING_VOTE, detail, signed.sender, contradicts=known)
