"""Situations that a campaign must have been in: a test that never gets there proves nothing.

Named here, found by looking at what one step of a core makes of one input. Pure; `watching` looks
over the shoulder of both cores while its context is open; the world counts its own. A campaign too
small to meet them all reports what it did not meet; the gate's fails.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Final

import dst.qbft
import dst.sealing
from dst.qbft import deciding, effects, inputs
from dst.qbft.messages import ProposalMessage, RoundChangeMessage
from dst.qbft.records import CommitRecord, ProposalRecord
from dst.sealing import effects as sealing_effects
from dst.sealing import inputs as sealing_inputs

CONSENSUS: Final = {
    "locked re-proposal": "a leader proposes the block of the highest lock again",
    "fresh after round change": "a leader of a later round builds, as nobody is locked",
    "claim passed over": "a leader leaves out a lock whose block it cannot have",
    "claim waited for": "a leader is held by a lock until it has the block",
    "fetch by claimant": "a block is asked of somebody who is locked on it, beside the proof's own",
    "locked block fetched": "it came, and is proposed",
    "decided block fetched": "a commit quorum was here before the block",
    "f+1 skip": "f + 1 round-changes take an operator along",
    "rounds skipped": "over one round or more",
    "taken along by a proposal": "a justified proposal of a later round is accepted",
    "leader lost": "the loss of the leader ends a round",
    "waits for a quorum": "a round is entered whose timer may not run yet",
    "lock raised": "a second lock at one height, in a later round",
    "lock moved": "to another block than the first",
    "decided in a round left behind": "by votes that came late",
    "decided by certificate": "somebody else's",
    "early message kept": "of the next height",
    "laggard helped": "who speaks of a decided height",
    "stale timer ignored": "of a round that is over",
    "stale verdict ignored": "of a proposal that is not this round's",
    "restart with a lock": "from the log",
    "restart with a proposal to judge": "its verdict had not come before the end",
    "restart in a later round": "the round is remembered",
}
SEALING: Final = {
    "partial before its decision": "the signer was quicker",
    "bad partial excluded": "those of whoever sent it are looked at first from then on",
    "sealed by another's signature": "nothing to combine",
    "sealed by a descendant": "a lower height has no seal of its own yet",
    "late partial answered": "by the group signature",
    "suspect passed over": "a second group signature of a liar is not looked at",
}
WORLD: Final = {
    "crash": "a process ends somewhere",
    "partition": "links are cut",
    "flap": "connections end and are dialled anew",
    "round_change": "a round is entered",
    "round change by leader_lost": "for a leader that is gone",
    "prepared in a later round": "a lock above round 0",
    "decided in a later round": "a decision above round 0",
    "evidence bad_partial": "a partial that does not verify is proven",
    "evidence conflicting_vote": "two votes of a round are proven",
    "evidence second_proposal": "two proposals of a round are proven",
    "evidence unjustified_proposal": "a proposal that nothing justifies is proven",
    "evidence unjustified_round_change": "a lock that never was is proven",
    "disk full": "writes wait",
    "disk lost: rejoin": "and the operator was told so",
    "disk lost: new": "and the operator believes it is new",
    "rolled back": "a disk of some time ago",
    "rollup loss": "a rollup node lost its newest blocks",
    "clock step": "a clock is set",
    "l1 fork": "an L1 node leaves for a minority fork",
    "l1 silence": "an L1 node does not answer",
    "reset": "an operator halts, as L1 dropped an origin",
    "reset_ended": "and goes on, as it was not so",
}
CATALOGUE: Final = {**WORLD, **CONSENSUS, **SEALING}
"""name -> what it is."""
TOO_RARE: Final = frozenset({"fetch by claimant"})
"""For chaos; the explorers, which align phases, must get there (tests/simulation)."""


def never_reached(counts: Mapping[str, int]) -> list[str]:
    """What a campaign owes and did not meet."""
    return [name for name in CATALOGUE if name not in TOO_RARE and not counts.get(name)]


def in_consensus(
    before: dst.qbft.State, event: inputs.Input, after: dst.qbft.Transition
) -> Iterator[str]:
    """What one step was an instance of."""
    yield from chain.from_iterable(_of_effect(before, event, each) for each in after.effects)
    yield from _of_input(before, event, after)
    yield from _of_fetch(after)
    state = after.state
    if (state.height, state.round) != (before.height, before.round):
        if state.round > 0 and not state.timed:
            yield "waits for a quorum"
    if sum(map(len, state.early.values())) > sum(map(len, before.early.values())):
        yield "early message kept"
    waits = state.proposing is not None and state.proposing.root is not None
    if waits and state.proposing != before.proposing:
        yield "claim waited for"


def _of_effect(
    before: dst.qbft.State, event: inputs.Input, effect: effects.Effect
) -> Iterator[str]:
    match effect:
        case effects.Persist(record=ProposalRecord(message=message)):
            yield from _of_proposal(before, event, message)
        case effects.Persist(record=CommitRecord(commit=commit)) if before.lock is not None:
            yield "lock raised"
            if before.lock.root != commit.payload.root:
                yield "lock moved"
        case effects.Decided(certificate=certificate, imported=imported):
            if imported:
                yield "decided by certificate"
            elif certificate.round < before.round:
                yield "decided in a round left behind"
        case effects.HelpLaggard():
            yield "laggard helped"
        case effects.Reached(cause=effects.Cause.OTHERS):
            yield from _of_company(before, event, effect)
        case effects.Reached(cause=effects.Cause.LEADER_LOST):
            yield "leader lost"


def _of_company(
    before: dst.qbft.State, event: inputs.Input, effect: effects.Reached
) -> Iterator[str]:
    if not isinstance(event, inputs.MessageReceived):
        return
    if isinstance(event.message, ProposalMessage):
        yield "taken along by a proposal"
    elif isinstance(event.message, RoundChangeMessage):
        yield "f+1 skip"
    if effect.round > before.round + 1:
        yield "rounds skipped"


def _of_proposal(
    before: dst.qbft.State, event: inputs.Input, message: ProposalMessage
) -> Iterator[str]:
    payload = message.signed.payload
    if payload.round == 0:
        return
    yield "locked re-proposal" if message.prepares else "fresh after round change"
    if message.prepares and isinstance(event, inputs.BlockFetched):
        yield "locked block fetched"
    known = (each for changes in before.round_changes.values() for each in changes)
    claims = (each.signed.payload for each in known if each.signed.payload.round == payload.round)
    used = message.prepares[0].payload.round if message.prepares else -1
    if any(each.prepared_round is not None and each.prepared_round > used for each in claims):
        yield "claim passed over"


def _of_fetch(after: dst.qbft.Transition) -> Iterator[str]:
    waiting = after.state.proposing
    if waiting is None or waiting.root is None or after.state.pending is not None:
        return
    proof = {vote.sender for vote in deciding.proof_of(waiting)}
    asked = (each.holders for each in after.effects if isinstance(each, effects.FetchBlock))
    if any(not proof.issuperset(holders) for holders in asked):
        yield "fetch by claimant"


def _of_input(
    before: dst.qbft.State, event: inputs.Input, after: dst.qbft.Transition
) -> Iterator[str]:
    place = before.height, before.round
    match event:
        case inputs.Start():
            if before.lock is not None:
                yield "restart with a lock"
            if any(isinstance(each, effects.ValidateBlock) for each in after.effects):
                yield "restart with a proposal to judge"
            if before.round > 0:
                yield "restart in a later round"
        case inputs.RoundExpired() if (event.height, event.round) != place:
            yield "stale timer ignored"
        case inputs.BlockValidated() if (event.height, event.round) != place:
            yield "stale verdict ignored"
        case inputs.BlockFetched() if any(
            isinstance(each, effects.Decided) for each in after.effects
        ):
            yield "decided block fetched"


def in_sealing(
    before: dst.sealing.State, event: sealing_inputs.Input, after: dst.sealing.Transition
) -> Iterator[str]:
    sealed = [each for each in after.effects if isinstance(each, sealing_effects.Sealed)]
    reasons = _reasons(after.effects)
    if sealed and isinstance(event, sealing_inputs.GroupSignatureReceived):
        yield "sealed by another's signature"
    if sealing_effects.Reason.BAD_PARTIAL in reasons:
        yield "bad partial excluded"
    if sealed and any(height < sealed[0].height for height in after.state.open):
        yield "sealed by a descendant"
    if sealing_effects.Reason.SUSPECT in reasons:
        yield "suspect passed over"
    if isinstance(event, sealing_inputs.PartialReceived):
        if any(isinstance(each, sealing_effects.SendStored) for each in after.effects):
            yield "late partial answered"
        if after.state.early != before.early:
            yield "partial before its decision"


def _reasons(found: Iterable[sealing_effects.Effect]) -> set[sealing_effects.Reason]:
    return {each.reason for each in found if isinstance(each, sealing_effects.Refused)}


@contextmanager
def watching(met: Callable[[str], None]) -> Iterator[None]:
    """Tell `met` of each situation of either core."""
    step, seal = dst.qbft.step, dst.sealing.step

    def watched_step(
        state: dst.qbft.State, event: inputs.Input, config: dst.qbft.Config
    ) -> dst.qbft.Transition:
        transition = step(state, event, config)
        for name in in_consensus(state, event, transition):
            met(name)
        return transition

    def watched_seal(
        state: dst.sealing.State, event: sealing_inputs.Input, config: dst.sealing.Config
    ) -> dst.sealing.Transition:
        transition = seal(state, event, config)
        for name in in_sealing(state, event, transition):
            met(name)
        return transition

    dst.qbft.step, dst.sealing.step = watched_step, watched_seal
    try:
        yield
    finally:
        dst.qbft.step, dst.sealing.step = step, seal
