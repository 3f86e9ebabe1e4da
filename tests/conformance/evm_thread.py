"""A thread with the stack that 1,024 nested calls take, as the role's EVM thread has."""

import sys
import threading
from collections.abc import Callable

from dst.execution.evm.messages import EVM_STACK_BYTES

STOCK_RECURSION_LIMIT = 40_000
"""Unmodified py-evm nests more Python frames a call than our engine."""


def on_evm_thread(run: Callable[[], None]) -> None:
    """Run to the end there; an exception comes out here."""
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            run()
        except BaseException as error:
            failures.append(error)

    limit, stack = sys.getrecursionlimit(), threading.stack_size(EVM_STACK_BYTES)
    sys.setrecursionlimit(max(limit, STOCK_RECURSION_LIMIT))
    try:
        thread = threading.Thread(target=guarded)
        thread.start()
        thread.join()
    finally:
        sys.setrecursionlimit(limit)
        threading.stack_size(stack)
    if failures:
        raise failures[0]
