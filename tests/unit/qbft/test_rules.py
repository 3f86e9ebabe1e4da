"""One test for each rule of docs/consensus-rules.md that concerns the core, in its order.

Operators 0 to 3, q = 3, f = 1. At height 1 operator 1 leads round 0, operator 2 round 1, and so on.
"""

from dataclasses import replace

import pytest

from dst.qbft import justification, rounds, tables
from dst.qbft.effects import (
    Broadcast,
    Decided,
    FetchBlock,
    FetchDecided,
    HelpLaggard,
    Milestone,
    Persist,
    Reached,
    Reason,
    Refused,
    RequestBlock,
    Send,
    SetTimer,
    TimerKind,
    ValidateBlock,
)
from dst.qbft.inputs import (
    BlockFetched,
    BlockValidated,
    CertificateReceived,
    HeightDue,
    PeerConnected,
    RetransmitDue,
    RoundExpired,
)
from dst.qbft.messages import (
    Certificate,
    CommitMessage,
    Message,
    PrepareMessage,
    ProposalMessage,
    RoundChangeMessage,
)
from dst.qbft.records import (
    CommitRecord,
    DecisionRecord,
    PrepareRecord,
    ProposalRecord,
    RoundChangeRecord,
)
from dst.spec.primitives import Height, OperatorIndex, Root, Round, leader_of
from tests.unit.qbft.playbook import (
    OTHER_CHAIN,
    ROOT_A,
    ROOT_B,
    A,
    B,
    Maker,
    Playbook,
    make_config,
    root_of,
    with_config,
)

MAKE = Maker(height=1)
LOCK_A = (0, ROOT_A)


def fresh_round_1(block: bytes = B) -> ProposalMessage:
    """Round 1's leader proposes freshly: three operators without a lock."""
    return MAKE.proposal(block, 1, [MAKE.round_change(each, 1) for each in (0, 1, 3)])


def forced_round_1(block: bytes = A) -> ProposalMessage:
    """Round 1's leader proposes A again: operator 3 proves a lock of round 0."""
    claims = [MAKE.round_change(0, 1), MAKE.round_change(1, 1), MAKE.round_change(3, 1, LOCK_A)]
    return MAKE.proposal(block, 1, claims, MAKE.prepares(range(3)))


def timers(node: Playbook) -> list[tuple[TimerKind, int, int]]:
    return [(each.kind, each.round, each.delay_ms) for each in node.get(SetTimer)]


# ------------------------------------------------------------ quorums and identity


@pytest.mark.parametrize(("n", "q"), [(1, 1), (4, 3), (5, 4), (6, 5), (7, 5), (10, 7)])
def test_rule_01_quorum_is_n_minus_f(n: int, q: int) -> None:
    assert justification.quorum_size(n) == q
    # Two quorums share more than f operators: an honest one among them.
    assert 2 * q - n > (n - 1) // 3


def test_rule_02_the_same_quorum_for_votes_round_changes_and_certificates() -> None:
    config = make_config()
    for count, enough in [(2, False), (3, True)]:
        senders = range(count)
        prepares = MAKE.prepares(senders)
        assert enough == justification.is_valid_prepare_quorum(
            prepares, Height(1), Round(0), ROOT_A, config
        )
        assert enough == justification.is_valid_certificate(MAKE.certificate(senders), config)
        signed = [MAKE.round_change(each, 1).signed for each in senders]
        assert enough == justification.is_round_change_quorum(signed, Height(1), Round(1), config)


def test_rule_03_distinct_authentic_signers_are_counted_not_messages() -> None:
    node = Playbook(0)
    node.due()
    node.hear(MAKE.proposal())
    node.validated()
    for _ in range(3):
        node.hear(MAKE.prepare(1), peer=2)
    assert node.state.lock is None
    twice = MAKE.prepares([1, 1, 2])
    assert not justification.is_valid_prepare_quorum(
        twice, Height(1), Round(0), ROOT_A, node.config
    )
    forged = replace_signature(MAKE.prepare(2), b"\x00" * 32)
    node.hear(forged)
    assert node.refused().reason is Reason.BAD_SIGNATURE
    assert node.refused().culprit is None, "whoever forged it, operator 2 did not"
    assert node.state.lock is None


def replace_signature(message: PrepareMessage, signature: bytes) -> PrepareMessage:
    signed = message.signed
    return PrepareMessage(
        signed=type(signed)(payload=signed.payload, sender=signed.sender, signature=signature)
    )


def test_rule_04_votes_bind_chain_term_height_round_type_and_root() -> None:
    node = Playbook(0)
    node.due()
    node.hear(Maker(height=1, chain=OTHER_CHAIN).prepare(1))
    assert node.refused().reason is Reason.BAD_SIGNATURE
    node.hear(Maker(height=1, term=1).prepare(1))
    assert node.refused().reason is Reason.WRONG_TERM
    # A commit's signature is none for a prepare of the same fields.
    commit = MAKE.signed_commit(1)
    node.hear(replace_signature(MAKE.prepare(1), commit.signature))
    assert node.refused().reason is Reason.BAD_SIGNATURE
    for other in (MAKE.prepare(1, ROOT_B), MAKE.prepare(1, round_=1), Maker(height=2).prepare(1)):
        node.hear(replace_signature(MAKE.prepare(1), other.signed.signature))
        assert node.refused().reason is Reason.BAD_SIGNATURE


