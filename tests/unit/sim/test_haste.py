"""The bounds on hurried round changes, each with a forged history that must fail."""

from devnet.sim.haste import LOSSES, SETTLED_AFTER_S, WINDOW_S, Haste
from dst.spec.primitives import Height, Round

H1, H2 = Height(1), Height(2)


def hurried(
    haste: Haste, index: int, height: int, round_: int, now: float = 1.0, life: object = "a"
) -> str | None:
    found = haste.entered(
        (index, life), index, Height(height), Round(round_), by_loss=True, now=now
    )
    return None if found is None else found.summary


def test_one_round_by_loss_is_allowed_from_round_0() -> None:
    haste = Haste(4, frozenset())
    assert hurried(haste, 0, 1, 1) is None
    assert hurried(haste, 0, 2, 1) is None


def test_no_round_beyond_f_is_hurried_to() -> None:
    assert "hurried to round 2" in (hurried(Haste(4, frozenset()), 0, 1, 2) or "")


def test_no_round_is_left_where_no_quorum_was() -> None:
    haste = Haste(7, frozenset({6}))
    for index in range(3):
        haste.spoke(index, H1, Round(1))
    assert "where no quorum was" in (hurried(haste, 0, 1, 2) or "")
    haste.spoke(3, H1, Round(1))
    assert hurried(haste, 1, 1, 2) is None, "four honest ones and perhaps the liar"


def test_liars_do_not_count_and_who_decided_does() -> None:
    haste = Haste(7, frozenset({6}))
    haste.spoke(6, H1, Round(5))
    for index in range(3):
        haste.spoke(index, H1, Round(1))
    assert hurried(haste, 0, 1, 2) is not None
    haste.decided(4, H1)
    assert hurried(haste, 1, 1, 2) is None


def test_no_round_is_hurried_to_twice_in_one_life() -> None:
    haste = Haste(4, frozenset())
    assert hurried(haste, 0, 1, 1) is None
    assert "after" in (hurried(haste, 0, 1, 1) or "")
    assert hurried(haste, 0, 1, 1, life="b") is None, "it was restarted"


def test_timers_and_others_lead_to_where_an_honest_operator_is() -> None:
    haste = Haste(4, frozenset({3}))

    def enters(index: int, round_: int) -> str | None:
        found = haste.entered("a", index, H1, Round(round_), by_loss=False, now=1.0)
        return None if found is None else found.summary

    assert [enters(0, round_) for round_ in (1, 2, 2, 3)] == [None] * 4, "its own timers"
    assert enters(1, 4) is None, "one round further than another one"
    haste.spoke(3, H1, Round(8))
    assert "where no honest operator is" in (enters(2, 8) or ""), "the liar alone is there"
    haste.decided(0, H1)
    assert enters(1, 20) is None, "the height is decided somewhere"


def test_an_honest_leader_is_not_passed_over_once_all_is_healed() -> None:
    haste = Haste(4, frozenset({2}), healed_at=10.0)
    settled = 10.0 + SETTLED_AFTER_S
    assert hurried(haste, 0, 1, 1, now=settled - 0.1) is None
    assert hurried(haste, 0, 2, 1, now=settled) is None, "operator 2 lies"
    assert "passed over op4" in (hurried(haste, 0, 3, 1, now=settled) or "")


def test_a_peer_is_reported_lost_rarely() -> None:
    haste = Haste(4, frozenset())
    for each in range(LOSSES):
        assert haste.lost("a", 0, 1, each * 0.1) is None
        assert haste.lost("a", 0, 2, each * 0.1) is None
        assert haste.lost("b", 0, 1, each * 0.1) is None
    assert haste.lost("a", 0, 1, WINDOW_S + 0.01) is None, "the first is forgotten"
    found = haste.lost("a", 0, 1, WINDOW_S + 0.02)
    assert found is not None
    assert "7 times" in found.summary


def test_a_pass_counts_that_the_leader_said_of_its_own_round_alone() -> None:
    """Operator 2 leads height 1: once healed it may be passed over by its own word."""

    def by_pass(haste: Haste, index: int) -> str | None:
        found = haste.entered("a", index, H1, Round(1), by_loss=False, by_pass=True, now=100.0)
        return None if found is None else found.summary

    haste = Haste(4, frozenset(), healed_at=10.0)
    haste.passed(2, H1, Round(0))
    haste.passed(1, Height(2), Round(0))
    assert "not passed by its leader" in (by_pass(haste, 0) or "")
    haste.passed(1, H1, Round(0))
    assert by_pass(haste, 0) is None
    assert "hurried to" in (by_pass(haste, 0) or ""), "once"
