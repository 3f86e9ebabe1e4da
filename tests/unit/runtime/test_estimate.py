"""The smoothed mean and deviation of RFC 6298."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dst.runtime.estimate import Estimate


def fed(*samples: float) -> Estimate:
    estimate = Estimate()
    for each in samples:
        estimate.add(each)
    return estimate


def test_nothing_is_known_before_the_first() -> None:
    assert (Estimate().bound_s, Estimate().samples) == (0.0, 0)


def test_the_first_counts_with_half_of_it_as_deviation() -> None:
    estimate = fed(1.0)
    assert (estimate.mean_s, estimate.bound_s) == (1.0, 3.0)


def test_two_samples_by_hand() -> None:
    estimate = fed(1.0, 2.0)
    assert estimate.mean_s == pytest.approx(1.125)
    assert estimate.bound_s == pytest.approx(1.125 + 4 * 0.625)


@given(st.floats(0.001, 100), st.integers(60, 90))
def test_equal_samples_leave_no_deviation(sample: float, count: int) -> None:
    estimate = fed(*[sample] * count)
    assert estimate.mean_s == pytest.approx(sample)
    assert estimate.bound_s == pytest.approx(sample, rel=1e-3)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=50))
def test_the_mean_stays_among_the_samples_and_the_bound_above_it(samples: list[float]) -> None:
    estimate = fed(*samples)
    assert min(samples) - 1e-9 <= estimate.mean_s <= max(samples) + 1e-9
    assert estimate.bound_s >= estimate.mean_s
