"""Where this node stands and what it says there: timers, entering a round, repetition, signing."""

from typing import Final

from dst.qbft import tables
from dst.qbft.draft import Draft
from dst.qbft.effects import (
    Cause,
    Milestone,
    Reached,
    SetTimer,
    TimerKind,
)
from dst.qbft.messages import (
    CommitMessage,
    Message,
    Payload,
    PrepareMessage,
    SignedPrepare,
    signing_digest,
)
from dst.qbft.state import Config, State
from dst.spec.primitives import OperatorIndex, Round, leader_of

SHORTEST_WAIT_MS: Final = 300
"""However quick the last proposals were: a garbage collection or a busy disk is no dead leader."""


def round_timeout_ms(config: Config, round_: Round) -> int:
    """T(r) = min(T0 * 2^r, cap); the shift is bounded far above any cap."""
    return min(config.round_timeout_ms << min(round_, 16), config.round_timeout_cap_ms)


def spare_ms(state: State, config: Config) -> int:
    """What is left of the round when the measured wait for its proposal is over; 0: nothing, as no
    wait was measured. What follows a proposal gets the whole of T0: builders fill their blocks so
    that it is enough."""
    if state.round > 0 or state.proposal_within_ms is None:
        return 0
    wait_ms = max(state.proposal_within_ms, SHORTEST_WAIT_MS)
    return max(0, round_timeout_ms(config, state.round) - wait_ms)


def start_round_timer(draft: Draft) -> None:
    draft.update(timed=True)
    set_timer(draft, TimerKind.ROUND)


def set_timer(draft: Draft, kind: TimerKind) -> None:
    """The round's ends early when no proposal came: `spare_ms` is for what follows one."""
    state, config = draft.state, draft.config
    delay, spare = config.retransmit_ms, 0
    if kind is TimerKind.ROUND:
        spare = spare_ms(state, config)
        delay = round_timeout_ms(config, state.round) - spare
    draft.emit(
        SetTimer(kind=kind, height=state.height, round=state.round, delay_ms=delay, spare_ms=spare)
    )


def use_spare(draft: Draft) -> None:
    """The proposal came in time: now the rest of the round."""
    state = draft.state
    delay = spare_ms(state, draft.config)
    draft.update(proposal_within_ms=None)
    draft.emit(
        SetTimer(kind=TimerKind.ROUND, height=state.height, round=state.round, delay_ms=delay)
    )


def enter_round(draft: Draft, round_: Round, cause: Cause) -> None:
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
        Reached(
            milestone=Milestone.ROUND_CHANGE,
            height=state.height,
            round=round_,
            root=None,
            cause=cause,
        )
    )
    set_timer(draft, TimerKind.RETRANSMIT)


def note_seen(draft: Draft, sender: OperatorIndex, round_: Round) -> None:
    seen = draft.state.seen
    if round_ > seen.get(sender, -1):
        draft.update(seen={**seen, sender: round_})


def own_messages(state: State, config: Config) -> tuple[Message, ...]:
    """What this node still stands by.

    This round's change, pass or proposal, and PREPARE; its latest COMMIT.
    """
    me = config.self_index
    messages: list[Message] = [
        each for each in state.round_changes.get(me, ()) if each.signed.payload.round == state.round
    ]
    passed = state.passes.get(state.round)
    if passed is not None and passed.signed.sender == me:
        messages.append(passed)
    if state.accepted is not None and state.accepted.signed.sender == me:
        messages.append(state.accepted)
    prepare = state.prepares.get(state.round, {}).get(me)
    if prepare is not None:
        messages.append(PrepareMessage(signed=prepare))
    if state.lock is not None:
        messages.append(CommitMessage(signed=state.lock.commit))
    return tuple(messages)


def sign(config: Config, payload: Payload) -> bytes:
    return config.sign(signing_digest(config.genesis_validators_root, payload))


def leader(draft: Draft) -> OperatorIndex:
    return leader_of(draft.state.height, draft.state.round, draft.config.n)


def is_leader(draft: Draft) -> bool:
    return leader(draft) == draft.config.self_index


def own_prepare(draft: Draft) -> SignedPrepare | None:
    return draft.state.prepares.get(draft.state.round, {}).get(draft.config.self_index)
