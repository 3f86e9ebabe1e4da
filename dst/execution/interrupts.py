"""Ways to stop an execution or not: a flag set by another thread; never. Time limits are with what
they limit (`block.builder`, `call_workers`)."""

import threading

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
