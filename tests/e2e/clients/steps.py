"""What the scripts in Python share: steps that fail alone, and a line of JSON for each."""

import json
import time
from collections.abc import Callable
from typing import Any

LIMIT_SECONDS = 20.0
FACTORY = "0x4e59b44847b379578588920cA78FbF26c0B4956C"
NOBODY = "0x00000000000000000000000000000000000b0b01"

STEPS: dict[str, Callable[[], object]] = {}


def step(name: str) -> Callable[[Callable[[], object]], Callable[[], object]]:
    """Register a step; they run in the order in which they stand."""

    def register(work: Callable[[], object]) -> Callable[[], object]:
        assert name not in STEPS, f"two steps {name}"
        STEPS[name] = work
        return work

    return register


def run_steps() -> None:
    for name, work in STEPS.items():
        started = time.monotonic()
        error = ""
        try:
            work()
        except Exception as caught:  # whatever a client raises is how its step failed
            error = f"{type(caught).__name__}: {caught}"
        seconds = round(time.monotonic() - started, 3)
        told = {"step": name, "ok": not error, "error": error[:300], "seconds": seconds}
        print(json.dumps(told), flush=True)


def until(condition: Callable[[], Any], what: str) -> Any:
    """What `condition` gives once it is true. Raises: TimeoutError."""
    end = time.monotonic() + LIMIT_SECONDS / 2
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {LIMIT_SECONDS / 2:.0f} s")
        time.sleep(0.05)
    return found


def expect_equal(got: object, wanted: object, what: str) -> None:
    if got != wanted:
        raise AssertionError(f"{what}: {got!r} instead of {wanted!r}")


def expect(condition: object, what: str) -> None:
    if not condition:
        raise AssertionError(f"expected: {what}")
