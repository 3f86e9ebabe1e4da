"""State after a restart, from the durable log.

A test bench may replace `remembered` (to prove that its checkers notice forgotten votes).
"""

from collections.abc import Iterable

from dst.qbft.messages import ProposalMessage, RoundChangeMessage, SignedPrepare
from dst.qbft.records import (
    CommitRecord,
    DecisionRecord,
    PrepareRecord,
    ProposalRecord,
    Record,
    RoundChangeRecord,
)
from dst.qbft.state import Config, DecidedHead, Lock, State
from dst.spec.primitives import Height, OperatorIndex, Root, Round, Term


def restore(config: Config, decided: DecidedHead | None, records: Iterable[Record]) -> State:
    """The open height with this node's own promises (round, lock, votes). Feed `Start` next.

    Args:
        decided: highest decision in the store; None when only genesis (height 0) is.
        records: the log in writing order; those of decided heights are ignored, DecisionRecords
            above `decided` are applied and announced again by `Start`.
    """
    log = tuple(records)
    head = Height(0) if decided is None else decided.height
    undelivered = decisions_above(head, log)
    if undelivered:
        head = undelivered[-1].certificate.height
    height = Height(head + 1)
    return _open_height(height, undelivered, remembered(log, config.term, height), config)


def decisions_above(head: Height, log: Iterable[Record]) -> tuple[DecisionRecord, ...]:
    """The unbroken run of decisions from head + 1 on."""
    by_height = {each.certificate.height: each for each in log if isinstance(each, DecisionRecord)}
    run: list[DecisionRecord] = []
    while (following := by_height.get(Height(head + 1 + len(run)))) is not None:
        run.append(following)
    return tuple(run)


def remembered(log: Iterable[Record], term: Term, height: Height) -> tuple[Record, ...]:
    """This node's promises about the open height."""
    return tuple(each for each in log if _instance_of(each)[:2] == (term, height))


def _instance_of(record: Record) -> tuple[Term, Height, Round]:
    """(term, height, round) of a promise; a decision promises nothing about an open height."""
    match record:
        case ProposalRecord() | RoundChangeRecord():
            payload = record.message.signed.payload
            return payload.term, payload.height, payload.round
        case PrepareRecord():
            vote = record.prepare.payload
            return vote.term, vote.height, vote.round
        case CommitRecord():
            lock = record.commit.payload
            return lock.term, lock.height, lock.round
        case DecisionRecord():
            return Term(-1), Height(0), Round(0)


def _open_height(
    height: Height,
    undelivered: tuple[DecisionRecord, ...],
    promises: tuple[Record, ...],
    config: Config,
) -> State:
    """The round is the highest that any promise names: a proposal can move a node, too."""
    me = config.self_index
    round_ = max((_instance_of(each)[2] for each in promises), default=Round(0))
    proposals: dict[Round, ProposalMessage] = {}
    prepares: dict[Round, dict[OperatorIndex, SignedPrepare]] = {}
    round_changes: dict[OperatorIndex, tuple[RoundChangeMessage, ...]] = {}
    locks: list[Lock] = []
    for each in promises:
        match each:
            case ProposalRecord():
                proposals[each.message.signed.payload.round] = each.message
            case PrepareRecord():
                proposals[each.prepare.payload.round] = each.proposal
                prepares[each.prepare.payload.round] = {me: each.prepare}
            case CommitRecord():
                locks.append(Lock(prepares=each.prepares, commit=each.commit))
            case RoundChangeRecord():
                if each.message.signed.payload.round == round_:
                    round_changes = {me: (each.message,)}
            case DecisionRecord():
                pass
    lock = max(locks, key=lambda each: each.round, default=None)
    return State(
        height=height,
        round=round_,
        undelivered=undelivered,
        accepted=proposals.get(round_),
        lock=lock,
        prepares={round_: prepares[round_]} if round_ in prepares else {},
        commits={each.round: {me: each.commit} for each in locks},
        round_changes=round_changes,
        blocks=_blocks(proposals, lock, round_),
    )


def _blocks(
    proposals: dict[Round, ProposalMessage], lock: Lock | None, round_: Round
) -> dict[Root, bytes]:
    """Those of the lock and of the current round; older ones are fetched by root like any other."""
    wanted = {Round(-1) if lock is None else lock.round, round_}
    return {
        proposals[each].signed.payload.root: proposals[each].block
        for each in sorted(wanted)
        if each in proposals
    }
