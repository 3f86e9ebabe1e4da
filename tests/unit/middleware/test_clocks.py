"""The own clock against the peers': what they show, what a path explains, whom to believe."""

import logging
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dst.middleware.clocks import (
    SAMPLES,
    TO_NAME_A_PEER,
    WARN_SLOTS,
    Clocks,
    believed,
)
from dst.runtime.log import LINE_EVERY_S, Logger
from dst.runtime.metrics import Metrics
from dst.spec.primitives import OperatorIndex

SECONDS = st.floats(-1e6, 1e6)


@dataclass
class Bench:
    """Operator 0 of `n`; its clock shows `now`."""

    n: int = 4
    now: float = 1_000.0
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        self.clocks = Clocks(
            n=self.n, slot_s=1.0, now=lambda: self.now, log=Logger("test"), metrics=self.metrics
        )

    def shown(self, *offsets: float, round_trip_s: float = 0.002) -> None:
        """By op2, op3, ...: their clocks minus ours, at the middle of the exchange."""
        for peer, offset in enumerate(offsets, start=1):
            clock_s = self.now + offset - round_trip_s / 2
            self.clocks.told(OperatorIndex(peer), clock_s, round_trip_s)


def test_a_clock_that_is_behind_says_so_until_it_is_set(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bench = Bench()
    bench.shown(0.01, -0.02, 0.0)
    assert bench.clocks.waits_for() is None
    bench.now -= 20
    bench.shown(20.01, 19.98, 20.0)
    assert bench.clocks.ahead_s == pytest.approx(-20.0, abs=0.02)
    told = bench.clocks.waits_for()
    assert told == "its own clock to be set: it is 20.0 s behind the other operators' clocks"
    assert bench.metrics.get("clock_offset_seconds") == pytest.approx(-20.0, abs=0.02)
    assert bench.metrics.get("peer_clock_offset_seconds", peer="op2") == pytest.approx(20.01)
    for _ in range(TO_NAME_A_PEER + 1):
        bench.shown(20.01, 19.98, 20.0)
    bench.now += 20
    bench.shown(0.01, -0.02, 0.0)
    assert bench.clocks.waits_for() is None
    lines = [record.getMessage().split()[0] for record in caplog.records]
    assert lines == ["clock_off", "clock_right_again"], "no peer is accused of it"


def test_a_peer_whose_clock_is_off_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    for number in range(1, 10):
        bench.shown(0.0, -20.0, 0.0)
        assert len(caplog.records) == (number >= TO_NAME_A_PEER)
    assert bench.clocks.peers_off() == {OperatorIndex(2)}
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("peer_clock_off peer=op3 offset_s=-20")
    assert bench.clocks.waits_for() is None
    bench.shown(0.0, 0.0, 0.0)
    assert bench.clocks.peers_off() == set()


def test_a_peer_whose_clock_is_off_now_and_then_fills_no_disk(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()

    def lines_in(seconds: float) -> int:
        caplog.clear()
        for number in range(int(seconds / 0.1)):
            bench.now += 0.1
            bench.shown(0.0, 0.0 if number % (TO_NAME_A_PEER + 1) == 0 else 20.0, 0.0)
        return len(caplog.records)

    assert 9 <= lines_in(10 * LINE_EVERY_S) <= 11
    bench.now -= 3_600
    assert 1 <= lines_in(2 * LINE_EVERY_S) <= 3, "it is named, though our own clock was set"
    caplog.clear()
    for _ in range(int(2 * LINE_EVERY_S / 0.1)):
        bench.now += 0.1
        bench.shown(0.0, 20.0, 0.0)
    assert len(caplog.records) == 1, "and now it stays off"


def test_what_was_measured_before_a_step_does_not_hide_it() -> None:
    """However much quicker those exchanges were."""
    bench = Bench()
    bench.shown(0.0, 0.0, 0.0, round_trip_s=0.001)
    bench.now -= 20
    bench.shown(20.0, 20.0, 20.0, round_trip_s=0.5)
    assert bench.clocks.waits_for() is not None


def test_one_of_the_peers_alone_proves_nothing() -> None:
    """The others are out of reach: op2 may be the one that is off, or lie."""
    bench = Bench()
    bench.shown(3_600.0)
    assert bench.clocks.waits_for() is None
    bench.shown(3_600.0, 0.0)
    assert bench.clocks.waits_for() is None
    bench.shown(3_600.0, 0.5)
    assert bench.clocks.ahead_s == pytest.approx(-0.5)
    assert bench.clocks.waits_for() is not None


def test_what_the_path_may_have_added_accuses_nobody() -> None:
    bench = Bench()
    bench.shown(0.7, 0.7, 0.7, round_trip_s=1.0)
    assert bench.clocks.waits_for() is None
    bench.shown(0.7, 0.7, 0.7, round_trip_s=0.1)
    assert bench.clocks.waits_for() is not None


def test_the_quickest_exchange_counts_and_grows_old() -> None:
    bench = Bench()
    bench.shown(0.1, round_trip_s=0.01)
    for _ in range(SAMPLES - 1):
        bench.shown(0.3, round_trip_s=0.6)
    assert bench.clocks.offsets()[OperatorIndex(1)].offset_s == pytest.approx(0.1)
    bench.shown(0.3, round_trip_s=0.6)
    assert bench.clocks.offsets()[OperatorIndex(1)].offset_s == pytest.approx(0.3)


def test_a_peer_that_is_gone_is_not_counted() -> None:
    bench = Bench()
    bench.shown(20.0, 20.0, 0.0)
    assert bench.clocks.waits_for() is not None
    bench.clocks.forget(OperatorIndex(1))
    assert bench.clocks.waits_for() is None
    assert OperatorIndex(1) not in bench.clocks.offsets()


@given(st.lists(SECONDS, min_size=2, max_size=7), st.lists(SECONDS, max_size=2))
def test_liars_cannot_move_it_beyond_what_an_honest_peer_shows(
    honest: list[float], lies: list[float]
) -> None:
    found = believed([*honest, *lies], len(lies))
    assert min(0.0, *honest) <= found <= max(0.0, *honest)


@given(st.floats(WARN_SLOTS * 1.1, 1e6), st.integers(2, 6), st.lists(SECONDS, max_size=2))
def test_liars_cannot_hide_it(offset: float, extra: int, lies: list[float]) -> None:
    """2f + 1 peers and more: whatever f of them say, an own clock that is off is found."""
    f = len(lies)
    for sign in (1, -1):
        assert sign * believed([sign * offset] * (f + extra) + lies, f) >= offset
