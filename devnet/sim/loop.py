"""An asyncio event loop in virtual time: whenever nothing is ready, the clock jumps to the next
timer. Same calls, same order, whatever the machine does; no sockets, no threads.

A clock may run at a rate of its own. What is called `at_rate`, with all tasks and timers that come
of it, lives by such a clock: the loop's time is what that clock counts, and so are its delays.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


MOST_TURNS: Final = 5_000_000
"""Of one loop, hundreds of times what a run of a seed takes: beyond it something spins."""


_RATE: Final[ContextVar[float]] = ContextVar("rate", default=1.0)
"""What the clock of whoever runs counts in a second."""


def at_rate(rate: float, call: Callable[[*Ts], T], *arguments: *Ts) -> T:
    token = _RATE.set(rate)
    try:
        return call(*arguments)
    finally:
        _RATE.reset(token)


class NothingLeft(Exception):
    """No timer and nothing ready: whoever is waited for will never answer."""


class Endless(Exception):
    """MOST_TURNS were not enough."""


class _Jump:
    """Stands where a selector waits for sockets."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop, self._left = loop, MOST_TURNS

    def select(self, timeout: float | None) -> list[Any]:
        self._left -= 1
        if not self._left:
            raise Endless(f"{MOST_TURNS} turns, {self._loop.seconds} virtual s")
        if timeout is None:
            raise NothingLeft("nothing is left to happen")
        self._loop.seconds += timeout
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """seconds: virtual time since the loop was made, the true one."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self._selector = _Jump(self)
        self._world = copy_context()
        self.failure: BaseException | None = None

    def time(self) -> float:
        """By the clock of whoever asks."""
        return self.seconds * _RATE.get()

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return super().call_at(when / _RATE.get(), callback, *args, context=context)

    def now_us(self) -> int:
        return round(self.seconds * 1e6)

    def after(self, delay_us: int, call: Callable[[*Ts], object], *arguments: *Ts) -> None:
        """What befalls the world, whoever caused it."""
        when = self.seconds + max(0, delay_us) / 1e6
        super().call_at(when, call, *arguments, context=self._world)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """What a callback raised is a finding, not a log line."""
        self.failure = context.get("exception") or RuntimeError(str(context.get("message")))
        self.stop()

    def _process_events(self, event_list: list[Any]) -> None:
        """Nothing comes from outside."""

    def _write_to_self(self) -> None:
        """Nobody else could wake this loop."""


def play(work: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run `work` to its end on a loop of its own; what is still running then is cancelled.

    Raises: NothingLeft; what a callback raised.
    """
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(work(loop))
    except RuntimeError:
        if loop.failure is None:
            raise
        raise loop.failure from None
    finally:
        _cancel_all(loop)
        loop.close()


def _cancel_all(loop: VirtualLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
