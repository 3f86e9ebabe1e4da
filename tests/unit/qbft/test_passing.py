"""A leader that leaves passes its lead on: others ask for the next round where they would if it
were lost, and nowhere else.

At height 1 of four, operator r + 1 leads round r; of seven, rounds 0 and 1 may be passed on.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dst.qbft.effects import Broadcast, Cause, Persist, Reason, Refused, RequestBlock, Send
from dst.qbft.inputs import CertificateReceived, Leave, PeerConnected
from dst.qbft.messages import Message, PassMessage, RoundChangeMessage
from dst.spec.primitives import Height, OperatorIndex, quorum
from tests.unit.qbft.playbook import OTHER_CHAIN, A, Maker, Playbook
from tests.unit.qbft.test_failover import causes, lose
from tests.unit.qbft.test_properties import adversarial, assert_one_vote_a_round

MAKE = Maker(height=1)
PASSED = Cause.LEADER_PASSED


def kinds(node: Playbook) -> list[type[Message]]:
    return [type(each) for each in node.said()]


def leave(node: Playbook, leaving: bool = True) -> None:
    node.feed(Leave(leaving=leaving))


def decide(node: Playbook) -> None:
    """Round 0 of its open height, with the others' votes."""
    make = Maker(node.state.height, node.config.n)
    node.due()
    node.hear(make.proposal())
    node.validated()
    others = [each for each in range(node.config.n) if each != node.config.self_index]
    for vote in (make.prepare, make.commit):
        for sender in others[: quorum(node.config.n) - 1]:
            node.hear(vote(sender))


# ------------------------------------------------------------------------ who leads and leaves


def test_who_leaves_passes_on_its_lead_before_the_slot_and_goes_on_with_it() -> None:
    node = Playbook(1)
    leave(node)
    (said,) = node.said()
    assert isinstance(said, PassMessage)
    assert (said.signed.sender, said.signed.payload.height, said.signed.payload.round) == (1, 1, 0)
    assert not node.get(Persist), "it promises nothing"
    node.due()
    assert not node.get(RequestBlock)
    assert causes(node) == [(1, PASSED)]
    assert kinds(node) == [RoundChangeMessage], (
        "a quorum may need its own, and it has said the pass"
    )


def test_the_next_lead_is_passed_on_with_the_decision_below_it() -> None:
    node = Playbook(2)
    leave(node)
    assert node.said() == [], "it does not lead height 1"
    decide(node)
    assert node.state.height == 2
    (said,) = [each for each in node.said() if isinstance(each, PassMessage)]
    assert said.signed.payload.height == 2


def test_it_votes_on() -> None:
    node = Playbook(0)
    leave(node)
    decide(node)
    assert node.state.height == 2


@pytest.mark.parametrize("built", [False, True])
def test_what_is_under_way_is_finished(built: bool) -> None:
    node = Playbook(1)
    node.due()
    if built:
        node.built()
    leave(node)
    assert node.said() == []
    if not built:
        node.built()
    assert node.state.accepted is not None
    assert node.state.round == 0


def test_who_stays_after_all_leads_again_from_its_next_round_on() -> None:
    node = Playbook(1)
    leave(node)
    leave(node, False)
    node.due()
    assert causes(node) == [(1, PASSED)], "that lead is given away"
    again = Playbook(1)
    leave(again)
    leave(again, False)
    again = Playbook(1, records=again.log)
    again.due()
    assert again.get(RequestBlock), "a restart knows nothing of it, and breaks no promise"


@pytest.mark.parametrize("round_", [1, 2])
def test_a_round_that_none_may_pass_on_is_led_by_who_leaves_too(round_: int) -> None:
    """All four leave at once, and the chain goes on."""
    node = Playbook(round_ + 1)
    leave(node)
    node.due()
    for sender in (each for each in (1, 0, 3, 2) if each != round_ + 1):
        node.hear(MAKE.round_change(sender, round_))
    assert node.state.round == round_
    assert any(isinstance(each, RequestBlock) and each.round == round_ for each in node.history)


def test_a_later_one_of_the_first_f_is_passed_on_when_it_is_entered() -> None:
    make, node = Maker(height=1, n=7), Playbook(2, 7)
    leave(node)
    node.due()
    node.hear(make.passed(0))
    assert causes(node) == [(1, PASSED)]
    assert kinds(node) == [RoundChangeMessage, PassMessage]
    for sender in (0, 1, 3, 4):
        node.hear(make.round_change(sender, 1))
    assert causes(node) == [(1, PASSED), (2, PASSED)], "once a quorum is there"
    assert not any(isinstance(each, RequestBlock) for each in node.history)


def test_a_single_operator_has_nobody_to_pass_to() -> None:
    node = Playbook(0, 1)
    leave(node)
    assert node.said() == []
    node.due()
    assert node.get(RequestBlock)


def test_whoever_connects_is_told() -> None:
    node = Playbook(1)
    leave(node)
    node.feed(PeerConnected(peer=OperatorIndex(3)))
    assert isinstance(node.only(Send).message, PassMessage)