@pytest.mark.parametrize("outsider", [4, -1, 200])
def test_rule_05_a_non_member_is_refused(outsider: int) -> None:
    node = Playbook(0)
    before = node.state
    member = MAKE.signed_prepare(1)
    vote = type(member)(
        payload=member.payload, sender=OperatorIndex(outsider), signature=member.signature
    )
    node.hear(PrepareMessage(signed=vote), peer=1)
    assert node.refused().reason is Reason.NOT_A_MEMBER
    assert node.state == before


def test_rule_06_the_block_is_hashed_and_compared() -> None:
    node = Playbook(0)
    node.due()
    node.hear(MAKE.proposal(B, root=ROOT_A))
    assert node.refused().reason is Reason.ROOT_MISMATCH
    assert node.state.accepted is None
    assert not node.get(ValidateBlock)


def test_rule_07_the_root_does_not_contain_the_round() -> None:
    node = Playbook(0).locked_on_a()
    node.hear(forced_round_1())
    assert node.only(ValidateBlock).root == ROOT_A
    node.validated()
    for sender in (1, 2):
        node.hear(MAKE.prepare(sender, ROOT_A, 1))
    assert node.state.lock is not None
    assert (node.state.lock.round, node.state.lock.root) == (1, ROOT_A)


# ------------------------------------------------------------ proposal


def test_rule_08_only_the_leader_may_propose() -> None:
    node = Playbook(0)
    node.due()
    node.hear(MAKE.proposal(sender=2))
    assert node.refused().reason is Reason.NOT_THE_LEADER
    assert node.refused().culprit == 2
    assert [leader_of(Height(1), Round(each), 4) for each in range(5)] == [1, 2, 3, 0, 1]


def test_rule_09_round_0_without_and_later_rounds_with_a_round_change_quorum() -> None:
    claims = [MAKE.round_change(each, 1) for each in (0, 1, 3)]
    bad = [
        MAKE.proposal(A, 0, claims),
        MAKE.proposal(A, 0, prepares=MAKE.prepares(range(3))),
        MAKE.proposal(A, 1),
        MAKE.proposal(A, 1, claims[:2]),
        MAKE.proposal(A, 1, [*claims[:2], claims[1]]),
        MAKE.proposal(A, 1, [*claims[:2], MAKE.round_change(3, 2)]),
        MAKE.proposal(A, 1, [*claims[:2], Maker(height=2).round_change(3, 1)]),
        MAKE.proposal(A, 1, [*claims[:2], Maker(height=1, term=1).round_change(3, 1)]),
        MAKE.proposal(A, 1, claims, MAKE.prepares(range(3))),
    ]
    for message in bad:
        node = Playbook(0)
        node.due()
        before = node.state
        node.hear(message)
        assert node.refused().reason is Reason.UNJUSTIFIED_PROPOSAL
        assert node.state == before
    node = Playbook(0)
    node.hear(MAKE.proposal(A, 1, claims))
    assert node.only(ValidateBlock).root == ROOT_A


def test_rule_10_the_value_of_the_highest_proven_lock_is_forced() -> None:
    config = make_config()
    low, high = MAKE.prepares(range(3), ROOT_A, 0), MAKE.prepares(range(1, 4), ROOT_B, 1)
    claims = [
        MAKE.round_change(0, 2, (0, ROOT_A), low),
        MAKE.round_change(1, 2, (1, ROOT_B), high),
        MAKE.round_change(2, 2),
    ]
    assert justification.is_justified_proposal(MAKE.proposal(B, 2, claims, high), config)
    assert not justification.is_justified_proposal(MAKE.proposal(A, 2, claims, low), config)
    assert not justification.is_justified_proposal(MAKE.proposal(A, 2, claims, high), config)
    assert not justification.is_justified_proposal(MAKE.proposal(B, 2, claims, high[:2]), config)
    assert not justification.is_justified_proposal(MAKE.proposal(B, 2, claims), config)
    mixed = (*high[:2], MAKE.signed_prepare(3, ROOT_B, 0))
    assert not justification.is_justified_proposal(MAKE.proposal(B, 2, claims, mixed), config)


def test_rule_11_without_a_lock_the_block_is_judged_like_a_fresh_one() -> None:
    node = Playbook(0)
    node.hear(fresh_round_1())
    assert node.only(ValidateBlock).justified is False
    node = Playbook(0)
    node.due()
    node.hear(MAKE.proposal())
    assert node.only(ValidateBlock).justified is False


def test_rule_12_honest_mixtures_of_claims_are_accepted() -> None:
    node = Playbook(0)
    node.hear(forced_round_1())
    assert node.only(ValidateBlock).justified is True


def test_rule_13_one_accepted_proposal_a_round_also_across_restarts() -> None:
    node = Playbook(0)
    node.due()
    node.hear(MAKE.proposal(A))
    node.hear(MAKE.proposal(B))
    assert node.refused().reason is Reason.SECOND_PROPOSAL
    assert node.refused().culprit == 1
    assert node.refused().contradicts == MAKE.proposal(A).signed
    node.validated(ROOT_B)
    assert not node.last, "a verdict on a block that was not accepted means nothing"
    node.validated(ROOT_A)
    again = node.restart()
    again.start()
    again.hear(MAKE.proposal(B))
    assert again.refused().reason is Reason.SECOND_PROPOSAL
    again.hear(MAKE.proposal(A))
    assert not again.last


def test_rule_14_empty_and_oversized_blocks_are_refused() -> None:
    node = Playbook(0)
    node.due()
    node.hear(MAKE.proposal(b"", root=ROOT_A))
    assert node.refused().reason is Reason.ROOT_MISMATCH
    node.hear(MAKE.proposal(bytes(1001)))
    assert node.refused().reason is Reason.OVERSIZED_BLOCK
    node.hear(MAKE.proposal(bytes(1000)))
    assert node.get(ValidateBlock)


