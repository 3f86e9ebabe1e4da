"""What a peer that is refused makes this operator write."""

import logging

import pytest

from dst.p2p.refusals import RefusalLog
from dst.runtime.log import LINE_EVERY_S, LINES_AT_ONCE, Logger


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "dst")
    return caplog


def test_a_refusal_is_said_once_until_it_changes_or_the_link_was_up(
    told: pytest.LogCaptureFixture,
) -> None:
    log = RefusalLog(Logger("test"), lambda: 0.0)
    for detail in ("lock", "lock", "chain"):
        log.refused("op2", "listener", detail)
    assert len(told.records) == 2
    log.accepted("op2", "listener")
    log.refused("op2", "listener", "chain")
    assert len(told.records) == 3


def test_whoever_is_wrong_in_another_way_each_time_fills_no_disk(
    told: pytest.LogCaptureFixture,
) -> None:
    now = [0.0]
    log = RefusalLog(Logger("test"), lambda: now[0])
    for number in range(LINES_AT_ONCE + 50):
        log.refused("op2", "listener", f"index: {number}")
        log.garbled("op2", f"frame of {number} bytes")
    assert len(told.records) == LINES_AT_ONCE
    log.garbled("op3", "frame of 0 bytes")
    assert len(told.records) == LINES_AT_ONCE + 1, "others are heard"
    for _ in range(10):
        now[0] += LINE_EVERY_S / 2
        log.garbled("op2", "frame of 0 bytes")
    assert len(told.records) == LINES_AT_ONCE + 6
