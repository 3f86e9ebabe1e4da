"""What a member with real keys may not do, on live links: each lie is refused, named and kept."""

from typing import Any

import msgspec
import pytest

from dst.apis.dst_v1 import EventKind
from dst.middleware.wire import root_of
from dst.middleware.wire_messages import DecidedBlocks, DecidedItem, GetBlock, GetDecided
from dst.p2p.framing import MAX_FRAME_BYTES
from dst.qbft.messages import (
    Certificate,
    Commit,
    CommitMessage,
    Prepare,
    PrepareMessage,
    Proposal,
    ProposalMessage,
    RoundChange,
    RoundChangeMessage,
    SignedCommit,
    SignedPrepare,
    SignedProposal,
    SignedRoundChange,
)
from dst.sealing.messages import PartialSignature
from dst.spec.cluster import lock_proposer_domain
from dst.spec.domains import signing_root
from dst.spec.primitives import Height, OperatorIndex, Root, Round, Term, leader_of

T0, H1, R0 = Term(0), Height(1), Round(0)


@pytest.fixture
def before_genesis(network: Any) -> None:
    """Nothing moves by itself: the victim stays at height 1, round 0."""
    network.clock_runs = False


def refusals(operator: Any, reason: str) -> float:
    return float(operator.middleware.metrics.get("consensus_refused_total", reason=reason))


def unread(operator: Any, reason: str) -> float:
    """Messages of op4 that no core has seen."""
    metrics = operator.middleware.metrics
    return float(metrics.get("messages_refused_total", peer="op4", reason=reason))


async def test_forged_certificate_in_catch_up(
    before_genesis: None, running: Any, puppet: Any, cluster: Any, eventually: Any
) -> None:
    victim = await running(0, gathers=False)
    liar = await puppet(3, links=1)
    block = cluster.block(1)
    root = root_of(block)
    commit = Commit(T0, H1, R0, root)
    forged = tuple(
        SignedCommit(commit, OperatorIndex(sender), liar.sign(commit)) for sender in (1, 2, 3)
    )
    certificate = Certificate(T0, H1, R0, root, forged)
    liar.says(DecidedBlocks(Height(1), (DecidedItem(certificate, block, None),)))
    await eventually(lambda: unread(victim, "bad_certificate") == 1)
    assert victim.store.decided_height() == 0
    assert victim.rollup.chain == []


async def test_block_that_is_not_the_certified_one(
    before_genesis: None, running: Any, puppet: Any, cluster: Any, eventually: Any
) -> None:
    victim = await running(0, gathers=False)
    liar = await puppet(3, links=1)
    certificate = cluster.certificate(1)
    for block in (cluster.block(1, mark=1), b"no block at all"):
        liar.says(DecidedBlocks(Height(1), (DecidedItem(certificate, block, None),)))
    await eventually(lambda: unread(victim, "wrong_block") == 1)
    # The second is not even looked at: whoever lied is not listened to for a while.
    await eventually(lambda: unread(victim, "distrusted") == 1)
    assert victim.store.decided_height() == 0


async def test_forged_justification(
    before_genesis: None, running: Any, puppet: Any, cluster: Any, eventually: Any
) -> None:
    """op4 leads round 2 of height 1 and signs the other operators' round-changes itself."""
    victim = await running(0, gathers=False)
    liar = await puppet(3, links=1)
    block = cluster.block(1)
    change = RoundChange(T0, H1, Round(2), None, None)
    forged = tuple(
        SignedRoundChange(change, OperatorIndex(sender), liar.sign(change)) for sender in (1, 2, 3)
    )
    proposal = Proposal(T0, H1, Round(2), root_of(block))
    signed = SignedProposal(proposal, liar.index, liar.sign(proposal))
    liar.says(ProposalMessage(signed, block, forged))
    await eventually(lambda: refusals(victim, "unjustified_proposal") == 1)
    assert victim.middleware.shells.consensus.round == 0
    await eventually(lambda: len(victim.store.evidence()) == 1)
    (evidence,) = victim.store.evidence()
    assert (evidence.culprit, evidence.reason) == (3, "unjustified_proposal")


async def test_claimed_lock_without_proof(
    before_genesis: None, running: Any, puppet: Any, cluster: Any, eventually: Any
) -> None:
    victim = await running(0, gathers=False)
    liar = await puppet(3, links=1)
    change = RoundChange(T0, H1, Round(2), Round(1), root_of(cluster.block(1)))
    liar.says(RoundChangeMessage(SignedRoundChange(change, liar.index, liar.sign(change))))
    await eventually(lambda: refusals(victim, "unjustified_round_change") == 1)
    await eventually(lambda: [each.culprit for each in victim.store.evidence()] == [3])


async def test_votes_of_a_non_member_and_in_anothers_name(
    before_genesis: None, running: Any, puppet: Any, cluster: Any, eventually: Any
) -> None:
    victim = await running(0, gathers=False)
    liar = await puppet(3, links=1)
    vote = Prepare(T0, H1, R0, root_of(cluster.block(1)))
    for sender in (4, 77, 1):
        signed = SignedPrepare(vote, OperatorIndex(sender), liar.sign(vote))
        liar.says(PrepareMessage(signed))
    await eventually(lambda: refusals(victim, "bad_signature") == 1)
    assert refusals(victim, "not_a_member") == 2
    assert victim.store.evidence() == ()  # nobody known signed these