def test_rule_15_a_justified_proposal_of_a_higher_round_is_accepted_at_once() -> None:
    node = Playbook(0)
    node.due()
    node.hear(fresh_round_1())
    assert node.state.round == 1
    assert node.only(ValidateBlock).round == 1
    assert (TimerKind.ROUND, 1, 2000) in timers(node)
    assert [each.milestone for each in node.get(Reached)] == [
        Milestone.ROUND_CHANGE,
        Milestone.PROPOSAL,
    ]


def test_rule_16_the_leader_validates_its_own_proposal_like_any_other() -> None:
    node = Playbook(1)
    assert node.due() == node.last
    assert node.only(RequestBlock).round == 0
    node.built(A)
    assert node.only(ValidateBlock).root == ROOT_A
    assert not [each for each in node.said() if isinstance(each, PrepareMessage)]
    node.validated()
    assert isinstance(node.only(Broadcast).message, PrepareMessage)
    huge = Playbook(1)
    huge.due()
    huge.built(bytes(1001))
    assert huge.refused().reason is Reason.OVERSIZED_BLOCK
    assert not huge.said()


def test_rule_17_propose_once_persisted_before_send() -> None:
    node = Playbook(1)
    node.due()
    node.built(A)
    kinds = [type(each) for each in node.last]
    assert kinds.index(Persist) < kinds.index(Broadcast)
    assert isinstance(node.only(Persist).record, ProposalRecord)
    said = node.only(Broadcast).message
    node.built(B)
    assert not node.last
    again = node.restart()
    again.start()
    assert again.said() == [said], "the very same proposal"
    assert again.only(ValidateBlock).root == ROOT_A
    again.due()
    assert not again.get(RequestBlock)
    again.built(B)
    assert not again.last


def test_rule_18_late_verdicts_are_dropped() -> None:
    node = Playbook(0)
    node.due()
    node.hear(MAKE.proposal())
    node.expire()
    node.validated(ROOT_A, round_=0)
    assert not node.last
    node.hear(fresh_round_1())
    node.validated(ROOT_A, round_=0)
    node.validated(ROOT_A, round_=1)
    assert not node.last
    node.validated(ROOT_B, round_=1)
    assert node.said()
    again = Playbook(0)
    again.due()
    again.hear(MAKE.proposal())
    again.hear(fresh_round_1(A))
    again.validated(ROOT_A, round_=0)
    assert not again.last, "in round 0 the block was fresh; clock and L1 have moved since"


# ------------------------------------------------------------ prepare and commit


def test_rule_19_votes_are_persisted_before_they_are_sent() -> None:
    node = Playbook(0).locked_on_a()
    node.expire()
    kinds = {
        PrepareRecord: PrepareMessage,
        CommitRecord: CommitMessage,
        RoundChangeRecord: RoundChangeMessage,
    }
    for record_type, message_type in kinds.items():
        at = [
            index
            for index, each in enumerate(node.history)
            if (isinstance(each, Persist) and isinstance(each.record, record_type))
            or (isinstance(each, Broadcast) and isinstance(each.message, message_type))
        ]
        assert len(at) == 2
        assert isinstance(node.history[at[0]], Persist)
    prepared = next(each for each in node.log if isinstance(each, PrepareRecord))
    assert prepared.proposal.block == A, "the block is on disk with the promise"


def test_rule_20_prepares_count_for_the_same_round_and_root_only() -> None:
    node = Playbook(0)
    node.due()
    node.hear(MAKE.proposal())
    node.validated()
    node.hear(MAKE.prepare(1))
    node.hear(MAKE.prepare(2, ROOT_B))
    node.hear(MAKE.prepare(3, ROOT_A, 1))
    assert [type(each) for each in node.log] == [PrepareRecord]
    node.hear(MAKE.prepare(3))
    assert [type(each) for each in node.log] == [PrepareRecord, CommitRecord]
    late = Playbook(0)
    late.due()
    for sender in (1, 2, 3):
        late.hear(MAKE.prepare(sender))
    assert late.state.lock is None, "no commit without our own PREPARE"


def test_rule_21_the_lock_with_its_proof_is_durable_before_commit_and_kept() -> None:
    node = Playbook(0).locked_on_a()
    record = next(each for each in node.log if isinstance(each, CommitRecord))
    assert justification.is_valid_prepare_quorum(
        record.prepares, Height(1), Round(0), ROOT_A, node.config
    )
    for round_ in range(1, 6):
        node.hear(MAKE.round_change(1, round_ + 1))
        node.hear(MAKE.round_change(2, round_ + 1))
    (said,) = [each for each in node.said() if isinstance(each, RoundChangeMessage)]
    assert said.signed.payload.prepared_root == ROOT_A
    assert said.prepares == record.prepares


def test_rule_22_one_commit_and_only_for_the_current_round() -> None:
    node = Playbook(0).locked_on_a()
    node.hear(MAKE.prepare(3))
    assert not node.last
    late = Playbook(0)
    late.due()
    late.hear(MAKE.proposal())
    late.validated()
    late.expire()
    for sender in (1, 2, 3):
        late.hear(MAKE.prepare(sender))
        assert not late.said()


def test_rule_23_a_commit_quorum_of_an_older_round_decides() -> None:
    node = Playbook(0).locked_on_a()
    node.expire()
    node.hear(MAKE.commit(1))
    node.hear(MAKE.commit(2))
    assert node.only(Decided).certificate == MAKE.certificate([0, 1, 2])
    assert node.state.height == 2


