"""Predicates over signed messages: quorums, locks, justifications, certificates; nothing changes.

Each predicate checks *every* signature it counts, distinct authentic members only, and binds term
and height; the `Committee` supplies the membership (n), the keys (`verify`) and the chain's
identity (inside the digest). Names follow the QBFT formal specification (`isProposalJustification`,
`validRoundChange`, `isHighestPrepared`).

Rules call these through the module (`justification.is_justified_proposal`), and so may a test bench
that replaces one of them to prove that its checkers would notice: `quorum_size`,
`is_justified_proposal`, `is_valid_round_change`, `is_valid_prepare_quorum`, `is_proven_claim`
(claims without proof), `is_valid_certificate`, `highest_prepared`.
"""

from collections.abc import Iterable, Sequence

from dst.qbft.messages import (
    Certificate,
    Commit,
    Prepare,
    ProposalMessage,
    RoundChange,
    RoundChangeMessage,
    Signed,
    SignedPrepare,
    SignedRoundChange,
    signing_digest,
)
from dst.spec import primitives
from dst.spec.committee import Committee
from dst.spec.primitives import Height, Root, Round


def quorum_size(n: int) -> int:
    """Votes, round-changes and certificates alike."""
    return primitives.quorum(n)


def is_member(sender: int, committee: Committee) -> bool:
    return 0 <= sender < committee.n


def is_authentic(signed: Signed, committee: Committee) -> bool:
    """The claimed sender is a member and signed exactly this payload for this chain."""
    if not is_member(signed.sender, committee):
        return False
    digest = signing_digest(committee.genesis_validators_root, signed.payload)
    return committee.verify(signed.sender, digest, signed.signature)


def _is_quorum(signed: Sequence[Signed], committee: Committee) -> bool:
    """A quorum of distinct authentic members and nothing else; at most n, before any signature."""
    senders = {each.sender for each in signed}
    return (
        quorum_size(committee.n) <= len(senders) == len(signed) <= committee.n
        and all(is_authentic(each, committee) for each in signed)
    )  # fmt: skip


def is_valid_prepare_quorum(
    prepares: Sequence[SignedPrepare],
    height: Height,
    round_: Round,
    root: Root,
    committee: Committee,
) -> bool:
    """A quorum of PREPAREs for exactly (term, height, round, root): the proof of a lock."""
    wanted = Prepare(term=committee.term, height=height, round=round_, root=root)
    return all(each.payload == wanted for each in prepares) and _is_quorum(prepares, committee)


def is_well_formed_claim(payload: RoundChange) -> bool:
    """Round 0 is never asked for; both halves of a lock or none; a lock is older than the round."""
    if payload.round <= 0:
        return False
    if payload.prepared_round is None or payload.prepared_root is None:
        return payload.prepared_round is None and payload.prepared_root is None
    return 0 <= payload.prepared_round < payload.round


def is_proven_claim(
    payload: RoundChange, prepares: Sequence[SignedPrepare], committee: Committee
) -> bool:
    """A claimed lock comes with its prepare quorum; no claim, no proof."""
    if payload.prepared_round is None or payload.prepared_root is None:
        return not prepares
    return is_valid_prepare_quorum(
        prepares, payload.height, payload.prepared_round, payload.prepared_root, committee
    )


def is_valid_round_change(message: RoundChangeMessage, committee: Committee) -> bool:
    """Checked on receipt, before it counts (validRoundChange). Its signature has been checked."""
    payload = message.signed.payload
    return is_well_formed_claim(payload) and is_proven_claim(payload, message.prepares, committee)


def highest_prepared(claims: Iterable[RoundChange]) -> RoundChange | None:
    """The claim of the highest prepared round, None when there is no lock (isHighestPrepared)."""
    locked = [each for each in claims if each.prepared_round is not None]
    return max(locked, key=lambda each: each.prepared_round or 0, default=None)


def is_round_change_quorum(
    round_changes: Sequence[SignedRoundChange], height: Height, round_: Round, committee: Committee
) -> bool:
    """A quorum of well-formed ROUND-CHANGEs for exactly (term, height, round)."""
    return all(
        (each.payload.term, each.payload.height, each.payload.round)
        == (committee.term, height, round_)
        and is_well_formed_claim(each.payload)
        for each in round_changes
    ) and _is_quorum(round_changes, committee)


def is_justified_proposal(message: ProposalMessage, committee: Committee) -> bool:
    """May the leader propose this root in this round? (isProposalJustification)

    Round 0: no justification attached. Later: a round-change quorum for exactly this round, and if
        it holds any lock, the root of the highest one, proven. Claims below the highest need no
        proof: they force nothing.
    """
    payload = message.signed.payload
    if payload.round == 0:
        return not message.round_changes and not message.prepares
    if not is_round_change_quorum(message.round_changes, payload.height, payload.round, committee):
        return False
    forced = highest_prepared(each.payload for each in message.round_changes)
    if forced is None:
        return not message.prepares
    return forced.prepared_root == payload.root and is_proven_claim(
        forced, message.prepares, committee
    )


def is_forced(message: ProposalMessage) -> bool:
    """Does a lock force this justified proposal? Then deterministic rules alone judge the block."""
    return highest_prepared(each.payload for each in message.round_changes) is not None


def is_valid_certificate(certificate: Certificate, committee: Committee) -> bool:
    """A quorum of authentic COMMITs for exactly what the certificate says, and no other vote.

    The decided root is the one every vote names, never that of some element of the list.
    """
    wanted = Commit(
        term=committee.term,
        height=certificate.height,
        round=certificate.round,
        root=certificate.root,
    )
    return (
        certificate.term == committee.term
        and all(each.payload == wanted for each in certificate.commits)
        and _is_quorum(certificate.commits, committee)
    )
