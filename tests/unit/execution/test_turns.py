"""One heavy call at a time, clients in a ring, none beside a block."""

import threading
import time
from collections.abc import Callable

import pytest

from dst.execution import turns as module
from dst.execution.turns import BlockWorker, Ticket, Turn, Turns

LONG = 60.0


def soon() -> float:
    return time.monotonic() + LONG


def in_thread(run: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def holder(turns: Turns) -> Ticket | None:
    return turns._holder


def queued(turns: Turns) -> int:
    return sum(len(line) for line in turns._waiting.values())


def test_one_at_a_time_and_clients_in_a_ring() -> None:
    """Client a asks three times before b asks once: b comes second."""
    turns, order = Turns(), list[str]()
    first = Ticket("holder")
    assert turns.take(first, soon())
    threads = []
    for name in ("a1", "a2", "a3", "b1"):
        ticket = Ticket(name[0])

        def run(ticket: Ticket = ticket, name: str = name) -> None:
            assert turns.take(ticket, soon())
            order.append(name)
            turns.give(ticket)

        before = queued(turns)
        threads.append(in_thread(run))
        wait_until(lambda before=before: queued(turns) == before + 1)  # type: ignore[misc]
    assert order == []
    turns.give(first)
    for thread in threads:
        thread.join(10)
    assert order == ["a1", "b1", "a2", "a3"]


def test_nobody_is_called_while_a_block_is_in_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAIT_S", LONG)
    turns, ticket = Turns(), Ticket("a")
    got = threading.Event()

    def run() -> None:
        turns.take(ticket, soon())
        got.set()

    with turns.block_work(), turns.block_work():
        thread = in_thread(run)
        wait_until(lambda: queued(turns) == 1)
        assert turns.blocks_wait
        assert not got.is_set()
    thread.join(10)
    assert got.is_set()
    assert not turns.blocks_wait


def test_beside_endless_block_work_a_call_still_gets_a_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_WAIT_S", 0.01)
    turns, ticket = Turns(), Ticket("a")
    with turns.block_work():
        assert turns.take(ticket, soon())
        turns.give(ticket)
        assert queued(turns) == 0


def test_a_turn_that_does_not_come_in_time() -> None:
    turns, holder, late = Turns(), Ticket("a"), Ticket("b")
    assert turns.take(holder, soon())
    assert not turns.take(late, time.monotonic() + 0.01)
    assert queued(turns) == 0
    turns.give(holder)
    assert turns.take(late, soon()), "and it may ask again"


def _burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_a_light_call_never_waits() -> None:
    turns = Turns()
    with turns.block_work():
        turn = Turn(turns, "a")
        turn.pause_if_due(time.monotonic() - 1)
        assert queued(turns) == 0
        assert holder(turns) is None


def test_a_heavy_call_holds_its_turn_for_a_quantum_and_gives_it_to_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_WAIT_S", LONG)
    turns = Turns()
    turn = Turn(turns, "a")
    _burn(module.LIGHT_CPU_S)
    turn.pause_if_due(soon())
    assert holder(turns) is turn._ticket
    with turns.block_work():
        turn.pause_if_due(time.monotonic() + 0.01)
        assert holder(turns) is None, "it gave the turn away, and its time ran out waiting"
    turn.pause_if_due(soon())
    assert holder(turns) is turn._ticket
    turn.release()
    assert holder(turns) is None


def test_the_block_worker_announces_its_work() -> None:
    turns = Turns()
    with BlockWorker(turns) as worker:
        assert worker.submit(lambda: turns.blocks_wait).result(10)
        failing = worker.submit(lambda: 1 // 0)
        assert isinstance(failing.exception(10), ZeroDivisionError)
    assert not turns.blocks_wait


def test_the_examination_gives_way_to_a_block_until_it_is_done() -> None:
    turns, passed = Turns(), threading.Event()
    turns.let_blocks_pass(soon())  # nothing to wait for

    def examine() -> None:
        turns.let_blocks_pass(soon())
        passed.set()

    with turns.block_work(), turns.block_work():
        examining = in_thread(examine)
        assert not passed.wait(0.05)
    assert passed.wait(10)
    examining.join()


def test_it_gives_way_no_longer_than_told() -> None:
    turns = Turns()
    with turns.block_work():
        until = time.monotonic() + 0.05
        turns.let_blocks_pass(until)
        assert time.monotonic() >= until
        turns.let_blocks_pass(until)  # it is over: nobody waits again