def test_rule_23_a_commit_quorum_of_a_later_round_decides() -> None:
    node = Playbook(0)
    node.due()
    for sender in (1, 2, 3):
        node.hear(MAKE.commit(sender, ROOT_B, 3))
    fetch = node.only(FetchBlock)
    assert (fetch.root, fetch.holders) == (ROOT_B, (1, 2, 3))
    node.feed(BlockFetched(height=Height(1), root=ROOT_B, block=B))
    assert node.only(Decided).block == B


def test_rule_24_early_votes_are_buffered_and_counted_when_the_proposal_comes() -> None:
    node = Playbook(0)
    node.due()
    for sender in (2, 3):
        node.hear(MAKE.prepare(sender))
        node.hear(MAKE.prepare(sender, ROOT_B, 1))
    node.hear(MAKE.proposal())
    node.validated()
    assert any(isinstance(each, CommitMessage) for each in node.said())
    node.hear(fresh_round_1())
    node.validated(ROOT_B)
    assert node.state.lock is not None
    assert node.state.lock.root == ROOT_B


def test_rule_24_a_commit_quorum_before_the_proposal_decides_when_it_comes() -> None:
    node = Playbook(0)
    node.due()
    for sender in (1, 2, 3):
        node.hear(MAKE.commit(sender))
    assert node.get(FetchBlock)
    node.hear(MAKE.proposal())
    assert node.only(Decided).block == A


def test_rule_25_the_decided_root_is_that_of_the_quorum() -> None:
    node = Playbook(3)
    node.due()
    node.hear(MAKE.proposal())
    node.validated()
    node.hear(MAKE.commit(0, ROOT_B))
    node.hear(MAKE.commit(1))
    node.hear(MAKE.commit(2))
    assert not node.get(Decided)
    assert not justification.is_valid_certificate(
        Certificate(
            term=MAKE.term,
            height=MAKE.height,
            round=Round(0),
            root=ROOT_A,
            commits=(
                MAKE.signed_commit(0, ROOT_B),
                *(MAKE.signed_commit(each) for each in (1, 2, 3)),
            ),
        ),
        node.config,
    ), "a poisoned vote beside a quorum"


def test_rule_26_after_decision_timers_and_messages_of_the_height_do_nothing() -> None:
    node = Playbook(0).locked_on_a()
    node.hear(MAKE.commit(1))
    node.hear(MAKE.commit(2))
    assert node.get(Decided)
    after = node.state
    node.feed(RoundExpired(height=Height(1), round=Round(0)))
    node.feed(RetransmitDue(height=Height(1), round=Round(0)))
    node.feed(HeightDue(height=Height(1)))
    node.feed(BlockValidated(height=Height(1), round=Round(0), root=ROOT_A, valid=True))
    node.feed(BlockFetched(height=Height(1), root=ROOT_A, block=A))
    assert (node.state, node.last) == (after, ())
    node.hear(MAKE.commit(3))
    assert not node.last, "a first late vote is normal"
    node.hear(MAKE.commit(3))
    assert node.last == (HelpLaggard(peer=OperatorIndex(3), height=Height(1)),)
    node.hear(MAKE.round_change(2, 1))
    assert node.last == (HelpLaggard(peer=OperatorIndex(2), height=Height(1)),)


def test_rule_27_a_lock_neither_refuses_a_higher_one_nor_is_dropped() -> None:
    node = Playbook(0).locked_on_a()
    proof = MAKE.prepares([1, 2, 3], ROOT_B, 1)
    claims = [
        MAKE.round_change(1, 2),
        MAKE.round_change(2, 2),
        MAKE.round_change(3, 2, (1, ROOT_B), proof),
    ]
    node.hear(MAKE.proposal(B, 2, claims, proof))
    assert node.only(ValidateBlock).root == ROOT_B
    assert node.state.lock is not None
    assert node.state.lock.root == ROOT_A, "kept until a newer prepare quorum replaces it"
    node.validated(ROOT_B)
    node.hear(MAKE.prepare(1, ROOT_B, 2))
    node.hear(MAKE.prepare(2, ROOT_B, 2))
    assert (node.state.lock.round, node.state.lock.root) == (2, ROOT_B)


# ------------------------------------------------------------ round change


@pytest.mark.parametrize(
    "message",
    [
        MAKE.round_change(2, 1, LOCK_A, proof=()),
        MAKE.round_change(2, 1, LOCK_A, proof=MAKE.prepares([0, 1])),
        MAKE.round_change(2, 1, LOCK_A, proof=MAKE.prepares([0, 1, 1])),
        MAKE.round_change(2, 1, LOCK_A, proof=MAKE.prepares([0, 1, 2], ROOT_B)),
        MAKE.round_change(2, 2, LOCK_A, proof=MAKE.prepares([0, 1, 2], ROOT_A, 1)),
        MAKE.round_change(2, 1, LOCK_A, proof=Maker(height=2).prepares([0, 1, 2])),
        MAKE.round_change(2, 1, LOCK_A, proof=Maker(chain=OTHER_CHAIN).prepares([0, 1, 2])),
    ],
)
def test_rule_28_a_claimed_lock_is_proven_before_it_counts(message: RoundChangeMessage) -> None:
    node = Playbook(0)
    node.due()
    before = node.state
    node.hear(message)
    assert node.refused().reason is Reason.UNJUSTIFIED_ROUND_CHANGE
    assert node.refused().culprit == 2
    assert node.state == before
    node.hear(message, peer=3)
    assert node.refused().culprit is None, "who forwards may have swapped the proof"


