"""Entry: one input, one `upon_*` rule."""

from typing import assert_never

import msgspec

from dst.qbft import upon
from dst.qbft.draft import Draft, Refusal
from dst.qbft.inputs import (
    BlockBuilt,
    BlockFetched,
    BlockValidated,
    CertificateReceived,
    HeightDue,
    Input,
    Leave,
    MessageReceived,
    PeerConnected,
    PeerHeard,
    PeerLost,
    RetransmitDue,
    RoundExpired,
    Start,
)
from dst.qbft.proposing import WrongBody
from dst.qbft.state import Config, State, Transition
from dst.spec.primitives import OperatorIndex


def step(state: State, event: Input, config: Config) -> Transition:
    """A new state and the effects to perform, in order. Pure: same arguments, same answer."""
    draft = Draft(state, config)
    _handle(draft, event)
    while draft.replay:
        _handle(draft, draft.replay.pop(0))
    return draft.transition()


def _handle(draft: Draft, event: Input) -> None:
    """Apply one rule; a refused input leaves no trace but its reason (and a wrong body a count)."""
    state, done = draft.state, len(draft.effects)
    try:
        _apply(draft, event)
    except Refusal as refusal:
        draft.state = _blaming(state, event, refusal)
        del draft.effects[done:]
        offence = event.message if isinstance(event, MessageReceived) else None
        draft.emit(refusal.effect(_link_peer(event), offence))


def _blaming(state: State, event: Input, refusal: Refusal) -> State:
    peer = _link_peer(event)
    if peer is None or not isinstance(refusal, WrongBody):
        return state
    count = state.wrong_bodies.get(peer, 0) + 1
    return msgspec.structs.replace(state, wrong_bodies={**state.wrong_bodies, peer: count})


def _link_peer(event: Input) -> OperatorIndex | None:
    return event.link_peer if isinstance(event, MessageReceived | CertificateReceived) else None


def _apply(draft: Draft, event: Input) -> None:
    match event:
        case MessageReceived():
            upon.upon_message(draft, event)
        case Start():
            upon.upon_start(draft)
        case HeightDue():
            upon.upon_height_due(draft, event)
        case RoundExpired():
            upon.upon_round_expired(draft, event)
        case RetransmitDue():
            upon.upon_retransmit_due(draft, event)
        case BlockBuilt():
            upon.upon_block_built(draft, event)
        case BlockValidated():
            upon.upon_block_validated(draft, event)
        case BlockFetched():
            upon.upon_block_fetched(draft, event)
        case CertificateReceived():
            upon.upon_certificate(draft, event)
        case PeerConnected():
            upon.upon_peer_connected(draft, event)
        case PeerLost():
            upon.upon_peer_lost(draft, event)
        case PeerHeard():
            upon.upon_peer_heard(draft, event)
        case Leave():
            upon.upon_leave(draft, event)
        case _:
            assert_never(event)
