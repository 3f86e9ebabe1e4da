"""What the pure cores can lack: patches of `dst.qbft`, `dst.sealing` and `dst.rejoin`.

Each replaces one rule, by the name under which the core calls it. Where a patch changes nothing
that anybody could see, its docstring argues why.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final, TypeAlias

from msgspec.structs import replace

import dst.qbft
import dst.qbft.deciding
import dst.qbft.justification
import dst.qbft.proposing
import dst.qbft.restoring
import dst.qbft.rounds
import dst.qbft.tables
import dst.qbft.upon
import dst.rejoin
import dst.sealing
import dst.sealing.core
from devnet.sim.lockstep import Actor, Stage
from dst.qbft import deciding, proposing, rounds, tables
from dst.qbft.draft import Draft
from dst.qbft.effects import Cause
from dst.qbft.inputs import RoundExpired
from dst.qbft.messages import (
    MAX_MEMBERS,
    Certificate,
    CommitMessage,
    Message,
    PassMessage,
    PrepareMessage,
    ProposalMessage,
    RoundChange,
    RoundChangeMessage,
    SignedCommit,
    SignedPrepare,
    SignedRoundChange,
)
from dst.qbft.records import ProposalRecord, Record
from dst.qbft.state import Config, Lock, Proposing, State
from dst.sealing import inputs as sealing_inputs
from dst.sealing.effects import Broadcast, Send
from dst.sealing.messages import PartialSignature
from dst.spec import primitives
from dst.spec.primitives import Height, OperatorIndex, Root, Round, Term, faults_tolerated

_seal: Final = dst.sealing.step
_begin: Final = dst.rejoin.begin
_instance_of: Final = dst.qbft.restoring._instance_of
_quorums: Final = proposing.quorums
_check_proposal: Final = proposing.check_proposal
_upon_proposal: Final = dst.qbft.upon.upon_proposal
_upon_prepare: Final = dst.qbft.upon.upon_prepare
_upon_commit: Final = dst.qbft.upon.upon_commit
_upon_round_expired: Final = dst.qbft.upon.upon_round_expired
_decide: Final = deciding.decide
_try_commit: Final = deciding.try_commit
_own_messages: Final = rounds.own_messages
_AGAIN: Final = (
    sealing_inputs.Start,
    sealing_inputs.PeerConnected,
    sealing_inputs.PartialRequested,
    sealing_inputs.RetransmitDue,
    sealing_inputs.PartialReceived,
)
"""Inputs at which partials are said again."""


def anything_goes(*_: object) -> bool:
    return True


def nothing_goes(*_: object) -> bool:
    return False


def not_done(*_: object, **__: object) -> None:
    """A rule that is never applied."""


# ------------------------------------------------------------------------- quorums and votes


def _two_f(n: int) -> int:
    return max(1, 2 * faults_tolerated(n))


def _again(
    rule: Callable[[Draft, Any], None], table: str, review: Callable[[Draft, Any], None]
) -> Callable[[Draft, Any], None]:
    """A repeated vote is one more vote."""

    def upon(draft: Draft, message: PrepareMessage | CommitMessage) -> None:
        signed = message.signed
        votes = getattr(draft.state, table).get(signed.payload.round, {})
        known = votes.get(signed.sender)
        if known is None or known.payload != signed.payload:
            return rule(draft, message)
        extra = OperatorIndex(-1 - len(votes))
        counted = {**votes, extra: signed}
        draft.update(**{table: {**getattr(draft.state, table), signed.payload.round: counted}})
        review(draft, message)

    return upon


def _review_prepares(draft: Draft, _: PrepareMessage) -> None:
    if rounds.own_prepare(draft) is not None:
        _try_commit(draft)


def _review_commits(draft: Draft, message: CommitMessage) -> None:
    deciding.try_decide(draft, message.signed.payload.round, message.signed.payload.root)


def _any_quorum(signed: tuple[dst.qbft.messages.Signed, ...], config: Config) -> bool:
    """As many votes as a quorum has, whoever signed them."""
    quorum = dst.qbft.justification.quorum_size(config.n)
    return len(signed) >= quorum and all(
        dst.qbft.justification.is_authentic(each, config) for each in signed
    )


def _decide_on_the_first(draft: Draft, round_: Round, root: Root) -> None:
    """A quorum of COMMITs of a round decides what the first of them names."""
    state, config = draft.state, draft.config
    votes = state.commits.get(round_, {})
    quorum = dst.qbft.justification.quorum_size(config.n)
    if state.pending is not None or len(votes) < quorum:
        return
    commits = tuple(votes[each] for each in sorted(votes))[:quorum]
    root = commits[0].payload.root
    certificate = Certificate(
        term=config.term, height=state.height, round=round_, root=root, commits=commits
    )
    block = state.blocks.get(root)
    if block is not None:
        return deciding.decide(draft, certificate, block)
    draft.update(pending=certificate)
    deciding.fetch_missing(draft)


def _commit_on_any_round(draft: Draft) -> None:
    """PREPAREs of all rounds for the accepted root count together. The proof they make is no
    proof to anybody else."""
    state, own = draft.state, rounds.own_prepare(draft)
    if own is not None:
        of_all = {
            sender: replace(vote, payload=own.payload)
            for round_ in sorted(state.prepares)
            for sender, vote in state.prepares[round_].items()
            if vote.payload.root == own.payload.root
        }
        votes = {**of_all, **state.prepares[state.round]}
        draft.update(prepares={**state.prepares, state.round: votes})
    _try_commit(draft)


def _kept_rounds(table: dict[Round, object], _: Round) -> dict[Round, object]:
    return table


def _once_proposed(rule: Callable[[Draft, Any], None]) -> Callable[[Draft, Any], None]:
    """Votes that come before their proposal are dropped."""

    def upon(draft: Draft, message: PrepareMessage | CommitMessage) -> None:
        if draft.state.accepted is not None:
            rule(draft, message)

    return upon


def _leader_blamed(message: ProposalMessage, _: OperatorIndex, config: Config) -> None:
    """What is attached to a proposal is taken for the leader's, whoever brought it."""
    _check_proposal(message, message.signed.sender, config)


