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


def step(state: State, event: Input, config: Config) -> Transition:
    """A new state and the effects to perform, in order. Pure: same arguments, same answer."""
    draft = Draft(state, config)
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
            try:
                upon.upon_certificate(draft, event)
            except Refusal as refusal:
                draft.emit(refusal.effect(event.link_peer))
        case PeerConnected():
            upon.upon_peer_connected(draft, event)
        case _:
            assert_never(event)
    return draft.transition()