@pytest.mark.parametrize(
    "message",
    [
        MAKE.round_change(2, 1, (1, ROOT_A)),
        MAKE.round_change(2, 1, (2, ROOT_A)),
        MAKE.round_change(2, 1, (-1, ROOT_A)),
        MAKE.round_change(2, 0),
        MAKE.round_change(2, 1, proof=MAKE.prepares(range(3))),
    ],
)
def test_rule_29_a_lock_is_older_than_the_round_and_whole_or_absent(
    message: RoundChangeMessage,
) -> None:
    node = Playbook(0)
    node.due()
    node.hear(message)
    assert node.refused().reason is Reason.UNJUSTIFIED_ROUND_CHANGE


def test_rule_30_the_round_change_is_frozen_at_round_entry() -> None:
    node = Playbook(0)
    node.due()
    node.expire()
    (said,) = node.said()
    node.hear(fresh_round_1())
    node.validated(ROOT_B)
    for sender in (1, 2):
        node.hear(MAKE.prepare(sender, ROOT_B, 1))
    assert node.state.lock is not None
    node.feed(RetransmitDue(height=Height(1), round=Round(1)))
    assert node.said()[0] == said
    again = node.restart()
    again.start()
    assert again.said()[0] == said


def test_rule_31_f_plus_1_ahead_move_a_node_to_the_second_highest_never_to_the_maximum() -> None:
    node = Playbook(0)
    node.due()
    node.hear(MAKE.round_change(3, 1_000_000))
    assert node.state.round == 0
    node.hear(MAKE.round_change(1, 5))
    assert node.state.round == 5
    (said,) = node.said()
    assert said.signed.payload.round == 5
    assert (TimerKind.RETRANSMIT, 5, 500) in timers(node)


def test_rule_32_what_a_peer_can_make_us_remember_is_bounded() -> None:
    node = Playbook(0)
    node.due()
    for round_ in range(1, 200):
        node.hear(MAKE.round_change(3, round_))
        node.hear(MAKE.prepare(3, ROOT_A, round_))
        node.hear(MAKE.commit(3, ROOT_A, round_))
    assert len(node.state.round_changes[OperatorIndex(3)]) == 1, "the highest"
    assert len(node.state.prepares) == tables.VOTE_WINDOW
    assert len(node.state.commits) <= tables.MAX_COMMIT_ROUNDS
    assert {each.reason for each in node.history if isinstance(each, Refused)} == {
        Reason.TOO_FAR_AHEAD
    }
    node.hear(MAKE.round_change(2, 199))
    known = node.state.round_changes
    assert node.state.round == 199
    assert all(len(each) <= 2 for each in known.values())
    for round_ in (200, 205, 203):
        node.hear(MAKE.round_change(1, round_))
    kept = [each.signed.payload.round for each in node.state.round_changes[OperatorIndex(1)]]
    assert kept == [205]
    node.hear(MAKE.round_change(1, 199))
    kept = [each.signed.payload.round for each in node.state.round_changes[OperatorIndex(1)]]
    assert kept == [199, 205], "the current one and the highest"


def test_rule_32_commits_of_the_lowest_rounds_give_way_to_those_that_may_decide() -> None:
    node = Playbook(0)
    node.due()
    last = tables.MAX_COMMIT_ROUNDS + 2
    for round_ in range(1, last + 1):
        for sender in (1, 2):
            node.hear(MAKE.round_change(sender, round_))
        node.hear(MAKE.commit(3, ROOT_B, round_))
    assert list(node.state.commits) == list(range(3, last + 1))
    for sender in (1, 2):
        node.hear(MAKE.commit(sender, ROOT_B, last))
    assert node.only(FetchBlock).root == ROOT_B, "decided"


def test_rule_32_rounds_beyond_a_sane_number_are_refused() -> None:
    node = Playbook(0)
    node.hear(MAKE.round_change(3, 2**32))
    assert node.refused().reason is Reason.TOO_FAR_AHEAD


def test_rule_33_timeouts_double_and_are_capped() -> None:
    config = make_config()
    found = [rounds.round_timeout_ms(config, Round(each)) for each in (0, 1, 2, 3, 4_000_000_000)]
    assert found == [1000, 2000, 4000, 4000, 4000]


def test_rule_33_a_later_rounds_timer_starts_only_with_a_quorum_there() -> None:
    node = Playbook(0)
    node.due()
    assert timers(node) == [(TimerKind.ROUND, 0, 1000), (TimerKind.RETRANSMIT, 0, 500)]
    node.expire()
    assert timers(node) == [(TimerKind.RETRANSMIT, 1, 500)]
    node.feed(RoundExpired(height=Height(1), round=Round(1)))
    assert not node.last, "the timer of round 1 does not run yet"
    node.hear(MAKE.round_change(1, 1))
    assert not timers(node)
    node.hear(MAKE.prepare(3, ROOT_A, 2))
    assert timers(node) == [(TimerKind.ROUND, 1, 2000)]
    node.expire()
    assert node.state.round == 2


def test_rule_33_while_waiting_the_round_repeats_itself_unchanged() -> None:
    node = Playbook(0)
    node.due()
    node.expire()
    said = node.said()
    for _ in range(3):
        node.feed(RetransmitDue(height=Height(1), round=Round(1)))
        assert node.said() == said
        assert timers(node) == [(TimerKind.RETRANSMIT, 1, 500)]
    node.feed(RetransmitDue(height=Height(1), round=Round(0)))
    assert not node.last


def test_rule_33_round_0_repeats_itself_too() -> None:
    node = Playbook(1)
    node.due()
    node.built(A)
    node.validated()
    node.feed(RetransmitDue(height=Height(1), round=Round(0)))
    assert [type(each) for each in node.said()] == [ProposalMessage, PrepareMessage]