def _judged_again(draft: Draft, peer: OperatorIndex, message: ProposalMessage) -> None:
    """A second proposal of the leader takes the place of the first, and is prepared, too."""
    state, payload = draft.state, message.signed.payload
    accepted = state.accepted
    if (
        accepted is not None
        and payload.round == state.round
        and payload.root != accepted.signed.payload.root
    ):
        votes = dict(state.prepares.get(state.round, {}))
        votes.pop(draft.config.self_index, None)
        draft.update(accepted=None, prepares={**state.prepares, state.round: votes})
    _upon_proposal(draft, peer, message)


# ------------------------------------------------------------------------------------- locks


def _lowest_prepared(claims: Iterable[RoundChange]) -> RoundChange | None:
    locked = [each for each in claims if each.prepared_round is not None]
    return min(locked, key=lambda each: each.prepared_round or 0, default=None)


def _unlock(draft: Draft, event: RoundExpired) -> None:
    """The timer ends the round and what it prepared, although its COMMIT is out."""
    draft.update(lock=None)
    _upon_round_expired(draft, event)


def _unproven_lock(*, prepares: tuple[SignedPrepare, ...], commit: SignedCommit) -> Lock:
    return Lock(prepares=(), commit=commit)


def _always_fresh(
    round_changes: tuple[RoundChangeMessage, ...], quorum: int
) -> Iterator[Proposing]:
    """The leader proposes a block of its own, whatever is locked."""
    if len(round_changes) >= quorum:
        yield Proposing(round_changes=round_changes, root=None)


def _true_to_the_lock(draft: Draft, peer: OperatorIndex, message: ProposalMessage) -> None:
    """IBFT 1: who is locked takes no other block, justified or not."""
    lock = draft.state.lock
    if lock is None or lock.root == message.signed.payload.root:
        _upon_proposal(draft, peer, message)


def _well_formed_whatever_its_age(payload: RoundChange) -> bool:
    """A lock need not be older than the round that is asked for.

    Equivalent. An honest operator never claims such a lock: it builds its ROUND-CHANGE when it
    enters the round, from a lock of a round before, and repeats it unchanged. So only a liar can,
    and the prepare quorum that he needs is checked with or without this rule: it is genuine, of a
    root v and a round p, not older than the round r that he asks for. All that his claim can do is
    to force v in r, and that is harmless. Had x been decided in a round d below r, every prepare
    quorum above d is for x: the first in time that were not would follow a proposal that a quorum
    of claims justifies, with an honest one of d or above among them, and the highest of them is of
    a quorum that was there before, so of x. Hence v = x. And hardly anything comes of it: q - f
    honest operators prepared in p, and when p is above r they have left r; the f others and f liars
    are fewer than a quorum. The check stays because it costs nothing and makes this argument
    shorter.
    """
    halves = (payload.prepared_round is None, payload.prepared_root is None)
    return payload.round > 0 and halves in ((True, True), (False, False))


