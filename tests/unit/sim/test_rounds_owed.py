"""The bound on rounds after the heal, with forged histories that must fail."""

from devnet.sim.minority import Rounds, rounds_owed
from dst.spec.primitives import Height, Round


def settled(bound: int = 1) -> Rounds:
    rounds = Rounds(Round(bound))
    rounds.settled([Height(7), Height(5)])
    return rounds


def test_a_round_beyond_what_is_owed_fails() -> None:
    rounds = settled()
    assert rounds.reached("op1", Height(8), Round(1), "decided") is None
    found = rounds.reached("op1", Height(9), Round(2), "decided")
    assert found is not None
    assert found.summary == "op1 decided round 2 of height 9, 1 is owed"
    assert rounds.worst == 2


def test_heights_that_were_open_at_the_settling_owe_nothing() -> None:
    rounds = settled()
    assert rounds.reached("op1", Height(7), Round(9), "decided") is None
    assert rounds.worst == 0


def test_nothing_is_owed_before_the_settling() -> None:
    assert Rounds(Round(0)).reached("op1", Height(1), Round(9), "entered") is None


def test_equal_clocks_leave_the_faulty_leaders_alone() -> None:
    """10 operators: asking three liars for a block takes longer than round 1 lasts."""
    assert [rounds_owed(n, 0) for n in (1, 2, 3, 4, 6, 7, 10)] == [0, 0, 0, 1, 1, 2, 4]


def test_clocks_that_differ_cost_the_rounds_that_are_shorter() -> None:
    assert [rounds_owed(4, skew) for skew in (25_000, 100_000, 400_000)] == [1, 2, 3]
