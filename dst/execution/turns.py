"""Whose turn it is to run Python: blocks before calls, and one heavy call at a time.

One interpreter runs one thread at a time. Four endless calls beside a vote would take four fifths
of it. So a call runs freely while it is light; once it has used `LIGHT_CPU_S` it goes on in turns:
one heavy call at a time, `QUANTUM_S` each, the clients in a ring, and none while a block is built
or checked. Then block work and light calls share the interpreter with one heavy thread at most.

A call that waits asks again at least every `MAX_WAIT_S`, and may then run one short quantum even
beside block work: a node that imports without a pause still answers.

The examination of what clients and peers send gives way too, for a bounded while: a flood of
transactions must not cost the vote on a block that others fill.
"""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

LIGHT_CPU_S: Final = 0.010
"""CPU time that a call may use before it has to take turns: a balance, a quote, a small trace."""
QUANTUM_S: Final = 0.010
BESIDE_BLOCK_QUANTUM_S: Final = 0.002
MAX_WAIT_S: Final = 0.100
"""Beside uninterrupted block work heavy calls get 2 ms in 100."""

T = TypeVar("T")


def _never() -> bool:
    return False


@dataclass(slots=True, eq=False)
class Ticket:
    """One heavy call in line."""

    client: str
    called: threading.Event = field(default_factory=threading.Event)


class Turns:
    """Safe for threads. Holds no reference to a call between its turns."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._no_block = threading.Condition(self._lock)
        self._holder: Ticket | None = None
        self._waiting: OrderedDict[str, deque[Ticket]] = OrderedDict()
        self._block_work = 0
        self._last_beside_block = 0.0

    # block work

    @contextmanager
    def block_work(self) -> Iterator[None]:
        """Around the making and the checking of a block, on the thread that does it."""
        with self._lock:
            self._block_work += 1
        try:
            yield
        finally:
            with self._lock:
                self._block_work -= 1
                self._call_next()
                if not self._block_work:
                    self._no_block.notify_all()

    @property
    def blocks_wait(self) -> bool:
        """Read without the lock: a call looks here at each of its checks."""
        return self._block_work > 0

    def let_blocks_pass(self, until: float) -> None:
        """Return when no block is made or checked, at `until` (monotonic seconds) at the latest."""
        if not self.blocks_wait:
            return
        with self._lock:
            while self._block_work and (left := until - time.monotonic()) > 0:
                self._no_block.wait(left)

    # heavy calls

    def take(self, ticket: Ticket, until: float, gone: Callable[[], bool] = _never) -> bool:
        """Wait for the turn, at most until `until` (monotonic) and not once whoever asked is
        `gone`; False when it did not come."""
        ticket.called.clear()
        with self._lock:
            self._waiting.setdefault(ticket.client, deque()).append(ticket)
            self._call_next()
        while not ticket.called.wait(min(MAX_WAIT_S, max(until - time.monotonic(), 0.0))):
            with self._lock:
                if ticket.called.is_set():
                    return True
                late = time.monotonic() >= until or gone()
                if late or self._may_run_beside_block():
                    self._leave_line(ticket)
                    self._holder = self._holder if late else ticket
                    return not late
        return True

    def give(self, ticket: Ticket) -> None:
        with self._lock:
            assert self._holder is ticket
            self._holder = None
            self._call_next()

    def _may_run_beside_block(self) -> bool:
        now = time.monotonic()
        if self._holder is not None or now - self._last_beside_block < MAX_WAIT_S:
            return False
        self._last_beside_block = now
        return True

    def _call_next(self) -> None:
        """Hand the turn to the next client's first ticket, when nobody has it and no block is in
        work."""
        if self._holder is not None or self._block_work or not self._waiting:
            return
        client, line = self._waiting.popitem(last=False)
        self._holder = line.popleft()
        if line:
            self._waiting[client] = line  # at the end of the ring
        self._holder.called.set()

    def _leave_line(self, ticket: Ticket) -> None:
        line = self._waiting[ticket.client]
        line.remove(ticket)
        if not line:
            del self._waiting[ticket.client]


class Turn:
    """One call's side of it, on the thread that runs the call."""

    def __init__(
        self,
        turns: Turns,
        client: str,
        gone: Callable[[], bool] = _never,
        light_s: float = LIGHT_CPU_S,
    ) -> None:
        """gone: whether nobody waits for the call any more. light_s: CPU time before it takes
        turns."""
        self._turns, self._ticket, self._gone = turns, Ticket(client), gone
        self._heavy_after = time.thread_time() + light_s
        self._ends = 0.0
        self._holds = False

    def pause_if_due(self, until: float) -> None:
        """Called between opcodes: returns at once while the call is light or its quantum lasts,
        else when it is its turn again, or at `until` (monotonic seconds)."""
        used = time.thread_time()
        if used < self._heavy_after:
            return
        if self._holds:
            if used < self._ends and not self._turns.blocks_wait:
                return
            self.release()
        self._holds = self._turns.take(self._ticket, until, self._gone)
        if not self._holds:
            return
        beside = self._turns.blocks_wait
        quantum = BESIDE_BLOCK_QUANTUM_S if beside else QUANTUM_S
        self._ends = time.thread_time() + quantum

    def release(self) -> None:
        if self._holds:
            self._holds = False
            self._turns.give(self._ticket)


class BlockWorker(ThreadPoolExecutor):
    """The one thread that makes and checks blocks; while it works, heavy calls pause."""

    def __init__(self, turns: Turns) -> None:
        super().__init__(1, "evm")
        self.turns = turns

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        return super().submit(self._run, fn, args, kwargs)

    def _run(self, fn: Callable[..., T], args: Any, kwargs: Any) -> T:
        with self.turns.block_work():
            return fn(*args, **kwargs)
