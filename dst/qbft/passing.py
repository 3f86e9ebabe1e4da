"""Passing a lead on: what a leader that is about to be stopped says instead of a proposal.

A pass is about its sender's own lead and no other, so a liar can give away his own turns alone. It
moves nobody by itself: whoever has it takes the leader for lost in that round, under the bounds of
`proposing.leave_lost_leader`. And it promises nothing, so it is not on disk: a leader that restarts
may propose after all, and whoever is still in the round takes that.
"""

from dst.qbft import rounds
from dst.qbft.draft import Draft
from dst.qbft.effects import Broadcast
from dst.qbft.messages import Pass, PassMessage, SignedPass
from dst.qbft.state import Config, State
from dst.spec.primitives import Round, faults_tolerated


def may_be_passed(round_: Round, config: Config) -> bool:
    """The first f rounds of a height, as with lost leaders: where more operators leave at once than
    may be missing, the next of them leads."""
    return round_ < faults_tolerated(config.n)


def is_passed(state: State) -> bool:
    """The round that this node is in."""
    return state.round in state.passes


def pass_lead(draft: Draft) -> None:
    """Once a round, and before anything was begun in it: what is under way is finished."""
    state, config = draft.state, draft.config
    is_free = state.accepted is None and state.proposing is None and not is_passed(state)
    if not (state.leaving and is_free and rounds.is_leader(draft)):
        return
    if not may_be_passed(state.round, config):
        return
    payload = Pass(term=config.term, height=state.height, round=state.round)
    signed = SignedPass(
        payload=payload, sender=config.self_index, signature=rounds.sign(config, payload)
    )
    message = PassMessage(signed=signed)
    draft.update(passes={**state.passes, state.round: message})
    draft.emit(Broadcast(message=message))
