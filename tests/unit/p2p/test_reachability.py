"""Who is lost: dialogues with a clock, and how often it may be said however a link behaves."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from dst.p2p.reachability import (
    FIRST_HOLD_S,
    FIRST_PATIENCE_S,
    FORGIVEN_AFTER_S,
    FREE_LOSSES,
    LEAST_PATIENCE_S,
    MOST_HOLD_S,
    MOST_PATIENCE_S,
    PINGS_TO_KNOW,
    Reachability,
    Verdict,
)

PING_S = 0.1
LOSSES_IN_10_S = 6
"""Two at once, then one after 0.5, 1, 2 and 4 s: the next would come too late."""


class Dialogue:
    """One peer and a clock that is moved by hand, looked at as the watch does."""

    def __init__(self) -> None:
        self.peer, self.now = Reachability(), 100.0
        self.said: list[tuple[float, Verdict]] = []

    def judge(self) -> None:
        if (verdict := self.peer.judge(self.now)) is not None:
            self.said.append((self.now, verdict))

    def wait(self, seconds: float) -> None:
        """Looking again when the peer says so, as the watch does."""
        ends = self.now + seconds
        while True:
            at = self.peer.looks_again_at(self.now)
            if at is None or at >= ends:
                break
            self.now = max(at, self.now)
            before = self.peer.is_lost
            self.judge()
            if self.peer.is_lost == before and self.peer.looks_again_at(self.now) == at:
                self.now += 1e-6
        self.now = ends
        self.judge()

    def connected(self) -> "Dialogue":
        self.peer.ours_is(True, self.now)
        self.peer.theirs_is(True, self.now)
        self.judge()
        return self

    def pings(self, count: int, every_s: float = PING_S) -> "Dialogue":
        for _ in range(count):
            self.wait(every_s)
            self.peer.pinged(self.now)
            self.judge()
        return self

    def close(self, *, ours: bool = True, theirs: bool = True) -> None:
        if theirs:
            self.peer.theirs_is(False, self.now)
        if ours:
            self.peer.ours_is(False, self.now)
        self.judge()

    def reopen(self) -> None:
        self.peer.ours_is(True, self.now)
        self.peer.theirs_is(True, self.now)
        self.judge()

    @property
    def verdicts(self) -> list[Verdict]:
        return [verdict for _, verdict in self.said]


def quiet() -> Dialogue:
    return Dialogue().connected().pings(20)


def test_a_peer_that_pings_is_heard() -> None:
    assert quiet().said == []


def test_both_connections_closed_is_lost_at_once() -> None:
    dialogue = quiet()
    closed_at = dialogue.now
    dialogue.close()
    assert dialogue.said == [(closed_at, Verdict.LOST)]


def test_nothing_is_said_twice() -> None:
    dialogue = quiet()
    dialogue.close()
    dialogue.close()
    dialogue.wait(60)
    assert dialogue.verdicts == [Verdict.LOST]
    dialogue.reopen()
    dialogue.pings(5)
    assert dialogue.verdicts == [Verdict.LOST, Verdict.HEARD]


def test_silence_is_lost_after_the_least_patience_on_a_regular_path() -> None:
    dialogue = quiet()
    last = dialogue.now
    dialogue.wait(5)
    ((at, verdict),) = dialogue.said
    assert verdict is Verdict.LOST
    assert LEAST_PATIENCE_S <= at - last < LEAST_PATIENCE_S + 0.001


def test_bytes_of_a_large_frame_are_as_good_as_a_ping() -> None:
    dialogue = quiet()
    for _ in range(20):
        dialogue.wait(0.2)
        dialogue.peer.heard(dialogue.now)
    assert dialogue.said == []


def test_an_irregular_path_is_given_more_time() -> None:
    dialogue = Dialogue().connected()
    for _ in range(20):
        dialogue.pings(1, 0.02).pings(1, 0.4)
    assert dialogue.said == []
    last = dialogue.now
    dialogue.wait(10)
    assert 0.5 < dialogue.said[0][0] - last <= MOST_PATIENCE_S + 0.001


def test_a_peer_that_pings_each_second_is_not_lost_between_them() -> None:
    assert Dialogue().connected().pings(20, 0.99).said == []


def test_the_first_pings_are_waited_for_longer() -> None:
    dialogue = Dialogue().connected().pings(PINGS_TO_KNOW - 1)
    last = dialogue.now
    dialogue.wait(10)
    assert dialogue.said[0][0] - last >= FIRST_PATIENCE_S


def test_our_connection_alone_says_nothing_while_theirs_brings_something() -> None:
    dialogue = quiet()
    dialogue.close(theirs=False)
    dialogue.pings(20)
    assert dialogue.said == []


def test_theirs_may_be_dialled_anew_in_a_moment() -> None:
    dialogue = quiet()
    dialogue.close(ours=False)
    dialogue.wait(0.1)
    dialogue.peer.theirs_is(True, dialogue.now)
    dialogue.judge()
    assert dialogue.pings(10).said == []


def test_a_one_way_cut_is_lost_although_we_still_reach_it() -> None:
    dialogue = quiet()
    dialogue.close(ours=False)
    dialogue.wait(LEAST_PATIENCE_S + 0.01)
    assert dialogue.verdicts == [Verdict.LOST]


def test_one_that_never_came_is_lost_once_we_know_that_it_is_not_there() -> None:
    dialogue = Dialogue()
    dialogue.wait(60)
    assert dialogue.said == []
    dialogue.peer.ours_is(False, dialogue.now)
    dialogue.judge()
    assert dialogue.verdicts == [Verdict.LOST]


def test_one_that_we_reach_has_the_first_patience_to_dial_us() -> None:
    dialogue = Dialogue()
    dialogue.peer.ours_is(True, dialogue.now)
    dialogue.wait(FIRST_PATIENCE_S - 0.01)
    assert dialogue.said == []
    dialogue.wait(0.02)
    assert dialogue.verdicts == [Verdict.LOST]


def test_we_did_not_listen_ourselves() -> None:
    dialogue = quiet()
    dialogue.now += 30
    dialogue.peer.excuse(dialogue.now)
    dialogue.judge()
    dialogue.wait(0.1)
    assert dialogue.pings(10).said == []


def test_losses_in_a_row_must_last_longer_and_longer() -> None:
    dialogue = quiet()
    waited: list[float] = []
    for _ in range(9):
        dialogue.close()
        begun = dialogue.now
        dialogue.wait(MOST_HOLD_S + 1)
        waited.append(round(dialogue.said[-1][0] - begun, 3))
        dialogue.reopen()
        dialogue.pings(1)
    expected = [0.0, 0.0, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0, 4.0]
    assert waited[:FREE_LOSSES] == expected[:FREE_LOSSES]
    assert all(0.0 < each <= MOST_HOLD_S for each in waited[FREE_LOSSES:])
    assert waited[FREE_LOSSES] >= FIRST_HOLD_S


def test_a_flapping_link_is_soon_not_believed() -> None:
    dialogue = quiet()
    for _ in range(100):
        dialogue.close()
        dialogue.wait(0.3)
        dialogue.reopen()
        dialogue.pings(2)
    assert dialogue.verdicts.count(Verdict.LOST) == FREE_LOSSES


def test_it_is_forgiven_in_time() -> None:
    dialogue = quiet()
    for _ in range(6):
        dialogue.close()
        dialogue.wait(0.1)
        dialogue.reopen()
        dialogue.pings(1)
    dialogue.pings(round(6 * FORGIVEN_AFTER_S / PING_S))
    said = len(dialogue.said)
    dialogue.close()
    assert dialogue.verdicts[said:] == [Verdict.LOST]


STEP = st.tuples(
    st.sampled_from(["close", "close theirs", "reopen", "ping", "heard", "nothing"]),
    st.sampled_from([0.0, 0.01, 0.1, 0.3, 0.6, 2.0]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(STEP, max_size=150))
def test_whatever_a_link_does_it_is_reported_lost_rarely(steps: list[tuple[str, float]]) -> None:
    dialogue = quiet()
    for what, seconds in steps:
        match what:
            case "close":
                dialogue.close()
            case "close theirs":
                dialogue.close(ours=False)
            case "reopen":
                dialogue.reopen()
            case "ping":
                dialogue.peer.pinged(dialogue.now)
                dialogue.judge()
            case "heard":
                dialogue.peer.heard(dialogue.now)
                dialogue.judge()
        dialogue.wait(seconds)
    lost = [at for at, verdict in dialogue.said if verdict is Verdict.LOST]
    for begun in lost:
        assert sum(1 for at in lost if begun <= at < begun + 10) <= LOSSES_IN_10_S
    verdicts = dialogue.verdicts
    assert all(a != b for a, b in pairwise(verdicts)), "they alternate"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([0.3, 0.6, 2.0]), min_size=60, max_size=60))
def test_the_worst_pattern_of_losses_is_bounded(downs: list[float]) -> None:
    """A link that does nothing else than to be lost and to come back."""
    dialogue = quiet()
    for seconds in downs:
        dialogue.close()
        dialogue.wait(seconds)
        dialogue.reopen()
    lost = [at for at, verdict in dialogue.said if verdict is Verdict.LOST]
    for begun in lost:
        assert sum(1 for at in lost if begun <= at < begun + 10) <= LOSSES_IN_10_S
