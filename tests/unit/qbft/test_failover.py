"""A lost leader is passed over without its timer, and in no other case than where a timer runs.

At height 1 of four, operator r + 1 leads round r; the node under test is operator 0.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dst.qbft.effects import (
    Broadcast,
    Cause,
    Effect,
    Milestone,
    Persist,
    Reached,
    RequestBlock,
    SetTimer,
    TimerKind,
)
from dst.qbft.inputs import HeightDue, PeerHeard, PeerLost, RetransmitDue, RoundExpired, Start
from dst.qbft.messages import CommitMessage, Message, PrepareMessage, RoundChangeMessage
from dst.qbft.records import RoundChangeRecord
from dst.spec.primitives import Height, OperatorIndex
from tests.unit.qbft.playbook import ROOT_A, Maker, Playbook
from tests.unit.qbft.test_properties import adversarial, assert_one_vote_a_round

MAKE = Maker(height=1)


def lose(node: Playbook, peer: int) -> tuple[Effect, ...]:
    return node.feed(PeerLost(peer=OperatorIndex(peer)))


def hear_again(node: Playbook, peer: int) -> tuple[Effect, ...]:
    return node.feed(PeerHeard(peer=OperatorIndex(peer)))


def causes(node: Playbook) -> list[tuple[int, Cause | None]]:
    return [
        (each.round, each.cause)
        for each in node.history
        if isinstance(each, Reached) and each.milestone is Milestone.ROUND_CHANGE
    ]


def test_the_loss_of_the_leader_asks_for_the_next_round_at_once() -> None:
    node = Playbook(0)
    node.due()
    lose(node, 1)
    (record,) = [each.record for each in node.get(Persist)]
    assert isinstance(record, RoundChangeRecord)
    (message,) = node.said()
    assert isinstance(message, RoundChangeMessage)
    assert message.signed.payload.round == 1
    assert [type(each) for each in node.last] == [Persist, Reached, SetTimer, Broadcast]
    assert causes(node) == [(1, Cause.LEADER_LOST)]


def test_a_leader_lost_before_its_slot_is_passed_over_when_the_slot_begins() -> None:
    node = Playbook(0)
    assert lose(node, 1) == ()
    assert node.state.round == 0
    node.due()
    assert causes(node) == [(1, Cause.LEADER_LOST)]


def test_a_quorum_that_lost_the_leader_needs_no_timer() -> None:
    node = Playbook(2)
    node.due()
    lose(node, 1)
    node.hear(MAKE.round_change(0, 1))
    node.hear(MAKE.round_change(3, 1))
    assert node.only(RequestBlock).round == 1, "it leads the next round"
    assert node.only(SetTimer).kind is TimerKind.ROUND


@pytest.mark.parametrize("peer", [2, 3])
def test_the_loss_of_anybody_else_changes_nothing(peer: int) -> None:
    node = Playbook(0)
    node.due()
    assert lose(node, peer) == ()


def test_one_that_is_heard_again_in_time_is_waited_for() -> None:
    node = Playbook(0)
    lose(node, 1)
    hear_again(node, 1)
    node.due()
    assert node.state.round == 0
    node.hear(MAKE.proposal())
    node.validated()
    assert isinstance(node.said()[0], PrepareMessage)


def test_once_the_leader_has_proposed_the_votes_go_on_without_it() -> None:
    node = Playbook(0)
    node.due()
    node.hear(MAKE.proposal())
    assert lose(node, 1) == ()
    node.validated()
    for sender in (2, 3):
        node.hear(MAKE.prepare(sender))
    assert [type(each) for each in node.said()] == [CommitMessage]
    for sender in (2, 3):
        node.hear(MAKE.commit(sender))
    assert node.state.height == 2


def test_unless_somebody_without_the_proposal_asks_for_the_next_round() -> None:
    """Three of four are left: nothing is decided without that operator."""
    node = Playbook(0)
    node.due()
    node.hear(MAKE.proposal())
    node.hear(MAKE.round_change(3, 1))
    assert node.state.round == 0, "one alone moves nobody while the leader is heard"
    lose(node, 1)
    assert causes(node) == [(1, Cause.LEADER_LOST)]


def test_or_asks_after_the_leader_was_lost() -> None:
    node = Playbook(0).locked_on_a()
    lose(node, 1)
    node.hear(MAKE.round_change(3, 1))
    assert causes(node) == [(1, Cause.LEADER_LOST)]
    (message,) = [each for each in node.said() if isinstance(each, RoundChangeMessage)]
    assert message.signed.payload.prepared_root == ROOT_A, "the lock goes along"


def test_a_decision_that_lacks_its_block_alone_is_not_left() -> None:
    node = Playbook(0)
    node.due()
    for sender in (1, 2, 3):
        node.hear(MAKE.commit(sender))
    assert node.state.pending is not None
    assert lose(node, 1) == ()


def test_lost_leaders_in_a_row_cost_a_quorum_each() -> None:
    """The next round is left only once a quorum is known to be there."""
    make = Maker(height=1, n=7)
    node = Playbook(0, 7)
    for peer in (1, 2):
        lose(node, peer)
    node.due()
    for sender in (3, 4, 5):
        node.hear(make.round_change(sender, 1))
    assert causes(node) == [(1, Cause.LEADER_LOST)]
    node.hear(make.round_change(6, 1))
    assert causes(node) == [(1, Cause.LEADER_LOST), (2, Cause.LEADER_LOST)]
    assert not node.state.timed


@pytest.mark.parametrize(("n", "f"), [(2, 0), (3, 0), (4, 1), (7, 2), (10, 3)])
def test_no_more_rounds_than_faults_are_left_so(n: int, f: int) -> None:
    make = Maker(height=1, n=n)
    node = Playbook(0, n)
    node.due()
    for peer in range(1, n):
        lose(node, peer)
    for round_ in range(1, 7):
        for sender in range(1, n):
            if node.state.round == round_:
                node.hear(make.round_change(sender, round_))
    assert causes(node) == [(each, Cause.LEADER_LOST) for each in range(1, f + 1)]


def test_one_that_hears_nobody_is_one_round_ahead_and_no_further() -> None:
    node = Playbook(0)
    node.due()
    for _ in range(20):
        for peer in (1, 2, 3):
            lose(node, peer)
            hear_again(node, peer)
            lose(node, peer)
        node.feed(RetransmitDue(height=Height(1), round=node.state.round))
        node.feed(RoundExpired(height=Height(1), round=node.state.round))
    assert node.state.round == 1


def test_what_is_lost_outlives_the_height_and_a_decision() -> None:
    node = Playbook(0)
    node.due()
    node.hear(MAKE.proposal())
    node.validated()
    lose(node, 2)
    for message in (MAKE.prepare, MAKE.commit):
        for sender in (1, 3):
            node.hear(message(sender))
    assert (node.state.height, node.state.round) == (2, 0)
    node.due()
    assert causes(node) == [(1, Cause.LEADER_LOST)], "operator 2 leads height 2"


def test_a_restarted_node_waits_for_its_slot_again() -> None:
    node = Playbook(0)
    node.due()
    lose(node, 1)
    again = node.restart()
    assert again.state.round == 1
    again.feed(Start())
    assert lose(again, 2) == ()
    assert again.state.round == 1


def test_causes_are_told() -> None:
    node = Playbook(0)
    node.due()
    node.expire()
    node.hear(MAKE.round_change(1, 3))
    node.hear(MAKE.round_change(2, 3))
    assert causes(node) == [(1, Cause.TIMER), (3, Cause.OTHERS)]


def round_timers(node: Playbook) -> list[tuple[int, int]]:
    timers = [each for each in node.get(SetTimer) if each.kind is TimerKind.ROUND]
    return [(each.delay_ms, each.spare_ms) for each in timers]


@pytest.mark.parametrize(
    ("measured", "expected"),
    [(None, (1000, 0)), (10, (300, 700)), (450, (450, 550)), (1000, (1000, 0)), (5000, (1000, 0))],
)
def test_a_measured_wait_for_the_proposal_stays_within_its_bounds(
    measured: int | None, expected: tuple[int, int]
) -> None:
    node = Playbook(0)
    node.feed(HeightDue(height=Height(1), proposal_within_ms=measured))
    assert round_timers(node) == [expected]


def test_without_a_proposal_the_measured_wait_ends_the_round() -> None:
    node = Playbook(0)
    node.feed(HeightDue(height=Height(1), proposal_within_ms=400))
    node.expire()
    assert causes(node) == [(1, Cause.TIMER)]


def test_with_a_proposal_the_votes_have_the_whole_of_the_timeout() -> None:
    node = Playbook(0)
    node.feed(HeightDue(height=Height(1), proposal_within_ms=400))
    node.hear(MAKE.proposal())
    assert round_timers(node) == [], "it goes on"
    node.expire()
    assert round_timers(node) == [(600, 0)]
    assert (node.state.round, node.said()) == (0, [])
    node.expire()
    assert causes(node) == [(1, Cause.TIMER)]


def test_later_rounds_are_as_configured() -> None:
    node = Playbook(0)
    node.feed(HeightDue(height=Height(1), proposal_within_ms=400))
    node.expire()
    node.hear(MAKE.round_change(1, 1))
    node.hear(MAKE.round_change(2, 1))
    assert round_timers(node) == [(2000, 0)]


LinkInput = PeerLost | PeerHeard


PEERS = st.integers(1, 3).map(OperatorIndex)
LINK_INPUTS = st.one_of(st.builds(PeerLost, peer=PEERS), st.builds(PeerHeard, peer=PEERS))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(LINK_INPUTS, max_size=60),
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), max_size=12),
)
def test_links_alone_never_run_ahead_of_a_quorum(
    links: list[LinkInput], asked: list[tuple[int, int]]
) -> None:
    """However links flap and whoever asks for what: each round is left once, and by loss only
    where a quorum is known to be (round 0: where the slot has begun)."""
    node = Playbook(0)
    node.due()
    for index, event in enumerate(links):
        if index < len(asked):
            node.hear(MAKE.round_change(*asked[index]))
        before = node.state
        node.feed(event)
        if node.state.round > before.round:
            there = 1 + sum(1 for each in before.seen.values() if each >= node.state.round - 1)
            assert node.state.round == 1 or there >= 3
    entered = [round_ for round_, _ in causes(node)]
    assert entered == sorted(set(entered))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(adversarial(), LINK_INPUTS), max_size=40), st.integers(0, 40))
def test_no_loss_among_messages_and_restarts_makes_a_node_vote_twice(
    events: list[Message | LinkInput], restart_at: int
) -> None:
    node = Playbook(0)
    node.due()
    for index, event in enumerate(events):
        if index == restart_at:
            node = node.restart()
            node.start()
            node.due()
        if isinstance(event, PeerLost | PeerHeard):
            node.feed(event)
        else:
            node.hear(event)
        if (accepted := node.state.accepted) is not None:
            node.validated(accepted.signed.payload.root)
    assert_one_vote_a_round(node.log)
