"""The worst that 10 Mgas can ask for: every loop of every opcode and precompile, timed."""

import gc
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from dst.execution.environment import ExecutionAborted
from dst.execution.evm.messages import EVM_STACK_BYTES
from dst.execution.evm.precompiles import warm_up
from tests.unit.execution.evm.loops import GAS, LOOPS, Loop, codes
from tests.unit.execution.worlds import World, call, make_world

_INTRINSIC_GAS: Final = 21_000
_FIRST_LOOK_S: Final = 8.0
_LONGEST_S: Final = 20.0
"""After which a loop is given up; the table then says "more than". By the clock that costs least
to read: every call asks the interrupt."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    loop: Loop
    gas: int
    """Spent on the loop."""
    seconds: float
    """CPU time of the EVM thread."""
    finished: bool

    @property
    def mgas_per_second(self) -> float:
        return self.gas / self.seconds / 1e6

    @property
    def seconds_per_block(self) -> float:
        return self.seconds * GAS / self.gas

    @property
    def badness(self) -> tuple[bool, float]:
        """Sorts: nothing is worse than what had to be given up."""
        return not self.finished, self.seconds_per_block


def time_loops(loops: Iterable[Loop], show: Callable[[str], None]) -> list[Timing]:
    """Each with a tenth of a block's gas, or all of it where less shows nothing.

    A tenth is run twice and the second counts: in so little gas the first translates most of the
    time, what a whole block does once. Code that is translated ever again has loops of its own.
    """
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(Path(folder), codes())
        try:
            return _on_evm_thread(lambda: [_shown(world, loop, show) for loop in loops])
        finally:
            world.store.close()


def worst_of_each(timings: Iterable[Timing]) -> list[Timing]:
    """The slowest loop of each opcode and precompile, the worst first."""
    worst: dict[str, Timing] = {}
    for each in timings:
        subject = each.loop.subject
        if subject not in worst or each.badness > worst[subject].badness:
            worst[subject] = each
    return sorted(worst.values(), key=lambda each: each.badness, reverse=True)


def whole_block(timing: Timing) -> Timing:
    """The same loop with a whole block's gas."""
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(Path(folder), codes())
        try:
            return _on_evm_thread(lambda: _time(world, timing.loop, GAS, _LONGEST_S))
        finally:
            world.store.close()


def all_loops() -> tuple[Loop, ...]:
    return LOOPS


def _shown(world: World, loop: Loop, show: Callable[[str], None]) -> Timing:
    if not loop.whole:
        _time(world, loop, GAS // 10, _FIRST_LOOK_S)
    timing = _time(world, loop, GAS if loop.whole else GAS // 10, _FIRST_LOOK_S)
    sign = " " if timing.finished else ">"
    show(f"{sign}{timing.seconds_per_block:8.2f} s  {loop.name}")
    return timing


def _time(world: World, loop: Loop, gas: int, longest: float) -> Timing:
    gc.collect()
    began, started = time.perf_counter(), time.thread_time()

    def interrupt() -> None:
        if time.perf_counter() - began > longest:
            raise ExecutionAborted("given up")

    try:
        result = call(world, loop.address, gas=gas + _INTRINSIC_GAS, interrupt=interrupt)
    except ExecutionAborted:
        return Timing(loop=loop, gas=gas, seconds=longest, finished=False)
    seconds = time.thread_time() - started
    return Timing(loop=loop, gas=result.gas_used - _INTRINSIC_GAS, seconds=seconds, finished=True)


def _on_evm_thread(run: Callable[[], T]) -> T:
    threading.stack_size(EVM_STACK_BYTES)
    try:
        with ThreadPoolExecutor(1) as executor:
            executor.submit(warm_up).result()
            return executor.submit(run).result()
    finally:
        threading.stack_size(0)
