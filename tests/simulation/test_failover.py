"""What a lost leader costs, and that links cost no more than timers did. Virtual time: the figures
are those of the code, not of the machine."""

import logging
from collections.abc import Iterator
from functools import cache
from statistics import mean, median

import pytest

import dst.p2p.reachability
import dst.qbft.proposing
from devnet.sim.recovery import FAULTS, TWO, Cost, drill_gap, drill_recovery
from devnet.sim.world import run_seed
from dst.p2p.reachability import Reachability

SEEDS = range(20)
SLOT_S = 1.0
AT_ONCE_S = 0.15
"""A round trip of round-changes, a block, and what a sealed gap varies by anyway."""
WITHIN_A_SHORT_TIMER_S = 0.4


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@cache
def costs(fault: str, *, timers: bool = False) -> tuple[Cost, ...]:
    return tuple(drill_gap(seed, fault=fault, timers=timers) for seed in SEEDS)


def gaps(fault: str, *, timers: bool = False) -> list[float]:
    found = [each.seconds for each in costs(fault, timers=timers)]
    assert None not in found, f"stuck: {fault}"
    return sorted(each for each in found if each is not None)


@pytest.mark.parametrize("fault", ["leader killed", TWO, "leader's links closed"])
def test_a_leader_whose_connections_end_costs_a_round_trip(fault: str) -> None:
    found = gaps(fault)
    assert max(found) <= SLOT_S + AT_ONCE_S
    assert median(gaps(fault, timers=True)) >= SLOT_S + 0.45, "else the drill shows nothing"


@pytest.mark.parametrize(
    "fault", ["leader frozen", "leader in a black hole", "leader unheard (one-way cut)"]
)
def test_a_silent_leader_costs_less_than_the_configured_timer(fault: str) -> None:
    found = gaps(fault)
    assert max(found) <= SLOT_S + WITHIN_A_SHORT_TIMER_S
    assert median(found) <= SLOT_S + AT_ONCE_S, "most are noticed before their slot"


@pytest.mark.parametrize(
    "fault",
    [
        "none",
        "leader's links flap",
        "liar who closes his links",
        "silent liar, links open",
        "silent liar, another's links flap",
    ],
)
def test_links_cost_no_more_than_timers_did(fault: str) -> None:
    with_links, timers = gaps(fault), gaps(fault, timers=True)
    assert mean(with_links) <= mean(timers) * 1.1
    assert max(with_links) <= max(timers) + SLOT_S


def test_nothing_wrong_changes_no_round() -> None:
    assert {each.round_changes for each in costs("none")} == {0.0}


@pytest.mark.parametrize("fault", FAULTS)
def test_round_changes_stay_rare(fault: str) -> None:
    """For each honest operator and height: a lost leader has one turn in four."""
    most = 2.0 if fault == "silent liar, another's links flap" else 0.5
    assert mean(each.round_changes for each in costs(fault)) <= most


@pytest.mark.parametrize("silent", [False, True])
def test_recovery_does_not_depend_on_the_length_of_a_split(silent: bool) -> None:
    found = {
        split_s: [
            drill_recovery(seed, split_s=split_s, silent=silent, timers=False).seconds or 999.0
            for seed in range(8)
        ]
        for split_s in (10, 120)
    }
    assert all(max(each) <= 8.5 for each in found.values()), found


# ------------------------------------------------- the bounds are watched, and are what binds


def broken_within(seeds: range, n: int = 4) -> str:
    return next((failure for seed in seeds if (failure := run_seed(seed, n).failure)), "")


def test_hurrying_beyond_f_rounds_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dst.qbft.proposing, "faults_tolerated", lambda n: n)
    assert "L12 bounded haste" in broken_within(range(40))


def test_believing_every_loss_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reachability, "_hold_s", lambda self, now: 0.0)
    assert "L12 bounded haste" in broken_within(range(40))
