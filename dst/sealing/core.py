"""The rules of the partial-signature exchange: one `upon_*` per input.

Sign after decision, once per (term, height), durably: our partial is accepted only over the signing
root of the block decided at its height, is on disk before it is sent, and is sent again until the
group signature is held. Combination is optimistic: partials are verified singly only when a
combined signature does not verify; then the bad one is named and excluded, and from then on those
of whoever sent it are verified before they are combined. A test bench may replace `resend_owed` or
`threshold` to prove that its checkers notice.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, assert_never

import msgspec

from dst import core
from dst.sealing.effects import (
    Broadcast,
    Effect,
    Persist,
    Reason,
    Refused,
    Sealed,
    Send,
    SendStored,
    SetTimer,
)
from dst.sealing.inputs import (
    BlockDecided,
    GroupSignatureReceived,
    Input,
    OwnPartial,
    PartialReceived,
    PartialRequested,
    PeerConnected,
    RetransmitDue,
    Start,
)
from dst.sealing.messages import GroupSignature, Message, PartialRequest, PartialSignature
from dst.sealing.records import PartialRecord, Record, SealRecord
from dst.sealing.state import Config, Open, State, Transition
from dst.spec.errors import InvalidInput
from dst.spec.primitives import BLSSignature, Height, OperatorIndex, Root, quorum

MAX_COLLECTING: Final = 64
"""Others' partials are collected for the newest 64 unsealed heights (a sealed descendant covers 64
blocks, and validator clients keep 64 slots open). Older ones keep only what we owe, and collect
again as newer ones are sealed."""

HEIGHTS_AHEAD: Final = 64
"""Partials this far above our decided head are kept, one a peer and height; further ones are resent
to us later."""


def threshold(n: int) -> int:
    """Shares needed for the group signature: the quorum."""
    return quorum(n)


class Refusal(core.Refusal[Reason]):
    """Raised before anything changed. `offence` is the message that is at fault."""

    def __init__(
        self,
        reason: Reason,
        detail: str,
        culprit: OperatorIndex | None = None,
        offence: Message | None = None,
    ) -> None:
        super().__init__(reason, detail, culprit)
        self.offence = offence

    def effect(self, link_peer: OperatorIndex | None) -> Refused:
        return Refused(
            reason=self.reason,
            link_peer=link_peer,
            culprit=self.culprit,
            detail=self.detail,
            offence=self.offence,
        )


class Draft(core.Draft[State, Config, Effect]):
    __slots__ = ()

    def update_open(self, height: Height, **changes: Any) -> None:
        changed = msgspec.structs.replace(self.state.open[height], **changes)
        self.update(open={**self.state.open, height: changed})


def restore(
    config: Config, head: Height, unsealed: Mapping[Height, Root], records: Iterable[Record]
) -> State:
    """State after a restart; feed `Start` next.

    Args:
        head: highest decided height (genesis 0 when nothing was decided).
        unsealed: signing roots of the decided heights without a SealRecord.
        records: whatever the log still holds; SealRecords of heights in `unsealed` win.
    """
    log = [each.message for each in records if each.message.term == config.term]
    sealed = {each.height for each in log if isinstance(each, GroupSignature)}
    signed = {each.height: each for each in log if isinstance(each, PartialSignature)}
    return State(
        head=head,
        open={
            height: _opened(unsealed[height], signed.get(height))
            for height in sorted(unsealed)
            if height not in sealed
        },
        signed={height: signed[height] for height in sorted(signed) if height > head},
    )


def _opened(root: Root, own: PartialSignature | None) -> Open:
    """A decided height, with the partial we made before a restart.

    A partial over another root than the decided one is our bug: stop rather than sign twice.
    """
    if own is None:
        return Open(root=root)
    assert own.root == root, f"signed another root at height {own.height}"
    return Open(root=root, own=own, partials={own.operator: own.signature})


def step(state: State, event: Input, config: Config) -> Transition:
    """One input: a new state and the effects to perform, in order. Pure."""
    draft = Draft(state, config)
    try:
        _apply(draft, event)
    except Refusal as refusal:
        draft.emit(refusal.effect(getattr(event, "link_peer", None)))
    return Transition(state=draft.state, effects=tuple(draft.effects))


def _apply(draft: Draft, event: Input) -> None:
    match event:
        case Start():
            upon_start(draft)
        case RetransmitDue():
            upon_retransmit_due(draft)
        case BlockDecided():
            upon_block_decided(draft, event)
        case OwnPartial():
            upon_own_partial(draft, event)
        case PartialReceived():
            upon_partial(draft, event.link_peer, event.message)
        case GroupSignatureReceived():
            upon_group_signature(draft, event.link_peer, event.message)
        case PartialRequested():
            upon_partial_request(draft, event.link_peer, event.message)
        case PeerConnected():
            upon_peer_connected(draft, event)
        case _:
            assert_never(event)


def upon_start(draft: Draft) -> None:
    """Finish what a crash interrupted (alone, n = 1), say again what is owed."""
    for height in collecting(draft.state):
        _try_seal(draft, height)
    upon_retransmit_due(draft)


def upon_block_decided(draft: Draft, event: BlockDecided) -> None:
    """The height is owed a group signature from now on; partials that came early are looked at."""
    state, height = draft.state, event.height
    if height <= state.head:
        known = state.open.get(height)
        assert known is None or known.root == event.root, f"two decisions at {height}"
        return
    early = state.early.get(height, {})
    draft.update(
        head=height,
        open={**state.open, height: _opened(event.root, state.signed.get(height))},
        early={above: kept for above, kept in state.early.items() if above > height},
        signed={above: kept for above, kept in state.signed.items() if above > height},
    )
    _stop_collecting_oldest(draft)
    if not state.ticking:
        _tick(draft)
    _try_seal(draft, height)
    for operator in sorted(early):
        try:
            upon_partial(draft, operator, early[operator])
        except Refusal as refusal:
            draft.emit(refusal.effect(operator))


def upon_own_partial(draft: Draft, event: OwnPartial) -> None:
    """Decided, that very root, and never signed before: persist, send, combine."""
    state, height = draft.state, event.height
    if height > state.head:
        raise Refusal(Reason.NOT_DECIDED, f"height {height} is not decided here")
    known = state.open.get(height)
    if known is None:
        return
    if known.own is not None and known.own.root != event.root:
        raise Refusal(Reason.ALREADY_SIGNED, f"another root was signed at height {height}")
    if known.root != event.root:
        raise Refusal(Reason.WRONG_ROOT, f"not the signing root decided at height {height}")
    if known.own is not None:
        return
    message = PartialSignature(
        term=draft.config.term,
        height=height,
        root=event.root,
        operator=draft.config.self_index,
        signature=event.signature,
    )
    draft.emit(Persist(record=PartialRecord(message=message)))
    draft.emit(Broadcast(message=message))
    partials = {**known.partials, message.operator: message.signature}
    draft.update_open(height, own=message, partials=partials)
    _try_seal(draft, height)


def upon_partial(draft: Draft, peer: OperatorIndex, message: PartialSignature) -> None:
    """One partial per (operator, height), on that operator's link; late ones get the seal."""
    state, config, height = draft.state, draft.config, message.height
    _check_term(message, config)
    if not 0 <= message.operator < config.n:
        raise Refusal(Reason.NOT_A_MEMBER, f"no operator {message.operator}")
    if message.operator != peer or message.operator == config.self_index:
        raise Refusal(Reason.WRONG_SENDER, f"partial of {message.operator} on the link of {peer}")
    if height > state.head:
        return _keep_early(draft, message)
    known = state.open.get(height)
    if known is None:
        draft.emit(SendStored(to=peer, height=height))
        return
    if message.root != known.root:
        detail = f"partial over another root at height {height}"
        raise Refusal(Reason.WRONG_ROOT, detail, peer, message)
    if peer in known.excluded or known.partials.get(peer) == message.signature:
        return
    if peer in known.partials:
        detail = f"second partial at height {height}"
        raise Refusal(Reason.CONFLICTING_PARTIAL, detail, peer, message)
    if height not in collecting(state):
        raise Refusal(Reason.TOO_MANY_OPEN, f"height {height}: {MAX_COLLECTING} newer are open")
    draft.update_open(height, partials={**known.partials, peer: message.signature})
    _try_seal(draft, height)