def all_or_nothing(
    round_changes: tuple[RoundChangeMessage, ...], quorum: int
) -> Iterator[Proposing]:
    """The leader is held by any claim, whether or not its block can be had."""
    return islice(_quorums(round_changes, quorum), 1)


# ------------------------------------------------------------------------- rounds and timers


def _leader_of_the_height(height: Height, round_: Round, n: int) -> OperatorIndex:
    return primitives.leader_of(height, Round(0), n)


def _everybody(*_: object) -> int:
    """A round's timer runs from its beginning, whoever else is there."""
    return MAX_MEMBERS


def _endless_doubling(config: Config, round_: Round) -> int:
    return config.round_timeout_ms << min(round_, 30)


def _rebuilt(state: State, config: Config) -> tuple[Message, ...]:
    """A ROUND-CHANGE that is said again claims the lock of now."""
    return tuple(
        _with_newest_lock(each, state.lock, config)
        if isinstance(each, RoundChangeMessage)
        else each
        for each in _own_messages(state, config)
    )


def _with_newest_lock(
    message: RoundChangeMessage, lock: Lock | None, config: Config
) -> RoundChangeMessage:
    if lock is None:
        return message
    payload = replace(message.signed.payload, prepared_round=lock.round, prepared_root=lock.root)
    signed = SignedRoundChange(
        payload=payload, sender=config.self_index, signature=rounds.sign(config, payload)
    )
    return RoundChangeMessage(signed=signed, prepares=lock.prepares)


def _furthest(state: State, n: int) -> Round | None:
    """f+1 are ahead: go where the first of them is."""
    ahead = sorted(
        known[-1].signed.payload.round
        for known in state.round_changes.values()
        if known[-1].signed.payload.round > state.round
    )
    return ahead[-1] if len(ahead) > faults_tolerated(n) else None


def _whatever_it_guarded(draft: Draft, event: RoundExpired) -> None:
    """A timer ends the round that is open when it fires, not the one that it was set for."""
    proposing.change_round(draft, Round(draft.state.round + 1), Cause.TIMER)


def _whoever_says_it(draft: Draft, message: PassMessage) -> None:
    """A pass counts for the round that it names, whoever signed it."""
    passes = {**draft.state.passes, message.signed.payload.round: message}
    draft.update(passes=passes)
    proposing.leave_lost_leader(draft)


def _decide_and_wait(
    draft: Draft, certificate: Certificate, block: bytes, *, imported: bool = False
) -> None:
    """The next height's timer runs from the decision on, long before a block is due."""
    _decide(draft, certificate, block, imported=imported)
    rounds.start_round_timer(draft)


# ------------------------------------------------------------------ memory, sealing, rejoining


def _no_promises(*_: object) -> tuple[Record, ...]:
    return ()


def _proposals_name_no_round(record: Record) -> tuple[Term, Height, Round]:
    """A restart goes on in the highest round that a vote or a ROUND-CHANGE of the log names.

    Equivalent. Whoever proposes in a round above 0 is in it already, and its log says so without
    the proposal: it came there with a ROUND-CHANGE of its own, whose record is the older of the
    two. The other way into a round, on the proposal of its leader, is none for that leader, who
    would have to hear its own. The log cannot hold the younger record without the older: a crash
    cuts it at its end, and what a new record drops are those of rounds below its own. That a
    PREPARE names a round does count: it may follow another's proposal without a ROUND-CHANGE.
    """
    term, height, round_ = _instance_of(record)
    return term, height, Round(0) if isinstance(record, ProposalRecord) else round_


def _lost_store_votes(n: int, *, is_new: bool, rejoin: object) -> dst.rejoin.State:
    """Whoever lost his votes goes on as if he had never voted."""
    return _begin(n, is_new=False, rejoin=None)


def _say_partials_once(
    state: dst.sealing.State, event: sealing_inputs.Input, config: dst.sealing.Config
) -> dst.sealing.Transition:
    transition = _seal(state, event, config)
    if not isinstance(event, _AGAIN):
        return transition
    kept = tuple(effect for effect in transition.effects if not _is_partial(effect))
    return dst.sealing.Transition(state=transition.state, effects=kept)


