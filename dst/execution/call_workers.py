"""Several threads for calls and traces, shared fairly between clients, each run bounded in time.

A client is its address (on loopback its connection). Each has a short line of its own; workers take
the clients' lines in turn, and a client runs a few calls at once at most. Full lines refuse at
once. A call whose client has gone ends at its next check. How running calls share the interpreter
with blocks and each other is `dst.execution.turns`.
"""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from dst.apis.caller import CALLER
from dst.apis.jsonrpc import RpcError
from dst.execution.environment import ExecutionAborted, Interrupt
from dst.execution.turns import LIGHT_CPU_S, Turn, Turns

LIMIT_EXCEEDED: Final = -32005
"""EIP-1474: the client has asked for more than its share."""
CALL_TIMEOUT_S: Final = 5.0
"""Wall clock of one call, estimate, simulation or trace, from the start of its run: geth's."""
WORKERS: Final = 32
"""A call that waits for its turn keeps its thread (about 100 kB), so there are more of them than
could ever run."""
RUNNING_PER_CLIENT: Final = 8
WAITING_PER_CLIENT: Final = 128
"""A batch comes one by one, so this is a client's parallel requests."""
WAITING_IN_ALL: Final = 1_024
SEARCH_WORKERS: Final = 96
"""Searches of logs have workers of their own, so that they cannot hold those of calls; so many that
a short one finds a thread while dozens of long ones take turns."""
SEARCH_LIGHT_S: Final = 0.004
"""CPU time of a search that takes no turns: a block or two. Dozens begin at once."""
SEARCH_STACK_BYTES: Final = 2**20
"""A search nests a dozen frames."""
SEARCHES_PER_CLIENT: Final = 4
MAX_WAIT_S: Final = 5.0
"""A call that waited longer is refused, not run: whoever asked has given up."""
BUSY: Final = "too many calls: this node is busy, ask again later"

T = TypeVar("T")


class _Answer(Future[T]):
    """A future whose cancelling reaches a call that runs: the event loop cancels it when the
    request's task is cancelled, as it is when its client disconnects."""

    is_unwanted = False

    def cancel(self) -> bool:
        self.is_unwanted = True
        return super().cancel()


@dataclass(slots=True)
class _Job:
    client: str
    run: Callable[[], Any]
    future: _Answer[Any]
    asked: float


class CallWorkers(Executor):
    """An executor whose jobs find their time limit in `time_limit()`."""

    def __init__(
        self,
        turns: Turns,
        workers: int = WORKERS,
        *,
        running_per_client: int | None = None,
        light_s: float = LIGHT_CPU_S,
        name: str = "call",
    ) -> None:
        """Threads start with the stack size that is set now. light_s: CPU time before a job takes
        turns."""
        self._turns, self._light_s = turns, light_s
        self._running_per_client = running_per_client or RUNNING_PER_CLIENT
        self._ready = threading.Condition()
        self._lines: OrderedDict[str, deque[_Job]] = OrderedDict()
        self._running: dict[str, int] = {}
        self._waiting = 0
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    # Executor

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        """Raises: RpcError -32005 when the client's line, or all lines together, are full."""
        client = CALLER.get()
        job = _Job(client, lambda: fn(*args, **kwargs), _Answer(), time.monotonic())
        with self._ready:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            line = self._lines.get(client, ())
            if len(line) >= WAITING_PER_CLIENT or self._waiting >= WAITING_IN_ALL:
                raise RpcError(LIMIT_EXCEEDED, BUSY)
            self._lines.setdefault(client, deque()).append(job)
            self._waiting += 1
            self._ready.notify()
        return job.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Abort what runs, forget what waits."""
        with self._ready:
            self._closed = True
            dropped = [job for line in self._lines.values() for job in line]
            self._lines.clear()
            self._ready.notify_all()
        for job in dropped:
            job.future.cancel()
        if wait:
            for thread in self._threads:
                thread.join()

    @property
    def running(self) -> int:
        """Calls on their threads."""
        with self._ready:
            return sum(self._running.values())

    @property
    def waiting(self) -> int:
        return self._waiting

    # threads

    def _work(self) -> None:
        while (job := self._next()) is not None:
            if job.future.set_running_or_notify_cancel():
                self._run(job)
            with self._ready:
                self._running[job.client] -= 1
                if not self._running[job.client]:
                    del self._running[job.client]
                self._ready.notify()
            del job  # its result must not live until the next job comes

    def _run(self, job: _Job) -> None:
        if time.monotonic() - job.asked > MAX_WAIT_S:
            job.future.set_exception(RpcError(LIMIT_EXCEEDED, BUSY))
            return
        turn = Turn(self._turns, job.client, lambda: job.future.is_unwanted, self._light_s)
        _THREAD.turn, _THREAD.stopped = turn, lambda: self._why_stopped(job)
        try:
            job.future.set_result(job.run())
        except BaseException as error:
            job.future.set_exception(error)
        finally:
            turn.release()
            _THREAD.turn = _THREAD.stopped = None

    def _why_stopped(self, job: _Job) -> str | None:
        if job.future.is_unwanted:
            return "its client has gone"
        return "this node is stopping" if self._closed else None

    def _next(self) -> _Job | None:
        """The next job of the next client that may run one more; None when the end has come."""
        with self._ready:
            while not self._closed:
                for client, line in self._lines.items():
                    if self._running.get(client, 0) < self._running_per_client:
                        return self._take(client, line)
                self._ready.wait()
            return None

    def _take(self, client: str, line: deque[_Job]) -> _Job:
        job = line.popleft()
        self._lines.move_to_end(client)
        if not line:
            del self._lines[client]
        self._waiting -= 1
        self._running[client] = self._running.get(client, 0) + 1
        return job


def search_workers(turns: Turns) -> CallWorkers:
    before = threading.stack_size(SEARCH_STACK_BYTES)
    try:
        return CallWorkers(
            turns,
            SEARCH_WORKERS,
            running_per_client=SEARCHES_PER_CLIENT,
            light_s=SEARCH_LIGHT_S,
            name="search",
        )
    finally:
        threading.stack_size(before)


class _Thread(threading.local):
    """What the job that runs on this thread needs."""

    turn: Turn | None = None
    stopped: Callable[[], str | None] | None = None


_THREAD: Final = _Thread()


def time_limit(seconds: float | None = None) -> Interrupt:
    """The interrupt of a run on this thread that begins now; on a worker it takes turns.

    `seconds`: less than everybody's, when the client asks for less. Its calls raise
    ExecutionAborted.
    """
    seconds = CALL_TIMEOUT_S if seconds is None else min(seconds, CALL_TIMEOUT_S)
    end = time.monotonic() + seconds
    turn, stopped = _THREAD.turn, _THREAD.stopped

    def check() -> None:
        if turn is not None:
            turn.pause_if_due(end)
        if time.monotonic() > end:
            raise ExecutionAborted(f"execution aborted (timeout = {seconds:g}s)")
        why = None if stopped is None else stopped()
        if why is not None:
            raise ExecutionAborted(f"execution aborted: {why}")

    return check
