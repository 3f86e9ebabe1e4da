"""The harness's one clock: the running loop's, which is CLOCK_MONOTONIC, the clock that events are
stamped with.

Taken from the loop so that tests can run whole scenarios in virtual time.
"""

import asyncio


def now() -> float:
    """Seconds of CLOCK_MONOTONIC (virtual ones under a test's loop)."""
    return asyncio.get_running_loop().time()
