"""May an operator vote? The rules as dialogues, and what no order of events can change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dst.rejoin import Phase, State, begin, core, step
from dst.rejoin.state import (
    Decided,
    Effect,
    Input,
    PeerClaims,
    PeerProves,
    Proven,
    Rejoin,
    Rejoined,
    Tick,
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

    def decides(
        self,
        height: int,
        *,
        took_part: bool = False,
        imported: bool = False,
        signed: bool = False,
    ) -> tuple[Effect, ...]:
        event = Decided(
            height=Height(height), took_part=took_part, imported=imported, signed=signed
        )
        return self.feed(event)

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
    assert not new.tick(50.0)
    assert new.votes == (peers == n - 1), "stragglers have a moment"
    assert not new.tick(50.0 + core.STRAGGLERS_S)
    assert new.votes


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


def test_a_claim_without_proof_delays_a_new_store_and_no_more() -> None:
    new = Dialogue(is_new=True)
    new.claims(1, 0)
    new.claims(2, 9)
    assert core.unproven(new.state) == {2: 9}
    new.tick(100.0)
    new.tick(100.0 + core.GATHER_S - 0.1)
    assert not new.votes
    new.tick(100.0 + core.GATHER_S)
    assert new.votes


def test_a_new_store_that_is_shown_a_decision_asks() -> None:
    new = Dialogue(is_new=True)
    new.claims(1, 0)
    new.claims(2, 9)
    new.proves(2, 9)
    assert new.tick() == (Rejoin(vote_above=None),)
    assert new.state.phase is Phase.ASKING


def test_a_new_store_that_helped_to_decide_was_right() -> None:
    new = Dialogue(is_new=True)
    assert new.decides(1, took_part=True) == (Proven(),)
    assert not new.decides(2, imported=True)
    assert new.votes


def test_a_new_store_that_did_not_help_was_wrong() -> None:
    new = Dialogue(is_new=True)
    assert not new.decides(1), "heard, too late to vote, before it began"
    assert new.decides(2, imported=True) == (Rejoin(vote_above=None),)
    assert not new.votes


def test_a_new_store_whose_first_round_was_lost_was_right_all_the_same() -> None:
    """It heard how the first height was decided, and nobody is further: cut off from the second on
    it has no votes to miss."""
    new = Dialogue(is_new=True)
    for peer in (1, 2, 3):
        new.claims(peer, 0)
    new.tick()
    new.claims(1, 1)
    assert new.votes
    assert new.decides(1) == (Proven(),)
    assert not new.decides(2, imported=True)
    assert new.votes


def test_votes_of_long_ago_prove_nothing_where_a_peer_is_further() -> None:
    """The store of an old cluster's operator was wiped and called new, the one honest peer is slow
    to show its certificate, and the liar tells how the first height was decided."""
    wiped = Dialogue(is_new=True)
    wiped.claims(1, 500)
    wiped.claims(2, 0)
    wiped.tick(0.0)
    wiped.tick(core.GATHER_S)
    assert wiped.votes
    assert not wiped.decides(1)
    assert wiped.decides(2, imported=True) == (Rejoin(vote_above=None),)
    assert not wiped.votes


@pytest.mark.parametrize("is_new", [True, False])
def test_a_vote_of_its_own_that_it_does_not_hold_shows_an_old_copy(is_new: bool) -> None:
    back = Dialogue(is_new=is_new)
    assert not back.decides(4, took_part=True, imported=True, signed=True) or is_new
    assert not back.decides(5, imported=True)
    assert back.decides(6, imported=True, signed=True) == (Rejoin(vote_above=None),)
    assert not back.votes
    assert not back.decides(7, imported=True, signed=True), "it rejoins already"


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
    st.builds(Decided, took_part=st.booleans(), imported=st.booleans()),
    st.builds(Tick, now=st.floats(0, 10), decided=st.integers(0, 14)),
)


@given(st.lists(INPUTS, max_size=40))
def test_who_may_lack_votes_votes_only_above_a_certified_bound(events: list[Input]) -> None:
    back = Dialogue(rejoin=Rejoin(vote_above=None))
    bound: int | None = None
    for event in events:
        for effect in back.feed(event):
            if isinstance(effect, Rejoin):
                assert effect.vote_above is not None
                bound = effect.vote_above
                assert bound >= max(back.state.proven.values(), default=0) + core.OPEN_AHEAD
            if isinstance(effect, Rejoined):
                assert isinstance(event, Tick)
                assert bound is not None
                assert event.decided >= bound
    assert back.votes == (Rejoined() in back.said)
