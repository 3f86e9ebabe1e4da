"""The rules of starting and rejoining.

A store lacks votes when its disk was lost, or an old copy came back. Such an operator may have
voted at heights that it no longer knows of, so it asks how far the others are and votes only above
what it can have voted at. `--new` says that there was nothing to lose; whoever says it of an old
cluster is found out before his first vote, or by his first decision.

    GATHERING ─ a quorum is ready, nobody shows a decision ─▶ VOTING
        │ somebody shows one                                 │ shown a vote that it forgot, or
        ▼                                                    ▼ (new) its first certificate
     ASKING ◀────────────────────────────────────────────────┘
        │ enough reports: the bound is fixed
        ▼
     WAITING ─ the bound is certified here ─▶ VOTING
"""

from collections.abc import Mapping
from typing import Final, assert_never

from msgspec.structs import replace

from dst.rejoin.state import (
    Decided,
    Effect,
    Input,
    PeerClaims,
    PeerProves,
    Phase,
    Proven,
    Rejoin,
    Rejoined,
    State,
    Tick,
    Transition,
)
from dst.spec.primitives import Height, OperatorIndex, faults_tolerated, quorum

OPEN_AHEAD: Final = 2
"""A peer that reports D decided may have helped to decide D + 1 without knowing it, and then an
operator that lost its store may have voted at D + 2. Above that it cannot have voted."""

GATHER_S: Final = 2.0
"""A new store that has heard a quorum gives those who claim a decision this long to prove it: a
liar must not keep it from beginning."""

STRAGGLERS_S: Final = 1.0
"""Once a quorum is ready the rest has this long to be, too: whoever begins after the first decision
finds a cluster that is older than its store, and has to rejoin."""


def begin(n: int, *, is_new: bool, rejoin: Rejoin | None) -> State:
    """What the store says at a start."""
    if rejoin is not None:
        phase = Phase.ASKING if rejoin.vote_above is None else Phase.WAITING
        return State(n=n, phase=phase, vote_above=rejoin.vote_above)
    phase = Phase.GATHERING if is_new and n > 1 else Phase.VOTING
    return State(n=n, phase=phase, is_new=is_new)


def step(state: State, event: Input) -> Transition:
    """One input: a new state, and what to persist before acting on it. Pure."""
    match event:
        case PeerClaims():
            return Transition(state=_with_claim(state, event))
        case PeerProves(peer=peer, height=height):
            known = state.proven.get(peer, Height(0))
            proven = {**state.proven, peer: max(height, known)}
            return Transition(state=replace(state, proven=proven))
        case Decided():
            return upon_decided(state, event)
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


def upon_decided(state: State, event: Decided) -> Transition:
    """Does it show that votes are missing here, or that a new store was right?

    A COMMIT of ours that our log does not hold was cast before an older copy of it came back.

    A new store's first decision: by its own votes, or without them where it should hold them?
    Heard and not voted for (its own round was lost) proves as much, where nobody is further than
    this height: the cluster decides its first heights now. In an old cluster a liar can tell a
    wiped store the votes of long ago, but the honest say how far they are.
    """
    if event.signed and not event.took_part and state.phase in (Phase.GATHERING, Phase.VOTING):
        return _ask(state)
    if not state.is_new:
        return Transition(state=state)
    is_first_of_all = not event.imported and max(state.claims.values(), default=0) <= event.height
    if event.took_part or (is_first_of_all and state.phase is Phase.VOTING):
        voting = replace(state, phase=Phase.VOTING, is_new=False)
        return Transition(state=voting, effects=(Proven(),))
    return _ask(state) if event.imported else Transition(state=state)


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
    """So operators begin together, when a quorum of them can build and judge, and nobody votes
    where he may have voted before."""
    if state.proven:
        return _ask(state)
    if not tick.ready or len(state.ready) < peers_to_begin(state.n):
        return Transition(state=state)
    since = tick.now if state.heard_enough_at is None else state.heard_enough_at
    is_complete = len(state.ready) == state.n - 1
    patience_s = GATHER_S if unproven(state) else 0.0 if is_complete else STRAGGLERS_S
    if tick.now - since < patience_s:
        return Transition(state=replace(state, heard_enough_at=since))
    return Transition(state=replace(state, phase=Phase.VOTING))


def _ask(state: State) -> Transition:
    asking = replace(state, phase=Phase.ASKING, is_new=False)
    return Transition(state=asking, effects=(Rejoin(vote_above=None),))


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
    if state.phase not in (Phase.GATHERING, Phase.ASKING):
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
