"""Call workers: lines for each client, bounds, time limits, an end."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextvars import copy_context
from typing import Any

import pytest

from dst.apis.caller import CALLER, caller_key
from dst.apis.jsonrpc import RpcError
from dst.execution import call_workers as module
from dst.execution.call_workers import CallWorkers, time_limit
from dst.execution.environment import ExecutionAborted
from dst.execution.turns import LIGHT_CPU_S, Turns


@pytest.fixture
def turns() -> Turns:
    return Turns()


@pytest.fixture
def pool(turns: Turns) -> Iterator[CallWorkers]:
    with CallWorkers(turns, workers=4) as workers:
        yield workers


def submit_as(pool: CallWorkers, client: str, run: Callable[[], Any]) -> "Future[Any]":
    def submit() -> "Future[Any]":
        CALLER.set(client)
        return pool.submit(run)

    return copy_context().run(submit)


def test_it_is_an_executor(pool: CallWorkers) -> None:
    assert pool.submit(divmod, 7, 2).result(10) == (3, 1)
    assert isinstance(pool.submit(divmod, 7, 0).exception(10), ZeroDivisionError)


def test_clients_take_turns(monkeypatch: pytest.MonkeyPatch, turns: Turns) -> None:
    """Ten calls of a wait before one of b comes; with one worker b is second."""
    order: list[str] = []
    with CallWorkers(turns, workers=1) as pool:
        gate = threading.Event()
        held = submit_as(pool, "c", lambda: gate.wait(10))
        futures = [submit_as(pool, "a", lambda: order.append("a")) for _ in range(10)]
        futures.append(submit_as(pool, "b", lambda: order.append("b")))
        gate.set()
        wait([held, *futures], timeout=10)
    assert order.index("b") == 1


def test_a_client_runs_few_at_once(monkeypatch: pytest.MonkeyPatch, turns: Turns) -> None:
    monkeypatch.setattr(module, "RUNNING_PER_CLIENT", 2)
    gate, running = threading.Event(), threading.Semaphore(0)

    def block() -> None:
        running.release()
        gate.wait(10)

    with CallWorkers(turns, workers=4) as pool:
        futures = [submit_as(pool, "a", block) for _ in range(4)]
        assert running.acquire(timeout=10)
        assert running.acquire(timeout=10)
        assert submit_as(pool, "b", lambda: 7).result(10) == 7, "others are not held up"
        assert not running.acquire(blocking=False)
        gate.set()
        wait(futures, timeout=10)


def test_full_lines_refuse_at_once(monkeypatch: pytest.MonkeyPatch, turns: Turns) -> None:
    monkeypatch.setattr(module, "WAITING_PER_CLIENT", 3)
    monkeypatch.setattr(module, "WAITING_IN_ALL", 4)
    gate, began = threading.Event(), threading.Event()

    def block() -> None:
        began.set()
        gate.wait(10)

    with CallWorkers(turns, workers=1) as pool:
        futures = [submit_as(pool, "a", block)]
        assert began.wait(10)
        futures += [submit_as(pool, "a", block) for _ in range(3)]
        with pytest.raises(RpcError) as of_client:
            submit_as(pool, "a", block)
        futures.append(submit_as(pool, "b", block))
        with pytest.raises(RpcError) as of_all:
            submit_as(pool, "c", block)
        gate.set()
        wait(futures, timeout=10)
    for refused in (of_client, of_all):
        assert refused.value.code == -32005
        assert "busy" in refused.value.message


def test_who_waited_too_long_is_refused(monkeypatch: pytest.MonkeyPatch, turns: Turns) -> None:
    monkeypatch.setattr(module, "MAX_WAIT_S", 0.0)
    with CallWorkers(turns, workers=1) as pool:
        error = pool.submit(lambda: 1).exception(10)
    assert isinstance(error, RpcError)
    assert error.code == -32005


def test_a_run_ends_at_its_time(pool: CallWorkers) -> None:
    def run() -> None:
        check = time_limit(0.02)
        while True:
            check()

    assert isinstance(pool.submit(run).exception(10), ExecutionAborted)


def test_the_end_stops_what_runs_and_drops_what_waits(turns: Turns) -> None:
    began = threading.Event()

    def run() -> None:
        check = time_limit()
        began.set()
        while True:
            check()

    pool = CallWorkers(turns, workers=1)
    running = pool.submit(run)
    assert began.wait(10)
    waiting = pool.submit(lambda: 1)
    pool.shutdown(wait=True, cancel_futures=True)
    assert "stopping" in str(running.exception(10))
    assert waiting.cancelled()
    with pytest.raises(RuntimeError):
        pool.submit(lambda: 1)


def test_endless_calls_pause_while_a_block_is_in_work(pool: CallWorkers, turns: Turns) -> None:
    """Their CPU time stands still (but for the little that is promised)."""
    used = [0.0] * 3

    def run(index: int) -> None:
        check = time_limit(0.8)
        started = time.thread_time()
        while True:
            for _ in range(1_000):
                pass
            used[index] = time.thread_time() - started
            check()

    futures = [pool.submit(run, index) for index in range(3)]
    while min(used) < 2 * LIGHT_CPU_S:
        time.sleep(0.001)
    with turns.block_work():
        time.sleep(0.02)  # the one that holds the turn sees the block at its next check
        before = sum(used)
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            time.sleep(0.01)
        assert sum(used) - before < 0.3 * 0.2
    wait(futures, timeout=10)
    assert all(isinstance(each.exception(10), ExecutionAborted) for each in futures)


@pytest.mark.parametrize(
    ("peer", "key"),
    [
        (("10.0.0.7", 4_000), "10.0.0.7"),
        (("127.0.0.1", 4_000), "127.0.0.1:4000"),
        (("::1", 4_000, 0, 0), "::1:4000"),
        (("2001:db8::1", 4_000, 0, 0), "2001:db8::1"),
        (None, ""),
    ],
)
def test_a_client_is_its_address_or_on_loopback_its_connection(peer: object, key: str) -> None:
    assert caller_key(peer) == key
