"""Ways to stop an execution: a flag set by another thread, a wall clock, a share of CPU time."""

import threading
import time
from collections.abc import Callable

from dst.execution.environment import ExecutionAborted


class AbortFlag:
    """Set from the event loop, seen by the worker between opcodes."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def abort(self) -> None:
        self._event.set()

    @property
    def aborted(self) -> bool:
        return self._event.is_set()

    def check(self) -> None:
        if self._event.is_set():
            raise ExecutionAborted("aborted: a newer request came, or nobody waits any more")


def never() -> None:
    """The interrupt of a run that goes to its end."""


def deadline(seconds: float, what: str) -> Callable[[], None]:
    """Stops a run `seconds` of wall clock from now."""
    end = time.monotonic() + seconds

    def check() -> None:
        if time.monotonic() > end:
            raise ExecutionAborted(what)

    return check
