"""May an operator vote? The rules as dialogues, and what no order of events can change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dst.rejoin import Phase, State, begin, core, step
from dst.rejoin.state import (
    Began,
    Effect,
    Input,
    PeerClaims,
    PeerProves,
    Rejoin,
    Rejoined,
    Tick,
    VoteForgotten,
)
from dst.spec.primitives import Height, OperatorIndex


class Dialogue:
    def __init__(self, n: int = 4, *, is_new: bool = False, rejoin: Rejoin | None = None) -> None:
        self.state: State = begin(n, is_new=is_new, rejoin=rejoin)
        self.said: list[Effect] = []

    def feed(self, event: Input) -> tuple[Effect, ...]:
        transition = step(self.state, event)
        assert transition == step(self.state, event), "step is pure"
        self.state = transition.state
        self.said.extend(transition.effects)
        return transition.effects

    def claims(self, peer: int, height: int) -> None:
        self.feed(PeerClaims(peer=OperatorIndex(peer), height=Height(height), ready=True))

    def proves(self, peer: int, height: int) -> None:
        self.feed(PeerProves(peer=OperatorIndex(peer), height=Height(height)))

    def tick(self, now: float = 0.0, decided: int = 0) -> tuple[Effect, ...]:
        return self.feed(Tick(now=now, decided=Height(decided)))

    @property
    def votes(self) -> bool:
        return self.state.phase is Phase.VOTING


def test_an_ordinary_start_votes_at_once() -> None:
    assert Dialogue().votes
    assert Dialogue(n=1, is_new=True).votes, "alone there is nobody to wait for"


@pytest.mark.parametrize(("n", "peers"), [(2, 1), (3, 2), (4, 2), (7, 4), (10, 6)])
def test_a_new_store_begins_when_a_quorum_was_heard(n: int, peers: int) -> None:
    new = Dialogue(n, is_new=True)
    for peer in range(1, peers + 1):
        new.tick()
        assert not new.votes
        new.claims(peer, 0)
    begun = new.tick(50.0)
    assert new.votes == (peers == n - 1), "stragglers have a moment"
    begun += new.tick(50.0 + core.STRAGGLERS_S)
    assert new.votes
    assert begun == (Began(),)


def test_a_new_store_begins_when_a_quorum_could_vote_itself_included() -> None:
    """So height 1 needs no round change, however long rollup nodes take to start."""
    new = Dialogue(is_new=True)
    for peer in (1, 2, 3):
        new.feed(PeerClaims(peer=OperatorIndex(peer), height=Height(0)))
    new.tick()
    assert not new.votes, "they are there, and no more"
    new.claims(1, 0)
    new.claims(2, 0)
    new.feed(PeerClaims(peer=OperatorIndex(2), height=Height(0), ready=False))
    new.tick()
    assert not new.votes, "op3 took it back"
    new.feed(PeerClaims(peer=OperatorIndex(2), height=Height(0)))
    new.claims(3, 0)
    new.feed(Tick(now=9.0, decided=Height(0), ready=False))
    assert not new.votes, "its own rollup node is still to come"
    new.tick(9.0)
    assert not new.votes, "op3 may still come"
    new.claims(2, 0)
    new.tick(9.0)
    assert new.votes, "all are ready"


@pytest.mark.parametrize("lie", [5, 10**6])
def test_who_begins_late_begins_with_what_others_decided(lie: int) -> None:
    """A claim makes it ask nobody how far it may have voted: with a silent liar beside it it would
    ask for ever. One that nobody confirms delays nothing."""
    alone = Dialogue(is_new=True)
    alone.claims(1, lie)
    alone.claims(2, 0)
    alone.tick(100.0)
    assert alone.tick(100.0 + core.STRAGGLERS_S) == (Began(),)
    late = Dialogue(is_new=True)
    late.claims(1, lie)
    late.claims(2, 5)
    assert core.unproven(late.state) == {}
    late.tick(100.0)
    assert late.tick(100.0 + core.STRAGGLERS_S, decided=4) == ()
    assert not late.votes, "one of those who say so is honest, and has height 5 to give"
    assert late.tick(200.0, decided=5) == (Began(),)
    assert late.votes


def test_a_restart_before_it_has_caught_up_leaves_a_store_new() -> None:
    """A lost disk that was called new would else propose again at a height that it decided."""
    lost = Dialogue(is_new=True)
    for peer in (1, 2, 3):
        lost.claims(peer, 7)
    assert lost.tick(1.0) == ()
    again = Dialogue(is_new=True)  # what its store says after the restart
    again.tick(2.0)
    assert not again.votes
    for peer in (1, 2, 3):
        again.claims(peer, 7)
    again.tick(3.0)
    assert again.feed(VoteForgotten()) == (Rejoin(vote_above=None),)


@pytest.mark.parametrize("is_new", [True, False])
def test_a_vote_that_the_log_does_not_hold_shows_that_votes_are_missing(is_new: bool) -> None:
    """A lost disk that was called new, or an old copy without `--rejoin`."""
    back = Dialogue(is_new=is_new)
    assert back.feed(VoteForgotten()) == (Rejoin(vote_above=None),)
    assert back.state.phase is Phase.ASKING
    assert not back.feed(VoteForgotten()), "it rejoins already"


def test_a_vote_forgotten_below_the_bound_changes_nothing() -> None:
    back = Dialogue(rejoin=Rejoin(vote_above=Height(9)))
    assert not back.feed(VoteForgotten())
    assert back.state.vote_above == 9


def test_the_bound_is_above_every_height_voted_at_and_has_to_be_certified_here() -> None:
    back = Dialogue(rejoin=Rejoin(vote_above=None))
    back.claims(1, 5)
    back.claims(2, 7)
    back.claims(3, 10**9)
    back.proves(1, 5)
    back.proves(2, 7)
    assert not back.tick(), "the third has shown nothing"
    back.claims(3, 0)
    assert core.unproven(back.state) == {3: 10**9}, "claims never fall"
    back.proves(3, 6)
    assert back.tick() == (Rejoin(vote_above=Height(7 + core.OPEN_AHEAD)),)
    assert not back.tick(decided=8)
    assert back.tick(decided=9) == (Rejoined(),)
    assert back.votes


def test_two_of_four_that_rejoin_wait_until_others_decide() -> None:
    """Which two alone cannot: the chain stands until one of the stores is brought back. Both may
    have voted at height 10, and have helped to decide it."""
    both = [Dialogue(rejoin=Rejoin(vote_above=None)) for _ in range(2)]
    for back in both:
        for peer in (1, 2):
            back.claims(peer, 9)
            back.proves(peer, 9)
        back.claims(3, 0)
        assert back.tick(decided=9) == (Rejoin(vote_above=Height(11)),)
        assert not back.tick(decided=10)
        assert not back.votes
        assert back.tick(decided=11) == (Rejoined(),)


def test_a_bound_that_was_fixed_survives_a_restart() -> None:
    back = Dialogue(rejoin=Rejoin(vote_above=Height(9)))
    assert back.state.phase is Phase.WAITING
    assert back.tick(decided=9) == (Rejoined(),)


INPUTS: st.SearchStrategy[Input] = st.one_of(
    st.builds(PeerClaims, peer=st.integers(1, 3), height=st.integers(0, 12)),
    st.builds(PeerProves, peer=st.integers(1, 3), height=st.integers(1, 12)),
    st.builds(VoteForgotten),
    st.builds(Tick, now=st.floats(0, 10), decided=st.integers(0, 14)),
)


@given(st.lists(INPUTS, max_size=40))
def test_who_may_lack_votes_votes_only_above_a_certified_bound(events: list[Input]) -> None:
    back = Dialogue(rejoin=Rejoin(vote_above=None))
    bound: int | None = None
    for event in events:
        for effect in back.feed(event):
            if isinstance(effect, Rejoin):
                bound = effect.vote_above
                if bound is None:
                    assert isinstance(event, VoteForgotten), "found out once more"
                    continue
                assert bound >= max(back.state.proven.values(), default=0) + core.OPEN_AHEAD
            if isinstance(effect, Rejoined):
                assert isinstance(event, Tick)
                assert bound is not None
                assert event.decided >= bound
    done = [each for each in back.said if isinstance(each, Rejoin | Rejoined)]
    assert back.votes == (done[-1:] == [Rejoined()])