def upon_group_signature(draft: Draft, peer: OperatorIndex, message: GroupSignature) -> None:
    """Somebody has it already: verify, keep, done. An honest peer verified it itself, so whoever
    brings a wrong one is not asked to do it twice."""
    state, height = draft.state, message.height
    _check_term(message, draft.config)
    if height > state.head:
        raise Refusal(Reason.NOT_DECIDED, f"height {height} is not decided here yet")
    known = state.open.get(height)
    if known is None:
        return
    if message.root != known.root:
        raise Refusal(Reason.WRONG_ROOT, f"group signature over another root at height {height}")
    if peer in state.suspects:
        raise Refusal(Reason.SUSPECT, f"group signature of height {height} from operator {peer}")
    if not draft.config.verify_group(known.root, message.signature):
        _suspect(draft, peer)
        detail = f"group signature of height {height} from operator {peer}"
        return draft.emit(Refusal(Reason.BAD_GROUP_SIGNATURE, detail, peer).effect(peer))
    _seal(draft, height, message.signature)


def upon_partial_request(draft: Draft, peer: OperatorIndex, message: PartialRequest) -> None:
    """The group signature, or else our own partial; silence when we have neither."""
    _check_term(message, draft.config)
    if message.height > draft.state.head:
        return
    known = draft.state.open.get(message.height)
    if known is None:
        draft.emit(SendStored(to=peer, height=message.height))
    elif known.own is not None:
        draft.emit(Send(to=peer, message=known.own))


def upon_peer_connected(draft: Draft, event: PeerConnected) -> None:
    """What the broken link lost is lost for good: say it again."""
    for message in resend_owed(draft.state, draft.config):
        draft.emit(Send(to=event.peer, message=message))


