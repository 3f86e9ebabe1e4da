"""What a program tells of its calls of others."""

import asyncio

import aiohttp
import pytest

from dst.runtime.calls import Calls
from dst.runtime.metrics import RECENT, Metrics
from dst.spec.errors import InvalidInput, Unavailable

TO = "op1.example:8551"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def calls(metrics: Metrics) -> Calls:
    found = Calls("http://secret:key@op1.example:8551/v3/abcdef?key=x")
    found.count_in(metrics)
    return found


def counted(metrics: Metrics) -> tuple[float, float]:
    """Answered, unanswered."""
    return (
        metrics.get("calls_answered_total", to=TO),
        metrics.get("calls_unanswered_total", to=TO),
    )


def test_an_answer_is_timed_and_told_without_what_the_url_hides(
    calls: Calls, metrics: Metrics
) -> None:
    with calls.timed():
        pass
    assert counted(metrics) == (1, 0)
    text = metrics.render()
    assert f'dst_call_seconds{{to="{TO}"}} ' in text
    assert "secret" not in text
    assert "abcdef" not in text


@pytest.mark.parametrize("refusal", [Unavailable("HTTP 503"), InvalidInput("no such block")])
def test_a_refusal_is_an_answer(calls: Calls, metrics: Metrics, refusal: Exception) -> None:
    with pytest.raises(type(refusal)), calls.timed():
        raise refusal
    assert counted(metrics) == (1, 0)


@pytest.mark.parametrize(
    "end", [TimeoutError(), ConnectionRefusedError(), aiohttp.ServerDisconnectedError()]
)
def test_no_answer_is_none_and_has_no_time(calls: Calls, metrics: Metrics, end: Exception) -> None:
    with pytest.raises(type(end)), calls.timed():
        raise end
    assert counted(metrics) == (0, 1)
    assert "call_seconds" not in metrics.render()


def test_who_is_cancelled_counts_for_nothing(calls: Calls, metrics: Metrics) -> None:
    with pytest.raises(asyncio.CancelledError), calls.timed():
        raise asyncio.CancelledError
    assert counted(metrics) == (0, 0)


def test_the_quickest_of_the_last_few() -> None:
    """One quick answer is forgotten, so that a path that became long shows."""
    metrics = Metrics()

    def after(seconds: float, peer: str = "op2") -> float:
        metrics.quickest("trip_seconds", seconds, peer=peer)
        return metrics.get("trip_seconds", peer=peer)

    assert [after(seconds) for seconds in (0.3, 0.1, 0.2)] == [0.3, 0.1, 0.1]
    assert after(0.7, peer="op3") == 0.7
    assert [after(0.5) for _ in range(RECENT)][-2:] == [0.2, 0.5]
    metrics.drop("trip_seconds", peer="op2")
    assert after(0.9) == 0.9


def test_a_gauge_that_was_dropped_is_not_told() -> None:
    metrics = Metrics()
    metrics.set("delay_seconds", 1.0, peer="op2")
    metrics.set("delay_seconds", 2.0, peer="op3")
    metrics.drop("delay_seconds", peer="op2")
    metrics.drop("never_set", peer="op2")
    assert metrics.render() == 'dst_delay_seconds{peer="op3"} 2.0\n'
