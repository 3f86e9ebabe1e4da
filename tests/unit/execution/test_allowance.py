"""How much time a block may take: a function of the round, of what was measured, of what was
lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dst.execution.block.allowance import (
    GAIN,
    LEAST_S,
    ROUND_PART,
    SAMPLES,
    Allowance,
    RoundTimes,
)


def times(operators: int = 4, slot_s: float = 1, share: float = 0.4) -> RoundTimes:
    return RoundTimes(
        slot_s=slot_s, round_timeout_s=max(0.3, slot_s / 2), share=share, operators=operators
    )


def test_building_and_validating_fit_into_the_round() -> None:
    allowance = Allowance(times(), cores=2)
    assert allowance.contention == 1.5, "three voters on two cores"
    assert allowance.seconds * (1 + allowance.contention) == pytest.approx(ROUND_PART * 0.5)


def test_a_single_operator_has_its_share_of_the_slot() -> None:
    allowance = Allowance(times(operators=1, share=0.2), cores=2)
    allowance.note_validation(wall_s=10, cpu_s=1)
    assert allowance.seconds == pytest.approx(0.2)


def test_it_follows_the_slot() -> None:
    assert Allowance(times(slot_s=12), cores=8).seconds == pytest.approx(ROUND_PART * 6 / 2)
    assert Allowance(times(slot_s=12, share=0.05), cores=8).seconds == pytest.approx(0.6)


def test_what_most_validations_took_counts() -> None:
    allowance = Allowance(times(), cores=8)
    before = allowance.seconds
    for _ in range(SAMPLES):
        allowance.note_validation(wall_s=0.1, cpu_s=0.1)
    for _ in range(SAMPLES // 2):
        allowance.note_validation(wall_s=100, cpu_s=0.1)
    assert allowance.contention == 1, "outliers"
    for _ in range(SAMPLES // 2 + 1):
        allowance.note_validation(wall_s=0.3, cpu_s=0.1)
    assert allowance.contention == pytest.approx(3)
    assert allowance.seconds == pytest.approx(before / 2)
    for _ in range(SAMPLES):
        allowance.note_validation(wall_s=0.05, cpu_s=0.1)
    assert allowance.contention == 1


def test_a_short_validation_says_nothing() -> None:
    allowance = Allowance(times(), cores=8)
    for _ in range(SAMPLES):
        allowance.note_validation(wall_s=1, cpu_s=0.001)
    assert allowance.contention == 1


def test_half_is_taken_for_a_lost_proposal_and_comes_back_in_steps() -> None:
    allowance = Allowance(times(), cores=2)
    full = allowance.seconds
    allowance.note_lost(full / 2)
    assert allowance.seconds == pytest.approx(full / 2)
    allowance.note_decided()
    assert allowance.seconds == pytest.approx(full * (1 / 2 + GAIN))
    for _ in range(20):
        allowance.note_decided()
    assert allowance.seconds == pytest.approx(full)


def test_an_almost_empty_block_was_not_lost_for_its_weight() -> None:
    allowance = Allowance(times(), cores=2)
    allowance.note_lost(allowance.seconds / 10)
    assert allowance.factor == 1


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("lost"), st.floats(0, 10), st.just(0.0)),
            st.tuples(st.just("decided"), st.just(0.0), st.just(0.0)),
            st.tuples(st.just("seen"), st.floats(0, 100), st.floats(0, 10)),
        )
    )
)
def test_bounds_hold_whatever_happens(events: list[tuple[str, float, float]]) -> None:
    allowance = Allowance(times(), cores=2)
    for kind, first, second in events:
        if kind == "lost":
            allowance.note_lost(first)
        elif kind == "decided":
            allowance.note_decided()
        else:
            allowance.note_validation(wall_s=first, cpu_s=second)
        assert LEAST_S <= allowance.seconds <= 0.4