def upon_retransmit_due(draft: Draft) -> None:
    """Until every height is sealed.

    Resend our partials, ask for heights we cannot contribute to.
    """
    for message in resend_owed(draft.state, draft.config):
        draft.emit(Broadcast(message=message))
    if draft.state.open:
        _tick(draft)
    else:
        draft.update(ticking=False)


def resend_owed(state: State, config: Config) -> tuple[Message, ...]:
    """Our partial for each collecting height, or a request for it where our validator has not
    signed.

    Either makes a holder of the group signature answer with it.
    """
    return tuple(
        state.open[height].own or PartialRequest(term=config.term, height=height)
        for height in collecting(state)
    )


def collecting(state: State) -> tuple[Height, ...]:
    """The newest unsealed heights, ascending, at most MAX_COLLECTING."""
    return tuple(sorted(state.open)[-MAX_COLLECTING:])


def _stop_collecting_oldest(draft: Draft) -> None:
    """The height that has just left the newest ones keeps our own partial only."""
    heights = sorted(draft.state.open)
    if len(heights) > MAX_COLLECTING:
        leaving = heights[-MAX_COLLECTING - 1]
        known = draft.state.open[leaving]
        draft.update_open(leaving, partials=_opened(known.root, known.own).partials)


def _check_term(message: Message, config: Config) -> None:
    if message.term != config.term:
        raise Refusal(Reason.WRONG_TERM, f"term {message.term}, ours is {config.term}")


def _keep_early(draft: Draft, message: PartialSignature) -> None:
    """The peer decided before us: keep the first of each (operator, height) within the bound."""
    early, height = draft.state.early, message.height
    if height > draft.state.head + HEIGHTS_AHEAD:
        raise Refusal(Reason.TOO_FAR_AHEAD, f"height {height}, head {draft.state.head}")
    kept = early.get(height, {})
    if message.operator not in kept:
        draft.update(early={**early, height: {**kept, message.operator: message}})


def _try_seal(draft: Draft, height: Height) -> None:
    """Combine as soon as there are enough; if that does not verify, find and exclude who lied."""
    if _has_enough(draft, height):
        _look_at_suspects(draft, height)
    if not _has_enough(draft, height):
        return
    signature = _combined(draft, height)
    if signature is None:
        _exclude_bad(draft, height, draft.state.open[height].partials)
    else:
        _seal(draft, height, signature)


def _has_enough(draft: Draft, height: Height) -> bool:
    return len(draft.state.open[height].partials) >= threshold(draft.config.n)


def _look_at_suspects(draft: Draft, height: Height) -> None:
    """Another lie of theirs costs one look, not a combination and a look at everybody's."""
    _exclude_bad(draft, height, draft.state.suspects & draft.state.open[height].partials.keys())


def _combined(draft: Draft, height: Height) -> BLSSignature | None:
    """A verified group signature from a threshold of partials, if they make one."""
    known = draft.state.open[height]
    some = sorted(known.partials)[: threshold(draft.config.n)]
    chosen = {each: known.partials[each] for each in some}
    try:
        signature = draft.config.combine(chosen)
    except InvalidInput:
        return None
    return signature if draft.config.verify_group(known.root, signature) else None


def _exclude_bad(draft: Draft, height: Height, senders: Iterable[OperatorIndex]) -> None:
    """Verify each partial by itself (also ours: a shell's mistake must not block the height)."""
    known, verify = draft.state.open[height], draft.config.verify_partial
    bad = [each for each in sorted(senders) if not verify(each, known.root, known.partials[each])]
    for operator in bad:
        detail = f"partial of operator {operator} at height {height} does not verify"
        offence = PartialSignature(
            term=draft.config.term,
            height=height,
            root=known.root,
            operator=operator,
            signature=known.partials[operator],
        )
        draft.emit(Refusal(Reason.BAD_PARTIAL, detail, operator, offence).effect(operator))
        _suspect(draft, operator)
    partials = {each: known.partials[each] for each in known.partials if each not in bad}
    draft.update_open(height, partials=partials, excluded=known.excluded | frozenset(bad))


def _suspect(draft: Draft, operator: OperatorIndex) -> None:
    """Never ourselves: what we lack is found elsewhere by our own shell."""
    if operator != draft.config.self_index:
        draft.update(suspects=draft.state.suspects | {operator})


def _seal(draft: Draft, height: Height, signature: BLSSignature) -> None:
    """On disk, then announced; the debt of this height is paid."""
    root = draft.state.open[height].root
    message = GroupSignature(term=draft.config.term, height=height, root=root, signature=signature)
    draft.emit(Persist(record=SealRecord(message=message)))
    draft.emit(Sealed(height=height, root=root, signature=signature))
    draft.update(open={each: kept for each, kept in draft.state.open.items() if each != height})


def _tick(draft: Draft) -> None:
    draft.update(ticking=True)
    draft.emit(SetTimer(delay_ms=draft.config.retransmit_ms))
