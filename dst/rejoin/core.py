"""The rules of starting and rejoining.

A store lacks votes when its disk was lost, or an old copy came back. Such an operator may have
voted at heights that it no longer knows of, so it asks how far the others are and votes only above
what it can have voted at: `--rejoin`. Whoever does not say so is found out by the first certificate
that holds a COMMIT of his that his log does not hold. Nothing less is taken for a sign: an operator
that lacks a height may have been late, or have been left out by a liar, and asking needs so many
others that one silent liar could keep it from voting for ever.

    GATHERING ─ a quorum is ready, what it decided is here ─▶ VOTING
        │ shown a vote that it forgot                           │
        ▼                                                       ▼
     ASKING ◀────────────────────────────────────────────────────
        │ enough reports: the bound is fixed
        ▼
     WAITING ─ the bound is certified here ─▶ VOTING
"""

from collections.abc import Mapping
from typing import Final, assert_never

from msgspec.structs import replace

from dst.rejoin.state import (
    Began,
    Effect,
    Input,
    PeerClaims,
    PeerProves,
    Phase,
    Rejoin,
    Rejoined,
    State,
    Tick,
    Transition,
    VoteForgotten,
)
from dst.spec.primitives import Height, OperatorIndex, faults_tolerated, quorum

OPEN_AHEAD: Final = 2
"""A peer that reports D decided may have helped to decide D + 1 without knowing it, and then an
operator that lost its store may have voted at D + 2. Above that it cannot have voted."""

STRAGGLERS_S: Final = 1.0
"""Once a quorum is ready the rest has this long to be, too: whoever begins with the others misses
no round."""


def begin(n: int, *, is_new: bool, rejoin: Rejoin | None) -> State:
    """What the store says at a start."""
    if rejoin is not None:
        phase = Phase.ASKING if rejoin.vote_above is None else Phase.WAITING
        return State(n=n, phase=phase, vote_above=rejoin.vote_above)
    phase = Phase.GATHERING if is_new and n > 1 else Phase.VOTING
    return State(n=n, phase=phase)


def step(state: State, event: Input) -> Transition:
    """One input: a new state, and what to persist before acting on it. Pure."""
    match event:
        case PeerClaims():
            return Transition(state=_with_claim(state, event))
        case PeerProves(peer=peer, height=height):
            known = state.proven.get(peer, Height(0))
            proven = {**state.proven, peer: max(height, known)}
            return Transition(state=replace(state, proven=proven))
        case VoteForgotten():
            return upon_vote_forgotten(state)
        case Tick():
            return upon_tick(state, event)
        case _:
            assert_never(event)


def _with_claim(state: State, event: PeerClaims) -> State:
    known = state.claims.get(event.peer, Height(0))
    ready = state.ready
    if event.ready is not None:
        ready = ready | {event.peer} if event.ready else ready - {event.peer}
    claims = {**state.claims, event.peer: max(event.height, known)}
    return replace(state, claims=claims, ready=ready)


def upon_vote_forgotten(state: State) -> Transition:
    if state.phase in (Phase.ASKING, Phase.WAITING):
        return Transition(state=state)
    asking = replace(state, phase=Phase.ASKING)
    return Transition(state=asking, effects=(Rejoin(vote_above=None),))


def upon_tick(state: State, event: Tick) -> Transition:
    match state.phase:
        case Phase.GATHERING:
            return _gather(state, event)
        case Phase.ASKING:
            return _fix_bound(state)
        case Phase.WAITING:
            assert state.vote_above is not None, "waiting for a height"
            if event.decided < state.vote_above:
                return Transition(state=state)
            voting = replace(state, phase=Phase.VOTING, vote_above=None)
            return Transition(state=voting, effects=(Rejoined(),))
        case Phase.VOTING:
            return Transition(state=state)


def _gather(state: State, tick: Tick) -> Transition:
    """So operators begin together, when a quorum of them can build and judge; and what they have
    decided is imported first, so that a store that lost its votes meets them while it still says
    that it is new. Else a restart in between would forget that, too, before anybody was heard."""
    if not tick.ready or len(state.ready) < peers_to_begin(state.n):
        return Transition(state=state)
    since = tick.now if state.heard_enough_at is None else state.heard_enough_at
    is_complete = len(state.ready) == state.n - 1
    if not is_complete and tick.now - since < STRAGGLERS_S:
        return Transition(state=replace(state, heard_enough_at=since))
    if tick.decided < claimed_height(state):
        return Transition(state=replace(state, heard_enough_at=since))
    return Transition(state=replace(state, phase=Phase.VOTING), effects=(Began(),))


def _fix_bound(state: State) -> Transition:
    """A report counts with the certificate of its height alone: one liar must not put the bound
    where the chain never comes."""
    known = reports(state)
    if len(known) < reports_needed(state.n):
        return Transition(state=state)
    bound = Height(max(known.values(), default=Height(-OPEN_AHEAD)) + OPEN_AHEAD)
    waiting = replace(state, phase=Phase.WAITING, vote_above=bound)
    effects: tuple[Effect, ...] = (Rejoin(vote_above=bound),)
    return Transition(state=waiting, effects=effects)


# ------------------------------------------------------------------ what follows from a state


def peers_to_begin(n: int) -> int:
    """With this operator itself they are a quorum."""
    return quorum(n) - 1


def reports_needed(n: int) -> int:
    return min(quorum(n), n - 1)


def reports(state: State) -> Mapping[OperatorIndex, Height]:
    """Claims that count for the bound: proven ones, and those of genesis, which need no proof."""
    at_genesis = {peer: claim for peer, claim in state.claims.items() if not claim}
    return {**at_genesis, **state.proven}


def unproven(state: State) -> Mapping[OperatorIndex, Height]:
    """Claims whose certificate is to be asked for."""
    if state.phase is not Phase.ASKING:
        return {}
    return {
        peer: claim for peer, claim in state.claims.items() if claim and peer not in state.proven
    }


def claimed_height(state: State) -> Height:
    """The highest decided height that at least one honest peer reports: with f liars, the (f+1)-th
    highest claim."""
    ranked = sorted(state.claims.values(), reverse=True)
    liars = faults_tolerated(state.n)
    return ranked[liars] if len(ranked) > liars else Height(0)
