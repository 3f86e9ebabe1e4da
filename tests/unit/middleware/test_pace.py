"""The wait for a proposal as measured: known after some heights, doubted after a timer ran out."""

from dst.middleware.pace import HEIGHTS_OF_DOUBT, HEIGHTS_TO_KNOW, Pace
from dst.spec.primitives import Height, Round


def propose(pace: Pace, heights: range, needed_s: float, round_: int = 0) -> None:
    for height in heights:
        pace.due(Height(height), float(height))
        pace.proposed(Height(height), Round(round_), height + needed_s)


def test_unknown_until_some_heights_were_measured() -> None:
    pace = Pace()
    propose(pace, range(1, HEIGHTS_TO_KNOW), 0.1)
    before = pace.proposal_within_ms
    propose(pace, range(HEIGHTS_TO_KNOW, HEIGHTS_TO_KNOW + 1), 0.1)
    assert (before is None, pace.proposal_within_ms is None) == (True, False)


def test_regular_heights_bring_it_close_to_what_they_need() -> None:
    pace = Pace()
    propose(pace, range(1, 60), 0.1)
    assert pace.proposal_within_ms is not None
    assert 100 <= pace.proposal_within_ms <= 110


def test_irregular_ones_keep_it_well_above() -> None:
    pace = Pace()
    for height in range(1, 60):
        propose(pace, range(height, height + 1), 0.05 if height % 2 else 0.35)
    assert pace.proposal_within_ms is not None
    assert pace.proposal_within_ms > 600


def test_one_slow_height_raises_it_beyond_that_height() -> None:
    pace = Pace()
    propose(pace, range(1, 60), 0.1)
    propose(pace, range(60, 61), 0.4)
    assert pace.proposal_within_ms is not None
    assert pace.proposal_within_ms > 400


def test_a_timer_that_ran_out_puts_it_in_doubt_for_some_heights() -> None:
    pace = Pace()
    propose(pace, range(1, 60), 0.1)
    pace.expired()
    known: list[bool] = []
    for height in range(60, 60 + HEIGHTS_OF_DOUBT + 1):
        known.append(pace.proposal_within_ms is not None)
        propose(pace, range(height, height + 1), 0.1)
    assert known == [False] * HEIGHTS_OF_DOUBT + [True]


def test_later_rounds_and_heights_never_due_here_tell_nothing() -> None:
    pace = Pace()
    propose(pace, range(1, 60), 5.0, round_=1)
    pace.proposed(Height(60), Round(0), 1e9)
    before = pace.proposal_within_ms
    propose(pace, range(61, 61 + HEIGHTS_TO_KNOW), 0.1)
    assert (before is None, (pace.proposal_within_ms or 9999) < 1000) == (True, True)