def test_rule_34_round_0_does_not_run_before_the_block_is_due() -> None:
    node = Playbook(0)
    node.start()
    node.hear(MAKE.proposal())
    assert not timers(node)
    node.feed(RoundExpired(height=Height(1), round=Round(0)))
    assert node.state.round == 0
    node.feed(HeightDue(height=Height(2)))
    assert not node.last
    node.due()
    assert timers(node)
    node.due()
    assert not node.last


def test_rule_35_an_accepted_proposal_starts_the_timer_of_leader_and_follower_alike() -> None:
    follower = Playbook(0)
    follower.due()
    follower.expire()
    follower.hear(fresh_round_1())
    leader = Playbook(2)
    leader.due()
    leader.expire()
    for sender in (0, 1):
        leader.hear(MAKE.round_change(sender, 1))
    assert timers(leader) == [(TimerKind.ROUND, 1, 2000)]
    leader.built(B)
    assert not timers(leader), "not restarted"
    follower.hear(MAKE.round_change(1, 1))
    assert not timers(follower), "not restarted"
    assert follower.state.timed
    assert leader.state.timed


def test_rule_36_a_connected_peer_hears_what_the_round_said() -> None:
    node = Playbook(0)
    node.due()
    node.expire()
    node.hear(fresh_round_1())
    node.validated(ROOT_B)
    for sender in (1, 2):
        node.hear(MAKE.prepare(sender, ROOT_B, 1))
    node.feed(PeerConnected(peer=OperatorIndex(3)))
    assert {each.to for each in node.get(Send)} == {3}
    assert [type(each) for each in node.said()] == [
        ProposalMessage,
        RoundChangeMessage,
        PrepareMessage,
        CommitMessage,
    ]
    leader = Playbook(1)
    leader.due()
    leader.built(A)
    leader.feed(PeerConnected(peer=OperatorIndex(3)))
    assert [type(each) for each in leader.said()] == [ProposalMessage]


def test_rule_37_a_restarted_node_resumes_height_round_votes_and_lock() -> None:
    node = Playbook(0, decided=0).locked_on_a()
    node.expire()
    node.hear(forced_round_1())
    node.validated()
    again = node.restart()
    assert (again.state.height, again.state.round) == (1, 1)
    assert again.state.lock == node.state.lock
    assert again.state.accepted == node.state.accepted
    again.start()
    assert [type(each) for each in again.said()] == [
        RoundChangeMessage,
        PrepareMessage,
        CommitMessage,
    ]
    assert (TimerKind.ROUND, 1, 2000) in timers(again)
    again.validated()
    assert not again.last, "no second PREPARE"


# ------------------------------------------------------------ certificates and catch-up


def test_rule_38_a_certificate_is_verified_and_decides() -> None:
    node = Playbook(0)
    certificate = MAKE.certificate([1, 2, 3])
    node.feed(CertificateReceived(link_peer=OperatorIndex(3), certificate=certificate, block=A))
    assert [type(each) for each in node.last] == [Persist, Decided]
    assert node.only(Persist).record == DecisionRecord(certificate=certificate, block=A)
    assert node.state.height == 2


@pytest.mark.parametrize(
    "certificate",
    [
        MAKE.certificate([1, 2]),
        MAKE.certificate([1, 2, 2]),
        MAKE.certificate([1, 2, 3, 3]),
        MAKE.certificate([1, 2, 9]),
        Maker(height=1, term=1).certificate(),
        Maker(height=1, chain=OTHER_CHAIN).certificate(),
    ],
)
def test_rule_38_a_forged_certificate_is_refused(certificate: Certificate) -> None:
    node = Playbook(0)
    before = node.state
    event = CertificateReceived(
        link_peer=OperatorIndex(3),
        certificate=certificate,
        block=A,
    )
    node.feed(event)
    assert node.refused().reason is Reason.BAD_CERTIFICATE
    assert node.refused().link_peer == 3
    assert node.state == before


def test_rule_39_certificates_are_taken_in_order() -> None:
    node = Playbook(0)
    later = CertificateReceived(
        link_peer=OperatorIndex(3), certificate=Maker(height=2).certificate(), block=A
    )
    node.feed(later)
    assert node.refused().reason is Reason.TOO_FAR_AHEAD
    node.feed(replace(later, certificate=MAKE.certificate()))
    node.feed(replace(later, certificate=MAKE.certificate()))
    assert not node.last
    node.feed(later)
    assert node.get(Decided)


def test_rule_40_messages_of_the_next_height_wait_and_show_that_we_are_behind() -> None:
    node = Playbook(0).locked_on_a()
    ahead = Maker(height=2)
    node.hear(ahead.proposal(B))
    assert not node.last, "one early message is a race"
    node.hear(ahead.prepare(2, ROOT_B))
    node.hear(ahead.prepare(3, ROOT_B))
    node.hear(ahead.commit(3, ROOT_B))
    assert node.last == (FetchDecided(peer=OperatorIndex(3), from_height=Height(1)),)
    node.hear(Maker(height=9).prepare(1, ROOT_B))
    assert node.last == (FetchDecided(peer=OperatorIndex(1), from_height=Height(1)),)
    node.hear(MAKE.commit(1))
    node.hear(MAKE.commit(2))
    assert node.get(Decided)
    assert node.only(ValidateBlock).root == ROOT_B
    node.validated(ROOT_B)
    assert node.state.lock is not None, "the early prepares were counted"