async def test_second_proposal_in_a_round_is_kept_as_evidence(
    before_genesis: None, running: Any, puppet: Any, cluster: Any, eventually: Any
) -> None:
    """op2 leads round 0 of height 1."""
    victim = await running(0, gathers=False)
    liar = await puppet(1, links=1)
    signed = []
    for mark in (0, 1):
        block = cluster.block(1, mark=mark)
        proposal = Proposal(T0, H1, R0, root_of(block))
        signed.append(SignedProposal(proposal, liar.index, liar.sign(proposal)))
        liar.says(ProposalMessage(signed[-1], block))
    await eventually(lambda: refusals(victim, "second_proposal") == 1)
    await eventually(
        lambda: any(event.kind is EventKind.EVIDENCE for event in victim.rollup.events_seen)
    )
    (evidence,) = victim.store.evidence()
    assert (evidence.height, evidence.culprit, evidence.reason) == (1, 1, "second_proposal")
    kept = msgspec.msgpack.decode(evidence.proof, type=list[SignedProposal])
    assert kept == signed
    (event,) = (e for e in victim.rollup.events_seen if e.kind is EventKind.EVIDENCE)
    assert event.extra["culprit"] == 2
    # The first proposal stands: exactly one PREPARE, for it.
    votes = [m for _, m in liar.heard if isinstance(m, PrepareMessage)]
    assert {vote.signed.payload.root for vote in votes} <= {signed[0].payload.root}


async def test_wrong_partial_is_named_excluded_and_does_not_stop_sealing(
    network: Any, running: Any, puppet: Any, cluster: Any, eventually: Any
) -> None:
    """op1 lies: lowest index, so its partial is in the first combination."""
    operators = [await running(index, validator=False) for index in (1, 2, 3)]
    liar = await puppet(0, links=3)
    await eventually(lambda: all(each.store.decided_height() >= 1 for each in operators))
    decided = operators[0].store.decided(Height(1))
    root = signing_root(decided.certificate.root, lock_proposer_domain(cluster.lock))
    wrong = cluster.sign_share(0, Root(b"\x66" * 32))
    liar.says(PartialSignature(T0, H1, root, OperatorIndex(0), wrong))
    for operator in operators:
        message = cluster.sign_share(operator.index, decided.certificate.root)
        await operator.middleware.shells.sealing.own_partial(H1, decided.certificate.root, message)
    await eventually(lambda: all(1 in each.rollup.sealed for each in operators))
    for operator in operators:
        accused = [each for each in operator.store.evidence() if each.reason == "bad_partial"]
        assert [each.culprit for each in accused] in ([0], [])
    assert any(each.store.evidence() for each in operators)


async def test_undecodable_and_oversized_messages(
    running: Any, puppet: Any, eventually: Any
) -> None:
    victim = await running(0, gathers=False)
    liar = await puppet(3, links=1)
    for body in (
        msgspec.msgpack.encode(["no_such_message"]),
        msgspec.msgpack.encode(["get_decided", 1, 10**9]),
        msgspec.msgpack.encode(["get_block", 1, b"short"]),
        msgspec.msgpack.encode({"a": "map"}),
        msgspec.msgpack.encode(["prepare", [["V", 0, 1, 0, b""], 0, b"", "surplus"]]),
    ):
        liar.transport.broadcast(body, height=None)
    await eventually(lambda: unread(victim, "undecodable") == 5)
    assert MAX_FRAME_BYTES == 1 << 20
    assert victim.middleware.metrics.get("p2p_link_up", peer="op4") == 1


async def test_answers_are_bounded_and_rate_limited(
    running: Any, puppet: Any, eventually: Any
) -> None:
    operators = [await running(index) for index in (0, 1, 2)]
    await eventually(lambda: operators[0].store.decided_height() >= 3)
    asker = await puppet(3, links=3)
    for _ in range(50):
        asker.says(GetDecided(Height(1), 64))
        asker.says(GetBlock(Height(1), Root(b"\x01" * 32)))
    await eventually(lambda: any(isinstance(m, DecidedBlocks) for _, m in asker.heard))
    answers = [m for _, m in asker.heard if isinstance(m, DecidedBlocks) and len(m.items) > 1]
    assert len(answers) <= 6
    assert answers[0].items[0].certificate.height == 1


async def test_a_decided_block_once_more_at_the_next_height(
    network: Any, running: Any, puppet: Any, eventually: Any
) -> None:
    """op4 leads each height after one that has just been decided, with the same block, while the
    others still import it: decided twice, it would end every operator at its next write."""
    operators = [await running(index) for index in range(3)]
    liar = await puppet(3, 3)
    receive, said = liar.received, 0

    def received(peer: Any, body: bytes) -> None:
        nonlocal said
        receive(peer, body)
        message = liar.heard[-1][1]
        if not isinstance(message, ProposalMessage):
            return
        height = Height(message.signed.payload.height + 1)
        if leader_of(height, R0, network.cluster.lock.n) != liar.index:
            return
        said += 1
        place = T0, height, R0, message.signed.payload.root
        proposal, prepare, commit = Proposal(*place), Prepare(*place), Commit(*place)
        signed = SignedProposal(proposal, liar.index, liar.sign(proposal))
        liar.says(ProposalMessage(signed, message.block, (), ()))
        liar.says(PrepareMessage(SignedPrepare(prepare, liar.index, liar.sign(prepare))))
        liar.says(CommitMessage(SignedCommit(commit, liar.index, liar.sign(commit))))

    liar.received = received
    await eventually(lambda: said >= 2 and min(len(each.rollup.chain) for each in operators) > 5)
