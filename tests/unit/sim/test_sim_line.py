"""What the simulator's command prints of a single seed."""

from devnet.sim.__main__ import one_line
from devnet.sim.world import Outcome


def outcome(failure: str, heights: int, **counts: int) -> Outcome:
    return Outcome(
        seed=7, n=4, failure=failure, heights=heights, virtual_us=1, recovery_us=None,
        trace=1, counts=counts,
    )  # fmt: skip


def test_a_seed_ends_in_one_line() -> None:
    assert one_line(outcome("", 4, crash=5)) == "seed 7: passed, 4 heights, 5 crashes"
    assert one_line(outcome("S1 fork", 1)) == "seed 7: failed: S1 fork, 1 height, 0 crashes"