def test_rule_40_the_buffer_of_the_next_height_is_bounded() -> None:
    node = Playbook(0)
    ahead = Maker(height=2)
    for round_ in range(50):
        node.hear(ahead.round_change(3, round_ + 1))
        node.hear(ahead.proposal(B + bytes([round_])), peer=3)
    kept = node.state.early[OperatorIndex(3)]
    assert len(kept) <= tables.MAX_EARLY
    assert len([each for each in kept if isinstance(each, ProposalMessage)]) == 1


# ------------------------------------------------------------ sequencer-specific


def test_rule_47_prepare_only_after_the_block_is_valid() -> None:
    node = Playbook(0)
    node.due()
    node.hear(MAKE.proposal())
    assert not node.said()
    before = node.state
    node.validated(valid=False)
    assert node.refused().reason is Reason.INVALID_BLOCK
    assert node.refused().culprit is None, "view rules fail on honest leaders' blocks too"
    assert node.state == before


def test_rule_48_a_forced_block_is_judged_by_deterministic_rules_alone() -> None:
    leader = Playbook(2).locked_on_a()
    leader.expire()
    leader.hear(MAKE.round_change(0, 1))
    leader.hear(MAKE.round_change(3, 1))
    assert leader.only(ValidateBlock).justified is True
    message = leader.only(Broadcast).message
    assert isinstance(message, ProposalMessage)
    assert justification.is_justified_proposal(message, leader.config)
    assert (message.block, len(message.prepares)) == (A, 3)
    assert not leader.get(RequestBlock)


def test_rule_49_the_decision_is_on_disk_before_it_is_announced() -> None:
    node = Playbook(0).locked_on_a()
    node.hear(MAKE.commit(1))
    node.hear(MAKE.commit(2))
    kinds = [type(each) for each in node.last]
    assert kinds == [Persist, Decided]
    # Lost between the two: the log announces it again.
    again = Playbook(records=tuple(node.log), config=node.config)
    assert again.state.height == 2
    again.start()
    assert again.only(Decided).block == A
    again.start()
    assert not again.last


def test_rule_54_justifications_larger_than_the_cluster_are_refused_unread() -> None:
    verified = 0

    def count(index: int, digest: bytes, signature: bytes) -> bool:
        nonlocal verified
        verified += 1
        return True

    config = replace(make_config(), verify=count)
    for many in (MAKE.prepares(list(range(4)) * 500), MAKE.prepares(range(64))):
        assert not justification.is_valid_prepare_quorum(many, Height(1), Round(0), ROOT_A, config)
        assert verified == 0


# ------------------------------------------------------------ blocks by root, n = 1


def test_a_leader_without_the_forced_block_fetches_it_from_the_signers() -> None:
    leader = Playbook(2)
    leader.due()
    leader.expire()
    leader.hear(MAKE.round_change(0, 1, LOCK_A, MAKE.prepares([0, 1, 3])))
    leader.hear(MAKE.round_change(3, 1))
    fetch = FetchBlock(
        height=Height(1),
        root=ROOT_A,
        holders=(OperatorIndex(0), OperatorIndex(1), OperatorIndex(3)),
    )
    assert leader.only(FetchBlock) == fetch
    leader.feed(RetransmitDue(height=Height(1), round=Round(1)))
    assert leader.only(FetchBlock) == fetch
    leader.feed(BlockFetched(height=Height(1), root=ROOT_B, block=B))
    assert not leader.last
    leader.feed(BlockFetched(height=Height(1), root=ROOT_A, block=A))
    message = leader.only(Broadcast).message
    assert isinstance(message, ProposalMessage)
    assert message.block == A


def test_a_fetch_asks_the_claimant_too_and_whoever_claims_later() -> None:
    """The proof's quorum may not name who is locked."""
    leader = Playbook(2)
    leader.due()
    leader.expire()
    proof = MAKE.prepares([0, 1, 2])
    leader.hear(MAKE.round_change(0, 1))
    leader.hear(MAKE.round_change(3, 1, LOCK_A, proof))
    assert leader.only(FetchBlock).holders == (0, 1, 3)


def claims_of_a_withheld_block(leader: Playbook) -> None:
    """Operator 3's genuine lock on A, whose block nobody gives."""
    leader.due()
    leader.expire()
    leader.hear(MAKE.round_change(3, 1, LOCK_A, MAKE.prepares([0, 1, 3])))
    leader.hear(MAKE.round_change(0, 1))
    assert leader.only(FetchBlock).root == ROOT_A


def test_a_claim_whose_block_cannot_be_had_is_passed_over() -> None:
    """A quorum of round-changes without it is justification enough, as soon as it is there."""
    leader = Playbook(2)
    claims_of_a_withheld_block(leader)
    leader.hear(MAKE.round_change(1, 1))
    assert leader.only(RequestBlock).round == 1
    leader.built(B)
    message = leader.only(Broadcast).message
    assert isinstance(message, ProposalMessage)
    assert (message.block, message.prepares) == (B, ())
    assert {each.sender for each in message.round_changes} == {0, 1, 2}
    assert justification.is_justified_proposal(message, leader.config)


def test_a_lower_claim_that_is_at_hand_is_taken_instead() -> None:
    lost = root_of(b"withheld")
    leader = Playbook(3).locked_on_a()
    leader.expire()
    leader.hear(MAKE.round_change(1, 2, (1, lost)))
    leader.hear(MAKE.round_change(0, 2))
    assert (leader.state.round, leader.only(FetchBlock).root) == (2, lost)
    leader.hear(MAKE.round_change(2, 2))
    message = leader.only(Broadcast).message
    assert isinstance(message, ProposalMessage)
    assert message.block == A
    assert {each.sender for each in message.round_changes} == {0, 2, 3}
    assert justification.is_justified_proposal(message, leader.config)


