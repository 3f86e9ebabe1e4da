"""Whatever a transaction asks for, the EVM looks at its interrupt at least every 20 ms.

That is what makes building, voting and calls stoppable (design: "time is bounded"). Every opcode
and precompile runs the loops of `loops`; the time between two checks is the thread's CPU time.
"""

import gc
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from eth.vm.forks.prague.computation import PragueComputation

from dst.execution.environment import ExecutionAborted
from dst.execution.evm.messages import EVM_STACK_BYTES
from dst.execution.evm.precompiles import PRECOMPILES, warm_up
from tests.unit.execution.assembler import OPCODES
from tests.unit.execution.evm.loops import ALL_SUBJECTS, GAS, LOOPS, SUBJECTS, Loop, codes
from tests.unit.execution.worlds import World, call, make_world

LONGEST_STEP_S = 0.020
"""Of a machine that runs the yardstick in `YARDSTICK_S`; a slower one has as much longer."""
YARDSTICK_S = 0.004
WATCHED_S = 0.1
"""CPU time after which a loop has shown what it does."""
TRIES = 8
"""A step counts when it is long each time: the machine may take a core away within one."""


class Stopwatch:
    """An interrupt that knows the longest time between two calls of it."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._began = self._last = time.thread_time()

    def __call__(self) -> None:
        now = time.thread_time()
        self.longest = max(self.longest, now - self._last)
        self._last = now
        if now - self._began > WATCHED_S:
            raise ExecutionAborted("seen enough")

    def stop(self) -> float:
        self.longest = max(self.longest, time.thread_time() - self._last)
        return self.longest


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("loops"), codes())
    yield made
    made.store.close()


@pytest.fixture(scope="module")
def on_evm_thread() -> Iterator[Callable[[Callable[[], float]], float]]:
    """Runs something on a thread with the stack that the role gives its own."""
    threading.stack_size(EVM_STACK_BYTES)
    with ThreadPoolExecutor(1) as executor:
        executor.submit(warm_up).result()
        threading.stack_size(0)
        gc.collect()
        gc.freeze()
        gc.disable()  # a collection of what pytest keeps is no step of the EVM
        try:
            yield lambda run: executor.submit(run).result()
        finally:
            gc.enable()
            gc.unfreeze()


def longest_step(world: World, loop: Loop) -> float:
    watch = Stopwatch()
    try:
        result = call(world, loop.address, gas=GAS, interrupt=watch)
    except ExecutionAborted:
        return watch.longest
    assert result.error in (None, "out of gas", "execution reverted"), "the loop itself is wrong"
    assert result.gas_used > GAS // 2, "the loop does next to nothing"
    return watch.stop()


def yardstick() -> float:
    """CPU time of work that has nothing to do with the EVM, half of it in Python and half in C."""
    began = time.thread_time()
    number = 1
    for _ in range(50_000):
        number = number * 3 % 1_000_003
    hashlib.sha256(bytes(2**22)).digest()
    return time.thread_time() - began


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.name)
def test_steps_are_short(
    world: World, on_evm_thread: Callable[[Callable[[], float]], float], loop: Loop
) -> None:
    longest, pace = on_evm_thread(lambda: longest_step(world, loop)), 1.0
    for _ in range(TRIES - 1):
        if longest <= LONGEST_STEP_S * pace:
            break
        longest = min(longest, on_evm_thread(lambda: longest_step(world, loop)))
        pace = max(pace, on_evm_thread(yardstick) / YARDSTICK_S)
    assert longest <= LONGEST_STEP_S * pace, f"{1000 * longest:.0f} ms without a check"


def test_nothing_is_left_out() -> None:
    """A new opcode or precompile needs a loop here."""
    assert SUBJECTS == ALL_SUBJECTS
    assert set(OPCODES.values()) == {*PragueComputation.opcodes, OPCODES["INVALID"]}
    assert len({loop.name for loop in LOOPS}) == len(LOOPS)
    assert {each.name for each in PRECOMPILES.values()} <= SUBJECTS
