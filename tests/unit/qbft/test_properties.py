"""Properties: votes commute, a step is pure, and no order of arrival makes a node vote twice."""

from hypothesis import given, settings
from hypothesis import strategies as st

from dst.qbft.effects import Decided, Persist
from dst.qbft.messages import Message
from dst.qbft.records import CommitRecord, PrepareRecord, Record
from tests.unit.qbft.playbook import ROOT_A, ROOT_B, A, B, Maker, Playbook

MAKE = Maker(height=1)

HAPPY: list[Message] = [
    MAKE.proposal(),
    *(MAKE.prepare(each) for each in (1, 2, 3)),
    *(MAKE.commit(each) for each in (1, 2, 3)),
]


def play(messages: list[Message]) -> Playbook:
    """Whatever is accepted is found valid at once."""
    node = Playbook(0)
    node.due()
    for message in messages:
        node.hear(message)
        accepted = node.state.accepted
        if accepted is not None:
            node.validated(accepted.signed.payload.root)
    return node


@given(st.permutations(HAPPY))
def test_any_order_of_the_votes_decides_the_same(messages: list[Message]) -> None:
    node = play(messages)
    (decided,) = [each for each in node.history if isinstance(each, Decided)]
    assert (decided.certificate.root, decided.block) == (ROOT_A, A)
    assert node.state.height == 2


@given(st.permutations([MAKE.prepare(each) for each in (1, 2, 3)]))
def test_early_votes_commute(messages: list[Message]) -> None:
    node = play(messages)
    assert node.state == play(list(reversed(messages))).state


def adversarial() -> st.SearchStrategy[Message]:
    """Anything operators 1 to 3 could sign about rounds 0 to 3, justified or not."""
    sender = st.integers(1, 3)
    round_ = st.integers(0, 3)
    root = st.sampled_from([ROOT_A, ROOT_B])
    lock = st.none() | st.tuples(st.integers(0, 2), root)
    claims = st.lists(
        st.builds(MAKE.round_change, st.integers(0, 3), round_, lock), min_size=0, max_size=4
    )
    proof = st.builds(MAKE.prepares, st.just((0, 1, 2)), root, round_)
    return st.one_of(
        st.builds(MAKE.prepare, sender, root, round_),
        st.builds(MAKE.commit, sender, root, round_),
        st.builds(MAKE.round_change, sender, round_, lock),
        st.builds(MAKE.proposal, st.sampled_from([A, B]), round_),
        st.builds(MAKE.proposal, st.sampled_from([A, B]), round_, claims, proof),
        st.builds(justified, st.integers(1, 3), st.sampled_from([A, B])),
    )


def justified(round_: int, block: bytes) -> Message:
    return MAKE.proposal(block, round_, [MAKE.round_change(each, round_) for each in (1, 2, 3)])


@settings(max_examples=150, deadline=None)
@given(st.lists(adversarial(), max_size=40), st.data())
def test_no_order_of_messages_and_restarts_makes_a_node_vote_twice(
    messages: list[Message], data: st.DataObject
) -> None:
    restart_at = data.draw(st.integers(0, 40))
    node = Playbook(0)
    node.due()
    for index, message in enumerate(messages):
        if index == restart_at:
            node = node.restart()
            node.start()
            node.due()
        node.hear(message)
        accepted = node.state.accepted
        if accepted is not None:
            node.validated(accepted.signed.payload.root)
    assert_one_vote_a_round(node.log)


def assert_one_vote_a_round(log: list[Record]) -> None:
    votes: dict[tuple[str, int, int], bytes] = {}
    rounds: list[tuple[int, int]] = []
    for record in log:
        if isinstance(record, PrepareRecord):
            signed, kind = record.prepare.payload, "prepare"
        elif isinstance(record, CommitRecord):
            signed, kind = record.commit.payload, "commit"  # type: ignore[assignment]
        else:
            continue
        key = (kind, signed.height, signed.round)
        assert votes.setdefault(key, signed.root) == signed.root
        rounds.append((signed.height, signed.round))
    assert rounds == sorted(rounds), "never a vote for a round already left"


@settings(max_examples=50, deadline=None)
@given(st.lists(adversarial(), max_size=25))
def test_replaying_the_log_twice_gives_the_same_state(messages: list[Message]) -> None:
    node = Playbook(0)
    node.due()
    for message in messages:
        node.hear(message)
        if node.state.accepted is not None:
            node.validated(node.state.accepted.signed.payload.root)
    once, twice = node.restart(), node.restart().restart()
    assert once.state == twice.state
    once.start()
    assert not once.get(Persist)
    lock = once.state.lock
    assert lock == node.state.lock