def _is_partial(effect: object) -> bool:
    return isinstance(effect, Broadcast | Send) and isinstance(effect.message, PartialSignature)


def _share_with_commit(stage: Stage, actor: Actor, root: Root) -> None:
    """The partial signature leaves with the COMMIT, over a digest without the round."""
    stage.share_released(actor, root)


Swap: TypeAlias = tuple[Any, str, Callable[..., Any]]
"""(where, attribute, replacement)"""

_justification: Final = dst.qbft.justification
_upon: Final = dst.qbft.upon

CORE_MUTANTS: Final[dict[str, tuple[Swap, ...]]] = {
    "quorum-2f": ((_justification, "quorum_size", _two_f),),
    "duplicate-votes-counted": (
        (_upon, "upon_prepare", _again(_upon_prepare, "prepares", _review_prepares)),
        (_upon, "upon_commit", _again(_upon_commit, "commits", _review_commits)),
        (_justification, "_is_quorum", _any_quorum),
    ),
    "value-from-first-vote": ((deciding, "try_decide", _decide_on_the_first),),
    "prepares-of-mixed-rounds": (
        (deciding, "try_commit", _commit_on_any_round),
        (tables, "from_round", _kept_rounds),
    ),
    "early-votes-dropped": (
        (_upon, "upon_prepare", _once_proposed(_upon_prepare)),
        (_upon, "upon_commit", _once_proposed(_upon_commit)),
    ),
    "forwarder-blames-leader": ((proposing, "check_proposal", _leader_blamed),),
    "two-prepares-in-a-round": ((_upon, "upon_proposal", _judged_again),),
    "proposal-without-justification": ((_justification, "is_justified_proposal", anything_goes),),
    "round-change-without-proof": ((_justification, "is_proven_claim", anything_goes),),
    "certificate-unchecked": ((_justification, "is_valid_certificate", anything_goes),),
    "signatures-unchecked": ((_justification, "is_authentic", anything_goes),),
    "lowest-lock-wins": ((_justification, "highest_prepared", _lowest_prepared),),
    "view-rules-for-locked-blocks": ((_justification, "is_forced", nothing_goes),),
    "lock-dropped-by-timer": ((_upon, "upon_round_expired", _unlock),),
    "proofs-pruned": ((deciding, "Lock", _unproven_lock),),
    "leader-ignores-lock": ((proposing, "quorums", _always_fresh),),
    "lock-refuses-justified": ((_upon, "upon_proposal", _true_to_the_lock),),
    "lock-of-any-age": ((_justification, "is_well_formed_claim", _well_formed_whatever_its_age),),
    "leader-not-rotated": (
        (rounds, "leader_of", _leader_of_the_height),
        (proposing, "leader_of", _leader_of_the_height),
    ),
    "no-round-change": ((proposing, "change_round", not_done),),
    "independent-capped-timers": ((tables, "operators_at", _everybody),),
    "independent-doubling-timers": (
        (tables, "operators_at", _everybody),
        (rounds, "round_timeout_ms", _endless_doubling),
    ),
    "round-change-rebuilt": ((rounds, "own_messages", _rebuilt),),
    "jump-to-the-furthest": ((tables, "jump_target", _furthest),),
    "no-jump": ((tables, "jump_target", not_done),),
    "stale-timer-counts": ((_upon, "upon_round_expired", _whatever_it_guarded),),
    "pass-of-anybody": ((_upon, "upon_pass", _whoever_says_it),),
    "timer-before-due": ((deciding, "decide", _decide_and_wait),),
    "log-not-read": ((dst.qbft.restoring, "remembered", _no_promises),),
    "proposals-name-no-round": ((dst.qbft.restoring, "_instance_of", _proposals_name_no_round),),
    "lost-store-votes": ((dst.rejoin, "begin", _lost_store_votes),),
    "partials-not-resent": ((dst.sealing, "step", _say_partials_once),),
    "bad-partials-kept": ((dst.sealing.core, "_exclude_bad", not_done),),
    "partial-with-commit": ((Stage, "prepared", _share_with_commit),),
    "suspects-combined": ((dst.sealing.core, "_look_at_suspects", not_done),),
    "bad-seals-verified-again": ((dst.sealing.core, "_suspect", not_done),),
}
"""name -> what is replaced."""