def test_a_root_that_may_have_been_decided_is_never_passed_over() -> None:
    """Two of four claim it: every quorum holds a claim, and the leader waits for the block."""
    leader = Playbook(2)
    claims_of_a_withheld_block(leader)
    leader.hear(MAKE.round_change(1, 1, LOCK_A, MAKE.prepares([0, 1, 3])))
    assert not leader.get(RequestBlock)
    assert leader.only(FetchBlock).holders == (0, 1, 3)
    leader.feed(BlockFetched(height=Height(1), root=ROOT_A, block=A))
    message = leader.only(Broadcast).message
    assert isinstance(message, ProposalMessage)
    assert message.block == A


def test_a_second_vote_or_round_change_of_a_round_is_evidence() -> None:
    node = Playbook(0)
    node.due()
    pairs: list[tuple[Message, Message]] = [
        (MAKE.prepare(3), MAKE.prepare(3, ROOT_B)),
        (MAKE.commit(3), MAKE.commit(3, ROOT_B)),
        (MAKE.round_change(3, 1), MAKE.round_change(3, 1, LOCK_A)),
    ]
    for first, second in pairs:
        node.hear(first)
        node.hear(first)
        assert not node.last
        node.hear(second)
        refused = node.refused()
        assert (refused.reason, refused.culprit) == (Reason.CONFLICTING_VOTE, 3)
        assert (refused.contradicts, refused.offence) == (first.signed, second)


def test_one_operator_decides_alone_at_once() -> None:
    node = Playbook(0, n=1)
    node.start()
    node.due()
    node.built(A)
    node.validated()
    assert node.only(Decided).certificate.root == ROOT_A
    assert node.state.height == 2


@pytest.mark.parametrize("records", [1, 2, 3])
def test_one_operator_finishes_after_a_crash_between_any_two_records(records: int) -> None:
    node = Playbook(0, n=1)
    node.due()
    node.built(A)
    node.validated()
    again = Playbook(0, n=1, records=node.log[:records])
    again.start()
    if records == 1:
        again.validated()
    assert again.only(Decided).block == A


def test_one_operator_with_a_slow_builder_goes_on_in_the_next_round() -> None:
    node = Playbook(0, n=1)
    node.due()
    node.expire()
    assert node.only(RequestBlock).round == 1
    assert (TimerKind.ROUND, 1, 2000) in timers(node)
    node.built(A)
    node.validated()
    assert node.get(Decided)


def test_oldest_blocks_give_way_but_never_the_locked_one() -> None:
    node = Playbook(0).locked_on_a()
    for round_ in range(1, 12):
        block = b"block %d" % round_
        leader = leader_of(Height(1), Round(round_), 4)
        if leader != 0:
            node.hear(
                MAKE.proposal(
                    block, round_, [MAKE.round_change(each, round_) for each in (1, 2, 3)]
                )
            )
    assert ROOT_A in node.state.blocks
    assert root_of(b"block 10") in node.state.blocks
    assert len(node.state.blocks) == tables.MAX_BLOCKS + 1


def test_wrong_bodies_for_one_signature_are_hashed_a_few_times_only() -> None:
    """The leader signs the root alone: each body it attaches must not cost a hash for ever."""
    hashed: list[bytes] = []

    def counting(block: bytes) -> Root:
        hashed.append(block)
        return root_of(block)

    node = Playbook(0, config=with_config(make_config(0), root_of=counting))
    node.due()
    signed = MAKE.proposal()
    for number in range(20):
        node.hear(replace_block(signed, b"body %d" % number))
        assert node.refused().reason is Reason.ROOT_MISMATCH
    assert len(set(hashed)) == tables.MAX_WRONG_BODIES
    node.hear(signed)  # that link is not believed any more at this height ...
    assert node.refused().reason is Reason.ROOT_MISMATCH
    node.hear(signed, peer=2)  # ... but others may forward the genuine one
    assert node.only(ValidateBlock).root == ROOT_A


def replace_block(message: ProposalMessage, block: bytes) -> ProposalMessage:
    return ProposalMessage(signed=message.signed, block=block)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (MAKE.proposal(B, root=ROOT_A), Reason.ROOT_MISMATCH),
        (MAKE.proposal(bytes(1001)), Reason.OVERSIZED_BLOCK),
        (MAKE.proposal(A, 1), Reason.UNJUSTIFIED_PROPOSAL),
        (MAKE.proposal(A, 2**32 + 3), Reason.TOO_FAR_AHEAD),
    ],
)
def test_what_is_attached_to_a_proposal_is_blamed_on_its_leaders_own_link_alone(
    message: ProposalMessage, reason: Reason
) -> None:
    """The signature covers none of it: whoever forwards an honest proposal can change it."""
    leader = int(message.signed.sender)
    for link, culprit in ((leader, leader), ((leader + 1) % 4, None)):
        node = Playbook((leader + 2) % 4)
        node.due()
        node.hear(message, peer=link)
        assert (node.refused().reason, node.refused().culprit) == (reason, culprit)


def test_the_offence_in_a_refusal_is_the_message_that_was_refused() -> None:
    """Also when it was kept from before its height began."""
    node = Playbook(0)
    node.due()
    early = Maker(height=2).proposal(sender=1)  # operator 2 leads height 2
    node.hear(early)
    node.feed(
        CertificateReceived(link_peer=OperatorIndex(1), certificate=MAKE.certificate(), block=A)
    )
    refused = node.refused()
    assert (refused.reason, refused.culprit) == (Reason.NOT_THE_LEADER, 1)
    assert refused.offence == early