def test_a_catch_up_passes_nothing_on() -> None:
    """Of heights long decided nobody wants to know."""
    node = Playbook(3)
    leave(node)
    for height in (1, 2, 3):
        found = Maker(height).certificate()
        node.feed(CertificateReceived(link_peer=OperatorIndex(0), certificate=found, block=A))
    assert node.state.height == Height(4)
    assert not any(isinstance(each, Broadcast) for each in node.history)


def test_what_it_leads_after_a_catch_up_is_passed_on_when_it_is_due() -> None:
    node = Playbook(3)
    leave(node)
    for height in (1, 2):
        found = Maker(height).certificate()
        node.feed(CertificateReceived(link_peer=OperatorIndex(0), certificate=found, block=A))
    node.due()
    assert kinds(node) == [PassMessage, RoundChangeMessage]
    assert not node.get(RequestBlock)


# ------------------------------------------------------------------------------- who hears of it


def test_rule_55_a_passed_lead_ends_the_round_at_once() -> None:
    node = Playbook(0)
    node.due()
    node.hear(MAKE.passed(0))
    assert causes(node) == [(1, PASSED)]
    (said,) = node.said()
    assert isinstance(said, RoundChangeMessage)


def test_rule_55_a_pass_before_the_slot_waits_for_it() -> None:
    node = Playbook(0)
    node.hear(MAKE.passed(0))
    assert node.state.round == 0
    node.due()
    assert causes(node) == [(1, PASSED)]


def test_rule_55_a_pass_heard_a_height_early_is_kept() -> None:
    node = Playbook(0)
    node.hear(Maker(height=2).passed(0))
    decide(node)
    node.due()
    assert causes(node) == [(1, PASSED)]


def test_rule_55_nobody_passes_on_what_another_leads() -> None:
    node = Playbook(0)
    node.due()
    node.hear(MAKE.passed(0, sender=2))
    assert node.refused().reason is Reason.NOT_THE_LEADER
    node.hear(Maker(height=1, chain=OTHER_CHAIN).passed(0))
    assert node.refused().reason is Reason.BAD_SIGNATURE
    assert node.state.round == 0


def test_rule_55_a_round_from_f_on_is_never_passed_on() -> None:
    node = Playbook(0)
    node.due()
    for round_ in (1, 2, 4, 10**6):
        node.hear(MAKE.passed(round_))
        assert node.refused().reason is Reason.TOO_FAR_AHEAD
    assert (node.state.round, node.state.passes) == (0, {})


def test_rule_55_a_round_with_a_proposal_goes_on_until_somebody_is_ahead() -> None:
    node = Playbook(0)
    node.due()
    node.hear(MAKE.proposal())
    node.hear(MAKE.passed(0))
    assert node.state.round == 0, "three of four may decide it"
    node.hear(MAKE.round_change(3, 1))
    assert causes(node) == [(1, PASSED)]


def test_rule_55_a_proposal_is_taken_whatever_its_leader_said_before() -> None:
    """It may have restarted; a pass is no promise that somebody could break."""
    node = Playbook(0)
    node.hear(MAKE.passed(0))
    node.hear(MAKE.proposal())
    assert node.state.accepted is not None
    node.due()
    assert (node.state.round, node.get(Refused)) == (0, [])


def test_one_that_is_lost_and_has_passed_counts_as_lost() -> None:
    node = Playbook(0)
    node.hear(MAKE.passed(0))
    lose(node, 1)
    node.due()
    assert causes(node) == [(1, Cause.LEADER_LOST)]


def test_a_pass_that_comes_back_does_not_keep_its_author_from_leading() -> None:
    node = Playbook(1)
    node.hear(MAKE.passed(0), peer=3)
    node.due()
    assert node.get(RequestBlock)


PASSES = st.builds(
    lambda round_, sender: MAKE.passed(round_, sender=sender), st.integers(0, 3), st.integers(1, 3)
)
LEAVES = st.builds(Leave, leaving=st.booleans())


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.one_of(adversarial(), PASSES, LEAVES), max_size=40),
    st.integers(0, 40),
    st.integers(0, 1),
)
def test_no_pass_makes_a_node_vote_twice_or_run_ahead_of_a_quorum(
    events: list[Message | Leave], restart_at: int, me: int
) -> None:
    node = Playbook(me)
    node.due()
    for index, event in enumerate(events):
        if index == restart_at:
            node = node.restart()
            node.start()
            node.due()
        before = node.state
        if isinstance(event, Leave):
            node.feed(event)
        elif event.signed.sender != me:
            node.hear(event)
        if isinstance(event, Leave | PassMessage) and before.height == node.state.height:
            assert node.state.round <= max(before.round, 1), "f rounds at most"
        if node.get(RequestBlock):
            node.built(A)
        if (accepted := node.state.accepted) is not None:
            node.validated(accepted.signed.payload.root)
    assert_one_vote_a_round(node.log)
