"""Entry: one input, one `upon_*` rule."""

from typing import assert_never

from dst.qbft import upon
from dst.qbft.draft import Draft, Refusal
from dst.qbft.inputs import (
    BlockBuilt,
    BlockFetched,
    BlockValidated,
    CertificateReceived,
    HeightDue,
    Input,
    MessageReceived,
    PeerConnected,
    RetransmitDue,
    RoundExpired,
    Start,
)
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
    """Apply one rule; a refused input leaves no trace but its reason."""
    state, done = draft.state, len(draft.effects)
    try:
        _apply(draft, event)
    except Refusal as refusal:
        draft.state = state
        del draft.effects[done:]
        draft.emit(refusal.effect(_link_peer(event)))


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
        case _:
            assert_never(event)
